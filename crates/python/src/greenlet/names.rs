//! Objects that are wanted often, made once when the module is loaded.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

static RUN: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());
static EMPTY: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());

/// The string "run", borrowed.
pub(super) fn run() -> *mut ffi::PyObject {
    RUN.load(Ordering::Relaxed)
}

/// The tuple `()`, borrowed.
#[inline(always)]
pub(super) fn empty() -> *mut ffi::PyObject {
    EMPTY.load(Ordering::Relaxed)
}

/// # Safety
///
/// The GIL is held.
pub(super) unsafe fn make() -> bool {
    // SAFETY: makes a string and a tuple, which live for ever.
    let (run, empty) = unsafe { (ffi::PyUnicode_InternFromString(c"run".as_ptr()), ffi::PyTuple_New(0)) };
    RUN.store(run, Ordering::Relaxed);
    EMPTY.store(empty, Ordering::Relaxed);
    !run.is_null() && !empty.is_null()
}
