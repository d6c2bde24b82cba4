//! gevent's Greenlet as Python sees it: the attributes and methods.

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::entries::{KillRequest, kill_now, start_now};
use super::{GreenletObject, Result_, Start, not_callable, spawn, type_pointer};
use crate::greenlet;
use crate::greenlet_base;
use crate::hub::event_loop::LoopObject;
use crate::hub::limit::{Limit, nanoseconds};
use crate::hub::links::Link;
use crate::hub::park;
use crate::hub::token::Token;
use crate::hub::wait::Collector;
use crate::names;

#[pymethods]
impl GreenletObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(run=None, *args, **kwargs)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (run=None, *args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        run: Option<&Bound<'_, PyAny>>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let run = run.filter(|run| !run.is_none());
        Self::initialise(
            slf,
            run.map(|run| run.clone().unbind()),
            args.clone().unbind(),
            kwargs
                .filter(|kwargs| !kwargs.is_empty())
                .map(|kwargs| kwargs.clone().unbind()),
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
    fn spawn<'py>(
        cls: &Bound<'py, PyType>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
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
    fn spawn_later<'py>(
        cls: &Bound<'py, PyType>,
        seconds: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let exact = std::ptr::eq(cls.as_type_ptr(), type_pointer(cls.py()));
        if args.get_item(0).map_or(exact, |first| !first.is_callable()) {
            return Err(PyTypeError::new_err(
                "function must be callable: spawn_later(seconds, function, *args, **kwargs)",
            ));
        }
        let made = cls.call(args, kwargs)?;
        made.call_method1("start_later", (seconds,))?;
        Ok(made)
    }

    /// Schedules it to run in this loop iteration.
    pub(crate) fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !matches!(this.start.get(), Start::Unasked) || Self::started_running(slf) || Self::is_dead(slf) {
            return Ok(());
        }
        crate::hub::spawn_callbacks::call(slf.as_any())?;
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
        crate::hub::spawn_callbacks::call(slf.as_any())?;
        let engine = this.home(py)?.engine()?;
        engine.update_now();
        let object = NonNull::new(slf.as_any().clone().into_ptr()).expect("a Bound is never null");
        let key = engine.wait_timer(nanoseconds(seconds), 0, Token::Native { run: start_now, object });
        this.start.set(Start::Later(key));
        Ok(())
    }

    /// What a raw greenlet would run; here it calls `_run` and reports.
    fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::execute(slf)
    }

    /// The function that is called, or the method of a subclass.
    #[getter(_run)]
    fn get_run(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        match Self::clone_cell(slf.py(), &slf.get().function) {
            Some(function) => Ok(function),
            None => slf.getattr("_run_nothing").map(Bound::unbind),
        }
    }

    /// What a greenlet runs that was given nothing to run.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn _run_nothing(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) {}

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

    /// (type, value, traceback) of the exception that ended it; None before the end and after a success.
    #[getter]
    fn exc_info<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.error(py)
            .map(|error| (error.get_type(py), error.value(py), error.traceback(py)).into_pyobject(py))
            .transpose()
    }

    #[getter]
    fn _exc_info<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match self.exc_info(py)? {
            None if self.has_result() => (py.None(), py.None(), py.None()).into_pyobject(py).map(Some),
            info => Ok(info),
        }
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
        crate::hub::spawn_callbacks::add_spawn_callback(callback)
    }

    /// Takes an `add_spawn_callback` back.
    #[staticmethod]
    fn remove_spawn_callback(callback: &Bound<'_, PyAny>) -> PyResult<()> {
        crate::hub::spawn_callbacks::remove_spawn_callback(callback)
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
    fn link(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        SpawnedLink: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "SpawnedLink")
    }

    /// `link`, called only after a success.
    #[pyo3(signature = (callback, SpawnedLink=None))]
    #[allow(non_snake_case)]
    fn link_value(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        SpawnedLink: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "SuccessSpawnedLink")
    }

    /// `link`, called only after an exception.
    #[pyo3(signature = (callback, SpawnedLink=None))]
    #[allow(non_snake_case)]
    fn link_exception(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        SpawnedLink: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        spawned_link(slf, callback, SpawnedLink, "FailureSpawnedLink")
    }

    /// Its result, or its exception raised; waits for it. `timeout` (seconds or a Timeout) raises Timeout.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get(slf: &Bound<'_, Self>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !Self::is_ready(slf) {
            let limit = if block {
                Limit::begin(py, timeout)?
            } else {
                Limit::Seconds(py.None(), 0)
            };
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
    fn kill(
        slf: &Bound<'_, Self>,
        exception: Option<&Bound<'_, PyAny>>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
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
        let request = Bound::new(
            py,
            KillRequest {
                target: slf.clone().unbind(),
                exception: exception.unbind(),
                requester: UnsafeCell::new(done.as_ref().map(|ticket| ticket.clone_ref(py))),
            },
        )?;
        home.call_native_soon(kill_now, request.as_any())?;
        if block {
            park::park_until_switched(py)?;
            if std::ptr::eq(slf.get_type_ptr(), type_pointer(py)) {
                Self::join(slf, timeout)?;
            } else {
                slf.call_method1("join", (timeout,))?; // it may be overridden
            }
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
        if Self::raw_dead(slf) {
            Ok(py.None())
        } else {
            greenlet_base::raw_throw(slf.as_any(), args)
        }
    }

    /// A small number that no other living greenlet of this hub has.
    #[getter]
    fn minimal_ident(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Some(ident) = Self::clone_cell(py, &slf.get().ident) {
            return Ok(ident);
        }
        let registry = slf.getattr("parent")?.getattr("ident_registry")?;
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
        crate::hub::spawn_site::frames(slf.py(), stack)
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

    /// Waits for its end at the end of a `with` block; an error of the block kills it with that error.
    fn __exit__(
        slf: &Bound<'_, Self>,
        t: &Bound<'_, PyAny>,
        v: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (t, tb);
        if !v.is_none() {
            return slf.call_method1("kill", (v,)).map(drop);
        }
        let joined = slf.call_method0("join");
        slf.call_method0("kill")?;
        joined.map(drop)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let class = slf.get_type().name()?;
        let named = Self::clone_cell(py, &this.name).is_some() || Self::clone_cell(py, &this.ident).is_some();
        let quoted = if named {
            format!(" \"{}\"", Self::name(slf)?.bind(py).str()?)
        } else {
            String::new()
        };
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
                Result_::Error(error, traceback) => {
                    visit.call(error)?;
                    visit.call(traceback)?;
                }
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
fn spawned_link(
    slf: &Bound<'_, GreenletObject>,
    callback: &Bound<'_, PyAny>,
    wrapper: Option<&Bound<'_, PyAny>>,
    class: &str,
) -> PyResult<()> {
    let py = slf.py();
    let wrapper = match wrapper {
        Some(wrapper) => wrapper.clone(),
        None => names::spawned_link(py, class)?,
    };
    GreenletObject::rawlink(slf, &wrapper.call1((callback,))?)
}
