//! What other threads and signal handlers may do to a loop: wake it, send an async, queue something to run soon.
//!
//! A wake-up costs a system call only while the loop is blocked (LV-R36, LV-A3):
//!
//! ```text
//!   loop                                            sender
//!   state: AWAKE -> BLOCKING; failed? do not block    what is sent is stored first
//!   ... blocked ...                                  old = state := PENDING
//!   old = state := AWAKE; PENDING? look what was sent    old was BLOCKING? write the eventfd
//! ```
//!
//! Each side publishes before it looks, with one read-modify-write on the same byte, so they cannot miss each other; and
//! because each takes over what the one before it published, what is sent needs no order of its own.
//! Of several senders only the first writes. The eventfd is edge-triggered where the backend can do that and then
//! never read: each write is an edge.
//!
//! The queue is a mutex, which no signal handler may take: `call_soon_threadsafe` is for threads, `wake` and
//! `AsyncSender::send` are for both. A fork may catch the mutex locked by a thread that the child does not have;
//! the child then leaves it behind and opens another lane.

#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicBool as WakeupBool, AtomicU8, AtomicU64};
#[cfg(not(all(loom, test)))]
use std::sync::atomic::{AtomicBool as WakeupBool, AtomicU8, AtomicU64};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;
use crate::backend::Waker;

/// The states.
const AWAKE: u8 = 0;
const PENDING: u8 = 1;
const BLOCKING: u8 = 2;

/// What makes a blocked backend return.
pub(crate) trait Wake {
    /// Async-signal-safe.
    fn wake(&self);
}

impl Wake for Waker {
    fn wake(&self) {
        Waker::wake(self);
    }
}

/// The part that needs no payload type: shared with signal handlers and async senders.
pub(crate) struct Wakeup<W = Waker> {
    state: AtomicU8,
    /// Some async watcher was sent.
    asyncs: WakeupBool,
    /// One bit per signal number that arrived (bit 0 is signal 1).
    signals: AtomicU64,
    pub(crate) waker: W,
}

impl<W: Wake> Wakeup<W> {
    pub(crate) fn new(waker: W) -> Wakeup<W> {
        Wakeup {
            state: AtomicU8::new(AWAKE),
            asyncs: WakeupBool::new(false),
            signals: AtomicU64::new(0),
            waker,
        }
    }

    /// Makes the loop look. Async-signal-safe.
    pub(crate) fn wake(&self) {
        if self.state.swap(PENDING, Ordering::SeqCst) == BLOCKING {
            self.waker.wake();
        }
    }

    /// Some async watcher was sent. Async-signal-safe.
    fn send_async(&self) {
        self.asyncs.store(true, Ordering::Release);
        self.wake();
    }

    /// A signal arrived. Async-signal-safe.
    pub(crate) fn signal(&self, signum: i32) {
        if (1..=64).contains(&signum) {
            self.signals.fetch_or(1 << (signum - 1), Ordering::SeqCst);
            self.wake();
        }
    }

    /// The loop is about to block: false when it must not, because something was sent.
    pub(crate) fn may_block(&self) -> bool {
        let outcome = self
            .state
            .compare_exchange(AWAKE, BLOCKING, Ordering::SeqCst, Ordering::SeqCst);
        // Blocking already: a wait that was dropped, and another one instead.
        outcome != Err(PENDING)
    }

    /// The loop does not block (any more): whether something was sent.
    pub(crate) fn take(&self) -> bool {
        self.state.load(Ordering::SeqCst) != AWAKE && self.state.swap(AWAKE, Ordering::SeqCst) == PENDING
    }

    pub(crate) fn take_signals(&self) -> u64 {
        if self.signals.load(Ordering::SeqCst) == 0 {
            0
        } else {
            self.signals.swap(0, Ordering::SeqCst)
        }
    }

    pub(crate) fn take_asyncs(&self) -> bool {
        self.asyncs.load(Ordering::SeqCst) && self.asyncs.swap(false, Ordering::SeqCst)
    }
}

/// The part with the payload.
pub(crate) struct Shared<T> {
    pub(crate) wakeup: Arc<Wakeup>,
    /// Whether the lanes hold anything.
    queued: AtomicBool,
    lane: Lane<T>,
}

struct Lane<T> {
    queue: Mutex<Vec<T>>,
    next: OnceLock<Box<Lane<T>>>,
}

impl<T> Lane<T> {
    fn new() -> Lane<T> {
        Lane {
            queue: Mutex::new(Vec::new()),
            next: OnceLock::new(),
        }
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(wakeup: Arc<Wakeup>) -> Shared<T> {
        Shared {
            wakeup,
            queued: AtomicBool::new(false),
            lane: Lane::new(),
        }
    }

    /// Whether `take_queued` would bring something.
    pub(crate) fn has_queued(&self) -> bool {
        self.queued.load(Ordering::SeqCst)
    }

    /// Hands over what was queued, in order; `spare` is left behind as the next queue.
    pub(crate) fn take_queued(&self, spare: &mut Vec<T>) {
        self.queued.store(false, Ordering::SeqCst);
        let mut queue = self.last_lane().queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, spare);
    }

    /// In a forked child: leaves a mutex behind that nobody will ever unlock.
    pub(crate) fn after_fork(&self) {
        let lane = self.last_lane();
        if matches!(lane.queue.try_lock(), Err(std::sync::TryLockError::WouldBlock)) {
            let _ = lane.next.set(Box::new(Lane::new()));
        }
    }

    fn last_lane(&self) -> &Lane<T> {
        let mut lane = &self.lane;
        while let Some(next) = lane.next.get() {
            lane = next;
        }
        lane
    }
}

/// A handle on a loop for other threads. `Send` and `Sync` when the payload is `Send`.
pub struct Remote<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Remote<T> {
    fn clone(&self) -> Remote<T> {
        Remote {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Remote<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Remote<T> {
        Remote { shared }
    }

    /// Queues `data` to run soon and wakes the loop (GV-36). Keeps the loop alive until it ran. Not for signal handlers.
    pub fn call_soon_threadsafe(&self, data: T) {
        self.shared
            .last_lane()
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(data);
        self.shared.queued.store(true, Ordering::SeqCst);
        self.shared.wakeup.wake();
    }

    /// Whether something is queued that the loop has not taken.
    pub fn has_queued(&self) -> bool {
        self.shared.has_queued()
    }

    /// Makes a blocked loop go round once. Async-signal-safe.
    pub fn wake(&self) {
        self.shared.wakeup.wake();
    }

    /// Tells the loop that a signal arrived (LV-R26): its watchers of this signal become due. Async-signal-safe.
    pub fn feed_signal(&self, signum: i32) {
        self.shared.wakeup.signal(signum);
    }
}

/// The sending end of an async watcher (LV-A1). Async-signal-safe.
#[derive(Clone)]
pub struct AsyncSender {
    wakeup: Arc<Wakeup>,
    sent: Arc<AtomicBool>,
}

impl AsyncSender {
    pub(crate) fn new(wakeup: Arc<Wakeup>, sent: Arc<AtomicBool>) -> AsyncSender {
        AsyncSender { wakeup, sent }
    }

    /// Makes the watcher due. Several sends before the loop looks are one event.
    pub fn send(&self) {
        if !self.sent.swap(true, Ordering::SeqCst) {
            self.wakeup.send_async();
        }
    }

    /// Whether it was sent and the loop has not looked yet (LV-A2).
    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }
}

/// The system's objects behind a wake-up.
pub(crate) fn make_wakeup() -> Result<Arc<Wakeup>> {
    Ok(Arc::new(Wakeup::new(Waker::new()?)))
}

#[cfg(all(loom, test))]
mod tests {
    use loom::sync::{Arc, Notify};

    use super::*;

    /// Stands for the eventfd and the backend that sleeps on it.
    struct Bell(Notify);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.notify();
        }
    }

    /// LV-R36, LV-A1: two senders, and a loop that blocks whenever it thinks it may. A lost wake-up would be a deadlock,
    /// which loom finds; a lost event is found here.
    #[test]
    fn every_interleaving_wakes_the_loop() {
        loom::model(|| {
            let wakeup = Arc::new(Wakeup::new(Bell(Notify::new())));
            let sender = |act: fn(&Wakeup<Bell>)| {
                let wakeup = wakeup.clone();
                loom::thread::spawn(move || act(&wakeup))
            };
            let threads = [sender(|wakeup| wakeup.send_async()), sender(|wakeup| wakeup.signal(10))];
            let (mut asyncs, mut signals) = (false, 0);
            while !asyncs || signals == 0 {
                if wakeup.may_block() {
                    wakeup.waker.0.wait();
                }
                if wakeup.take() {
                    signals |= wakeup.take_signals();
                    asyncs |= wakeup.take_asyncs();
                }
            }
            assert_eq!(signals, 1 << 9);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    /// The check can fail: a loop that sleeps without saying so first is found out.
    #[test]
    #[should_panic(expected = "deadlock")]
    fn every_interleaving_finds_a_lost_wake_up() {
        loom::model(|| {
            let wakeup = Arc::new(Wakeup::new(Bell(Notify::new())));
            let other = wakeup.clone();
            let thread = loom::thread::spawn(move || other.signal(10));
            if !wakeup.take() {
                wakeup.waker.0.wait();
            }
            thread.join().unwrap();
        });
    }
}
