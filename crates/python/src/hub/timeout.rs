//! gevent's Timeout: an exception that comes after a while, thrown into the greenlet that started it.
//!
//! The class is a BaseException; starting one puts an entry into the loop's timers and makes no
//! Python object, cancelling takes it out again.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::exceptions::{PyAssertionError, PyBaseException};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use verdigris_loop::Key;

use super::event_loop::LoopObject;
use super::limit::{nanoseconds, seconds_of};
use super::object;
use super::token::{Outcome, Place, Token};
use crate::greenlet;

/// Raised in the current greenlet after `seconds`, unless cancelled before.
///
/// `exception` None raises this object itself; False does too, and `with` then swallows it; a string is
/// shown in its text; any other exception (class or instance) is raised in its stead.
#[pyclass(name = "Timeout", module = "verdigris.timeout", extends = PyBaseException, subclass, frozen, weakref, dict)]
pub(crate) struct TimeoutObject {
    seconds: UnsafeCell<Py<PyAny>>,
    exception: UnsafeCell<Py<PyAny>>,
    counts: Cell<bool>,
    priority: Cell<i8>,
    started: UnsafeCell<Option<Started>>,
}

/// A timeout that runs: where, and whom it will be thrown into.
struct Started {
    key: Key,
    home: Py<LoopObject>,
    greenlet: Py<PyAny>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Send for TimeoutObject {}
// SAFETY: as above.
unsafe impl Sync for TimeoutObject {}

impl TimeoutObject {
    fn get_seconds(&self, py: Python<'_>) -> Py<PyAny> {
        // SAFETY: one step.
        unsafe { (*self.seconds.get()).clone_ref(py) }
    }

    fn get_exception(&self, py: Python<'_>) -> Py<PyAny> {
        // SAFETY: one step.
        unsafe { (*self.exception.get()).clone_ref(py) }
    }

    pub(super) fn is_pending(&self) -> bool {
        // SAFETY: one step; the engine's answer runs no Python code.
        match unsafe { &*self.started.get() } {
            Some(started) => started
                .home
                .get()
                .engine()
                .is_ok_and(|engine| engine.is_active(started.key) || engine.is_pending(started.key)),
            None => false,
        }
    }

    fn take_started(&self) -> Option<Started> {
        // SAFETY: one step.
        unsafe { (*self.started.get()).take() }
    }

    /// Takes the timer out of the loop.
    pub(super) fn stop(&self) {
        let Some(started) = self.take_started() else {
            return;
        };
        let home = started.home.get();
        if home.is_home()
            && let Some(token) = home.engine().ok().and_then(|engine| engine.cancel(started.key))
        {
            // SAFETY: the token has just left the loop, with the GIL held.
            unsafe { token.release() };
        }
    }

    /// What will be raised.
    fn thrown(slf: &Bound<'_, Self>) -> Py<PyAny> {
        let py = slf.py();
        let exception = slf.get().get_exception(py);
        let bound = exception.bind(py);
        if bound.is_none() || bound.is(&*pyo3::types::PyBool::new(py, false)) || bound.is_instance_of::<PyString>() {
            slf.clone().into_any().unbind()
        } else {
            exception
        }
    }

    /// A new one of exactly this class, checked.
    fn create(
        py: Python<'_>,
        seconds: Option<&Bound<'_, PyAny>>,
        exception: Option<&Bound<'_, PyAny>>,
        counts: bool,
    ) -> PyResult<Self> {
        if let Some(seconds) = seconds.filter(|seconds| !seconds.is_none()) {
            // A wrong type is an error here, where it was made, and not when the timer starts.
            seconds_of(seconds)?;
        }
        let or_none =
            |value: Option<&Bound<'_, PyAny>>| value.map_or_else(|| py.None(), |value| value.clone().unbind());
        Ok(Self {
            seconds: UnsafeCell::new(or_none(seconds)),
            exception: UnsafeCell::new(or_none(exception)),
            counts: Cell::new(counts),
            priority: Cell::new(-1),
            started: UnsafeCell::new(None),
        })
    }

    /// A started timeout for a wait of `seconds`, of exactly this class.
    fn start_native(py: Python<'_>, seconds: &Bound<'_, PyAny>) -> PyResult<Py<TimeoutObject>> {
        let timeout = Bound::new(py, Self::create(py, Some(seconds), None, true)?)?;
        Self::start(&timeout)?;
        Ok(timeout.unbind())
    }
}

#[pymethods]
impl TimeoutObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(seconds=None, exception=None, ref=True, priority=-1, _one_shot=False)")]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            seconds: UnsafeCell::new(py.None()),
            exception: UnsafeCell::new(py.None()),
            counts: Cell::new(true),
            priority: Cell::new(-1),
            started: UnsafeCell::new(None),
        }
    }

    #[pyo3(signature = (seconds=None, exception=None, r#ref=true, priority=-1, _one_shot=false))]
    fn __init__(
        &self,
        py: Python<'_>,
        seconds: Option<Py<PyAny>>,
        exception: Option<Py<PyAny>>,
        r#ref: bool,
        priority: i64,
        _one_shot: bool,
    ) -> PyResult<()> {
        if let Some(seconds) = &seconds {
            // A wrong type is an error here, where it was made, and not when the timer starts.
            seconds_of(seconds.bind(py))?;
        }
        // SAFETY: single steps; the old values are dropped afterwards.
        let old = unsafe {
            (
                std::mem::replace(&mut *self.seconds.get(), seconds.unwrap_or_else(|| py.None())),
                std::mem::replace(&mut *self.exception.get(), exception.unwrap_or_else(|| py.None())),
            )
        };
        self.counts.set(r#ref);
        self.priority.set(priority.clamp(-2, 2) as i8);
        drop(old);
        Ok(())
    }

    /// Starts the timer. Raises AssertionError if it runs already.
    pub(crate) fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_pending() {
            return Err(PyAssertionError::new_err(format!(
                "{} is already started; to restart it, cancel it first",
                slf.repr()?
            )));
        }
        let seconds = this.get_seconds(py);
        if seconds.is_none(py) {
            return Ok(());
        }
        let after_ns = nanoseconds(seconds_of(seconds.bind(py))?);
        let home = object::current(py)?.get().native_loop(py)?;
        let current = greenlet::current_bound(py)?.unbind();
        object::update_now(py, &home)?;
        let engine = home.get().engine()?;
        let token = Token::Native {
            run: expire,
            object: NonNull::new(slf.clone().into_ptr()).expect("a Bound is never null"),
        };
        let key = engine.wait_timer(after_ns, this.priority.get(), token);
        if !this.counts.get() {
            let _ = engine.set_ref(key, false);
        }
        // SAFETY: one step; an old one is not running, dropped afterwards.
        let old = unsafe {
            (*this.started.get()).replace(Started {
                key,
                home,
                greenlet: current,
            })
        };
        drop(old);
        Ok(())
    }

    /// Makes a timeout and starts it. A Timeout instance is started if it is not running, and returned.
    #[classmethod]
    #[pyo3(signature = (timeout=None, exception=None, r#ref=true, _one_shot=false))]
    fn start_new<'py>(
        cls: &Bound<'py, PyType>,
        timeout: Option<&Bound<'py, PyAny>>,
        exception: Option<&Bound<'py, PyAny>>,
        r#ref: bool,
        _one_shot: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        if let Some(timeout) = timeout
            && timeout.is_instance_of::<TimeoutObject>()
        {
            if !timeout.getattr("pending")?.is_truthy()? {
                timeout.call_method0("start")?;
            }
            return Ok(timeout.clone());
        }
        if cls.is(py.get_type::<TimeoutObject>()) {
            let made = Bound::new(py, Self::create(py, timeout, exception, r#ref)?)?;
            Self::start(&made)?;
            return Ok(made.into_any());
        }
        let keywords = PyDict::new(py);
        keywords.set_item("ref", r#ref)?;
        let made = cls.call((timeout, exception), Some(&keywords))?;
        made.call_method0("start")?;
        Ok(made)
    }

    /// `start_new`, or for None a timeout that never fires.
    #[staticmethod]
    #[pyo3(signature = (timeout, exception=None, r#ref=true))]
    fn _start_new_or_dummy<'py>(
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
        exception: Option<&Bound<'py, PyAny>>,
        r#ref: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = py.get_type::<TimeoutObject>();
        Self::start_new(&class, timeout, exception, r#ref, true)
    }

    /// What runs: the timeout itself, which needs no watcher of the loop.
    #[getter]
    fn timer<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// Seconds until it is raised; None: never.
    #[getter]
    fn seconds(&self, py: Python<'_>) -> Py<PyAny> {
        self.get_seconds(py)
    }

    #[setter]
    fn set_seconds(&self, value: Py<PyAny>) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.seconds.get(), value) };
        drop(old);
    }

    /// What is raised in its stead, or False, or a text.
    #[getter]
    fn exception(&self, py: Python<'_>) -> Py<PyAny> {
        self.get_exception(py)
    }

    #[setter]
    fn set_exception(&self, value: Py<PyAny>) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.exception.get(), value) };
        drop(old);
    }

    /// Whether it runs and has not been raised.
    #[getter]
    fn pending(&self) -> bool {
        self.is_pending()
    }

    /// Whether it keeps the loop running.
    #[getter(r#ref)]
    fn get_ref(&self) -> bool {
        self.counts.get()
    }

    /// Stops the timer. It can be started again.
    pub(crate) fn cancel(&self) {
        self.stop();
    }

    /// Stops the timer.
    fn close(&self) {
        self.stop();
    }

    /// Called in the hub when the time is over: throws `ex` into `prev_greenlet`.
    fn _on_expiration(&self, prev_greenlet: &Bound<'_, PyAny>, ex: &Bound<'_, PyAny>) -> PyResult<()> {
        prev_greenlet.call_method1("throw", (ex,)).map(drop)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        if !slf.get().is_pending() {
            slf.call_method0("start")?;
        }
        Ok(slf.clone())
    }

    #[pyo3(signature = (typ, value, tb))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        typ: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> bool {
        let _ = (typ, tb);
        let py = slf.py();
        slf.get().stop();
        value.is(slf)
            && slf
                .get()
                .get_exception(py)
                .bind(py)
                .is(&*pyo3::types::PyBool::new(py, false))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let exception = this.get_exception(py);
        let shown = if exception.is_none(py) {
            String::new()
        } else {
            format!(" exception={}", exception.bind(py).repr()?)
        };
        Ok(format!(
            "<{} at {:#x} seconds={}{shown}{}>",
            slf.get_type().name()?,
            slf.as_ptr().addr(),
            this.get_seconds(py).bind(py).str()?,
            if this.is_pending() { " pending" } else { "" },
        ))
    }

    /// '1 second', '2 seconds: text', '3 seconds (silent)', or nothing for one that never fires.
    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        let seconds = self.get_seconds(py);
        if seconds.is_none(py) {
            return Ok(String::new());
        }
        let suffix = if seconds.bind(py).eq(1)? { "" } else { "s" };
        let text = format!("{} second{suffix}", seconds.bind(py).str()?);
        let exception = self.get_exception(py);
        let exception = exception.bind(py);
        Ok(if exception.is_none() {
            text
        } else if exception.is(&*pyo3::types::PyBool::new(py, false)) {
            format!("{text} (silent)")
        } else {
            format!("{text}: {}", exception.str()?)
        })
    }

    fn __lt__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.get_seconds(py).bind(py).lt(other.getattr("seconds")?)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.seconds.get())?;
            visit.call(&*self.exception.get())?;
            match &*self.started.get() {
                Some(started) => visit.call(&started.greenlet),
                None => Ok(()),
            }
        }
    }
}

/// The entry of a timer that is over: throws. Native so that starting a timeout makes no object.
unsafe fn expire(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    if place == Place::Passing {
        return Outcome::NeedsHub;
    }
    // SAFETY: entries run with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the token's reference; `expire` is only ever given timeouts.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<TimeoutObject>() };
    let Some(started) = slf.get().take_started() else {
        return Outcome::Done;
    };
    let thrown = TimeoutObject::thrown(&slf);
    let result = slf.call_method1("_on_expiration", (&started.greenlet, thrown));
    if let Err(error) = result {
        started.home.get().handle_error(py, Some(slf.as_any()), error);
    }
    Outcome::Done
}

/// `with_timeout(seconds, function, *args, timeout_value=..., **kwargs)`: the result of the call, or, when
/// `seconds` pass before it ends, `timeout_value` if given; else the Timeout is raised.
#[pyfunction]
#[pyo3(signature = (seconds, function, *args, **kwds))]
pub(super) fn with_timeout<'py>(
    py: Python<'py>,
    seconds: &Bound<'py, PyAny>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwds: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = match kwds {
        Some(keywords) => keywords.copy()?,
        None => PyDict::new(py),
    };
    let instead = keywords.get_item("timeout_value")?;
    if instead.is_some() {
        keywords.del_item("timeout_value")?;
    }
    let timeout = match seconds.cast::<TimeoutObject>() {
        Ok(timeout) => timeout.clone().unbind(),
        Err(_) => TimeoutObject::start_native(py, seconds)?,
    };
    if !timeout.get().is_pending() {
        TimeoutObject::start(timeout.bind(py))?;
    }
    let result = function.call(args, Some(&keywords));
    timeout.get().stop();
    match (result, instead) {
        (Err(error), Some(instead)) if error.value(py).is(&timeout) => Ok(instead),
        (result, _) => result,
    }
}
