//! The kernel's error numbers as Python exceptions.
//!
//! PyO3 turns a `std::io::Error` into an `OSError` without `errno`; programs look at `errno`, so
//! these are made by CPython's own function, which also picks the subclass.

use std::ffi::c_int;

use pyo3::exceptions::{PyOSError, PyTimeoutError};
use pyo3::ffi;
use pyo3::prelude::*;

/// What the last system call of this thread complained about.
pub(super) fn last_errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// `OSError(errno, strerror(errno))`, of the subclass that Python has for it.
pub(super) fn os_error(py: Python<'_>, errno: c_int) -> PyErr {
    // SAFETY: the GIL is held; errno is thread-local and read by the next call only, which sets
    // an exception and returns NULL.
    unsafe {
        *libc::__errno_location() = errno;
        ffi::PyErr_SetFromErrno(<PyOSError as pyo3::PyTypeInfo>::type_object_raw(py).cast());
    }
    PyErr::fetch(py)
}

pub(super) fn bad_descriptor(py: Python<'_>) -> PyErr {
    os_error(py, libc::EBADF)
}

pub(super) fn timed_out() -> PyErr {
    PyTimeoutError::new_err("timed out")
}
