//! The trace function of a thread, which is told of every switch after it has happened, in the greenlet that was switched to.

use std::ffi::CStr;
use std::ptr::null_mut;

use pyo3::ffi;

use super::object::PyGreenlet;
use super::python::Pending;
use super::thread::{self, Thread};

/// Tells the trace function of a switch from `origin` to the current greenlet that carries `value` (NULL: an exception). Returns the
/// value, or NULL if the trace function raised: it is then removed, and its exception takes the value's place.
///
/// # Safety
///
/// The GIL is held; `value` is owned; `origin` is kept alive.
pub(super) unsafe fn announce(
    thread: &Thread,
    origin: *mut PyGreenlet,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let tracer = thread.tracer.get();
    if tracer.is_null() {
        return value;
    }
    // SAFETY: the tracer is kept while it runs: it may be replaced by itself.
    unsafe {
        ffi::Py_INCREF(tracer);
        let pending = Pending::take();
        let event = if value.is_null() { c"throw" } else { c"switch" };
        let told = call(tracer, event, origin, thread.current.get());
        if told {
            pending.restore();
        } else {
            pending.forget();
            let failure = Pending::take();
            let own = thread.tracer.replace(null_mut());
            thread.update_attention();
            ffi::Py_XDECREF(own);
            ffi::Py_XDECREF(value);
            failure.restore();
        }
        let outcome = Pending::take();
        ffi::Py_DECREF(tracer);
        outcome.restore();
        if told { value } else { null_mut() }
    }
}

unsafe fn call(tracer: *mut ffi::PyObject, event: &CStr, origin: *mut PyGreenlet, target: *mut PyGreenlet) -> bool {
    // SAFETY: all arguments are kept by the caller. `sys.settrace` and `sys.setprofile` do not see the call, as they do not
    // see each other's.
    unsafe {
        let tstate = ffi::PyThreadState_Get();
        PyThreadState_EnterTracing(tstate);
        let result = ffi::PyObject_CallFunction(tracer, c"s(OO)".as_ptr(), event.as_ptr(), origin, target);
        PyThreadState_LeaveTracing(tstate);
        if result.is_null() {
            return false;
        }
        ffi::Py_DECREF(result);
        true
    }
}

unsafe extern "C" {
    fn PyThreadState_EnterTracing(tstate: *mut ffi::PyThreadState);
    fn PyThreadState_LeaveTracing(tstate: *mut ffi::PyThreadState);
}

/// `settrace(callback)`: sets it (None: removes) and returns the one before.
pub(super) unsafe extern "C-unwind" fn settrace(
    _module: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by Python with a tuple.
    unsafe {
        let mut tracer = null_mut();
        if ffi::PyArg_ParseTuple(arguments, c"O".as_ptr(), &raw mut tracer) == 0 {
            return null_mut();
        }
        let thread = thread::present();
        if thread.is_null() {
            return null_mut();
        }
        let tracer = if tracer == ffi::Py_None() { null_mut() } else { tracer };
        ffi::Py_XINCREF(tracer);
        let old = (*thread).tracer.replace(tracer);
        (*thread).update_attention();
        if old.is_null() { none() } else { old }
    }
}

/// `gettrace()`.
pub(super) unsafe extern "C-unwind" fn gettrace(
    _module: *mut ffi::PyObject,
    _arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by Python.
    unsafe {
        let thread = thread::present();
        if thread.is_null() {
            return null_mut();
        }
        let tracer = (*thread).tracer.get();
        if tracer.is_null() {
            return none();
        }
        ffi::Py_INCREF(tracer);
        tracer
    }
}

unsafe fn none() -> *mut ffi::PyObject {
    // SAFETY: None is always there.
    unsafe {
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}
