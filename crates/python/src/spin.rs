//! Waiting a moment before sleeping: for what another thread is about to do.
//!
//! To put a thread to sleep and to wake it costs tens of microseconds, more than a short call in a thread pool. So both sides of
//! such a call look round for a while first. Where that is in vain (a long call, more threads than processors) it is given up,
//! and tried again ever more rarely, until it helps.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long to look.
const PATIENCE: Duration = Duration::from_micros(30);
/// At most so many times it is not tried after it was in vain.
const MOST_SKIPPED: u32 = 1024;

/// One place where somebody waits a moment; one thread at a time does.
#[derive(Default)]
pub(crate) struct Spin {
    taken: AtomicBool,
    /// How many times are still to be skipped, and how many were the last time.
    left: AtomicU32,
    skipped: AtomicU32,
}

impl Spin {
    /// Looks for a moment whether `over` is true. Whether it was.
    pub(crate) fn until(&self, over: impl Fn() -> bool) -> bool {
        if over() {
            return true;
        }
        if !several_processors() || self.is_skipped() || self.taken.swap(true, Ordering::Acquire) {
            return false;
        }
        let helped = look(over);
        let skipped = if helped {
            0
        } else {
            (self.skipped.load(Ordering::Relaxed) * 2 + 1).min(MOST_SKIPPED)
        };
        self.skipped.store(skipped, Ordering::Relaxed);
        self.left.store(skipped, Ordering::Relaxed);
        self.taken.store(false, Ordering::Release);
        helped
    }

    fn is_skipped(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }
}

fn look(over: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    loop {
        for _ in 0..32 {
            if over() {
                return true;
            }
            std::hint::spin_loop();
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
    }
}

fn several_processors() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
}
