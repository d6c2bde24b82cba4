//! The loop itself: what it consists of, how it is made, and the calls that need no more than one field.

use std::sync::Arc;

use crate::backend::{Backend, Script, Scripted};
use crate::child::Children;
use crate::clock::{Clock, ManualClock, Now};
use crate::deadlines::Deadlines;
use crate::fds::Fds;
use crate::heap::Node;
use crate::internal::Internals;
use crate::pending::Pending;
use crate::remote::{Remote, Shared, make_wakeup};
use crate::run::Run;
use crate::signals::Signals;
use crate::slab::Slab;
use crate::soon::SoonQueue;
use crate::stat::Paths;
use crate::watchers::Groups;
use crate::{Break, Flags, Result, SoonKey};

/// gevent's and CPython's default switch interval.
fn switch_interval_ns() -> i64 {
    5_000_000
}

/// An event loop whose watchers and waits carry a payload `T` each.
pub struct Loop<T> {
    pub(crate) slab: Slab<T>,
    pub(crate) timers: Deadlines,
    /// By wall time.
    pub(crate) periodics: Deadlines,
    pub(crate) fds: Fds,
    pub(crate) groups: Groups,
    pub(crate) signals: Signals,
    pub(crate) children: Children,
    pub(crate) paths: Paths,
    pub(crate) internals: Internals,
    pub(crate) pending: Pending,
    pub(crate) soon: SoonQueue<T>,
    pub(crate) backend: Backend,
    pub(crate) now: Now,
    pub(crate) shared: Arc<Shared<T>>,
    /// What keeps the loop running: active watchers, waits, run-soon entries, `ref_`. May be negative for a while.
    pub(crate) active: i64,
    /// The innermost run, and those around it.
    pub(crate) run: Run,
    pub(crate) outer: Vec<Run>,
    pub(crate) breaking: Break,
    pub(crate) iteration: u32,
    pub(crate) guard_signals: bool,
    /// The wait that is out is the first of two.
    pub(crate) in_first_stage: bool,
    pub(crate) switch_interval_ns: fn() -> i64,
    pub(crate) timeout_collect_ns: i64,
    pub(crate) io_collect_ns: i64,
    /// When the last poll began.
    pub(crate) last_poll_ns: i64,
    pub(crate) flags: Flags,
    pub(crate) fork_generation: u32,
    /// This is a child, and the kernel objects are still the parent's.
    pub(crate) forked: bool,
    /// This is a child, and its fork watchers have not been called.
    pub(crate) fork_watchers_due: bool,
    suspended_at_ns: i64,
    /// Kept to be used again.
    pub(crate) expired: Vec<u32>,
    pub(crate) due: Vec<Node>,
    pub(crate) queued: Vec<T>,
}

impl<T> Loop<T> {
    /// A loop on the best backend, or the best of those that `flags` names. Unless `NO_ENV` is given, the environment
    /// variable `LIBEV_FLAGS`, a decimal number, replaces the flags (LV-L03).
    pub fn new(flags: Flags) -> Result<Loop<T>>
    where
        T: Copy,
    {
        let flags = flags.or_environment();
        let shared = Arc::new(Shared::new(make_wakeup()?));
        let backend = Backend::new(flags, &shared.wakeup.waker)?;
        Ok(Loop::assemble(flags, shared, backend, Clock::System))
    }

    /// A loop without an operating system, for tests, and the hand that moves it. Fails only if the system has no more
    /// file descriptors.
    pub fn scripted() -> Result<(Loop<T>, Script)>
    where
        T: Copy,
    {
        let clock = Arc::new(ManualClock::default());
        let script = Script::new(clock.clone());
        let shared = Arc::new(Shared::new(make_wakeup()?));
        let backend = Backend::Scripted(Scripted::new(script.clone()));
        Ok((
            Loop::assemble(Flags::AUTO, shared, backend, Clock::Manual(clock)),
            script,
        ))
    }

    fn assemble(flags: Flags, shared: Arc<Shared<T>>, backend: Backend, clock: Clock) -> Loop<T>
    where
        T: Copy,
    {
        crate::backend::fork::watch();
        Loop {
            slab: Slab::new(),
            timers: Deadlines::new(),
            periodics: Deadlines::new(),
            fds: Fds::default(),
            groups: Groups::default(),
            signals: Signals::default(),
            children: Children::new(),
            paths: Paths::default(),
            internals: Internals::default(),
            pending: Pending::default(),
            soon: SoonQueue::new(),
            backend,
            now: Now::new(clock),
            shared,
            active: 0,
            run: Run::OUTSIDE,
            outer: Vec::new(),
            breaking: Break::Cancel,
            iteration: 0,
            guard_signals: false,
            in_first_stage: false,
            switch_interval_ns,
            timeout_collect_ns: 0,
            io_collect_ns: 0,
            last_poll_ns: i64::MIN / 2,
            flags,
            fork_generation: crate::backend::fork::generation(),
            forked: false,
            fork_watchers_due: false,
            suspended_at_ns: 0,
            expired: Vec::new(),
            due: Vec::new(),
            queued: Vec::new(),
        }
    }
}

impl<T: Copy> Loop<T> {
    // ---- run soon

    /// Queues `data` for the next run-soon pass (or the present one); keeps the loop running until then.
    pub fn call_soon(&mut self, data: T) -> SoonKey {
        self.active += 1;
        self.soon.push(data)
    }

    /// Takes an entry back; None when it ran or was cancelled before.
    pub fn cancel_soon(&mut self, key: SoonKey) -> Option<T> {
        let data = self.soon.cancel(key)?;
        self.active -= 1;
        Some(data)
    }

    /// Whether an entry has neither run nor been cancelled.
    pub fn is_soon_pending(&self, key: SoonKey) -> bool {
        self.soon.contains(key)
    }

    /// How many entries wait.
    pub fn soon_len(&self) -> usize {
        self.soon.len()
    }

    /// Who says how long the run-soon pass may take before I/O is looked at again (5 ms at first). Asked after every 50
    /// entries of a pass; must not use the loop.
    pub fn set_switch_interval(&mut self, interval_ns: fn() -> i64) {
        self.switch_interval_ns = interval_ns;
    }

    // ---- what keeps it running

    /// Counts one thing more that keeps the loop running (LV-R12).
    pub fn ref_(&mut self) {
        self.active += 1;
    }

    /// Counts one thing less. Below zero is as good as zero: the loop ends (DD-05).
    pub fn unref(&mut self) {
        self.active -= 1;
    }

    /// How many things keep the loop running.
    pub fn active_count(&self) -> i64 {
        self.active
    }

    /// How many watchers and waits are due and not handed out (DD-04).
    pub fn pending_count(&self) -> usize {
        self.pending.count()
    }

    // ---- time

    /// The cached wall clock, in nanoseconds since 1970 (LV-R14).
    pub fn now(&self) -> i64 {
        self.now.wall_ns
    }

    /// The cached monotonic clock, in nanoseconds.
    pub fn monotonic(&self) -> i64 {
        self.now.monotonic_ns
    }

    /// Reads the clocks (LV-R15).
    pub fn update_now(&mut self) {
        self.update_time();
    }

    /// Remembers the time, for `resume` (LV-R17).
    pub fn suspend(&mut self) {
        self.update_time();
        self.suspended_at_ns = self.now.monotonic_ns;
    }

    /// Goes on as if no time had passed since `suspend`.
    pub fn resume(&mut self) {
        self.now.expire();
        self.update_time();
        self.timers
            .shift_all(self.now.monotonic_ns.saturating_sub(self.suspended_at_ns));
        self.suspended_at_ns = self.now.monotonic_ns;
    }

    // ---- the loop as a whole

    /// Has a wait of more than 20 ms made in two stages, so that no signal that only sets a flag is slept through: the
    /// first 20 ms as usual, the rest as a `Wait` with `masked`.
    pub fn set_guard_signals(&mut self, on: bool) {
        self.guard_signals = on;
    }

    /// A wait is at least this long, so that timers are served in groups (LV-R19).
    pub fn set_timeout_collect_interval_ns(&mut self, interval_ns: i64) {
        self.timeout_collect_ns = interval_ns.max(0);
    }

    /// The loop sleeps so long between two looks at the backend, never past a timer, so that I/O is served in groups
    /// (LV-R18).
    pub fn set_io_collect_interval_ns(&mut self, interval_ns: i64) {
        self.io_collect_ns = interval_ns.max(0);
    }

    /// Tells the backend all that changed now instead of before the next poll: for a loop that another one embeds
    /// (LV-E1), from a prepare watcher there.
    pub fn flush(&mut self) {
        self.sync_changes();
    }

    /// The handle for other threads.
    pub fn remote(&self) -> Remote<T> {
        Remote::new(self.shared.clone())
    }

    /// Ends the loop and gives back every payload it held: those of watchers (active or not), waits and queued entries.
    pub fn into_payloads(mut self) -> Vec<T> {
        let mut payloads: Vec<T> = self.slab.iter().map(|(_, entry)| entry.data).collect();
        while let Some(data) = self.soon.pop() {
            payloads.push(data);
        }
        self.shared.take_queued(&mut self.queued);
        payloads.append(&mut self.queued);
        payloads
    }

    /// After a fork, in the child: the next iteration begins anew with kernel objects of its own (LV-L14).
    pub fn reinit(&mut self) {
        self.forked = true;
        self.fork_watchers_due = true;
        self.fork_generation = crate::backend::fork::generation();
    }

    /// Ends everything: stops and frees all watchers and waits, empties the run-soon queue, and returns the payloads,
    /// for a caller whose payloads own something. To be called before the loop is dropped.
    pub fn take_payloads(&mut self) -> Vec<T> {
        let mut payloads = Vec::new();
        let all: Vec<u32> = self.slab.iter().map(|(index, _)| index).collect();
        for index in all {
            payloads.extend(self.cancel_index(index));
        }
        self.take_queued();
        while let Some(data) = self.soon.pop() {
            self.active -= 1;
            payloads.push(data);
        }
        payloads
    }

    /// The backend's bit (LV-C04); 0 for the scripted one.
    pub fn backend(&self) -> u32 {
        self.backend.bit()
    }

    /// The backend's name.
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The backend's file descriptor, where it has one.
    pub fn fileno(&self) -> Option<i32> {
        self.backend.fileno()
    }

    /// The flags it was made with.
    pub fn flags(&self) -> Flags {
        self.flags
    }
}
