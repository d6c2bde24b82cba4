//! What the loop and the raw greenlet call for a Greenlet: its body, its start, its links, its end by `kill`.

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use super::GreenletObject;
use crate::greenlet::PyGreenlet;
use crate::hub::token::{Outcome, Place};
use crate::hub::{object, park};

/// What the raw greenlet calls on its own stack in place of the attribute `run`.
pub(super) unsafe extern "C-unwind" fn run_native(
    object: *mut PyGreenlet,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held; the greenlet is running, hence alive, and of this class; the
    // arguments of the first switch are owned by this function, which does not use them.
    unsafe {
        ffi::Py_XDECREF(arguments);
        let py = Python::assume_attached();
        object::release_deferred(py);
        let slf = Bound::from_borrowed_ptr(py, object.cast()).cast_into_unchecked::<GreenletObject>();
        let reported = GreenletObject::execute(&slf);
        drop(slf);
        if let Err(error) = reported {
            // It goes to the parent, the hub, as any other greenlet's.
            error.restore(py);
            return std::ptr::null_mut();
        }
        if object::hand_over(py, object) {
            return park::woken();
        }
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// The same for a subclass that has a `run` of its own.
pub(super) unsafe extern "C-unwind" fn run_override(
    object: *mut PyGreenlet,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `run_native`.
    unsafe {
        object::release_deferred(Python::assume_attached());
        object::call_run(object, arguments)
    }
}

/// The entry that starts a greenlet.
pub(super) unsafe fn start_now(object: NonNull<ffi::PyObject>, _place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only greenlets of this class are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<GreenletObject>() };
    if GreenletObject::started_running(&slf) || GreenletObject::is_dead(&slf) {
        return Outcome::Done;
    }
    Outcome::Wake {
        greenlet: NonNull::new(slf.into_ptr().cast()).expect("a Bound is never null"),
        again: false,
    }
}

/// The entry that tells the links.
pub(super) unsafe fn tell_links(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: as in `start_now`.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as in `start_now`; the reference is given back below unless the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<GreenletObject>() };
    let outcome = match slf.get().home(py) {
        Ok(home) => slf.get().links.tell_all(home, slf.as_any(), place),
        Err(_) => Outcome::Done,
    };
    if matches!(outcome, Outcome::NeedsHub | Outcome::Wake { again: true, .. }) {
        std::mem::forget(slf);
    }
    outcome
}

/// A kill that is on its way to the hub.
#[pyclass(module = "verdigris._core", frozen)]
pub(super) struct KillRequest {
    pub(super) target: Py<GreenletObject>,
    pub(super) exception: Py<PyAny>,
    pub(super) requester: UnsafeCell<Option<park::Ticket>>,
}

// SAFETY: touched with the GIL held only.
unsafe impl Sync for KillRequest {}

/// The entry that carries a kill out, in the hub.
pub(super) unsafe fn kill_now(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    if place == Place::Passing {
        return Outcome::NeedsHub;
    }
    // SAFETY: entries run with the GIL held, on an object that `kill` made.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference.
    let request = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<KillRequest>() };
    let this = request.get();
    let target = this.target.bind(py);
    if let Err(error) = target.call_method1("throw", (&this.exception,))
        && let Ok(home) = target.get().home(py)
    {
        home.handle_error(py, Some(target.as_any()), error);
    }
    // SAFETY: one step.
    let requester = unsafe { (*this.requester.get()).take() };
    if let Some(ticket) = requester {
        if ticket.is_home() {
            if let Some(greenlet) = ticket.claim(py) {
                return Outcome::Wake { greenlet, again: false };
            }
        } else if let Err(error) = ticket.wake(py) {
            error.write_unraisable(py, None);
        }
    }
    Outcome::Done
}
