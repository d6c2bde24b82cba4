//! gevent's Greenlet: a greenlet that the hub starts, with a result, and links that are told of it.
//!
//! ```text
//!   new ── start() ──► scheduled ── the hub comes to it ──► running ──► done: value or exception
//!    │                     │                                   │            │
//!    └──── kill() ─────────┴── never runs: done ◄── kill() ────┘            └─► links are told
//! ```
//!
//! The names, the order of events and the texts are gevent's (reference: conformance notes, section 7).

mod entries;
mod python;
pub(super) mod usual;

use std::cell::{Cell, UnsafeCell};

use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTraceback, PyTuple, PyType};
use verdigris_loop::{Key, SoonKey};

use crate::greenlet::{self, PyGreenlet};
use crate::greenlet_base::{self, RawGreenlet};
use crate::hub::error;
use crate::hub::event_loop::LoopObject;
use crate::hub::limit::Limit;
use crate::hub::links::{Link, Links};
use crate::hub::object;
use crate::hub::park::{self, Woken};
use crate::hub::spawn_site::SpawnSite;

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
    /// The exception, and its traceback when it ended the greenlet: raising it elsewhere makes its own longer.
    Error(Py<PyBaseException>, Option<Py<PyTraceback>>),
}

/// A greenlet that is started by the hub and tells others when it is done.
#[pyclass(name = "Greenlet", module = "gevent", extends = RawGreenlet, subclass, frozen, generic)]
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
pub(crate) fn type_pointer(py: Python<'_>) -> *mut ffi::PyTypeObject {
    py.get_type::<GreenletObject>().as_type_ptr()
}

impl GreenletObject {
    pub(crate) fn empty() -> Self {
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
    pub(crate) fn initialise(
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
        unsafe { greenlet::state(Self::raw(slf)) }
            .native_run
            .set(Some(if own_run {
                entries::run_native
            } else {
                entries::run_override
            }));
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
    pub(crate) fn make<'py>(
        py: Python<'py>,
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
        keywords: Option<Py<PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        if !function.bind(py).is_callable() {
            return Err(not_callable());
        }
        let hub = object::current(py)?;
        let home = hub.get().native_loop(py)?;
        // This can start the collector, which must not find the object half made.
        let site = SpawnSite::here(py);
        // SAFETY: the hub is a live greenlet of this thread. The object is of this class; its fields are zero until they are written, in
        // one step, before anybody has seen it, and nothing of the zeroes is dropped.
        unsafe {
            let object = greenlet::allocate_child(type_pointer(py), hub.as_ptr().cast());
            let slf = Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked::<Self>();
            let fields: *const Self = slf.get();
            fields.cast_mut().write(Self {
                function: UnsafeCell::new(Some(function)),
                arguments: UnsafeCell::new(Some(arguments)),
                keywords: UnsafeCell::new(keywords),
                home: UnsafeCell::new(Some(home)),
                site: UnsafeCell::new(site),
                ..Self::empty()
            });
            greenlet::state(Self::raw(&slf))
                .native_run
                .set(Some(entries::run_native));
            Ok(slf)
        }
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

    pub(crate) fn error(&self, py: Python<'_>) -> Option<PyErr> {
        // SAFETY: cloned in one step.
        let (error, traceback) = match unsafe { &*self.result.get() } {
            Result_::Error(error, traceback) => (
                error.clone_ref(py),
                traceback.as_ref().map(|traceback| traceback.clone_ref(py)),
            ),
            _ => return None,
        };
        let error = PyErr::from_value(error.into_bound(py).into_any());
        error.set_traceback(py, traceback.map(|traceback| traceback.into_bound(py)));
        Some(error)
    }

    pub(crate) fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
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
        let token = home
            .and_then(|home| home.get().is_home().then(|| home.get().engine().ok()).flatten())
            .and_then(|engine| match start {
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
        let told = this
            .home(slf.py())
            .and_then(|home| home.call_native_soon(entries::tell_links, slf.as_any()));
        if let Err(error) = told {
            this.links.unschedule();
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }

    /// Stores an exception as the result; GreenletExit is a value. An error of the report itself is the caller's:
    /// it may be a KeyboardInterrupt, which must not be lost.
    fn report_error(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        if error.is_instance(py, &greenlet::exit_class(py)) {
            Self::finish(slf, Result_::Value(error.into_value(py).into_any()));
            return Ok(());
        }
        let shown = error.clone_ref(py);
        let traceback = error.traceback(py).map(Bound::unbind);
        Self::finish(slf, Result_::Error(error.into_value(py), traceback));
        match object::current(py) {
            Ok(hub) => {
                let report = (slf, shown.get_type(py), shown.value(py), shown.traceback(py));
                hub.getattr("handle_error")?.call1(report)?;
            }
            Err(_) => shown.write_unraisable(py, Some(slf.as_any())),
        }
        Ok(())
    }

    /// What a greenlet that was killed before it ran came to.
    fn report_death_before_start(slf: &Bound<'_, Self>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().has_result() || !Self::is_dead(slf) {
            return Ok(());
        }
        let error = exception_of(py, arguments)?;
        Self::report_error(slf, error)
    }

    /// The dictionary that its children share with it.
    pub(super) fn family_locals(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        // SAFETY: one step that makes at most an empty dictionary.
        unsafe { (*self.site.get()).locals(py) }
    }

    /// Forgets the function and its arguments, which a finished greenlet must not keep alive.
    fn forget_call(&self, py: Python<'_>) {
        let old = (
            Self::replace_cell(&self.function, None).map(|function| function.into_bound(py)),
            Self::replace_cell(&self.arguments, None).map(|arguments| arguments.into_bound(py)),
            Self::replace_cell(&self.keywords, None).map(|keywords| keywords.into_bound(py)),
        );
        drop(old);
    }

    /// The body: calls the function and reports what it came to.
    fn execute(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.cancel_start(false);
        let arguments = match Self::clone_cell(py, &this.arguments) {
            Some(arguments) => arguments.into_bound(py),
            None => PyTuple::empty(py),
        };
        let keywords = Self::clone_cell(py, &this.keywords).map(|keywords| keywords.into_bound(py));
        let function = Self::clone_cell(py, &this.function);
        let result = match function {
            Some(function) => Ok(function.into_bound(py)),
            None => slf.getattr("_run"),
        }
        .and_then(|function| function.call(&arguments, keywords.as_ref()));
        drop((arguments, keywords));
        Self::conclude(slf, result)
    }

    /// The end of the body. Not part of `execute`, so that the stack it needs is not there while the function waits.
    #[inline(never)]
    fn conclude(slf: &Bound<'_, Self>, result: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let reported = match result {
            Ok(value) => {
                Self::finish(slf, Result_::Value(value.unbind()));
                Ok(())
            }
            Err(error) => Self::report_error(slf, error),
        };
        this.forget_call(py);
        // SAFETY: the running greenlet is alive.
        unsafe { greenlet::slot(Self::raw(slf)) }
            .locals()
            .clear(slf.as_ptr().addr());
        reported
    }

    pub(crate) fn link_to(slf: &Bound<'_, Self>, link: Link) {
        slf.get().links.push(link);
        if Self::is_ready(slf) {
            Self::tell_links(slf);
        }
    }

    /// Takes back a link of ours.
    pub(crate) fn unlink_notice(slf: &Bound<'_, Self>, receiver: &Bound<'_, PyAny>) -> bool {
        slf.get().links.remove_notice(receiver)
    }

    /// Takes back the link of a wait for several things.
    pub(crate) fn unlink_collector(slf: &Bound<'_, Self>, collector: &Py<super::wait::Collector>) {
        slf.get().links.remove_collector(collector);
    }

    /// Waits until it is done, as long as `limit` allows. False when that passed.
    fn wait_done(slf: &Bound<'_, Self>, limit: &Limit) -> PyResult<bool> {
        let py = slf.py();
        if Self::is_ready(slf) {
            return Ok(true);
        }
        if !slf.get().home(py)?.is_home() {
            return Err(error::greenlet_of_other_thread(py));
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
        let mut text = if function
            .getattr_opt("__self__")?
            .is_some_and(|owner| !owner.is_none() && !owner.is_instance_of::<pyo3::types::PyModule>())
        {
            if function.getattr("__self__")?.is(slf) {
                "_run".to_owned()
            } else {
                function.repr()?.to_string()
            }
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
    PyTypeError::new_err(
        "this Greenlet was not initialised: a subclass with an __init__ of its own must call Greenlet.__init__(self)",
    )
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

/// `spawn(function, *args, **kwargs)`: makes a Greenlet that calls it, and starts it.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs))]
pub(super) fn spawn<'py>(
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, GreenletObject>> {
    let Ok(function) = args.get_item(0) else {
        return Err(PyTypeError::new_err(
            "spawn() needs a function to call: spawn(function, *args, **kwargs)",
        ));
    };
    let rest = args.get_slice(1, args.len());
    let keywords = kwargs
        .filter(|kwargs| !kwargs.is_empty())
        .map(|kwargs| kwargs.clone().unbind());
    let made = GreenletObject::make(py, function.unbind(), rest.unbind(), keywords)?;
    GreenletObject::start(&made)?;
    Ok(made)
}
