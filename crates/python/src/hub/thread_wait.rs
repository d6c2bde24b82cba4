//! How a thread that has no hub waits: asleep in the operating system, with the GIL released.
//!
//! A thread that was started natively and never used anything cooperative has no greenlets to run while it
//! waits, so it gets no hub for it either: making one would cost it an event loop, and a loop with nothing
//! else to wait for would give up. Whoever wakes it holds the GIL, as for every other link.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::threads;

/// A thread asleep until it is woken, once.
#[derive(Default)]
pub(crate) struct ThreadWait {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl ThreadWait {
    /// Something for this thread to sleep on, if it is one that sleeps natively: it has no hub and is not the
    /// main thread. (That one gets a hub: it must see signals, and a wait for nothing is to be noticed.)
    pub(crate) fn of_this_thread(py: Python<'_>) -> Option<Arc<ThreadWait>> {
        (super::current_if_exists(py).is_none() && !threads::is_main(py)).then(Arc::default)
    }

    pub(crate) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Sleeps until it is woken or `timeout_ns` has passed. False: that passed.
    pub(crate) fn sleep(&self, py: Python<'_>, timeout_ns: Option<i64>) -> bool {
        let limit = timeout_ns.map(|limit| Duration::from_nanos(limit.max(0).unsigned_abs()));
        crate::tstate::detached(py, || {
            let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            while !*woken {
                woken = match deadline {
                    None => self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            return false;
                        }
                        self.changed
                            .wait_timeout(woken, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
            }
            true
        })
    }
}
