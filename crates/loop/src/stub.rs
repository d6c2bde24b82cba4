//! The public surface while its bodies are being written.
#![allow(unused_variables, missing_docs, clippy::missing_errors_doc)]

use std::marker::PhantomData;

use crate::*;

/// What `Loop::next` hands out.
pub enum Step<T> {
    /// A watcher or wait is due. A one-shot wait's key is already free (its key is given for comparison alone).
    Event { key: Key, data: T, revents: Events },
    /// An entry of the run-soon queue.
    Soon(T),
    /// Nothing is ready: call `block` (without the loop) and then `Loop::absorb`.
    Block(Wait),
    /// The run is over: call `leave`.
    Done,
}

/// What `Loop::try_next` hands out.
#[derive(Copy, Clone, Debug)]
pub enum Ready<T> {
    Event { key: Key, data: T, revents: Events },
    Soon(T),
}

/// A wait that the operating system is to do; owned, `Send`, knows nothing of the loop.
pub struct Wait {
    /// True in the second stage (see `Loop::set_guard_signals`): call `mask_signals`, run the signal check, then `block`.
    pub masked: bool,
}
impl Wait {
    /// Blocks every signal in the calling thread until `block` (which lets them in while it waits) or drop.
    pub fn mask_signals(&mut self) { unimplemented!() }
    /// How long it will wait at most (None: for ever).
    pub fn timeout_ns(&self) -> Option<i64> { unimplemented!() }
    /// The system call.
    pub fn block(self) -> Woken { unimplemented!() }
}

/// What a `Wait` brought back.
pub struct Woken;
impl Woken {
    /// A signal handler ran.
    pub fn interrupted(&self) -> bool { unimplemented!() }
}

pub struct Loop<T>(PhantomData<T>);

impl<T: Copy> Loop<T> {
    pub fn new(flags: Flags) -> Result<Loop<T>> { unimplemented!() }
    /// The scripted backend with a manual clock, for tests.
    pub fn scripted() -> (Loop<T>, Script) { unimplemented!() }

    // ---- watchers
    pub fn insert(&mut self, spec: Spec, data: T) -> Result<Key> { unimplemented!() }
    /// Stops it and frees it; gives the payload back. None if the key is of nothing.
    pub fn remove(&mut self, key: Key) -> Option<T> { unimplemented!() }
    /// New arguments for an inactive watcher (of the same kind).
    pub fn set(&mut self, key: Key, spec: Spec) -> Result<()> { unimplemented!() }
    /// No-op if active.
    pub fn start(&mut self, key: Key) -> Result<()> { unimplemented!() }
    /// Also clears what is pending.
    pub fn stop(&mut self, key: Key) -> Result<()> { unimplemented!() }
    /// Timers: LV-T6.
    pub fn again(&mut self, key: Key) -> Result<()> { unimplemented!() }
    pub fn set_repeat(&mut self, key: Key, repeat_ns: i64) -> Result<()> { unimplemented!() }
    pub fn repeat(&self, key: Key) -> Result<i64> { unimplemented!() }
    pub fn remaining(&self, key: Key) -> Result<i64> { unimplemented!() }
    pub fn is_active(&self, key: Key) -> bool { unimplemented!() }
    pub fn is_pending(&self, key: Key) -> bool { unimplemented!() }
    /// Clamped to -2..2; only while neither active nor pending.
    pub fn set_priority(&mut self, key: Key, priority: i8) -> Result<()> { unimplemented!() }
    pub fn priority(&self, key: Key) -> Result<i8> { unimplemented!() }
    /// Whether it keeps the loop alive while active (default true); may change at any time.
    pub fn set_ref(&mut self, key: Key, counts: bool) -> Result<()> { unimplemented!() }
    pub fn get_ref(&self, key: Key) -> Result<bool> { unimplemented!() }
    pub fn feed(&mut self, key: Key, revents: Events) -> Result<()> { unimplemented!() }
    /// Takes it out of the pending queue; what it was pending for.
    pub fn clear_pending(&mut self, key: Key) -> Events { unimplemented!() }
    pub fn data(&self, key: Key) -> Option<T> { unimplemented!() }
    pub fn set_data(&mut self, key: Key, data: T) -> Result<()> { unimplemented!() }
    /// Feeds every started io watcher and wait on `fd` (LV-R25).
    pub fn feed_fd(&mut self, fd: i32, events: Events) { unimplemented!() }
    /// gevent's `closing_fd` (GV-20): feeds everything to whoever watches `fd`; whether there was anybody.
    pub fn closing_fd(&mut self, fd: i32) -> bool { unimplemented!() }
    /// Feeds the watchers of a signal in this loop (LV-R27).
    pub fn feed_signal(&mut self, signum: i32) { unimplemented!() }
    /// A child watcher's (rpid, rstatus).
    pub fn child_status(&self, key: Key) -> Result<(i32, i32)> { unimplemented!() }

    // ---- one-shot waits: counted as active, freed when delivered or cancelled. set_ref, is_active, is_pending, data work on them.
    pub fn wait_timer(&mut self, after_ns: i64, priority: i8, data: T) -> Key { unimplemented!() }
    pub fn wait_io(&mut self, fd: i32, events: Events, data: T) -> Result<Key> { unimplemented!() }
    /// None when it was delivered or cancelled before.
    pub fn cancel(&mut self, key: Key) -> Option<T> { unimplemented!() }

    // ---- sockets
    pub fn adopt(&mut self, fd: i32) -> Result<()> { unimplemented!() }
    /// To be called before the fd is closed; the payloads of the one-shot waits on it (which end here).
    pub fn forget(&mut self, fd: i32) -> Vec<T> { unimplemented!() }
    /// READ/WRITE as remembered; both for an fd that is not adopted.
    pub fn readiness(&self, fd: i32) -> Events { unimplemented!() }
    pub fn mark_unready(&mut self, fd: i32, events: Events) { unimplemented!() }

    // ---- run soon
    pub fn call_soon(&mut self, data: T) -> SoonKey { unimplemented!() }
    /// None when it ran or was cancelled before.
    pub fn cancel_soon(&mut self, key: SoonKey) -> Option<T> { unimplemented!() }
    pub fn is_soon_pending(&self, key: SoonKey) -> bool { unimplemented!() }
    pub fn soon_len(&self) -> usize { unimplemented!() }
    /// True while the run-soon pass is going on (GV-35: timers then update the time before they start).
    pub fn in_soon_pass(&self) -> bool { unimplemented!() }
    pub fn set_switch_interval_ns(&mut self, interval_ns: i64) { unimplemented!() }

    // ---- running
    pub fn enter(&mut self, mode: Mode) { unimplemented!() }
    pub fn next(&mut self) -> Step<T> { unimplemented!() }
    /// What is ready in the present phase of the innermost run; None when that phase is over or no run is on.
    pub fn try_next(&mut self) -> Option<Ready<T>> { unimplemented!() }
    /// As `try_next`, but only if `wanted` says yes to it.
    pub fn try_next_if(&mut self, wanted: impl FnOnce(&Ready<T>) -> bool) -> Option<Ready<T>> { unimplemented!() }
    pub fn absorb(&mut self, woken: Woken) { unimplemented!() }
    /// True if something was added after `Step::Block` was handed out: drop the Wait and call `next` again.
    pub fn is_stale(&self, wait: &Wait) -> bool { unimplemented!() }
    /// Ends the innermost run; libev's return value of ev_run (active count).
    pub fn leave(&mut self) -> i64 { unimplemented!() }
    pub fn break_(&mut self, how: Break) { unimplemented!() }
    pub fn ref_(&mut self) { unimplemented!() }
    pub fn unref(&mut self) { unimplemented!() }
    pub fn active_count(&self) -> i64 { unimplemented!() }
    pub fn pending_count(&self) -> usize { unimplemented!() }
    pub fn iteration(&self) -> u32 { unimplemented!() }
    pub fn depth(&self) -> usize { unimplemented!() }
    /// Two-stage waits, see `Wait::masked`.
    pub fn set_guard_signals(&mut self, on: bool) { unimplemented!() }

    // ---- time: nanoseconds
    /// Cached wall clock, since 1970.
    pub fn now(&self) -> i64 { unimplemented!() }
    /// Cached monotonic clock.
    pub fn monotonic(&self) -> i64 { unimplemented!() }
    pub fn update_now(&mut self) { unimplemented!() }
    pub fn suspend(&mut self) { unimplemented!() }
    pub fn resume(&mut self) { unimplemented!() }

    // ---- the loop itself
    pub fn remote(&self) -> Remote<T> { unimplemented!() }
    pub fn async_sender(&self, key: Key) -> Result<AsyncSender> { unimplemented!() }
    /// After a fork, in the child: kernel objects are made anew in the next run (fork watchers run first).
    pub fn reinit(&mut self) { unimplemented!() }
    /// One of Flags::EPOLL ... (0 for scripted).
    pub fn backend(&self) -> u32 { unimplemented!() }
    pub fn backend_name(&self) -> &'static str { unimplemented!() }
    /// The backend's own fd, where it has one.
    pub fn fileno(&self) -> Option<i32> { unimplemented!() }
    /// The flags it was made with.
    pub fn flags(&self) -> Flags { unimplemented!() }
    pub fn verify(&self) -> std::result::Result<(), String> { unimplemented!() }
}

/// For other threads: Clone + Send + Sync (when T is Send).
pub struct Remote<T>(PhantomData<fn() -> T>);
impl<T> Clone for Remote<T> { fn clone(&self) -> Self { Remote(PhantomData) } }
impl<T: Copy> Remote<T> {
    pub fn call_soon_threadsafe(&self, data: T) { unimplemented!() }
    /// Async-signal-safe.
    pub fn wake(&self) { unimplemented!() }
}

/// libev's ev_async_send; async-signal-safe, from any thread.
#[derive(Clone)]
pub struct AsyncSender(());
impl AsyncSender {
    pub fn send(&self) { unimplemented!() }
    /// ev_async_pending.
    pub fn is_sent(&self) -> bool { unimplemented!() }
}

/// The test's hand on a scripted loop.
#[derive(Clone)]
pub struct Script(());

pub fn supported_backends() -> u32 { unimplemented!() }
pub fn recommended_backends() -> u32 { unimplemented!() }
pub fn embeddable_backends() -> u32 { unimplemented!() }
/// Live wall clock in nanoseconds.
pub fn wall_clock_ns() -> i64 { unimplemented!() }
