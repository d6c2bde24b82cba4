//! Python memory, borrowed for the length of a call.

use std::ffi::c_int;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A contiguous block of bytes that belongs to a Python object. The object can neither resize nor
/// free it before this is dropped, also while the greenlet that holds it waits.
pub(super) enum Bytes<'py> {
    /// What is sent most: immutable, so a reference is all it takes.
    Exact(Bound<'py, PyBytes>),
    /// Anything with the buffer protocol. Boxed, because exporters may remember where the structure is.
    View(Box<ffi::Py_buffer>),
}

impl<'py> Bytes<'py> {
    /// Borrows to read; CPython's own TypeError for what is not bytes-like.
    pub(super) fn readable(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        match object.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Bytes::Exact(bytes.clone())),
            Err(_) => Self::borrow(object, ffi::PyBUF_SIMPLE),
        }
    }

    /// Borrows to write; `function` names the caller in the TypeError.
    pub(super) fn writable(object: &Bound<'py, PyAny>, function: &str) -> PyResult<Self> {
        Self::borrow(object, ffi::PyBUF_WRITABLE).map_err(|_| {
            let kind = object
                .get_type()
                .name()
                .map(|name| name.to_string())
                .unwrap_or_default();
            PyTypeError::new_err(format!(
                "{function}() argument 1 must be read-write bytes-like object, not {kind}"
            ))
        })
    }

    fn borrow(object: &Bound<'py, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the view is valid for writes; it becomes a Bytes, which releases it, only if this succeeds.
        match unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, flags) } {
            0 => Ok(Bytes::View(view)),
            _ => Err(PyErr::fetch(object.py())),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Bytes::Exact(bytes) => bytes.as_bytes().len(),
            Bytes::View(view) => view.len as usize,
        }
    }

    /// Where the bytes are. Only those borrowed to write may be written to.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        match self {
            Bytes::Exact(bytes) => bytes.as_bytes().as_ptr().cast_mut(),
            Bytes::View(view) => view.buf.cast(),
        }
    }
}

impl Drop for Bytes<'_> {
    fn drop(&mut self) {
        if let Bytes::View(view) = self {
            // SAFETY: the view was filled by PyObject_GetBuffer and is released once; the lifetime
            // 'py of a Bytes says that the GIL is held.
            unsafe { ffi::PyBuffer_Release(&mut **view) }
        }
    }
}
