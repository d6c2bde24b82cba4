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

use crate::backend::{READ, WAKER_FD};
use crate::clock::SECOND_NS;
use crate::pending::{CHILD_MARK, Item, REMOTE_MARK, SOON_MARK, level};
use crate::slab::ONE_SHOT;
use crate::wait::{Wait, Woken};
use crate::{Break, Events, Key, Loop, MAX_PRIORITY, Mode};

/// libev's MAX_BLOCKTIME (LV-C07).
const LONGEST_WAIT_NS: i64 = 59_743_000_000;
/// The first stage of a guarded wait.
const UNGUARDED_NS: i64 = 20_000_000;
/// gevent's CALLBACK_CHECK_COUNT (GV-32).
const SOON_GROUP: u32 = 50;

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
    /// The first stage of a guarded wait brought nothing.
    Guarded,
    Invoke,
    End,
    Done,
}

/// One run, of which there may be several nested.
#[derive(Copy, Clone)]
pub(crate) struct Run {
    mode: Mode,
    pub(crate) phase: Phase,
    /// In the run-soon pass: how many ran, and until when it may go on.
    in_soon: bool,
    soon_count: u32,
    soon_deadline_ns: i64,
}

impl Run {
    pub(crate) const OUTSIDE: Run = Run {
        mode: Mode::Default,
        phase: Phase::Outside,
        in_soon: false,
        soon_count: 0,
        soon_deadline_ns: 0,
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
                Phase::Guarded => {
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

    /// Takes in what a wait brought. Must be called for every wait that was made: a change of an edge-triggered socket
    /// is told once.
    pub fn absorb(&mut self, woken: Woken) {
        let Woken { sleeper, errno } = woken;
        let something = sleeper.len() > 0 || errno.is_some();
        self.absorb_sleeper(sleeper, errno);
        if self.run.phase != Phase::Blocked {
            return;
        }
        let sent = self.shared.wakeup.take();
        if sent {
            self.pending.push_mark(level(MAX_PRIORITY), REMOTE_MARK);
        }
        self.update_time();
        let due = self.first_due_ns();
        if self.in_first_stage && !something && !sent && !self.has_news() && due > self.now.monotonic_ns {
            self.run.phase = Phase::Guarded;
        } else {
            self.finish_poll();
        }
    }

    /// Whether something was added since a wait was handed out, so that it would sleep too long: drop it and call `next`.
    pub fn is_stale(&self, wait: &Wait) -> bool {
        self.run.phase != Phase::Blocked || self.has_news() || self.first_due_ns() < wait.until_ns
    }

    /// Asks for a break of the runs in progress (LV-R07); what is due now still runs.
    pub fn break_(&mut self, how: Break) {
        self.breaking = how;
    }

    /// Whether the run-soon pass is going on (GV-35).
    pub fn in_soon_pass(&self) -> bool {
        self.run.in_soon
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
        if entry.flags & ONE_SHOT != 0 {
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

    // ---- the run-soon pass

    fn begin_soon(&mut self) {
        self.run.in_soon = true;
        self.run.soon_count = 0;
        self.run.soon_deadline_ns = self.now.monotonic_ns.saturating_add(self.switch_interval_ns);
    }

    fn next_soon(&mut self) -> Option<T> {
        if !self.soon_goes_on() {
            return None;
        }
        self.run.soon_count += 1;
        self.active -= 1;
        self.soon.pop()
    }

    /// Whether the pass has another entry to run now; ends it otherwise (GV-32, GV-33, GV-35).
    fn soon_goes_on(&mut self) -> bool {
        self.take_queued();
        let count = self.run.soon_count;
        if self.soon.len() == 0 {
            self.run.in_soon = false;
            if count > 0 {
                self.update_time();
            }
            return false;
        }
        if count >= SOON_GROUP && count.is_multiple_of(SOON_GROUP) {
            self.update_time();
            if self.now.monotonic_ns >= self.run.soon_deadline_ns {
                self.run.in_soon = false;
                return false;
            }
        }
        true
    }

    /// Moves what other threads queued to the end of the queue.
    pub(crate) fn take_queued(&mut self) {
        if self.shared.has_queued() {
            let mut queued = std::mem::take(&mut self.queued);
            self.shared.take_queued(&mut queued);
            for data in queued.drain(..) {
                self.call_soon(data);
            }
            self.queued = queued;
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
        if self.forked {
            for place in 0..self.groups.fork.len() {
                self.feed_index(self.groups.fork[place], Events::FORK);
            }
            self.run.phase = Phase::Fork;
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

    /// Looks at the backend, or hands out the wait that is to be made.
    fn poll(&mut self, masked: bool) -> Option<Wait> {
        if (self.forked || self.fds.suspicious) && !self.recreate() {
            // No file descriptor to be had: never wait with the parent's, try again.
            self.finish_poll();
            return None;
        }
        self.sync_changes();
        if !masked {
            self.iteration = self.iteration.wrapping_add(1);
        }
        let (mut timeout_ns, until_ns) = self.wait_time();
        if timeout_ns > 0 && !self.shared.wakeup.may_block() {
            timeout_ns = 0;
        }
        if timeout_ns == 0 {
            let mut sleeper = self.backend.sleeper();
            let outcome = sleeper.wait(Some(0), None);
            self.absorb_sleeper(sleeper, outcome.err());
            if self.shared.wakeup.take() {
                self.pending.push_mark(level(MAX_PRIORITY), REMOTE_MARK);
            }
            self.update_time();
            self.finish_poll();
            return None;
        }
        self.in_first_stage = self.guard_signals && !masked && timeout_ns > UNGUARDED_NS;
        if self.in_first_stage {
            timeout_ns = UNGUARDED_NS;
        }
        let pause_ns = self.pause(timeout_ns);
        self.run.phase = Phase::Blocked;
        Some(Wait {
            masked,
            sleeper: self.backend.sleeper(),
            timeout_ns: Some(timeout_ns - pause_ns),
            pause_ns,
            until_ns,
            mask: None,
        })
    }

    /// How long to sleep before the poll, so that I/O comes in groups: what is left of the interval since the last poll
    /// began, but not past the wait itself (LV-R18).
    fn pause(&mut self, timeout_ns: i64) -> i64 {
        let now = self.now.monotonic_ns;
        let since = now.saturating_sub(std::mem::replace(&mut self.last_poll_ns, now));
        (self.io_collect_ns - since.max(0))
            .min(timeout_ns - self.backend.shortest_wait_ns())
            .max(0)
    }

    /// How long the poll may wait, and until when at most nothing is due (LV-R35).
    fn wait_time(&mut self) -> (i64, i64) {
        let at_once = (0, i64::MIN);
        if self.run.mode == Mode::NoWait || self.groups.idle_count > 0 || self.fds.has_always() || self.has_news() {
            return at_once;
        }
        self.update_time();
        let now = self.now.monotonic_ns;
        let until = self.first_due_ns().min(now.saturating_add(LONGEST_WAIT_NS));
        // One more, because due means strictly before now.
        let wait = until.saturating_sub(now).saturating_add(1).min(LONGEST_WAIT_NS);
        if wait <= self.backend.not_worth_waiting_ns() {
            return at_once;
        }
        (
            wait.max(self.backend.shortest_wait_ns()).max(self.timeout_collect_ns),
            until,
        )
    }

    /// The monotonic time at which the first timer or periodic is due.
    fn first_due_ns(&self) -> i64 {
        self.timers.first_at().unwrap_or(i64::MAX).min(self.first_periodic_ns())
    }

    /// Whether there is something to do without waiting for anything.
    fn has_news(&self) -> bool {
        self.active <= 0
            || self.soon.len() > 0
            || self.pending.any()
            || self.breaking != Break::Cancel
            || self.fds.has_changes()
            || self.shared.has_queued()
    }

    fn absorb_sleeper(&mut self, sleeper: crate::backend::Sleeper, errno: Option<i32>) {
        if errno.is_none() {
            for place in 0..sleeper.len() {
                match sleeper.report(place) {
                    Some(report) if report.fd == WAKER_FD && report.events & READ != 0 => {
                        self.shared.wakeup.waker.drain();
                    }
                    Some(report) if report.fd == WAKER_FD => {}
                    Some(report) => self.absorb_report(report),
                    None => {}
                }
            }
        }
        self.backend.recycle(sleeper);
        // Anything but an interruption means that the backend's object is not usable (somebody closed it).
        self.fds.suspicious |= errno.is_some_and(|errno| errno != libc::EINTR);
        self.feed_always();
    }

    /// After the poll: what came due meanwhile (LV-Q01, 13 to 16).
    fn finish_poll(&mut self) {
        if self.run.phase == Phase::Blocked && self.shared.wakeup.take() {
            self.pending.push_mark(level(MAX_PRIORITY), REMOTE_MARK);
        }
        self.expire_timers();
        self.expire_periodics();
        self.queue_idle();
        for place in 0..self.groups.check.len() {
            self.feed_index(self.groups.check[place], Events::CHECK);
        }
        self.run.phase = Phase::Invoke;
    }

    /// The idle watchers of the highest priority at which, and above which, nothing is pending (LV-I2).
    fn queue_idle(&mut self) {
        if self.groups.idle_count == 0 {
            return;
        }
        for level in (0..self.groups.idle.len()).rev() {
            if self.pending.any_at(level) {
                return;
            }
            if !self.groups.idle[level].is_empty() {
                for place in 0..self.groups.idle[level].len() {
                    self.feed_index(self.groups.idle[level][place], Events::IDLE);
                }
                return;
            }
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

    /// Reads the clocks.
    pub(crate) fn update_time(&mut self) {
        if self.now.update() {
            self.reschedule_periodics();
        }
    }

    /// Costs one load, so it is always done: a child that forgets a socket must not touch its parent's epoll.
    pub(crate) fn notice_fork(&mut self) {
        if crate::backend::fork::generation() != self.fork_generation {
            self.reinit();
        }
    }

    /// Begins anew with kernel objects of our own; false if the system has none left.
    fn recreate(&mut self) -> bool {
        if self.backend.recreate(&self.shared.wakeup.waker).is_err() {
            return false;
        }
        if std::mem::take(&mut self.forked) {
            self.shared.after_fork();
            // If this fails the waker stays shared with the parent: wake-ups then wake both, and none is lost.
            let _ = self.shared.wakeup.waker.after_fork();
            self.now.expire();
            self.recreate_internals();
        }
        self.rearm_all();
        true
    }
}

const _: () = assert!(SECOND_NS > UNGUARDED_NS);
