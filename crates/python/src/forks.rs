//! How often this process has been forked off: whoever keeps something that is of one process only (threads, entries of
//! another thread's loop) notes the number and compares. Unlike `getpid` it costs no system call.

use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Has forks counted from now on.
pub(crate) fn watch() {
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static WATCHING: std::sync::Once = std::sync::Once::new();
    // SAFETY: the function is for ever, and does nothing that a forked child may not.
    WATCHING.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(forked));
    });
}

/// The number of this process in the line of forks.
#[inline]
pub(crate) fn generation() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
