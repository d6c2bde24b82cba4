//! Watcher objects: what `loop.io`, `loop.timer` and the others return.
//!
//! Here is what they have in common; the files beside this one are the kinds.
//!
//! An active watcher keeps itself alive; an inactive one that nobody refers to goes, and its entry in
//! the loop with it. Names, errors and texts are gevent's (reference rows GV-40 to GV-57).

mod child;
mod io;
mod plain;
mod signal;
mod stat;
mod timer;

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::exceptions::{PyAttributeError, PyOSError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop::{Events, Key, Spec};

use super::error;
use super::event_loop::LoopObject;
use super::token::Token;

pub(in crate::hub) use child::{ChildWatcher, new_child};
pub(in crate::hub) use io::{IoWatcher, new_io};
pub(in crate::hub) use plain::{
    AsyncWatcher, CheckWatcher, ForkWatcher, IdleWatcher, Plain, PrepareWatcher, new_async, new_plain,
};
pub(in crate::hub) use signal::{SignalWatcher, new_signal};
pub(in crate::hub) use stat::{StatWatcher, new_stat};
pub(in crate::hub) use timer::{TimerWatcher, new_timer};

/// The sentinel that a callback's first argument may be, to be replaced by the events that happened.
#[pyclass(name = "EventsType", module = "verdigris.core", frozen)]
pub(in crate::hub) struct EventsSentinel;

#[pymethods]
impl EventsSentinel {
    fn __repr__(&self) -> &'static str {
        "gevent.core.EVENTS"
    }
}

/// What all watchers have: a loop, a callback with its arguments, a priority, and whether they count.
#[pyclass(name = "watcher", module = "verdigris.core", subclass, frozen, weakref)]
pub(crate) struct WatcherObject {
    home: Py<LoopObject>,
    spec: UnsafeCell<Spec>,
    /// Its entry in the loop, from the first start on.
    key: Cell<Option<Key>>,
    callback: UnsafeCell<Option<Py<PyAny>>>,
    arguments: UnsafeCell<Option<Py<PyTuple>>>,
    counts: Cell<bool>,
    priority: Cell<i64>,
    pass_events: Cell<bool>,
    /// Whether it holds the reference to itself that an active watcher has.
    held: Cell<bool>,
}

// SAFETY: touched with the GIL held only, in single steps; the loop's own methods check the thread.
unsafe impl Send for WatcherObject {}
// SAFETY: as above.
unsafe impl Sync for WatcherObject {}

impl Drop for WatcherObject {
    fn drop(&mut self) {
        if let Some(key) = self.key.take()
            && self.home.get().is_home()
            && let Ok(engine) = self.home.get().engine()
        {
            engine.remove(key);
        }
    }
}

impl WatcherObject {
    fn create(home: &Bound<'_, LoopObject>, spec: Spec, counts: bool, priority: Option<i64>) -> Self {
        Self {
            home: home.clone().unbind(),
            spec: UnsafeCell::new(spec),
            key: Cell::new(None),
            callback: UnsafeCell::new(None),
            arguments: UnsafeCell::new(None),
            counts: Cell::new(counts),
            priority: Cell::new(priority.unwrap_or(0)),
            pass_events: Cell::new(false),
            held: Cell::new(false),
        }
    }

    fn spec(&self) -> Spec {
        // SAFETY: one step, GIL held.
        unsafe { (*self.spec.get()).clone() }
    }

    fn set_spec(&self, spec: Spec) -> PyResult<()> {
        if self.is_active() {
            return Err(PyAttributeError::new_err(
                "this attribute of an active watcher cannot be set; stop it first",
            ));
        }
        if let Some(key) = self.key.get() {
            self.home
                .get()
                .engine()?
                .set(key, spec.clone())
                .map_err(error::from_loop)?;
        }
        // SAFETY: one step; a spec holds no Python object.
        unsafe { *self.spec.get() = spec };
        Ok(())
    }

    fn is_active(&self) -> bool {
        match (self.key.get(), self.home.get().engine()) {
            (Some(key), Ok(engine)) => engine.is_active(key),
            _ => false,
        }
    }

    fn is_pending(&self) -> bool {
        match (self.key.get(), self.home.get().engine()) {
            (Some(key), Ok(engine)) => engine.is_pending(key),
            _ => false,
        }
    }

    fn clone_callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        unsafe { (*self.callback.get()).as_ref().map(|callback| callback.clone_ref(py)) }
    }

    fn clone_arguments(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        // SAFETY: one step.
        unsafe {
            (*self.arguments.get())
                .as_ref()
                .map(|arguments| arguments.clone_ref(py))
        }
    }

    /// Stores what is to be called. The old values are dropped last: that may run Python code.
    fn set_call(&self, callback: Option<Py<PyAny>>, arguments: Option<Py<PyTuple>>) {
        // SAFETY: single steps.
        let old = unsafe {
            (
                std::mem::replace(&mut *self.callback.get(), callback),
                std::mem::replace(&mut *self.arguments.get(), arguments),
            )
        };
        drop(old);
    }

    /// Its entry in the loop, made on the first use.
    fn ensure_key(slf: &Bound<'_, Self>) -> PyResult<Key> {
        let this = slf.get();
        if let Some(key) = this.key.get() {
            return Ok(key);
        }
        let home = this.home.get();
        if !home.is_home() {
            return Err(error::wrong_thread(slf.py(), "the loop of this watcher"));
        }
        let engine = home.engine()?;
        let object = NonNull::new(slf.as_ptr()).expect("a Bound is never null");
        let key = engine
            .insert(this.spec(), Token::Watcher(object))
            .map_err(error::from_loop)?;
        let _ = engine.set_priority(key, this.priority.get().clamp(-2, 2) as i8);
        let _ = engine.set_ref(key, this.counts.get());
        this.key.set(Some(key));
        Ok(key)
    }

    /// Takes the reference to itself that an active or pending watcher has.
    fn hold(slf: &Bound<'_, Self>) {
        if !slf.get().held.replace(true) {
            std::mem::forget(slf.clone());
        }
    }

    /// Gives it back.
    fn release(slf: &Bound<'_, Self>) {
        if slf.get().held.replace(false) {
            // SAFETY: `hold` forgot exactly this reference; `slf` keeps the object alive here.
            unsafe { ffi::Py_DECREF(slf.as_ptr()) };
        }
    }

    fn check_callable(callback: &Bound<'_, PyAny>) -> PyResult<()> {
        if callback.is_callable() {
            return Ok(());
        }
        Err(PyTypeError::new_err(format!(
            "Expected callable, not {}",
            callback.repr()?
        )))
    }

    fn begin(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
        pass_events: bool,
    ) -> PyResult<Key> {
        Self::check_callable(callback)?;
        let key = Self::ensure_key(slf)?;
        let this = slf.get();
        this.pass_events.set(pass_events);
        this.set_call(Some(callback.clone().unbind()), Some(arguments.clone().unbind()));
        Ok(key)
    }

    fn start_with(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
        pass_events: bool,
    ) -> PyResult<()> {
        let this = slf.get();
        if let Spec::Io { fd, .. } = this.spec() {
            check_open(fd)?;
        }
        let key = Self::begin(slf, callback, arguments, pass_events)?;
        if let Err(failed) = this.home.get().engine()?.start(key) {
            this.set_call(None, None);
            return Err(error::from_loop(failed));
        }
        // As the loop has it from now on.
        this.priority.set(
            this.priority
                .get()
                .clamp(verdigris_loop::MIN_PRIORITY.into(), verdigris_loop::MAX_PRIORITY.into()),
        );
        Self::hold(slf);
        Ok(())
    }

    fn stop_quietly(slf: &Bound<'_, Self>) {
        let this = slf.get();
        if let Some(key) = this.key.get()
            && let Ok(engine) = this.home.get().engine()
        {
            let _ = engine.stop(key);
        }
        this.set_call(None, None);
        Self::release(slf);
    }

    /// Updates the loop's time as gevent does before a timer starts: as told, or while callbacks are run.
    fn maybe_update_now(&self, update: Option<bool>) -> PyResult<()> {
        let engine = self.home.get().engine()?;
        if update.unwrap_or_else(|| engine.in_soon_pass()) {
            engine.update_now();
        }
        Ok(())
    }
}

/// A closed descriptor is refused at start, where the mistake was made.
fn check_open(fd: i32) -> PyResult<()> {
    // SAFETY: F_GETFD reads the descriptor's flags and touches no memory.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        let failed = std::io::Error::last_os_error();
        return Err(PyOSError::new_err((
            failed.raw_os_error().unwrap_or(libc::EBADF),
            "Bad file descriptor",
        )));
    }
    Ok(())
}

#[pymethods]
impl WatcherObject {
    /// Starts it: `callback(*args)` is called for each event. An active watcher only gets the new callback.
    #[pyo3(signature = (callback, *args, pass_events=false))]
    fn start(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        pass_events: bool,
    ) -> PyResult<()> {
        Self::start_with(slf, callback, args, pass_events)
    }

    /// Stops it: its callback is not called any more, even if it was about to be.
    fn stop(slf: &Bound<'_, Self>) {
        Self::stop_quietly(slf);
    }

    /// Stops it for good.
    fn close(slf: &Bound<'_, Self>) {
        Self::stop_quietly(slf);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(slf: &Bound<'_, Self>, t: &Bound<'_, PyAny>, v: &Bound<'_, PyAny>, tb: &Bound<'_, PyAny>) {
        let _ = (t, v, tb);
        Self::stop_quietly(slf);
    }

    /// Makes it pending as if `revents` had happened.
    #[pyo3(signature = (revents, callback, *args))]
    fn feed(
        slf: &Bound<'_, Self>,
        revents: u32,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let key = Self::begin(slf, callback, args, false)?;
        slf.get()
            .home
            .get()
            .engine()?
            .feed(key, Events::from_bits(revents))
            .map_err(error::from_loop)?;
        Self::hold(slf);
        Ok(())
    }

    /// The loop.
    #[getter(r#loop)]
    fn get_loop(&self, py: Python<'_>) -> Py<LoopObject> {
        self.home.clone_ref(py)
    }

    /// What is called; None when stopped.
    #[getter]
    fn callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.clone_callback(py)
    }

    #[setter]
    fn set_callback(&self, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        if !callback.is_none() {
            Self::check_callable(callback)?;
        }
        let callback = (!callback.is_none()).then(|| callback.clone().unbind());
        // SAFETY: one step; the old value is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.callback.get(), callback) };
        drop(old);
        Ok(())
    }

    /// The callback's arguments; None when stopped.
    #[getter]
    fn args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.clone_arguments(py)
    }

    #[setter]
    fn set_args(&self, arguments: Option<Py<PyTuple>>) {
        // SAFETY: one step; the old value is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.arguments.get(), arguments) };
        drop(old);
    }

    /// Whether it is started.
    #[getter]
    fn active(&self) -> bool {
        self.is_active()
    }

    /// Whether its callback is about to be called.
    #[getter]
    fn pending(&self) -> bool {
        self.is_pending()
    }

    /// -2 to 2; what is ready with a higher priority goes first. Only while not active.
    #[getter]
    fn priority(&self) -> i64 {
        self.priority.get()
    }

    #[setter]
    fn set_priority(&self, priority: i64) -> PyResult<()> {
        if self.is_active() {
            return Err(PyAttributeError::new_err("Cannot set priority of an active watcher"));
        }
        self.priority.set(priority);
        if let Some(key) = self.key.get() {
            let _ = self.home.get().engine()?.set_priority(key, priority.clamp(-2, 2) as i8);
        }
        Ok(())
    }

    /// Whether it keeps the loop running while active.
    #[getter(r#ref)]
    fn get_ref(&self) -> bool {
        self.counts.get()
    }

    #[setter(r#ref)]
    fn set_ref(&self, counts: bool) -> PyResult<()> {
        self.counts.set(counts);
        if let Some(key) = self.key.get() {
            self.home
                .get()
                .engine()?
                .set_ref(key, counts)
                .map_err(error::from_loop)?;
        }
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let py = slf.py();
        let address = slf.as_ptr().addr();
        let mut text = format!("<{} at {address:#x} native={address:#x}", slf.get_type().name()?);
        if this.is_active() {
            text.push_str(" active");
        }
        if this.is_pending() {
            text.push_str(" pending");
        }
        if let Spec::Io { fd, events } = this.spec() {
            text.push_str(&format!(" fd={fd} events={}", events_text(events)));
        }
        if let Some(callback) = this.clone_callback(py) {
            text.push_str(&format!(" callback={}", callback.bind(py).repr()?));
        }
        if let Some(arguments) = this.clone_arguments(py) {
            text.push_str(&format!(" args={}", arguments.bind(py).repr()?));
        }
        text.push('>');
        Ok(text)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // While it holds itself, the loop may still call it: what it refers to is alive through that.
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.callback.get())?;
            visit.call(&*self.arguments.get())
        }
    }

    fn __clear__(&self) {
        self.set_call(None, None);
    }
}

fn events_text(events: Events) -> String {
    format!("{:?}", events | Events::IOFDSET)
}

/// Calls a watcher's callback: the loop says that `revents` happened.
pub(in crate::hub) fn fire(home: &LoopObject, py: Python<'_>, object: NonNull<ffi::PyObject>, revents: u32) {
    // SAFETY: a watcher with an entry in the loop's queue holds itself, and `Token::Watcher` is only ever
    // made of a `WatcherObject`.
    let object = unsafe { Bound::from_borrowed_ptr(py, object.as_ptr()).cast_into_unchecked::<WatcherObject>() };
    let this = object.get();
    let (Some(callback), Some(arguments)) = (this.clone_callback(py), this.clone_arguments(py)) else {
        WatcherObject::stop_quietly(&object);
        return;
    };
    let result = call(py, this, &callback, arguments, revents);
    if let Err(error) = result {
        home.handle_error(py, Some(object.as_any()), error);
        if revents & Events::READ_WRITE.bits() != 0 {
            // Level-triggered: it would fail again at once, and for ever.
            WatcherObject::stop_quietly(&object);
        }
    }
    if !this.is_active() && !this.is_pending() {
        WatcherObject::stop_quietly(&object);
    }
}

fn call(
    py: Python<'_>,
    this: &WatcherObject,
    callback: &Py<PyAny>,
    arguments: Py<PyTuple>,
    revents: u32,
) -> PyResult<()> {
    let arguments = arguments.bind(py);
    let replaced = if this.pass_events.get() {
        let mut all = vec![revents.into_pyobject(py)?.into_any()];
        all.extend(arguments.iter());
        Some(PyTuple::new(py, all)?)
    } else if arguments
        .get_item(0)
        .is_ok_and(|first| first.is_instance_of::<EventsSentinel>())
    {
        let mut all = vec![revents.into_pyobject(py)?.into_any()];
        all.extend(arguments.iter().skip(1));
        Some(PyTuple::new(py, all)?)
    } else {
        None
    };
    callback
        .bind(py)
        .call1(replaced.as_ref().unwrap_or(arguments))
        .map(drop)
}

/// The loop is gone: a watcher of it is inactive for ever.
pub(in crate::hub) fn forget(py: Python<'_>, object: NonNull<ffi::PyObject>) {
    // SAFETY: a watcher removes its entry when it is destroyed, so one with an entry is alive.
    let object = unsafe { Bound::from_borrowed_ptr(py, object.as_ptr()).cast_into_unchecked::<WatcherObject>() };
    object.get().key.set(None);
    WatcherObject::release(&object);
}

fn made<T>(home: &Bound<'_, LoopObject>, base: WatcherObject, kind: T) -> PyResult<Py<PyAny>>
where
    T: pyo3::PyClass<BaseType = WatcherObject>,
{
    let initializer = PyClassInitializer::from(base).add_subclass(kind);
    Ok(Py::new(home.py(), initializer)?.into_any())
}
