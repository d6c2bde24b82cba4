//! A descriptor's end: closing it, and what is said of one that nobody closed.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::ffi;
use pyo3::prelude::*;

use super::errors::{self, os_error};

/// A descriptor that is closed unless somebody takes it over.
pub(super) struct Owned(pub(super) RawFd);

impl Owned {
    pub(super) fn release(self) -> RawFd {
        let descriptor = self.0;
        std::mem::forget(self);
        descriptor
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody else knows the descriptor.
        unsafe { libc::close(self.0) };
    }
}

pub(super) fn close(py: Python<'_>, descriptor: RawFd) -> PyResult<()> {
    // SAFETY: the descriptor was owned by the caller, who has forgotten it.
    let result = unsafe { libc::close(descriptor) };
    // After EINTR and ECONNRESET the descriptor is gone all the same.
    match if result == 0 { 0 } else { errors::last_errno() } {
        0 | libc::EINTR | libc::ECONNRESET => Ok(()),
        errno => Err(os_error(py, errno)),
    }
}

/// `ResourceWarning`, as the standard socket gives it. Called while the object dies: an exception
/// that is on its way is kept, one that the warning raises is printed.
pub(super) fn warn_unclosed(_py: Python<'_>, descriptor: RawFd, (family, kind, protocol): (c_int, c_int, c_int)) {
    let text = format!("unclosed <socket fd={descriptor}, family={family}, type={kind}, proto={protocol}>\0");
    // SAFETY: the GIL is held; the text ends with a zero byte; fetch and restore are a pair.
    unsafe {
        let (mut kind, mut value, mut traceback) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        ffi::PyErr_Fetch(&mut kind, &mut value, &mut traceback);
        if ffi::PyErr_WarnEx(ffi::PyExc_ResourceWarning, text.as_ptr().cast(), 1) != 0 {
            ffi::PyErr_WriteUnraisable(std::ptr::null_mut());
        }
        ffi::PyErr_Restore(kind, value, traceback);
    }
}
