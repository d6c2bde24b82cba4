//! `sys.getswitchinterval()`: how long a pass of callbacks may take before the loop looks at I/O again (GV-32).
//!
//! The function is CPython's own, kept since the first loop was made: a compiled one that runs no Python code, so that it
//! may be called in the middle of the loop.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

static GET_SWITCH_INTERVAL: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());

/// CPython's default, and the answer when it cannot be asked.
const DEFAULT_NS: i64 = 5_000_000;

/// Finds the function; somebody's Python function under its name is left alone.
pub(super) fn find(py: Python<'_>) -> PyResult<()> {
    if GET_SWITCH_INTERVAL.load(Ordering::Relaxed).is_null() {
        let function = py.import("sys")?.getattr("getswitchinterval")?;
        if function.is_exact_instance_of::<PyCFunction>() {
            // Another thread may have been faster: its object is the same, and one reference is kept too many.
            GET_SWITCH_INTERVAL.store(function.into_ptr(), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The interval in nanoseconds. For the thread of a loop, which has the GIL.
pub(super) fn nanoseconds() -> i64 {
    let function = GET_SWITCH_INTERVAL.load(Ordering::Relaxed);
    // SAFETY: the loop is pulled with the GIL held. The function lives for ever and takes no arguments; it is not called
    // while an exception is set, and the one reference to its result is given back.
    let seconds = unsafe {
        if function.is_null() || !ffi::PyErr_Occurred().is_null() {
            return DEFAULT_NS;
        }
        let result = ffi::PyObject_CallNoArgs(function);
        if result.is_null() {
            ffi::PyErr_Clear();
            return DEFAULT_NS;
        }
        let seconds = ffi::PyFloat_AsDouble(result);
        ffi::Py_DECREF(result);
        seconds
    };
    (seconds * 1e9) as i64
}
