//! What the hub layer needs of a greenlet beyond switching: its own slot, the first parent, who is current.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::object::{PyGreenlet, state};
use super::thread;
use crate::hub::GreenletSlot;

/// The hub's slot in a greenlet.
///
/// # Safety
///
/// `greenlet` is a greenlet and is kept alive while the result is used.
#[inline]
pub(crate) unsafe fn slot<'a>(greenlet: *mut PyGreenlet) -> &'a GreenletSlot {
    // SAFETY: the caller's promise.
    unsafe { &state(greenlet).slot }
}

/// The running greenlet. An error when there can be none any more (the interpreter is being finalized).
#[inline]
pub(crate) fn current_bound(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held; the running greenlet is alive.
    unsafe {
        let current = thread::current();
        if current.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(Bound::from_borrowed_ptr(py, current.cast()))
    }
}

/// The main greenlet of the running thread.
pub(crate) fn main_bound(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held; the main greenlet lives as long as the thread does.
    unsafe {
        let record = thread::present();
        if record.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(Bound::from_borrowed_ptr(py, (*record).main.get().cast()))
    }
}

/// Whether the running thread has a trace function for switches.
#[inline]
pub(crate) fn is_traced() -> bool {
    let record = thread::present_if_any();
    // SAFETY: a record that is returned exists.
    !record.is_null() && unsafe { !(*record).tracer.get().is_null() }
}

/// Gives a greenlet that has not started the parent it is made with, without the checks of the attribute.
///
/// # Safety
///
/// Both are live greenlets, `greenlet` was not started, and `parent` does not descend from it.
pub(crate) unsafe fn set_initial_parent(greenlet: *mut PyGreenlet, parent: *mut PyGreenlet) {
    // SAFETY: the caller's promise; the cell holds the new one before the old one is dropped.
    unsafe {
        ffi::Py_INCREF(parent.cast());
        let old = state(greenlet).parent.replace(parent);
        ffi::Py_XDECREF(old.cast());
    }
}

/// Has the running greenlet hand over to `successor` in place of its parent, with what its native `run` returns: to be called
/// as the last thing in that.
///
/// # Safety
///
/// `successor` is another greenlet of this thread that is not dead, and is kept alive until somebody has landed.
#[inline]
pub(crate) unsafe fn set_successor(successor: *mut PyGreenlet) {
    // SAFETY: a greenlet runs, so its thread has a record.
    unsafe { (*thread::present_if_any()).successor.set(successor) }
}

/// Whether the object's attributes can only be its class's: nobody has given it one, and the class looks them up in the usual way.
///
/// # Safety
///
/// `greenlet` is a greenlet that is alive.
pub(crate) unsafe fn has_no_attributes(greenlet: *mut PyGreenlet) -> bool {
    // SAFETY: the caller's promise; the greenlet type lives for ever.
    unsafe {
        let usual = (*super::greenlet_type())
            .tp_getattro
            .map(|look_up| look_up as *const ());
        let own = (*ffi::Py_TYPE(greenlet.cast()))
            .tp_getattro
            .map(|look_up| look_up as *const ());
        (*greenlet).dict.is_null() && own == usual
    }
}

/// `GreenletExit`.
pub(crate) fn exit_class(py: Python<'_>) -> Bound<'_, PyType> {
    // SAFETY: the class lives for ever.
    unsafe { Bound::from_borrowed_ptr(py, super::exit_type().cast()).cast_into_unchecked() }
}
