//! One iteration after another: what is to be done next (LV-Q01).
//!
//! ```text
//!   Entry    what was fed before the run                                    LV-R06
//!   Start    fork noticed?  fork watchers queued ------------> Fork
//!   Fork     fork watchers run                                  prepare queued, the mark of the run-soon pass below
//!   Prepare  prepare watchers run, then the run-soon pass       break? -> End        LV-R10
//!   Poll     kernel told, time read, wait computed; look, or hand out a Wait -> Blocked
//!   Blocked  the caller waits; absorb takes what came in
//!            then: remote mark, timers, periodics, idle, check are fed
//!   Invoke   what is due runs
//!   End      again? -> Start, else Done
//! ```
//!
//! The present phase lives in the loop and not on anybody's stack, so whoever runs on this thread may pull the next
//! entry. A nested run puts the phase of the outer one aside.

use crate::pending::{CHILD_MARK, Item, REMOTE_MARK, SOON_MARK, level};
use crate::slab::ONE_SHOT;
use crate::wait::Wait;
use crate::{Break, Events, Key, Loop, Mode};

/// What `Loop::next` hands out.
pub enum Step<T> {
    /// A watcher or one-shot wait is due. The key of a wait is of nothing any more (it is given to be compared).
    Event {
        /// Which.
        key: Key,
        /// Its payload.
        data: T,
        /// What happened.
        revents: Events,
    },
    /// An entry of the run-soon queue.
    Soon(T),
    /// Nothing is ready: `loop.absorb(wait.block())`, the loop untouched in between.
    Block(Wait),
    /// The run is over: call `leave`.
    Done,
}

/// What `Loop::try_next` hands out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ready<T> {
    /// A watcher or one-shot wait is due.
    Event {
        /// Which.
        key: Key,
        /// Its payload.
        data: T,
        /// What happened.
        revents: Events,
    },
    /// An entry of the run-soon queue.
    Soon(T),
}

impl<T> From<Ready<T>> for Step<T> {
    fn from(ready: Ready<T>) -> Step<T> {
        match ready {
            Ready::Event { key, data, revents } => Step::Event { key, data, revents },
            Ready::Soon(data) => Step::Soon(data),
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No run.
    Outside,
    Entry,
    Start,
    Fork,
    Prepare,
    Poll,
    Blocked,
    /// A part of a wait (the first stage of a guarded one, or one that was shortened) brought nothing: the rest of it.
    Again,
    Invoke,
    End,
    Done,
}

/// One run, of which there may be several nested.
#[derive(Copy, Clone)]
pub(crate) struct Run {
    pub(crate) mode: Mode,
    pub(crate) phase: Phase,
    /// In the run-soon pass: how many ran, and since when.
    pub(crate) in_soon: bool,
    pub(crate) soon_count: u32,
    pub(crate) soon_begun_ns: i64,
}

impl Run {
    pub(crate) const OUTSIDE: Run = Run {
        mode: Mode::Default,
        phase: Phase::Outside,
        in_soon: false,
        soon_count: 0,
        soon_begun_ns: 0,
    };
}

impl<T: Copy> Loop<T> {
    /// Begins a run (nested, if one is in progress). A break asked for before is forgotten (LV-R05).
    pub fn enter(&mut self, mode: Mode) {
        if self.run.phase == Phase::Blocked {
            // Code that ran before the wait was made enters a run of its own: that wait must not be made any more.
            self.finish_poll();
        }
        self.outer.push(self.run);
        self.run = Run {
            mode,
            phase: Phase::Entry,
            ..Run::OUTSIDE
        };
        self.breaking = Break::Cancel;
        if mode == Mode::Destroy {
            for place in 0..self.groups.cleanup.len() {
                self.feed_index(self.groups.cleanup[place], Events::CLEANUP);
            }
        }
    }

    /// Ends the innermost run, finished or not; how much is still active (libev's ev_run returns that).
    pub fn leave(&mut self) -> i64 {
        if let Some(outer) = self.outer.pop() {
            if self.run.phase == Phase::Blocked {
                self.shared.wakeup.take();
            }
            self.run = outer;
            if self.breaking == Break::One {
                self.breaking = Break::Cancel;
            }
        }
        self.active
    }

    /// What is to be done next. After `Done`, or outside a run, always `Done`.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Step<T> {
        loop {
            match self.run.phase {
                Phase::Outside | Phase::Done => return Step::Done,
                Phase::Entry | Phase::Fork | Phase::Prepare | Phase::Invoke => match self.drain() {
                    Some(ready) => return ready.into(),
                    None => self.finish_drain(),
                },
                Phase::Start => self.begin_iteration(),
                Phase::Poll => {
                    if let Some(wait) = self.poll(false) {
                        return Step::Block(wait);
                    }
                }
                Phase::Again => {
                    if let Some(wait) = self.poll(true) {
                        return Step::Block(wait);
                    }
                }
                // The wait was dropped: as if it had brought nothing.
                Phase::Blocked => self.finish_poll(),
                Phase::End => self.end_iteration(),
            }
        }
    }

    /// What is ready in the present phase of the innermost run: None when the phase is over, or no run is on. Never
    /// polls and never moves on.
    pub fn try_next(&mut self) -> Option<Ready<T>> {
        match self.run.phase {
            Phase::Entry | Phase::Fork | Phase::Prepare | Phase::Invoke => self.drain(),
            _ => None,
        }
    }

    /// As `try_next`, but takes it only if `wanted` says so.
    pub fn try_next_if(&mut self, wanted: impl FnOnce(&Ready<T>) -> bool) -> Option<Ready<T>> {
        let ready = match self.run.phase {
            Phase::Entry | Phase::Fork | Phase::Prepare | Phase::Invoke => self.peek()?,
            _ => return None,
        };
        if wanted(&ready) { self.drain() } else { None }
    }

    /// The payload of what is due so many entries after the next, as far as that is known, for bringing near what it refers
    /// to. Finding it reads nothing that belongs to the entry.
    #[inline]
    pub fn upcoming(&self, ahead: usize) -> Option<&T> {
        let index = self.pending.upcoming(ahead)?;
        self.slab.payload(index)
    }

    /// Asks for a break of the runs in progress (LV-R07); what is due now still runs.
    pub fn break_(&mut self, how: Break) {
        self.breaking = how;
    }

    /// How many runs are nested (LV-R17 depth); 0 outside.
    pub fn depth(&self) -> usize {
        self.outer.len()
    }

    /// The number of iterations so far, wrapping.
    pub fn iteration(&self) -> u32 {
        self.iteration
    }

    // ---- what is due

    /// The next entry of the phase.
    fn drain(&mut self) -> Option<Ready<T>> {
        loop {
            if self.run.in_soon {
                if let Some(data) = self.next_soon() {
                    return Some(Ready::Soon(data));
                }
                continue;
            }
            let Item { index, revents } = self.pending.pop()?;
            match index {
                REMOTE_MARK => self.dispatch_remote(),
                SOON_MARK => self.begin_soon(),
                CHILD_MARK => self.reap_one(),
                _ => return Some(self.deliver(index, revents)),
            }
        }
    }

    fn deliver(&mut self, index: u32, revents: Events) -> Ready<T> {
        let key = self.slab.key(index);
        let entry = &mut self.slab[index];
        entry.pending = 0;
        let data = entry.data;
        if entry.flags & ONE_SHOT != 0 && self.slab.remove_timer(index).is_none() {
            self.slab.remove(index);
        }
        Ready::Event { key, data, revents }
    }

    /// What `drain` would return, the marks before it worked off.
    fn peek(&mut self) -> Option<Ready<T>> {
        loop {
            if self.run.in_soon {
                if self.soon_goes_on() {
                    return self.soon.peek().map(Ready::Soon);
                }
                continue;
            }
            let Item { index, revents } = self.pending.peek()?;
            match index {
                REMOTE_MARK => {
                    self.pending.pop();
                    self.dispatch_remote();
                }
                SOON_MARK => {
                    self.pending.pop();
                    self.begin_soon();
                }
                CHILD_MARK => {
                    self.pending.pop();
                    self.reap_one();
                }
                _ => {
                    return Some(Ready::Event {
                        key: self.slab.key(index),
                        data: self.slab[index].data,
                        revents,
                    });
                }
            }
        }
    }

    // ---- the phases

    fn finish_drain(&mut self) {
        self.run.phase = match (self.run.phase, self.run.mode) {
            (Phase::Entry, Mode::Destroy) => Phase::Done,
            (Phase::Entry, _) => Phase::Start,
            (Phase::Fork, _) => {
                self.queue_prepare();
                Phase::Prepare
            }
            (Phase::Prepare, _) if self.breaking != Break::Cancel => Phase::End,
            (Phase::Prepare, _) => Phase::Poll,
            _ => Phase::End,
        };
    }

    fn begin_iteration(&mut self) {
        self.notice_fork();
        // By now the kernel objects may be new already: whoever forks in a callback polls once more before it comes here.
        if std::mem::take(&mut self.fork_watchers_due) {
            for place in 0..self.groups.fork.len() {
                self.feed_index(self.groups.fork[place], Events::FORK);
            }
            self.run.phase = Phase::Fork;
        } else if self.breaking == Break::Cancel && self.groups.prepare.is_empty() && !self.has_soon() {
            // Nothing runs before the poll, so nothing can be added there.
            self.run.phase = Phase::Poll;
        } else {
            self.queue_prepare();
            self.run.phase = Phase::Prepare;
        }
    }

    /// The mark first, so that it comes after all prepare watchers of the same priority (gevent's was started first).
    fn queue_prepare(&mut self) {
        self.pending.push_mark(level(0), SOON_MARK);
        for place in 0..self.groups.prepare.len() {
            self.feed_index(self.groups.prepare[place], Events::PREPARE);
        }
    }

    fn end_iteration(&mut self) {
        let alive = self.active > 0 || self.shared.has_queued();
        let again = alive && self.breaking == Break::Cancel && self.run.mode == Mode::Default;
        self.run.phase = if again { Phase::Start } else { Phase::Done };
    }

    /// What other threads and signal handlers sent: signals first, asyncs after, the earliest started async last, so
    /// that it runs first (LV-Q08).
    fn dispatch_remote(&mut self) {
        self.dispatch_signals();
        if self.shared.wakeup.take_asyncs() {
            for place in (0..self.groups.asyncs.len()).rev() {
                let index = self.groups.asyncs[place];
                if self.slab[index].kind.take_sent() {
                    self.feed_index(index, Events::ASYNC);
                }
            }
        }
    }
}
