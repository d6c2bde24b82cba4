//! gevent's Waiter: the low-level meeting point of a greenlet that waits and of the hub that tells it.
//!
//! What verdigris itself waits for uses tickets (`park.rs`); this is for programs that are written
//! against gevent's class, and for `hub.wait(watcher)` (reference row GV-76).

use std::cell::UnsafeCell;

use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::error;
use super::object::{self, HubObject};
use crate::greenlet;

/// What a waiter has been told.
enum Told {
    Nothing,
    Value(Py<PyAny>),
    /// What `throw` takes: an exception, or type, value and traceback.
    Error(Py<PyTuple>),
}

/// A value, or an exception, that one greenlet waits for and the hub delivers.
#[pyclass(name = "Waiter", module = "verdigris.hub", subclass, frozen, weakref, generic)]
pub(crate) struct WaiterObject {
    hub: Py<PyAny>,
    greenlet: UnsafeCell<Option<Py<PyAny>>>,
    told: UnsafeCell<Told>,
}

// SAFETY: touched with the GIL held only; every access is one step.
unsafe impl Send for WaiterObject {}
// SAFETY: as above.
unsafe impl Sync for WaiterObject {}

impl WaiterObject {
    pub(super) fn for_hub(hub: Py<PyAny>) -> Self {
        Self {
            hub,
            greenlet: UnsafeCell::new(None),
            told: UnsafeCell::new(Told::Nothing),
        }
    }

    fn waiting(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        unsafe { (*self.greenlet.get()).as_ref().map(|greenlet| greenlet.clone_ref(py)) }
    }

    fn tell(&self, told: Told) {
        // SAFETY: one step; the old value is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.told.get(), told) };
        drop(old);
    }

    /// Calls `method` of the waiting greenlet, from the hub only; its errors go to the hub.
    fn deliver(
        &self,
        py: Python<'_>,
        greenlet: &Py<PyAny>,
        method: &str,
        arguments: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        if !greenlet::current_bound(py)?.is(&self.hub) {
            return Err(PyAssertionError::new_err(format!(
                "Can only use Waiter.{method} method from the Hub greenlet"
            )));
        }
        let method = greenlet.bind(py).getattr(method)?;
        if let Err(error) = method.call1(arguments) {
            let report = (&method, error.get_type(py), error.value(py), error.traceback(py));
            self.hub.bind(py).call_method1("handle_error", report)?;
        }
        Ok(())
    }
}

#[pymethods]
impl WaiterObject {
    #[new]
    #[pyo3(signature = (hub=None))]
    fn new(py: Python<'_>, hub: Option<Py<PyAny>>) -> PyResult<Self> {
        let hub = match hub {
            Some(hub) => hub,
            None => object::current(py)?.into_any().unbind(),
        };
        Ok(Self::for_hub(hub))
    }

    #[pyo3(signature = (hub=None))]
    fn __init__(&self, hub: Option<Py<PyAny>>) {
        let _ = hub;
    }

    /// Forgets what it was told, so that it can be used again.
    fn clear(&self) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*self.greenlet.get()).take() };
        self.tell(Told::Nothing);
        drop(old);
    }

    /// The hub whose thread waits.
    #[getter]
    fn hub(&self, py: Python<'_>) -> Py<PyAny> {
        self.hub.clone_ref(py)
    }

    /// The greenlet that waits in `get`, or None.
    #[getter]
    fn greenlet(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.waiting(py)
    }

    /// The value that was delivered, or None.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        match unsafe { &*self.told.get() } {
            Told::Value(value) => Some(value.clone_ref(py)),
            _ => None,
        }
    }

    /// Whether a value or an exception has been stored.
    fn ready(&self) -> bool {
        // SAFETY: one step.
        !matches!(unsafe { &*self.told.get() }, Told::Nothing)
    }

    /// Whether a value has been stored, not an exception.
    fn successful(&self) -> bool {
        // SAFETY: one step.
        matches!(unsafe { &*self.told.get() }, Told::Value(_))
    }

    /// What `throw` stored: its arguments as a tuple, or None.
    #[getter]
    fn exc_info(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        // SAFETY: one step.
        match unsafe { &*self.told.get() } {
            Told::Error(arguments) => Some(arguments.clone_ref(py)),
            _ => None,
        }
    }

    /// Delivers `value` to the greenlet that waits, or stores it. From the hub only, if one waits.
    fn switch(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        match self.waiting(py) {
            None => {
                self.tell(Told::Value(value));
                Ok(())
            }
            Some(greenlet) => self.deliver(py, &greenlet, "switch", &PyTuple::new(py, [value])?),
        }
    }

    /// `switch` with all the arguments as one tuple.
    #[pyo3(signature = (*args))]
    fn switch_args(&self, py: Python<'_>, args: Py<PyTuple>) -> PyResult<()> {
        self.switch(py, args.into_any())
    }

    /// Throws into the greenlet that waits, or stores the exception. From the hub only, if one waits.
    #[pyo3(signature = (*throw_args))]
    fn throw(&self, py: Python<'_>, throw_args: &Bound<'_, PyTuple>) -> PyResult<()> {
        match self.waiting(py) {
            None => {
                self.tell(Told::Error(throw_args.clone().unbind()));
                Ok(())
            }
            Some(greenlet) => self.deliver(py, &greenlet, "throw", throw_args),
        }
    }

    /// Returns the value, raises the exception, or waits for either. One greenlet at a time.
    pub(super) fn get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(value) = this.value(py) {
            return Ok(value);
        }
        if let Some(arguments) = this.exc_info(py) {
            let raised = greenlet::current_bound(py)?.call_method1("throw", arguments.bind(py));
            return raised.map(Bound::unbind);
        }
        if let Some(other) = this.waiting(py) {
            let text = format!("This Waiter is already used by {}", other.bind(py).repr()?);
            return Err(error::concurrent_use(py, text));
        }
        let current = greenlet::current_bound(py)?.unbind();
        // SAFETY: one step; the cell was empty.
        unsafe { *this.greenlet.get() = Some(current) };
        let result = match this.hub.bind(py).cast::<HubObject>() {
            Ok(hub) => HubObject::switch(hub),
            Err(_) => this.hub.bind(py).call_method0("switch").map(Bound::unbind),
        };
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*this.greenlet.get()).take() };
        drop(old);
        result
    }

    /// Called as a link: takes over the outcome of `source`.
    fn __call__(&self, py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        let exception = source.getattr("exception")?;
        if exception.is_none() {
            self.switch(py, source.getattr("value")?.unbind())
        } else {
            self.throw(py, &PyTuple::new(py, [exception])?)
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let class = slf.get_type().name()?;
        let greenlet = match this.waiting(py) {
            Some(greenlet) => greenlet.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        Ok(match (this.value(py), this.exc_info(py)) {
            (Some(value), _) => format!("<{class} greenlet={greenlet} value={}>", value.bind(py).repr()?),
            (None, Some(error)) => format!("<{class} greenlet={greenlet} exc_info={}>", error.bind(py).repr()?),
            (None, None) => format!("<{class} greenlet={greenlet}>"),
        })
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.hub)?;
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.greenlet.get())?;
            match &*self.told.get() {
                Told::Nothing => Ok(()),
                Told::Value(value) => visit.call(value),
                Told::Error(arguments) => visit.call(arguments),
            }
        }
    }

    fn __clear__(&self) {
        self.clear();
    }
}
