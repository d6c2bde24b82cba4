//! Interned strings that are looked up often, made once when the module is loaded.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

static RUN: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());

/// The string "run", borrowed.
pub(super) fn run() -> *mut ffi::PyObject {
    RUN.load(Ordering::Relaxed)
}

/// # Safety
///
/// The GIL is held.
pub(super) unsafe fn make() -> bool {
    // SAFETY: makes a string, which lives for ever.
    let run = unsafe { ffi::PyUnicode_InternFromString(c"run".as_ptr()) };
    RUN.store(run, Ordering::Relaxed);
    !run.is_null()
}
