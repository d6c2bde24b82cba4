//! What other threads and signal handlers may do to a loop: wake it, send an async, queue something to run soon.
//!
//! A wake-up costs a system call only while the loop is blocked (LV-R36, LV-A3):
//!
//! ```text
//!   loop                                            sender
//!   state |= BLOCKING; was it PENDING? do not block   what is sent is stored first
//!   ... blocked ...                                  old = state |= PENDING
//!   old = state := 0; PENDING? look what was sent    old was BLOCKING and not PENDING? write the eventfd
//! ```
//!
//! Each side publishes before it looks, with one read-modify-write on the same byte, so they cannot miss each other.
//! Of several senders only the first writes. The eventfd is edge-triggered where the backend can do that and then
//! never read: each write is an edge.
//!
//! The queue is a mutex, which no signal handler may take: `call_soon_threadsafe` is for threads, `wake` and
//! `AsyncSender::send` are for both. A fork may catch the mutex locked by a thread that the child does not have;
//! the child then leaves it behind and opens another lane.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;
use crate::backend::Waker;

const PENDING: u8 = 1;
const BLOCKING: u8 = 2;

/// The part that needs no payload type: shared with signal handlers and async senders.
pub(crate) struct Wakeup {
    state: AtomicU8,
    /// Some async watcher was sent.
    asyncs: AtomicBool,
    /// One bit per signal number that arrived (bit 0 is signal 1).
    signals: AtomicU64,
    pub(crate) waker: Waker,
}

impl Wakeup {
    pub(crate) fn new(waker: Waker) -> Wakeup {
        Wakeup {
            state: AtomicU8::new(0),
            asyncs: AtomicBool::new(false),
            signals: AtomicU64::new(0),
            waker,
        }
    }

    /// Makes the loop look. Async-signal-safe.
    pub(crate) fn wake(&self) {
        let old = self.state.fetch_or(PENDING, Ordering::SeqCst);
        if old & (PENDING | BLOCKING) == BLOCKING {
            self.waker.wake();
        }
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
        self.state.fetch_or(BLOCKING, Ordering::SeqCst) & PENDING == 0
    }

    /// The loop does not block (any more): whether something was sent.
    pub(crate) fn take(&self) -> bool {
        self.state.load(Ordering::SeqCst) != 0 && self.state.swap(0, Ordering::SeqCst) & PENDING != 0
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
            self.wakeup.asyncs.store(true, Ordering::SeqCst);
            self.wakeup.wake();
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
