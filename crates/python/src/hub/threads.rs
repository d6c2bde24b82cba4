//! Who a thread is, without importing `threading` (which must not be in before it is patched).

use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// The identifier of the thread that imported the package, which is taken for the main one.
static MAIN: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn PyThread_get_thread_ident() -> std::ffi::c_ulong;
}

pub(crate) fn here() -> u64 {
    // SAFETY: asks the system; no argument, no condition.
    unsafe { PyThread_get_thread_ident() }
}

/// The identifier of the calling native thread, as `threading.get_ident()` gives it unpatched.
#[pyfunction]
pub(super) fn thread_ident() -> u64 {
    here()
}

/// The identifier of the main thread.
#[pyfunction]
pub(super) fn main_thread_ident(py: Python<'_>) -> u64 {
    let known = MAIN.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // Where `threading` is in already, it knows better than who asks first.
    let from_threading = py
        .import("sys")
        .and_then(|sys| sys.getattr("modules"))
        .and_then(|modules| modules.get_item("threading"))
        .and_then(|threading| threading.call_method0("main_thread"))
        .and_then(|thread| thread.getattr("ident"))
        .and_then(|ident| ident.extract::<u64>());
    let ident = from_threading.unwrap_or_else(|_| here());
    MAIN.store(ident, Ordering::Relaxed);
    ident
}

/// Whether the calling thread is the main one.
pub(crate) fn is_main(py: Python<'_>) -> bool {
    main_thread_ident(py) == here()
}
