//! Watcher objects: what `loop.io`, `loop.timer` and the others return.
//!
//! An active watcher keeps itself alive; an inactive one that nobody refers to goes, and its entry in
//! the loop with it. Names, errors and texts are gevent's (reference rows GV-40 to GV-57).

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::exceptions::{PyAttributeError, PyOSError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop::{Events, Key, Spec};

use super::error;
use super::event_loop::LoopObject;
use super::timeout::nanoseconds;
use super::token::Token;

/// The sentinel that a callback's first argument may be, to be replaced by the events that happened.
#[pyclass(name = "EventsType", module = "verdigris.core", frozen)]
pub(super) struct EventsSentinel;

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
            return Err(PyAttributeError::new_err("this attribute of an active watcher cannot be set; stop it first"));
        }
        if let Some(key) = self.key.get() {
            self.home.get().engine()?.set(key, spec.clone()).map_err(error::from_loop)?;
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
        unsafe { (*self.arguments.get()).as_ref().map(|arguments| arguments.clone_ref(py)) }
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
        let key = engine.insert(this.spec(), Token::Watcher(object)).map_err(error::from_loop)?;
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
        Err(PyTypeError::new_err(format!("Expected callable, not {}", callback.repr()?)))
    }

    fn begin(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>, pass_events: bool) -> PyResult<Key> {
        Self::check_callable(callback)?;
        let key = Self::ensure_key(slf)?;
        let this = slf.get();
        this.pass_events.set(pass_events);
        this.set_call(Some(callback.clone().unbind()), Some(arguments.clone().unbind()));
        Ok(key)
    }

    fn start_with(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>, pass_events: bool) -> PyResult<()> {
        let this = slf.get();
        if let Spec::Io { fd, .. } = this.spec() {
            check_open(fd)?;
        }
        let key = Self::begin(slf, callback, arguments, pass_events)?;
        if let Err(failed) = this.home.get().engine()?.start(key) {
            this.set_call(None, None);
            return Err(error::from_loop(failed));
        }
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
        return Err(PyOSError::new_err((failed.raw_os_error().unwrap_or(libc::EBADF), "Bad file descriptor")));
    }
    Ok(())
}

#[pymethods]
impl WatcherObject {
    /// Starts it: `callback(*args)` is called for each event. An active watcher only gets the new callback.
    #[pyo3(signature = (callback, *args, pass_events=false))]
    fn start(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>, pass_events: bool) -> PyResult<()> {
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

    #[pyo3(signature = (*_args))]
    fn __exit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) {
        Self::stop_quietly(slf);
    }

    /// Makes it pending as if `revents` had happened.
    #[pyo3(signature = (revents, callback, *args))]
    fn feed(slf: &Bound<'_, Self>, revents: u32, callback: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let key = Self::begin(slf, callback, args, false)?;
        slf.get().home.get().engine()?.feed(key, Events::from_bits(revents)).map_err(error::from_loop)?;
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
            self.home.get().engine()?.set_ref(key, counts).map_err(error::from_loop)?;
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
pub(super) fn fire(home: &LoopObject, py: Python<'_>, object: NonNull<ffi::PyObject>, revents: u32) {
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

fn call(py: Python<'_>, this: &WatcherObject, callback: &Py<PyAny>, arguments: Py<PyTuple>, revents: u32) -> PyResult<()> {
    let arguments = arguments.bind(py);
    let replaced = if this.pass_events.get() {
        let mut all = vec![revents.into_pyobject(py)?.into_any()];
        all.extend(arguments.iter());
        Some(PyTuple::new(py, all)?)
    } else if arguments.get_item(0).is_ok_and(|first| first.is_instance_of::<EventsSentinel>()) {
        let mut all = vec![revents.into_pyobject(py)?.into_any()];
        all.extend(arguments.iter().skip(1));
        Some(PyTuple::new(py, all)?)
    } else {
        None
    };
    callback.bind(py).call1(replaced.as_ref().unwrap_or(arguments)).map(drop)
}

/// The loop is gone: a watcher of it is inactive for ever.
pub(super) fn forget(py: Python<'_>, object: NonNull<ffi::PyObject>) {
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

/// Watches a file descriptor.
#[pyclass(name = "io", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct IoWatcher;

#[pymethods]
impl IoWatcher {
    #[getter]
    fn fd(slf: &Bound<'_, Self>) -> i32 {
        match slf.as_super().get().spec() {
            Spec::Io { fd, .. } => fd,
            _ => -1,
        }
    }

    #[setter]
    fn set_fd(slf: &Bound<'_, Self>, fd: i32) -> PyResult<()> {
        slf.as_super().get().set_spec(io_spec(fd, Self::events(slf))?)
    }

    #[getter]
    fn events(slf: &Bound<'_, Self>) -> u32 {
        match slf.as_super().get().spec() {
            Spec::Io { events, .. } => events.bits(),
            _ => 0,
        }
    }

    #[setter]
    fn set_events(slf: &Bound<'_, Self>, events: u32) -> PyResult<()> {
        slf.as_super().get().set_spec(io_spec(Self::fd(slf), events)?)
    }

    #[getter]
    fn events_str(slf: &Bound<'_, Self>) -> String {
        events_text(Events::from_bits(Self::events(slf)))
    }
}

fn io_spec(fd: i32, events: u32) -> PyResult<Spec> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!("fd must be non-negative: {fd}")));
    }
    if events & !Events::READ_WRITE.bits() != 0 {
        return Err(PyValueError::new_err(format!("illegal event mask: {events}")));
    }
    Ok(Spec::Io { fd, events: Events::from_bits(events) })
}

pub(super) fn new_io(home: &Bound<'_, LoopObject>, fd: i32, events: u32, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    made(home, WatcherObject::create(home, io_spec(fd, events)?, counts, priority), IoWatcher)
}

/// Watches the clock.
#[pyclass(name = "timer", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct TimerWatcher;

#[pymethods]
impl TimerWatcher {
    /// Starts it; `update` says whether the loop's time is renewed first (default: while callbacks are run).
    #[pyo3(signature = (callback, *args, update=None, pass_events=false))]
    fn start(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>, update: Option<bool>, pass_events: bool) -> PyResult<()> {
        let base = slf.as_super();
        base.get().maybe_update_now(update)?;
        WatcherObject::start_with(base, callback, args, pass_events)
    }

    /// Starts it anew with `repeat` as the time to wait.
    #[pyo3(signature = (callback, *args, update=true, pass_events=false))]
    fn again(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>, update: Option<bool>, pass_events: bool) -> PyResult<()> {
        let base = slf.as_super();
        base.get().maybe_update_now(update)?;
        let key = WatcherObject::begin(base, callback, args, pass_events)?;
        base.get().home.get().engine()?.again(key).map_err(error::from_loop)?;
        if base.get().is_active() {
            WatcherObject::hold(base);
        }
        Ok(())
    }

    /// When it is due, on the loop's own clock (seconds since 1970), while active; otherwise the seconds to wait.
    #[getter]
    fn at(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let this = slf.as_super().get();
        let engine = this.home.get().engine()?;
        let remaining = match this.key.get() {
            Some(key) => engine.remaining(key).map_err(error::from_loop)?,
            None => match this.spec() {
                Spec::Timer { after_ns, .. } => after_ns,
                _ => 0,
            },
        };
        Ok(if this.is_active() { (engine.now() + remaining) as f64 * 1e-9 } else { remaining as f64 * 1e-9 })
    }

    #[getter]
    fn repeat(slf: &Bound<'_, Self>) -> f64 {
        match slf.as_super().get().spec() {
            Spec::Timer { repeat_ns, .. } => repeat_ns as f64 * 1e-9,
            _ => 0.0,
        }
    }
}

pub(super) fn new_timer(home: &Bound<'_, LoopObject>, after: f64, repeat: f64, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    if repeat < 0.0 {
        return Err(PyValueError::new_err(format!("repeat must be positive or zero: {repeat:?}")));
    }
    let spec = Spec::Timer { after_ns: nanoseconds(after), repeat_ns: nanoseconds(repeat) };
    made(home, WatcherObject::create(home, spec, counts, priority), TimerWatcher)
}

/// Watches a signal.
#[pyclass(name = "signal", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct SignalWatcher;

#[pymethods]
impl SignalWatcher {
    #[getter]
    fn signum(slf: &Bound<'_, Self>) -> i32 {
        match slf.as_super().get().spec() {
            Spec::Signal { signum } => signum,
            _ => 0,
        }
    }
}

pub(super) fn new_signal(home: &Bound<'_, LoopObject>, signum: i32, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    if !(1..=64).contains(&signum) {
        return Err(PyValueError::new_err(format!("illegal signal number: {signum}")));
    }
    made(home, WatcherObject::create(home, Spec::Signal { signum }, counts, priority), SignalWatcher)
}

/// Called when nothing else is to be done.
#[pyclass(name = "idle", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct IdleWatcher;
/// Called before each poll.
#[pyclass(name = "prepare", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct PrepareWatcher;
/// Called after each poll.
#[pyclass(name = "check", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct CheckWatcher;
/// Called in the child after a fork.
#[pyclass(name = "fork", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct ForkWatcher;

/// The kinds of watchers that need no arguments.
pub(super) enum Plain {
    Idle,
    Prepare,
    Check,
    Fork,
}

pub(super) fn new_plain(home: &Bound<'_, LoopObject>, kind: Plain, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    let base = |spec| WatcherObject::create(home, spec, counts, priority);
    match kind {
        Plain::Idle => made(home, base(Spec::Idle), IdleWatcher),
        Plain::Prepare => made(home, base(Spec::Prepare), PrepareWatcher),
        Plain::Check => made(home, base(Spec::Check), CheckWatcher),
        Plain::Fork => made(home, base(Spec::Fork), ForkWatcher),
    }
}

/// Called in the loop's thread when any thread has called `send`.
#[pyclass(name = "async_", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct AsyncWatcher {
    sender: verdigris_loop::AsyncSender,
}

#[pymethods]
impl AsyncWatcher {
    /// Makes the loop call the callback soon; from any thread.
    fn send(&self) {
        self.sender.send();
    }

    /// `send` as a callback that takes one argument.
    fn send_ignoring_arg(&self, _ignored: &Bound<'_, PyAny>) {
        self.sender.send();
    }

    /// Whether `send` was called and the callback not yet.
    #[getter]
    fn pending(&self) -> bool {
        self.sender.is_sent()
    }
}

pub(super) fn new_async(home: &Bound<'_, LoopObject>, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    let base = WatcherObject::create(home, Spec::Async, counts, priority);
    // The sender must exist before the object does, so the entry is made here with a payload that is
    // replaced as soon as there is an object to name.
    let engine = home.get().engine()?;
    let placeholder = Token::Watcher(NonNull::new(home.as_ptr()).expect("a Bound is never null"));
    let key = engine.insert(Spec::Async, placeholder).map_err(error::from_loop)?;
    let sender = engine.async_sender(key).map_err(error::from_loop)?;
    let _ = engine.set_priority(key, base.priority.get().clamp(-2, 2) as i8);
    let _ = engine.set_ref(key, counts);
    base.key.set(Some(key));
    let object = made(home, base, AsyncWatcher { sender })?;
    let named = NonNull::new(object.as_ptr()).expect("a Py is never null");
    home.get().engine()?.set_data(key, Token::Watcher(named)).map_err(error::from_loop)?;
    Ok(object)
}

/// Watches a child process.
#[pyclass(name = "child", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct ChildWatcher {
    /// (rpid, rstatus), when they have been set by hand.
    told: Cell<Option<(i32, i32)>>,
}

// SAFETY: touched with the GIL held only.
unsafe impl Sync for ChildWatcher {}

impl ChildWatcher {
    fn status(slf: &Bound<'_, Self>) -> (i32, i32) {
        slf.get().told.get().unwrap_or((0, 0))
    }
}

#[pymethods]
impl ChildWatcher {
    #[getter]
    fn pid(slf: &Bound<'_, Self>) -> i32 {
        match slf.as_super().get().spec() {
            Spec::Child { pid, .. } => pid,
            _ => 0,
        }
    }

    /// The child that changed its state.
    #[getter]
    fn rpid(slf: &Bound<'_, Self>) -> i32 {
        Self::status(slf).0
    }

    #[setter]
    fn set_rpid(slf: &Bound<'_, Self>, rpid: i32) {
        let (_, rstatus) = Self::status(slf);
        slf.get().told.set(Some((rpid, rstatus)));
    }

    /// Its status, as `os.waitpid` gives it.
    #[getter]
    fn rstatus(slf: &Bound<'_, Self>) -> i32 {
        Self::status(slf).1
    }

    #[setter]
    fn set_rstatus(slf: &Bound<'_, Self>, rstatus: i32) {
        let (rpid, _) = Self::status(slf);
        slf.get().told.set(Some((rpid, rstatus)));
    }
}

pub(super) fn new_child(home: &Bound<'_, LoopObject>, pid: i32, trace: i32, counts: bool) -> PyResult<Py<PyAny>> {
    if !home.get().is_default_loop() {
        return Err(PyTypeError::new_err("child watchers are only available on the default loop"));
    }
    let spec = Spec::Child { pid, trace: trace != 0 };
    made(home, WatcherObject::create(home, spec, counts, None), ChildWatcher { told: Cell::new(None) })
}

/// Watches a path's attributes.
#[pyclass(name = "stat", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(super) struct StatWatcher;

#[pymethods]
impl StatWatcher {
    #[getter]
    fn path(slf: &Bound<'_, Self>) -> Option<std::path::PathBuf> {
        match slf.as_super().get().spec() {
            Spec::Stat { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Seconds between two looks, where the system does not tell of changes.
    #[getter]
    fn interval(slf: &Bound<'_, Self>) -> f64 {
        match slf.as_super().get().spec() {
            Spec::Stat { interval_ns, .. } => interval_ns as f64 * 1e-9,
            _ => 0.0,
        }
    }
}

pub(super) fn new_stat(home: &Bound<'_, LoopObject>, path: std::path::PathBuf, interval: f64, counts: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
    let spec = Spec::Stat { path, interval_ns: nanoseconds(interval) };
    made(home, WatcherObject::create(home, spec, counts, priority), StatWatcher)
}
