//! The object that `loop.run_callback` returns: one call, to be made soon, that can be taken back.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop::SoonKey;

use super::event_loop::LoopObject;

/// A call that a loop makes in its next pass (reference row GV-31).
#[pyclass(name = "callback", module = "verdigris.core", frozen, weakref)]
pub(crate) struct CallbackObject {
    callback: UnsafeCell<Option<Py<PyAny>>>,
    arguments: UnsafeCell<Option<Py<PyTuple>>>,
    /// Its place in the queue, to take it back; none for one that came from another thread.
    key: Cell<Option<SoonKey>>,
    home: Py<LoopObject>,
}

// SAFETY: touched with the GIL held only; every access is one step.
unsafe impl Send for CallbackObject {}
// SAFETY: as above.
unsafe impl Sync for CallbackObject {}

impl CallbackObject {
    pub(super) fn create(callback: Py<PyAny>, arguments: Py<PyTuple>, home: Py<LoopObject>) -> Self {
        Self {
            callback: UnsafeCell::new(Some(callback)),
            arguments: UnsafeCell::new(Some(arguments)),
            key: Cell::new(None),
            home,
        }
    }

    pub(super) fn set_key(&self, key: Option<SoonKey>) {
        self.key.set(key);
    }

    fn take_callback(&self) -> Option<Py<PyAny>> {
        // SAFETY: one step, GIL held.
        unsafe { (*self.callback.get()).take() }
    }

    fn take_arguments(&self) -> Option<Py<PyTuple>> {
        // SAFETY: one step, GIL held.
        unsafe { (*self.arguments.get()).take() }
    }
}

#[pymethods]
impl CallbackObject {
    /// Takes the call back: it will not be made. Nothing if it was made already.
    fn stop(&self, py: Python<'_>) {
        let callback = self.take_callback();
        let arguments = self.take_arguments();
        let home = self.home.get();
        if let Some(key) = self.key.take()
            && home.is_home()
            && let Some(token) = home.engine().ok().and_then(|engine| engine.cancel_soon(key))
        {
            // SAFETY: the token has just left the loop.
            unsafe { token.release() };
        }
        let _ = py;
        drop((callback, arguments));
    }

    /// The same as `stop`.
    fn close(&self, py: Python<'_>) {
        self.stop(py);
    }

    /// True until the call has been made or taken back.
    #[getter]
    fn pending(&self) -> bool {
        // SAFETY: one step.
        unsafe { (*self.callback.get()).is_some() }
    }

    /// What is to be called; None when that is over.
    #[getter]
    fn callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        unsafe { (*self.callback.get()).as_ref().map(|callback| callback.clone_ref(py)) }
    }

    /// The arguments of the call: a tuple; None when that is over.
    #[getter]
    fn args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        // SAFETY: one step.
        unsafe {
            (*self.arguments.get())
                .as_ref()
                .map(|arguments| arguments.clone_ref(py))
        }
    }

    /// True while pending and while the call is being made.
    fn __bool__(&self) -> bool {
        // SAFETY: one step.
        unsafe { (*self.arguments.get()).is_some() }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let py = slf.py();
        let mut text = format!("<callback at {:#x}", slf.as_ptr().addr());
        if this.pending() {
            text.push_str(" pending");
        }
        if let Some(callback) = this.callback(py) {
            text.push_str(&format!(" callback={}", callback.bind(py).repr()?));
        }
        if let Some(arguments) = this.args(py) {
            text.push_str(&format!(" args={}", arguments.bind(py).repr()?));
        }
        if this.callback(py).is_none() && this.args(py).is_none() {
            text.push_str(" stopped");
        }
        text.push('>');
        Ok(text)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.callback.get())?;
            visit.call(&*self.arguments.get())
        }
    }

    fn __clear__(&self) {
        drop((self.take_callback(), self.take_arguments()));
    }
}

/// Makes the call. Takes over the reference that the loop held.
pub(super) fn fire(home: &LoopObject, py: Python<'_>, object: NonNull<ffi::PyObject>) {
    // SAFETY: the token's reference, and `Token::Callback` is only ever made of a `CallbackObject`.
    let object = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<CallbackObject>() };
    let this = object.get();
    this.key.set(None);
    let Some(callback) = this.take_callback() else {
        return;
    };
    let arguments = this.args(py);
    let result = match &arguments {
        Some(arguments) => callback.bind(py).call1(arguments.bind(py)),
        None => return,
    };
    if let Err(error) = result {
        home.handle_error(py, Some(object.as_any()), error);
    }
    drop(this.take_arguments());
}
