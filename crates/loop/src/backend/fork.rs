//! Noticing a fork without a system call per iteration: the C library calls us in the child.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);
static REGISTERED: Once = Once::new();

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How often this process came out of a fork since the first call.
pub(crate) fn generation() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Starts counting.
pub(crate) fn watch() {
    REGISTERED.call_once(|| {
        // SAFETY: `in_child` is a function of this crate that lives as long as the process and only increments an
        // atomic, which is allowed in the child of a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}
