//! Tokens: what the hub gives the loop to keep, and gets back when something is due.
//!
//! The loop knows nothing of Python; its payload is one of these, 24 bytes, copied. A greenlet that
//! sleeps, waits for a socket or for a lock is a `Wake` and no Python object is made for it.
//!
//! A token inside the loop owns one reference to its object. Whoever takes a token out of the
//! loop (delivery, cancellation, destruction) takes that reference over.

use std::ptr::NonNull;

use pyo3::ffi;

use crate::greenlet::PyGreenlet;

/// One entry's meaning.
#[derive(Clone, Copy)]
pub(crate) enum Token {
    /// Resume a parked greenlet, if it still is in the wait of this number.
    Wake { greenlet: NonNull<PyGreenlet>, wait: u32 },
    /// Call a Python callback (`loop.run_callback`).
    Callback(NonNull<ffi::PyObject>),
    /// Call a watcher object's callback.
    Watcher(NonNull<ffi::PyObject>),
    /// Run a function of ours on an object: start a greenlet, tell the links of an event.
    Native {
        run: NativeEntry,
        object: NonNull<ffi::PyObject>,
    },
}

// SAFETY: a token only names objects; they are touched on the loop's thread alone, with the GIL
// held. The sender of a cross-thread entry takes the reference with the GIL held.
unsafe impl Send for Token {}

/// Where a native entry is being run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the hub: Python code may be called.
    Hub,
    /// On the stack of a greenlet that is about to park: no Python code may be called, because it
    /// would see that greenlet as the current one.
    Passing,
}

/// What running a native entry came to.
pub(crate) enum Outcome {
    /// It is finished; its reference has been given back.
    Done,
    /// Resume this greenlet with a wake-up (the reference is the entry's), and when `again` come back to the same entry at once.
    Wake { greenlet: NonNull<PyGreenlet>, again: bool },
    /// It would have to call Python code, which is the hub's affair: run it again there.
    NeedsHub,
}

/// A function that runs a native entry. It owns the reference to `object` unless it answers
/// `again` or `NeedsHub`.
pub(crate) type NativeEntry = unsafe fn(object: NonNull<ffi::PyObject>, place: Place) -> Outcome;

impl Token {
    /// The object that the token holds a reference to.
    pub(crate) fn object(self) -> NonNull<ffi::PyObject> {
        match self {
            Token::Wake { greenlet, .. } => greenlet.cast(),
            Token::Callback(object) | Token::Watcher(object) | Token::Native { object, .. } => object,
        }
    }

    /// Gives back the reference that the token owns. May run any Python code.
    ///
    /// # Safety
    /// The GIL is held, and the token has been taken out of the loop.
    pub(crate) unsafe fn release(self) {
        // SAFETY: the caller owns the token, and with it one reference.
        unsafe { ffi::Py_DECREF(self.object().as_ptr()) }
    }
}
