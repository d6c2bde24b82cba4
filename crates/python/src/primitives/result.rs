//! AsyncResult: a value or an exception that comes later, for everybody who waits for it.
//!
//! It is also a link: linked to a greenlet it takes over how that ended.

use std::cell::UnsafeCell;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTraceback, PyTuple};

use super::linkable::{Kind, Linkable};
use super::notifier::Ended;
use crate::hub::Limit;

/// A value or an exception that is set once (or again), and waited for by many.
#[pyclass(name = "AsyncResult", module = "verdigris.event", extends = Linkable, subclass, frozen, generic)]
pub(crate) struct ResultObject {
    value: UnsafeCell<Option<Py<PyAny>>>,
    failure: UnsafeCell<Option<Failure>>,
}

struct Failure {
    exception: Py<PyAny>,
    /// Type, value and traceback as they were when it was set.
    info: Py<PyTuple>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Send for ResultObject {}
// SAFETY: as above.
unsafe impl Sync for ResultObject {}

static KIND: Kind = Kind::new(
    // SAFETY: only results have this table of functions.
    |slf| unsafe { slf.cast_unchecked::<ResultObject>() }.get().is_ready(),
    Linkable::tell_due,
    Linkable::tell_everybody,
);

impl ResultObject {
    pub(crate) fn make(py: Python<'_>) -> PyResult<Py<ResultObject>> {
        Py::new(py, Self::initializer())
    }

    fn initializer() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Self::linkable()).add_subclass(Self::empty())
    }

    /// The fields of a new result, as a linkable and its own.
    #[inline]
    pub(super) fn linkable() -> Linkable {
        Linkable::of(&KIND)
    }

    #[inline]
    pub(super) fn empty() -> Self {
        Self {
            value: UnsafeCell::new(None),
            failure: UnsafeCell::new(None),
        }
    }

    fn is_ready(&self) -> bool {
        // SAFETY: read in one step.
        unsafe { (*self.value.get()).is_some() || (*self.failure.get()).is_some() }
    }

    fn stored(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.value.get()).as_ref().map(|value| value.clone_ref(py)) }
    }

    fn failure(&self, py: Python<'_>) -> Option<Failure> {
        // SAFETY: cloned in one step.
        unsafe {
            (*self.failure.get()).as_ref().map(|failure| Failure {
                exception: failure.exception.clone_ref(py),
                info: failure.info.clone_ref(py),
            })
        }
    }

    /// The error to raise: the exception with the traceback that it was stored with, so that raising it often
    /// does not make that longer and longer.
    fn error(py: Python<'_>, failure: &Failure) -> PyErr {
        let raise = || -> PyResult<PyErr> {
            let exception = match failure.exception.bind(py).cast::<pyo3::types::PyType>() {
                Ok(class) => class.call0()?,
                Err(_) => failure.exception.bind(py).clone(),
            };
            let error = PyErr::from_value(exception);
            let traceback = failure.info.bind(py).get_item(2)?;
            error.set_traceback(py, traceback.cast_into::<PyTraceback>().ok());
            Ok(error)
        };
        raise().unwrap_or_else(|second| second)
    }

    /// What it has come to, if it has: the value, or the error to raise.
    fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        if let Some(value) = self.stored(py) {
            return Some(Ok(value));
        }
        self.failure(py).map(|failure| Err(Self::error(py, &failure)))
    }

    pub(crate) fn set_value(slf: &Bound<'_, Self>, value: Py<PyAny>) -> PyResult<()> {
        let base = slf.as_super();
        base.get().notifier.touch();
        // SAFETY: one step; the old value is dropped afterwards.
        let old = unsafe { (*slf.get().value.get()).replace(value) };
        drop(old);
        Linkable::tell_everybody(base)
    }
}

#[pymethods]
impl ResultObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    fn __init__(&self) {}

    /// The value, or None.
    #[getter]
    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.stored(py)
    }

    /// The exception, or None.
    #[getter]
    fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.failure(py).map(|failure| failure.exception)
    }

    /// (type, value, traceback) of the exception; an empty tuple if there is none.
    #[getter]
    fn exc_info<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> {
        self.failure(py)
            .map_or_else(|| PyTuple::empty(py), |failure| failure.info.into_bound(py))
    }

    /// Whether a value or an exception is there.
    fn ready(&self) -> bool {
        self.is_ready()
    }

    /// Whether a value is there.
    fn successful(&self) -> bool {
        // SAFETY: read in one step.
        unsafe { (*self.value.get()).is_some() }
    }

    /// Stores `value` and lets go everybody who waits.
    #[pyo3(signature = (value=None))]
    fn set(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) -> PyResult<()> {
        Self::set_value(slf, value.unwrap_or_else(|| slf.py().None()))
    }

    /// `set`, under the name that futures give it.
    #[pyo3(signature = (value=None))]
    fn set_result(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) -> PyResult<()> {
        Self::set(slf, value)
    }

    /// Stores an exception, raised by every `get`, and lets go everybody who waits.
    ///
    /// `exc_info` is what `sys.exc_info()` gave; its traceback is raised with the exception.
    #[pyo3(signature = (exception, exc_info=None))]
    pub(crate) fn set_exception(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let info = match exc_info.filter(|info| !info.is_none()) {
            Some(info) => {
                let (kind, value, traceback) = info.extract::<(Py<PyAny>, Py<PyAny>, Py<PyAny>)>()?;
                (kind, value, traceback).into_pyobject(py)?
            }
            None => {
                let traceback = match exception.cast::<PyBaseException>() {
                    Ok(exception) => exception.getattr("__traceback__")?,
                    Err(_) => py.None().into_bound(py),
                };
                (exception.get_type(), exception, traceback).into_pyobject(py)?
            }
        };
        let failure = Failure {
            exception: exception.clone().unbind(),
            info: info.unbind(),
        };
        let base = slf.as_super();
        base.get().notifier.touch();
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { (*slf.get().failure.get()).replace(failure) };
        drop(old);
        Linkable::tell_everybody(base)
    }

    /// The value, or the exception raised; waits for it. Raises Timeout after `timeout` (seconds, or a Timeout),
    /// or at once when nothing is there and `block` is false.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let base = slf.as_super().get();
        base.notifier.touch();
        if let Some(outcome) = this.outcome(py) {
            return outcome;
        }
        if !block {
            return Err(Limit::None.expired(py));
        }
        let limit = Limit::begin(py, timeout)?;
        let ended = base.park(py, false, limit.nanoseconds());
        limit.end();
        match (ended?, this.outcome(py)) {
            (_, Some(outcome)) => outcome,
            (Ended::TimedOut, None) => Err(limit.expired(py)),
            (Ended::Told, None) => Ok(py.None()),
        }
    }

    /// `get(block=False)`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get(slf, false, None)
    }

    /// `get(timeout=timeout)`, under the name that futures give it.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        Self::get(slf, true, timeout)
    }

    /// Waits until something is there, for at most `timeout` (seconds, or a Timeout); never raises what is
    /// stored. Returns the value: None if it is an exception, or if the time has passed.
    #[pyo3(signature = (timeout=None))]
    fn wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let base = slf.as_super().get();
        base.notifier.touch();
        if this.is_ready() && !base.must_queue(py) {
            return Ok(this.stored(py));
        }
        let limit = Limit::begin(py, timeout)?;
        let ended = base.park(py, this.is_ready(), limit.nanoseconds());
        limit.end();
        match ended {
            Ok(_) => Ok(this.stored(py)),
            Err(error) if limit.is(py, &error) => Ok(this.stored(py)),
            Err(error) => Err(error),
        }
    }

    /// Called as a link: takes over the outcome of `source`.
    fn __call__(slf: &Bound<'_, Self>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        if source.call_method0("successful")?.is_truthy()? {
            return slf.call_method1("set", (source.getattr("value")?,)).map(drop);
        }
        let info = source
            .getattr_opt("exc_info")?
            .filter(|info| info.len().is_ok_and(|length| length == 3));
        slf.call_method1("set_exception", (source.getattr("exception")?, info))
            .map(drop)
    }

    /// Whether something is there, under the name that futures give it.
    fn done(&self) -> bool {
        self.is_ready()
    }

    /// Always False: it cannot be cancelled.
    fn cancel(&self) -> bool {
        false
    }

    /// Always False: see `cancel`.
    fn cancelled(&self) -> bool {
        false
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let mut text = format!("<{} ", slf.get_type().name()?);
        let value = this.stored(py);
        let failure = this.failure(py);
        if value.is_some() || failure.is_some() {
            let value = value.unwrap_or_else(|| py.None());
            text.push_str(&format!("value={} ", value.bind(py).repr()?));
        }
        match failure {
            Some(failure) => text.push_str(&format!("exception={} ", failure.exception.bind(py).repr()?)),
            None if !this.is_ready() => text.push_str("unset "),
            None => {}
        }
        text.push_str(&format!(" {}>", slf.as_super().get().tail()));
        Ok(text)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.value.get())?;
            match &*self.failure.get() {
                Some(failure) => {
                    visit.call(&failure.exception)?;
                    visit.call(&failure.info)
                }
                None => Ok(()),
            }
        }
    }

    fn __clear__(&self) {
        // SAFETY: single steps; dropped afterwards.
        let old = unsafe { ((*self.value.get()).take(), (*self.failure.get()).take()) };
        drop(old);
    }
}
