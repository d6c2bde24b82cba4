//! Calls into Python that the end of the interpreter cannot unwind (see `thread_end.c`): where a thread other than the main
//! one may be when it is ended. That is in what greenlets run, in callbacks, and in the loop's wait for the system.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

unsafe extern "C" {
    fn verdigris_enter(tstate: *mut ffi::PyThreadState);
    fn verdigris_call(
        callable: *mut ffi::PyObject,
        arguments: *mut ffi::PyObject,
        keywords: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
    fn verdigris_drop(object: *mut ffi::PyObject);
    fn verdigris_is_observed() -> c_int;
}

/// callable(*arguments, **keywords)
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let keywords = keywords.map_or(std::ptr::null_mut(), |keywords| keywords.as_ptr());
    // SAFETY: live objects of the right types, with the GIL held; the result is owned, or NULL with an exception set.
    unsafe {
        let result = verdigris_call(callable.as_ptr(), arguments.as_ptr(), keywords);
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// Gives a reference up, which may call Python code.
pub(crate) fn release<T>(_py: Python<'_>, object: Py<T>) {
    // SAFETY: the reference is ours, and the GIL is held.
    unsafe { verdigris_drop(object.into_ptr()) }
}

/// Runs something without the GIL, which is taken again however that ends.
pub(crate) fn detached<T>(_py: Python<'_>, run: impl FnOnce() -> T) -> T {
    struct Left(*mut ffi::PyThreadState);
    impl Drop for Left {
        fn drop(&mut self) {
            // SAFETY: the thread state that has given the GIL up below, in this thread.
            unsafe { verdigris_enter(self.0) }
        }
    }
    // SAFETY: the GIL is held, and is taken again before anything else is done. `run` has no Python objects to touch.
    let _left = Left(unsafe { ffi::PyEval_SaveThread() });
    run()
}

/// Whether this thread has a profile or a trace function.
pub(crate) fn is_observed(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held.
    unsafe { verdigris_is_observed() != 0 }
}
