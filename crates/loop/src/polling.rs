//! The phase in which the loop asks the operating system: how long to wait, the wait itself, and what came due
//! meanwhile (LV-Q01, steps 5 to 16).

use crate::backend::{EDGE, READ, Reports, Sleeper, WAKER_FD};
use crate::pending::{REMOTE_MARK, level};
use crate::run::Phase;
use crate::wait::{Wait, Woken};
use crate::{Break, Events, Loop, MAX_PRIORITY, Mode};

/// libev's MAX_BLOCKTIME (LV-C07), for a wait that has a deadline, or that a signal must not be lost in.
const LONGEST_WAIT_NS: i64 = 59_743_000_000;
const FOR_EVER: i64 = i64::MAX;
/// The first stage of a guarded wait.
const UNGUARDED_NS: i64 = 20_000_000;

impl<T: Copy> Loop<T> {
    /// Takes in what a wait brought. Must be called for every wait that was made: a change of an edge-triggered socket
    /// is told once.
    pub fn absorb(&mut self, woken: Woken) {
        let Woken {
            sleeper,
            errno,
            shortened,
        } = woken;
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
        let is_part = self.in_first_stage || shortened;
        let nothing = is_part && !something && !sent && !self.has_news();
        if nothing && self.first_due_ns() >= self.now.monotonic_ns {
            self.run.phase = Phase::Again;
        } else {
            self.finish_poll();
        }
    }

    /// Whether something was added since a wait was handed out, so that it would sleep too long: drop it and call `next`.
    pub fn is_stale(&mut self, wait: &Wait) -> bool {
        self.run.phase != Phase::Blocked || self.has_news() || self.first_due_ns() < wait.until_ns
    }

    /// Looks at the backend, or hands out the wait that is to be made; `again`: the rest of one of which a part brought nothing.
    pub(crate) fn poll(&mut self, again: bool) -> Option<Wait> {
        if (self.forked || self.fds.suspicious) && !self.recreate() {
            // No file descriptor to be had: never wait with the parent's, try again.
            self.finish_poll();
            return None;
        }
        self.sync_changes();
        if !again {
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
        self.in_first_stage = self.guard_signals && !again && timeout_ns > UNGUARDED_NS;
        if self.in_first_stage {
            timeout_ns = UNGUARDED_NS;
        }
        let pause_ns = self.pause(timeout_ns);
        self.run.phase = Phase::Blocked;
        Some(Wait {
            masked: again && self.guard_signals,
            again,
            shortened: false,
            sleeper: self.backend.sleeper(),
            timeout_ns: (timeout_ns != FOR_EVER).then_some(timeout_ns - pause_ns),
            pause_ns,
            until_ns,
            found: None,
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
        if self.timers.is_empty() && self.periodics.is_empty() && self.io_collect_ns == 0 {
            // Without deadlines it does not matter how long the callbacks have taken: the clock need not be read. And the
            // kernel need not keep a timer, which is a sixth of what it costs to sleep and be woken.
            if !self.guard_signals {
                return (FOR_EVER, FOR_EVER);
            }
            let until = self.now.monotonic_ns.saturating_add(LONGEST_WAIT_NS);
            return (LONGEST_WAIT_NS.max(self.timeout_collect_ns), until);
        }
        self.update_time();
        let now = self.now.monotonic_ns;
        if self.timers.has_due_newcomer(now) {
            return at_once;
        }
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
    fn first_due_ns(&mut self) -> i64 {
        if self.timers.is_empty() && self.periodics.is_empty() {
            return i64::MAX;
        }
        let periodic = self.first_periodic_ns();
        self.timers.first_at().unwrap_or(i64::MAX).min(periodic)
    }

    /// Whether there is something to do without waiting for anything.
    pub(crate) fn has_news(&self) -> bool {
        self.active <= 0
            || self.has_soon()
            || self.pending.any()
            || self.breaking != Break::Cancel
            || self.fds.has_changes()
    }

    fn absorb_sleeper(&mut self, sleeper: Sleeper, errno: Option<i32>) {
        match (errno, &sleeper) {
            // Anything but an interruption means that the backend's object is not usable (somebody closed it).
            (Some(errno), _) => self.fds.suspicious |= errno != libc::EINTR,
            (None, Sleeper::Queue(sleeper)) => self.absorb_reports(&**sleeper),
            (None, Sleeper::Poll(sleeper)) => self.absorb_reports(&**sleeper),
            (None, Sleeper::Select(sleeper)) => self.absorb_reports(&**sleeper),
            (None, Sleeper::Scripted(sleeper)) => self.absorb_reports(&**sleeper),
        }
        self.backend.recycle(sleeper);
        if self.fds.has_always() {
            self.feed_always();
        }
    }

    #[inline]
    fn absorb_reports(&mut self, reports: &impl Reports) {
        // Sockets come in the order in which they became ready, hence are fed in reverse. Otherwise who was served first
        // in one round, and is ready first again, would be the last in the next, and wait nearly two rounds.
        if self.fds.has_edges {
            for place in (0..reports.len()).rev() {
                if let Some(report) = reports.report(place)
                    && self.is_edge(report.fd)
                {
                    self.absorb_report(report);
                }
            }
        }
        for place in 0..reports.len() {
            match reports.report(place) {
                Some(report) if report.fd == WAKER_FD && report.events & READ != 0 => {
                    self.shared.wakeup.waker.drain();
                }
                Some(report) if report.fd == WAKER_FD || self.fds.has_edges && self.is_edge(report.fd) => {}
                Some(report) => self.absorb_report(report),
                None => {}
            }
        }
    }

    #[inline]
    fn is_edge(&self, fd: i32) -> bool {
        self.fds.get(fd).is_some_and(|slot| slot.kernel & EDGE != 0)
    }

    /// After the poll: what came due meanwhile (LV-Q01, 13 to 16).
    pub(crate) fn finish_poll(&mut self) {
        if self.run.phase == Phase::Blocked && self.shared.wakeup.take() {
            self.pending.push_mark(level(MAX_PRIORITY), REMOTE_MARK);
        }
        self.expire_timers();
        if !self.periodics.is_empty() {
            self.expire_periodics();
        }
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

    /// Reads the clocks.
    #[inline]
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
