//! gevent's Greenlet: a greenlet that the hub starts, with a result, and links that are told of it.
//!
//! ```text
//!   new ── start() ──► scheduled ── the hub comes to it ──► running ──► done: value or exception
//!    │                     │                                   │            │
//!    └──── kill() ─────────┴── never runs: done ◄── kill() ────┘            └─► links are told
//! ```
//!
//! The names, the order of events and the texts are gevent's (reference: conformance notes, section 7).

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use verdigris_loop::{Key, SoonKey};

use super::event_loop::LoopObject;
use super::links::{Link, Links};
use super::object;
use super::park::{self, Woken};
use super::spawn_site::SpawnSite;
use super::timeout::{self, Limit};
use super::token::{Outcome, Place, Token};
use super::wait::Collector;
use crate::greenlet::{self, PyGreenlet};
use crate::greenlet_base::{self, RawGreenlet};
use crate::names;

/// Where a greenlet is on its way to running.
#[derive(Clone, Copy)]
enum Start {
    /// Nobody has asked for it.
    Unasked,
    /// It is in the run-soon queue.
    Soon(Option<SoonKey>),
    /// A timer will start it.
    Later(Key),
    /// It runs, or ran.
    Begun,
    /// It was asked to start, and killed before it did.
    Cancelled,
}

/// How it ended.
enum Result_ {
    Unknown,
    Value(Py<PyAny>),
    Error(PyErr),
}

/// A greenlet that is started by the hub and tells others when it is done.
#[pyclass(name = "Greenlet", module = "gevent", extends = RawGreenlet, subclass, frozen)]
pub(crate) struct GreenletObject {
    function: UnsafeCell<Option<Py<PyAny>>>,
    arguments: UnsafeCell<Option<Py<PyTuple>>>,
    keywords: UnsafeCell<Option<Py<PyDict>>>,
    home: UnsafeCell<Option<Py<LoopObject>>>,
    start: Cell<Start>,
    result: UnsafeCell<Result_>,
    links: Links,
    site: UnsafeCell<SpawnSite>,
    /// What it is called in reports; computed when asked for the first time.
    text: UnsafeCell<Option<String>>,
    name: UnsafeCell<Option<Py<PyAny>>>,
    ident: UnsafeCell<Option<Py<PyAny>>>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for GreenletObject {}
// SAFETY: as above.
unsafe impl Sync for GreenletObject {}

/// The type object, for quick comparisons.
#[inline]
pub(super) fn type_pointer(py: Python<'_>) -> *mut ffi::PyTypeObject {
    py.get_type::<GreenletObject>().as_type_ptr()
}

impl GreenletObject {
    fn empty() -> Self {
        Self {
            function: UnsafeCell::new(None),
            arguments: UnsafeCell::new(None),
            keywords: UnsafeCell::new(None),
            home: UnsafeCell::new(None),
            start: Cell::new(Start::Unasked),
            result: UnsafeCell::new(Result_::Unknown),
            links: Links::default(),
            site: UnsafeCell::new(SpawnSite::default()),
            text: UnsafeCell::new(None),
            name: UnsafeCell::new(None),
            ident: UnsafeCell::new(None),
        }
    }

    fn raw(slf: &Bound<'_, Self>) -> *mut PyGreenlet {
        slf.as_ptr().cast()
    }

    fn clone_cell<T>(py: Python<'_>, cell: &UnsafeCell<Option<Py<T>>>) -> Option<Py<T>> {
        // SAFETY: one step, GIL held.
        unsafe { (*cell.get()).as_ref().map(|value| value.clone_ref(py)) }
    }

    fn replace_cell<T>(cell: &UnsafeCell<T>, value: T) -> T {
        // SAFETY: one step, GIL held; the old value is the caller's to drop.
        unsafe { std::mem::replace(&mut *cell.get(), value) }
    }

    fn home<'a>(&'a self, py: Python<'_>) -> PyResult<&'a LoopObject> {
        // SAFETY: set once, in `__init__`, and dropped with the object.
        match unsafe { &*self.home.get() } {
            Some(home) => Ok(home.get()),
            None => Err(not_initialised(py)),
        }
    }

    /// Gives a new object what `Greenlet(run, *args, **kwargs)` says.
    fn initialise(
        slf: &Bound<'_, Self>,
        function: Option<Py<PyAny>>,
        arguments: Py<PyTuple>,
        keywords: Option<Py<PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let hub = object::current(py)?;
        let home = hub.get().native_loop(py)?;
        // SAFETY: both are live greenlets of this thread; the object has not been started.
        unsafe { greenlet::set_initial_parent(Self::raw(slf), hub.as_ptr().cast()) };
        let exact = std::ptr::eq(slf.get_type_ptr(), type_pointer(py));
        let own_run = exact || greenlet_base::inherits(slf.as_any(), "run", &py.get_type::<GreenletObject>())?;
        // SAFETY: as above.
        unsafe { greenlet::state(Self::raw(slf)) }.native_run.set(Some(if own_run { run_native } else { run_override }));
        let old = (
            Self::replace_cell(&this.function, function),
            Self::replace_cell(&this.arguments, Some(arguments)),
            Self::replace_cell(&this.keywords, keywords),
            Self::replace_cell(&this.home, Some(home)),
            Self::replace_cell(&this.site, SpawnSite::here(py)),
        );
        drop(old);
        Ok(())
    }

    /// A new, initialised object of exactly this class.
    fn make<'py>(py: Python<'py>, function: Py<PyAny>, arguments: Py<PyTuple>, keywords: Option<Py<PyDict>>) -> PyResult<Bound<'py, Self>> {
        if !function.bind(py).is_callable() {
            return Err(not_callable());
        }
        let slf = Bound::new(py, greenlet_base::initializer(Self::empty()))?;
        Self::initialise(&slf, Some(function), arguments, keywords)?;
        Ok(slf)
    }

    fn started_running(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: a live greenlet.
        unsafe { greenlet::is_started(Self::raw(slf)) }
    }

    fn raw_dead(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: a live greenlet.
        unsafe { greenlet::is_dead(Self::raw(slf)) }
    }

    fn has_result(&self) -> bool {
        // SAFETY: one step.
        !matches!(unsafe { &*self.result.get() }, Result_::Unknown)
    }

    fn is_ready(slf: &Bound<'_, Self>) -> bool {
        slf.get().has_result() || Self::is_dead(slf)
    }

    fn is_dead(slf: &Bound<'_, Self>) -> bool {
        matches!(slf.get().start.get(), Start::Cancelled) || Self::raw_dead(slf)
    }

    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        // SAFETY: one step.
        match unsafe { &*self.result.get() } {
            Result_::Error(error) => Some(error.clone_ref(py)),
            _ => None,
        }
    }

    fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        match unsafe { &*self.result.get() } {
            Result_::Value(value) => Some(value.clone_ref(py)),
            _ => None,
        }
    }

    /// Takes it out of the queue it waits in to be started.
    fn cancel_start(&self, cancelled: bool) {
        let start = self.start.get();
        let home = match start {
            // SAFETY: read in one step.
            Start::Soon(_) | Start::Later(_) => unsafe { (*self.home.get()).as_ref() },
            _ => None,
        };
        let token = home.and_then(|home| home.get().is_home().then(|| home.get().engine().ok()).flatten()).and_then(|engine| match start {
            Start::Soon(Some(key)) => engine.cancel_soon(key),
            Start::Later(key) => engine.cancel(key),
            _ => None,
        });
        self.start.set(if cancelled { Start::Cancelled } else { Start::Begun });
        if let Some(token) = token {
            // SAFETY: it has just left the loop, with the GIL held.
            unsafe { token.release() };
        }
    }

    /// Stores how it ended and has the links told.
    fn finish(slf: &Bound<'_, Self>, result: Result_) {
        let this = slf.get();
        let old = Self::replace_cell(&this.result, result);
        Self::tell_links(slf);
        drop(old);
    }

    fn tell_links(slf: &Bound<'_, Self>) {
        let this = slf.get();
        if this.links.is_empty() || !this.links.schedule() {
            return;
        }
        let told = this.home(slf.py()).and_then(|home| home.call_native_soon(tell_links, slf.as_any()));
        if let Err(error) = told {
            this.links.unschedule();
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }

    /// Stores an exception as the result; GreenletExit is a value.
    fn report_error(slf: &Bound<'_, Self>, error: PyErr) {
        let py = slf.py();
        if error.is_instance(py, &greenlet::exit_class(py)) {
            Self::finish(slf, Result_::Value(error.into_value(py).into_any()));
            return;
        }
        let shown = error.clone_ref(py);
        Self::finish(slf, Result_::Error(error));
        match object::current(py) {
            Ok(hub) => {
                let report = (slf, shown.get_type(py), shown.value(py), shown.traceback(py));
                if let Err(second) = hub.call_method1("handle_error", report) {
                    second.write_unraisable(py, Some(slf.as_any()));
                }
            }
            Err(_) => shown.write_unraisable(py, Some(slf.as_any())),
        }
    }

    /// What a greenlet that was killed before it ran came to.
    fn report_death_before_start(slf: &Bound<'_, Self>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().has_result() || !Self::is_dead(slf) {
            return Ok(());
        }
        let error = exception_of(py, arguments)?;
        Self::report_error(slf, error);
        Ok(())
    }

    /// The dictionary that its children share with it.
    pub(super) fn family_locals(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        // SAFETY: one step that makes at most an empty dictionary.
        unsafe { (*self.site.get()).locals(py) }
    }

    /// Forgets the function and its arguments, which a finished greenlet must not keep alive.
    fn forget_call(&self, py: Python<'_>) {
        let old = (
            Self::replace_cell(&self.function, None),
            Self::replace_cell(&self.arguments, Some(PyTuple::empty(py).unbind())),
            Self::replace_cell(&self.keywords, None),
        );
        drop(old);
    }

    /// The body: calls the function and reports what it came to.
    fn execute(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        this.cancel_start(false);
        let arguments = Self::clone_cell(py, &this.arguments).unwrap_or_else(|| PyTuple::empty(py).unbind());
        let keywords = Self::clone_cell(py, &this.keywords);
        let function = Self::clone_cell(py, &this.function);
        let result = match function {
            Some(function) => function.bind(py).call(arguments.bind(py), keywords.as_ref().map(|keywords| keywords.bind(py))),
            None => slf.getattr("_run").and_then(|run| run.call(arguments.bind(py), keywords.as_ref().map(|keywords| keywords.bind(py)))),
        };
        drop((arguments, keywords));
        match result {
            Ok(value) => Self::finish(slf, Result_::Value(value.unbind())),
            Err(error) => Self::report_error(slf, error),
        }
        this.forget_call(py);
    }

    fn link_to(slf: &Bound<'_, Self>, link: Link) {
        slf.get().links.push(link);
        if Self::is_ready(slf) {
            Self::tell_links(slf);
        }
    }

    /// Waits until it is done, as long as `limit` allows. False when that passed.
    fn wait_done(slf: &Bound<'_, Self>, limit: &Limit) -> PyResult<bool> {
        let py = slf.py();
        if Self::is_ready(slf) {
            return Ok(true);
        }
        let ticket = park::arm(py)?;
        Self::link_to(slf, Link::Wake(ticket.clone_ref(py)));
        let woken = park::park(py, &ticket, limit.nanoseconds());
        slf.get().links.remove_ticket(&ticket);
        Ok(woken? == Woken::Ready)
    }

    /// What it is called: the function and its arguments.
    fn call_text(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        // SAFETY: cloned in one step.
        if let Some(text) = unsafe { (*this.text.get()).clone() } {
            return Ok(text);
        }
        let function = match Self::clone_cell(py, &this.function) {
            Some(function) => function.into_bound(py),
            None => match slf.getattr_opt("_run")? {
                Some(run) => run,
                None => return Ok("_run".to_owned()),
            },
        };
        let mut text = if function.getattr_opt("__self__")?.is_some_and(|owner| !owner.is_none() && !owner.is_instance_of::<pyo3::types::PyModule>()) {
            if function.getattr("__self__")?.is(slf) { "_run".to_owned() } else { function.repr()?.to_string() }
        } else {
            match function.getattr_opt("__name__")? {
                Some(name) => name.str()?.to_string(),
                None => function.repr()?.to_string(),
            }
        };
        let mut parts = Vec::new();
        if let Some(arguments) = Self::clone_cell(py, &this.arguments) {
            for argument in arguments.bind(py) {
                parts.push(shortened(&argument)?);
            }
        }
        if let Some(keywords) = Self::clone_cell(py, &this.keywords) {
            for (name, value) in keywords.bind(py).iter() {
                parts.push(format!("{}={}", name.str()?, shortened(&value)?));
            }
        }
        if !parts.is_empty() {
            text = format!("{text}({})", parts.join(", "));
        }
        let old = Self::replace_cell(&this.text, Some(text.clone()));
        drop(old);
        Ok(text)
    }
}

/// An argument as reports show it: its repr, cut to fifty characters.
fn shortened(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = value.repr()?.to_string();
    if text.chars().count() <= 50 {
        return Ok(text);
    }
    Ok(format!("{}...", text.chars().take(50).collect::<String>()))
}

fn not_callable() -> PyErr {
    PyTypeError::new_err("The run argument or self._run must be callable")
}

fn not_initialised(_py: Python<'_>) -> PyErr {
    PyTypeError::new_err("this Greenlet was not initialised: a subclass with an __init__ of its own must call Greenlet.__init__(self)")
}

/// The exception that the arguments of `throw` stand for; none is GreenletExit.
fn exception_of(py: Python<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let Ok(first) = arguments.get_item(0) else {
        return Ok(PyErr::from_value(greenlet::exit_class(py).call0()?));
    };
    if first.is_instance_of::<PyType>() {
        let value = arguments.get_item(1).ok().filter(|value| !value.is_none());
        let made = match value {
            None => first.call0()?,
            Some(value) if value.is_instance(&first)? => value,
            Some(value) => match value.cast::<PyTuple>() {
                Ok(several) => first.call1(several)?,
                Err(_) => first.call1((value,))?,
            },
        };
        return Ok(PyErr::from_value(made));
    }
    Ok(PyErr::from_value(first))
}

/// What the raw greenlet calls on its own stack in place of the attribute `run`.
unsafe extern "C-unwind" fn run_native(object: *mut PyGreenlet, arguments: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held; the greenlet is running, hence alive, and of this class; the
    // arguments of the first switch are owned by this function, which does not use them.
    unsafe {
        ffi::Py_XDECREF(arguments);
        let py = Python::assume_attached();
        object::release_deferred(py);
        let slf = Bound::from_borrowed_ptr(py, object.cast()).cast_into_unchecked::<GreenletObject>();
        GreenletObject::execute(&slf);
        drop(slf);
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

/// The same for a subclass that has a `run` of its own.
unsafe extern "C-unwind" fn run_override(object: *mut PyGreenlet, arguments: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `run_native`.
    unsafe {
        object::release_deferred(Python::assume_attached());
        object::call_run(object, arguments)
    }
}

/// The entry that starts a greenlet.
unsafe fn start_now(object: NonNull<ffi::PyObject>, _place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only greenlets of this class are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<GreenletObject>() };
    if GreenletObject::started_running(&slf) || GreenletObject::is_dead(&slf) {
        return Outcome::Done;
    }
    Outcome::Wake { greenlet: NonNull::new(slf.into_ptr().cast()).expect("a Bound is never null"), again: false }
}

/// The entry that tells the links.
unsafe fn tell_links(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
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

#[pymethods]
impl GreenletObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (run=None, *args, **kwargs))]
    fn __init__(slf: &Bound<'_, Self>, run: Option<&Bound<'_, PyAny>>, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let run = run.filter(|run| !run.is_none());
        Self::initialise(
            slf,
            run.map(|run| run.clone().unbind()),
            args.clone().unbind(),
            kwargs.filter(|kwargs| !kwargs.is_empty()).map(|kwargs| kwargs.clone().unbind()),
        )?;
        let callable = match run {
            Some(run) => run.is_callable(),
            None => slf.getattr_opt("_run")?.is_some_and(|run| run.is_callable()),
        };
        if callable { Ok(()) } else { Err(not_callable()) }
    }

    /// Makes a greenlet of this class and starts it: `spawn(function, *args, **kwargs)`.
    #[classmethod]
    #[pyo3(signature = (*args, **kwargs))]
    fn spawn<'py>(cls: &Bound<'py, PyType>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        if std::ptr::eq(cls.as_type_ptr(), type_pointer(py)) {
            return spawn(py, args, kwargs).map(Bound::into_any);
        }
        let made = cls.call(args, kwargs)?;
        made.call_method0("start")?;
        Ok(made)
    }

    /// `spawn`, but started after `seconds`.
    #[classmethod]
    #[pyo3(signature = (seconds, *args, **kwargs))]
    fn spawn_later<'py>(cls: &Bound<'py, PyType>, seconds: &Bound<'py, PyAny>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(first) = args.get_item(0)
            && !first.is_callable()
        {
            // gevent says it early, with a hint at the usual mistake.
            return Err(PyTypeError::new_err("function must be callable"));
        }
        let made = cls.call(args, kwargs)?;
        made.call_method1("start_later", (seconds,))?;
        Ok(made)
    }

    /// Schedules it to run in this loop iteration.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !matches!(this.start.get(), Start::Unasked) || Self::started_running(slf) || Self::is_dead(slf) {
            return Ok(());
        }
        super::spawn_callbacks::call(slf.as_any())?;
        let key = this.home(py)?.call_native_soon(start_now, slf.as_any())?;
        this.start.set(Start::Soon(key));
        Ok(())
    }

    /// Schedules it to run after `seconds`.
    fn start_later(slf: &Bound<'_, Self>, seconds: f64) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !matches!(this.start.get(), Start::Unasked) || Self::started_running(slf) || Self::is_dead(slf) {
            return Ok(());
        }
        super::spawn_callbacks::call(slf.as_any())?;
        let engine = this.home(py)?.engine()?;
        engine.update_now();
        let object = NonNull::new(slf.as_any().clone().into_ptr()).expect("a Bound is never null");
        let key = engine.wait_timer(timeout::nanoseconds(seconds), 0, Token::Native { run: start_now, object });
        this.start.set(Start::Later(key));
        Ok(())
    }

    /// What a raw greenlet would run; here it calls `_run` and reports.
    fn run(slf: &Bound<'_, Self>) {
        Self::execute(slf);
    }

    /// The function that is called, or the method of a subclass.
    #[getter(_run)]
    fn get_run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Self::clone_cell(py, &self.function).ok_or_else(|| PyAttributeError::new_err("_run"))
    }

    #[setter(_run)]
    fn set_run(&self, value: Py<PyAny>) {
        let old = Self::replace_cell(&self.function, Some(value));
        drop(old);
    }

    #[deleter(_run)]
    fn del_run(&self) {
        let old = Self::replace_cell(&self.function, None);
        drop(old);
    }

    #[getter]
    fn args(&self, py: Python<'_>) -> Py<PyTuple> {
        Self::clone_cell(py, &self.arguments).unwrap_or_else(|| PyTuple::empty(py).unbind())
    }

    #[setter]
    fn set_args(&self, value: Py<PyTuple>) {
        let old = Self::replace_cell(&self.arguments, Some(value));
        drop(old);
    }

    #[getter]
    fn kwargs(&self, py: Python<'_>) -> Py<PyDict> {
        if let Some(keywords) = Self::clone_cell(py, &self.keywords) {
            return keywords;
        }
        let made = PyDict::new(py).unbind();
        let old = Self::replace_cell(&self.keywords, Some(made.clone_ref(py)));
        drop(old);
        made
    }

    #[setter]
    fn set_kwargs(&self, value: Py<PyDict>) {
        let old = Self::replace_cell(&self.keywords, Some(value));
        drop(old);
    }

    /// The loop it is started by.
    #[getter(r#loop)]
    fn get_loop(slf: &Bound<'_, Self>) -> Option<Py<LoopObject>> {
        Self::clone_cell(slf.py(), &slf.get().home)
    }

    /// What the function returned, or None.
    #[getter(value)]
    fn py_value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.value(py)
    }

    /// The exception that ended it, or None.
    #[getter]
    fn exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.error(py).map(|error| error.value(py).clone().into_any())
    }

    /// (type, value, traceback) of the exception that ended it; three times None after a success; an empty tuple before the end.
    #[getter]
    fn exc_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match self.error(py) {
            Some(error) => (error.get_type(py), error.value(py), error.traceback(py)).into_pyobject(py),
            None if self.has_result() => (py.None(), py.None(), py.None()).into_pyobject(py),
            None => Ok(PyTuple::empty(py)),
        }
    }

    #[getter]
    fn _exc_info<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if self.has_result() { self.exc_info(py).map(Some) } else { Ok(None) }
    }

    /// Whether it is done, however it ended.
    fn ready(slf: &Bound<'_, Self>) -> bool {
        Self::is_ready(slf)
    }

    /// Whether it returned, or was killed with GreenletExit.
    fn successful(&self) -> bool {
        // SAFETY: one step.
        matches!(unsafe { &*self.result.get() }, Result_::Value(_))
    }

    /// Whether it is finished, or was killed before it began.
    #[getter]
    fn dead(slf: &Bound<'_, Self>) -> bool {
        Self::is_dead(slf)
    }

    /// Whether it was asked to start and is not done.
    #[getter]
    fn started(slf: &Bound<'_, Self>) -> bool {
        Self::__bool__(slf)
    }

    fn __bool__(slf: &Bound<'_, Self>) -> bool {
        let asked = !matches!(slf.get().start.get(), Start::Unasked | Start::Cancelled) || Self::started_running(slf);
        asked && !Self::is_ready(slf)
    }

    /// Whether there is anybody to be told.
    fn has_links(&self) -> bool {
        !self.links.is_empty()
    }

    #[getter]
    fn _links(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.links.callables(py)
    }

    /// Has `callback(greenlet)` called with every greenlet that is about to be started.
    #[staticmethod]
    fn add_spawn_callback(callback: &Bound<'_, PyAny>) -> PyResult<()> {
        super::spawn_callbacks::add_spawn_callback(callback)
    }

    /// Takes an `add_spawn_callback` back.
    #[staticmethod]
    fn remove_spawn_callback(callback: &Bound<'_, PyAny>) -> PyResult<()> {
        super::spawn_callbacks::remove_spawn_callback(callback)
    }

    /// How many frames `spawning_stack` has at most.
    #[classattr]
    fn spawning_stack_limit() -> usize {
        10
    }

    /// Calls `callback(self)` in the hub when it is done; it must not block.
    fn rawlink(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(collector) = callback.cast::<Collector>() {
            Self::link_to(slf, Link::Collect(collector.clone().unbind()));
            return Ok(());
        }
        if !callback.is_callable() {
            return Err(PyTypeError::new_err(format!("Expected callable: {}", callback.repr()?)));
        }
        Self::link_to(slf, Link::Call(callback.clone().unbind()));
        Ok(())
    }

    /// Takes a link back.
    fn unlink(&self, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(collector) = callback.cast::<Collector>() {
            self.links.remove_collector(&collector.clone().unbind());
            return Ok(());
        }
        self.links.remove_callable(callback).map(drop)
    }

    /// Takes every link back.
    fn unlink_all(&self) {
        let links = self.links.take_all();
        drop(links);
    }

    /// Calls `callback(self)` in a greenlet of its own when it is done.
    #[pyo3(signature = (callback, SpawnedLink=None))]
    #[allow(non_snake_case)]
    fn link(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, SpawnedLink: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "SpawnedLink")
    }

    /// `link`, called only after a success.
    #[pyo3(signature = (callback, SpawnedLink=None))]
    #[allow(non_snake_case)]
    fn link_value(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, SpawnedLink: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "SuccessSpawnedLink")
    }

    /// `link`, called only after an exception.
    #[pyo3(signature = (callback, SpawnedLink=None))]
    #[allow(non_snake_case)]
    fn link_exception(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, SpawnedLink: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "FailureSpawnedLink")
    }

    /// Its result, or its exception raised; waits for it. `timeout` (seconds or a Timeout) raises Timeout.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !Self::is_ready(slf) {
            let limit = if block { Limit::begin(py, timeout)? } else { Limit::Seconds(py.None(), 0) };
            if !block {
                return Err(limit.expired(py));
            }
            let done = Self::wait_done(slf, &limit);
            limit.end();
            if !done? {
                return Err(limit.expired(py));
            }
        }
        let this = slf.get();
        if let Some(value) = this.value(py) {
            return Ok(value);
        }
        match this.error(py) {
            Some(error) => Err(error),
            None => Ok(py.None()),
        }
    }

    /// Waits until it is done, for at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn join(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if Self::is_ready(slf) {
            return Ok(());
        }
        let limit = Limit::begin(py, timeout)?;
        let done = Self::wait_done(slf, &limit);
        limit.end();
        match done {
            Err(error) if limit.is(py, &error) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Raises `exception` in it, at the hub's next turn; by default waits until it is dead.
    ///
    /// One that has not begun never will.
    #[pyo3(signature = (exception=None, block=true, timeout=None))]
    fn kill(slf: &Bound<'_, Self>, exception: Option<&Bound<'_, PyAny>>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let exception = match exception {
            Some(exception) => exception.clone(),
            None => greenlet::exit_class(py).into_any(),
        };
        if !Self::started_running(slf) {
            slf.get().cancel_start(true);
        }
        if Self::is_dead(slf) {
            return Self::report_death_before_start(slf, &PyTuple::new(py, [exception])?);
        }
        let home = slf.get().home(py)?;
        let done = block.then(|| park::arm(py)).transpose()?;
        let request = Bound::new(py, KillRequest {
            target: slf.clone().unbind(),
            exception: exception.unbind(),
            requester: UnsafeCell::new(done.as_ref().map(|ticket| ticket.clone_ref(py))),
        })?;
        home.call_native_soon(kill_now, request.as_any())?;
        if block {
            park::park_until_switched(py)?;
            Self::join(slf, timeout)?;
        }
        Ok(())
    }

    /// Raises an exception in it, at once; see greenlet's `throw`.
    #[pyo3(signature = (*args))]
    fn throw(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !Self::started_running(slf) {
            // It is dead from now on, and nothing is raised anywhere: nobody has been in it.
            slf.get().cancel_start(true);
            Self::report_death_before_start(slf, args)?;
            return Ok(py.None());
        }
        if Self::raw_dead(slf) { Ok(py.None()) } else { greenlet_base::raw_throw(slf.as_any(), args) }
    }

    /// A small number that no other living greenlet of this hub has.
    #[getter]
    fn minimal_ident(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(ident) = Self::clone_cell(py, &slf.get().ident) {
            return Ok(ident);
        }
        let hub = slf.getattr("parent")?;
        let registry = match hub.getattr_opt("ident_registry")? {
            Some(registry) => registry,
            None => object::current(py)?.getattr("ident_registry")?,
        };
        let ident = registry.call_method1("get_ident", (slf,))?.unbind();
        let old = Self::replace_cell(&slf.get().ident, Some(ident.clone_ref(py)));
        drop(old);
        Ok(ident)
    }

    /// What it is called: 'Greenlet-%d' with its `minimal_ident` until it is set.
    #[getter]
    fn name(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(name) = Self::clone_cell(py, &slf.get().name) {
            return Ok(name);
        }
        let name = format!("Greenlet-{}", Self::minimal_ident(slf)?.bind(py).str()?);
        let name = PyString::new(py, &name).into_any().unbind();
        let old = Self::replace_cell(&slf.get().name, Some(name.clone_ref(py)));
        drop(old);
        Ok(name)
    }

    #[setter]
    fn set_name(&self, value: Py<PyAny>) {
        let old = Self::replace_cell(&self.name, Some(value));
        drop(old);
    }

    /// A weak reference to the greenlet that made this one; None without `config.track_greenlet_tree`.
    #[getter]
    fn spawning_greenlet(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        // SAFETY: cloned in one step.
        unsafe { (*slf.get().site.get()).greenlet(slf.py()) }
    }

    #[setter]
    fn set_spawning_greenlet(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*slf.get().site.get()).replace_greenlet(value) };
        drop(old);
    }

    /// Where it was made: a light frame, as `traceback.print_stack` takes it.
    #[getter]
    fn spawning_stack(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        // SAFETY: copied in one step.
        let stack = unsafe { (*slf.get().site.get()).stack(slf.py()) };
        super::spawn_site::frames(slf.py(), stack)
    }

    /// A dictionary that this greenlet shares with all its descendants.
    #[getter]
    fn spawn_tree_locals(slf: &Bound<'_, Self>) -> Option<Py<PyDict>> {
        // SAFETY: one step that makes at most an empty dictionary.
        unsafe { (*slf.get().site.get()).locals(slf.py()) }
    }

    #[setter]
    fn set_spawn_tree_locals(slf: &Bound<'_, Self>, value: Option<Py<PyDict>>) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*slf.get().site.get()).replace_locals(value) };
        drop(old);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        slf.call_method0("kill").map(drop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let class = slf.get_type().name()?;
        let named = Self::clone_cell(py, &this.name).is_some() || Self::clone_cell(py, &this.ident).is_some();
        let quoted = if named { format!(" \"{}\"", Self::name(slf)?.bind(py).str()?) } else { String::new() };
        let call = Self::call_text(slf)?;
        Ok(format!("<{class}{quoted} at {:#x}: {call}>", slf.as_ptr().addr()))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.function.get())?;
            visit.call(&*self.arguments.get())?;
            visit.call(&*self.keywords.get())?;
            visit.call(&*self.home.get())?;
            visit.call(&*self.name.get())?;
            match &*self.result.get() {
                Result_::Unknown => {}
                Result_::Value(value) => visit.call(value)?,
                Result_::Error(_) => {}
            }
            (*self.site.get()).traverse(&visit)?;
        }
        self.links.traverse(&visit)
    }

    fn __clear__(&self) {
        let links = self.links.take_all();
        let old = (
            Self::replace_cell(&self.function, None),
            Self::replace_cell(&self.arguments, None),
            Self::replace_cell(&self.keywords, None),
            Self::replace_cell(&self.name, None),
            Self::replace_cell(&self.result, Result_::Unknown),
        );
        drop((links, old));
    }
}

/// Links `callback` so that it is called in a greenlet of its own.
fn spawned_link(slf: &Bound<'_, GreenletObject>, callback: &Bound<'_, PyAny>, wrapper: Option<&Bound<'_, PyAny>>, class: &str) -> PyResult<()> {
    let py = slf.py();
    let wrapper = match wrapper {
        Some(wrapper) => wrapper.clone(),
        None => names::spawned_link(py, class)?,
    };
    GreenletObject::rawlink(slf, &wrapper.call1((callback,))?)
}

/// A kill that is on its way to the hub.
#[pyclass(module = "verdigris._core", frozen)]
struct KillRequest {
    target: Py<GreenletObject>,
    exception: Py<PyAny>,
    requester: UnsafeCell<Option<park::Ticket>>,
}

// SAFETY: touched with the GIL held only.
unsafe impl Sync for KillRequest {}

/// The entry that carries a kill out, in the hub.
unsafe fn kill_now(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    if place == Place::Passing {
        return Outcome::NeedsHub;
    }
    // SAFETY: entries run with the GIL held, on an object that `kill` made.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference.
    let request = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<KillRequest>() };
    let this = request.get();
    let target = this.target.bind(py);
    if let Err(error) = target.call_method1("throw", (&this.exception,)) {
        if let Ok(home) = target.get().home(py) {
            home.handle_error(py, Some(target.as_any()), error);
        }
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

/// `spawn(function, *args, **kwargs)`: makes a Greenlet that calls it, and starts it.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs))]
pub(super) fn spawn<'py>(py: Python<'py>, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, GreenletObject>> {
    let Ok(function) = args.get_item(0) else {
        return Err(PyTypeError::new_err("spawn() needs a function to call: spawn(function, *args, **kwargs)"));
    };
    let rest = args.get_slice(1, args.len());
    let keywords = kwargs.filter(|kwargs| !kwargs.is_empty()).map(|kwargs| kwargs.clone().unbind());
    let made = GreenletObject::make(py, function.unbind(), rest.unbind(), keywords)?;
    GreenletObject::start(&made)?;
    Ok(made)
}

