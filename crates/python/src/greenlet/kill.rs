//! A suspended greenlet that nobody refers to any more: GreenletExit is raised in it, so that its `finally` blocks run and
//! its frames let go of what they hold.

use std::ptr::null_mut;

use pyo3::ffi;

use super::object::{PyGreenlet, state};
use super::python::{self, Pending};
use super::{exit_type, switch, thread};

pub(super) enum Outcome {
    /// Nothing of it is left on a stack, or nothing can be done about it.
    Finished,
    /// Its own thread will do it; that thread holds a reference now.
    Handed,
    /// It switched away instead of ending.
    Survived,
}

/// # Safety
///
/// The GIL is held; the caller holds a reference; the greenlet is active and not a main greenlet.
pub(super) unsafe fn kill(greenlet: *mut PyGreenlet) -> Outcome {
    // SAFETY: the caller's promise; the thread's record is kept by the greenlet.
    unsafe {
        let own = state(greenlet);
        let home = &*own.thread.get();
        if !home.is_alive() || python::is_finalizing() {
            // The frames stay where they are: there is no thread that could run them.
            return Outcome::Finished;
        }
        let pending = Pending::take();
        let outcome = if home.tstate() == ffi::PyThreadState_Get() {
            throw_exit(greenlet);
            if own.is_active() {
                Outcome::Survived
            } else {
                Outcome::Finished
            }
        } else {
            ffi::Py_INCREF(greenlet.cast());
            home.condemn(greenlet);
            Outcome::Handed
        };
        pending.restore();
        outcome
    }
}

unsafe fn throw_exit(greenlet: *mut PyGreenlet) {
    // SAFETY: as in `kill`, and the greenlet is of this thread.
    unsafe {
        let own = state(greenlet);
        let killer = thread::current();
        python::set_error(
            exit_type().cast(),
            c"Killing the greenlet because all references have vanished.",
        );
        // What ran in these two calls (others that are to be killed, the collector) may have ended it, or have it running.
        if killer.is_null() || own.context.get().is_null() {
            ffi::PyErr_Clear();
            return;
        }
        // It ends here and not in its parent.
        ffi::Py_INCREF(killer.cast());
        let parent = own.parent.replace(killer);
        let result = switch::switch(greenlet, null_mut());
        if result.is_null() {
            ffi::PyErr_WriteUnraisable(greenlet.cast());
        } else {
            ffi::Py_DECREF(result);
        }
        // Unless somebody else is killing it meanwhile, having come back to life in the first attempt: then it ends there.
        let unused = if own.parent.get() == killer {
            own.parent.replace(parent)
        } else {
            parent
        };
        ffi::Py_XDECREF(unused.cast());
    }
}

/// Says on stderr that a greenlet would not die.
///
/// # Safety
///
/// The GIL is held.
#[cold]
pub(super) unsafe fn complain(greenlet: *mut PyGreenlet) {
    // SAFETY: the caller holds a reference; the file is borrowed from `sys` and kept meanwhile.
    unsafe {
        let pending = Pending::take();
        let file = ffi::PySys_GetObject(c"stderr".as_ptr());
        if !file.is_null() {
            ffi::Py_INCREF(file);
            ffi::PyFile_WriteString(c"GreenletExit did not kill ".as_ptr(), file);
            ffi::PyFile_WriteObject(greenlet.cast(), file, 0);
            ffi::PyFile_WriteString(c"\n".as_ptr(), file);
            ffi::Py_DECREF(file);
        }
        ffi::PyErr_Clear();
        pending.restore();
    }
}
