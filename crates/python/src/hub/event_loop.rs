//! `loop`: the event loop as Python sees it, and the scheduler that both the hub and a parking
//! greenlet pull from.
//!
//! ```text
//!   a greenlet parks ──► next_runnable() ──► another greenlet is ready: switch to it directly
//!                              │
//!                              └─ nothing, or something that must run Python code: switch to the hub
//!   the hub ──► run(): next() ──► dispatch()   (also polls, with the GIL released)
//! ```
//!
//! The state of an iteration lives in the loop crate, not on the hub's stack, which is what lets a
//! parking greenlet take the next entry itself. An entry that it cannot run (`Place::Passing` must
//! not call Python code) is left in `handed`, at the front, for the hub.
//!
//! Names, arguments and errors are those of gevent's `loop` (reference rows GV-10 to GV-38).

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop as engine;

use super::callback::CallbackObject;
use super::error;
use super::token::{NativeEntry, Outcome, Place, Token};
use super::watcher;
use crate::greenlet::{self, PyGreenlet};

/// An entry taken from the loop.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Event { token: Token, revents: u32 },
    Soon(Token),
}

impl Entry {
    fn token(self) -> Token {
        match self {
            Entry::Event { token, .. } | Entry::Soon(token) => token,
        }
    }
}

/// An event loop: one per hub, bound to the thread that made it.
#[pyclass(name = "loop", module = "verdigris.core", subclass, frozen)]
pub(crate) struct LoopObject {
    engine: UnsafeCell<Option<engine::Loop<Token>>>,
    remote: engine::Remote<Token>,
    /// The thread that may touch `engine`.
    home: Cell<ThreadMark>,
    /// The entry that is next before all others: one that a parking greenlet had to leave to the hub.
    handed: Cell<Option<Entry>>,
    /// A reference that whoever runs next gives back: that of the greenlet that was resumed.
    deferred: Cell<Option<NonNull<ffi::PyObject>>>,
    /// The greenlet that runs the loop, while it waits for the greenlet it has resumed and has nothing else under way.
    at_rest: Cell<*const PyGreenlet>,
    is_default: bool,
    error_handler: UnsafeCell<Option<Py<PyAny>>>,
}

// SAFETY: everything but `remote` is touched with the GIL held and on the home thread alone;
// every method that another thread may call checks `is_home` first.
unsafe impl Send for LoopObject {}
// SAFETY: as above.
unsafe impl Sync for LoopObject {}

/// Tells threads apart by the address of a thread-local: one load, no call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadMark(usize);

impl ThreadMark {
    #[inline]
    pub(crate) fn here() -> Self {
        thread_local!(static MARK: u8 = const { 0 });
        MARK.with(|mark| ThreadMark(std::ptr::from_ref(mark).addr()))
    }
}

impl LoopObject {
    pub(crate) fn create(flags: engine::Flags, is_default: bool) -> PyResult<Self> {
        let mut engine = engine::Loop::new(flags).map_err(error::from_loop)?;
        // Only the main thread runs Python's signal handlers, so only its loop must not sleep through one.
        engine.set_guard_signals(is_default);
        Ok(Self {
            remote: engine.remote(),
            engine: UnsafeCell::new(Some(engine)),
            home: Cell::new(ThreadMark::here()),
            handed: Cell::new(None),
            deferred: Cell::new(None),
            at_rest: Cell::new(std::ptr::null()),
            is_default,
            error_handler: UnsafeCell::new(None),
        })
    }

    /// Whether the calling thread is the one that may touch this loop.
    #[inline]
    pub(crate) fn is_home(&self) -> bool {
        self.home.get() == ThreadMark::here()
    }

    /// The loop itself, for one short step. Never hold it over anything that may run Python code.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "single-threaded, and no caller keeps it over a switch")]
    pub(crate) fn engine(&self) -> PyResult<&mut engine::Loop<Token>> {
        // SAFETY: the home thread is the only one that comes here, with the GIL held, and every
        // caller uses the reference for one step that calls no Python code, so no two are alive at once.
        unsafe { (*self.engine.get()).as_mut() }
            .ok_or_else(|| PyValueError::new_err("operation on destroyed loop"))
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        // SAFETY: as in `engine`.
        unsafe { (*self.engine.get()).is_none() }
    }

    /// Puts an entry at the end of the run-soon queue, from any thread. The reference that the
    /// token owns goes with it.
    pub(crate) fn call_soon(&self, token: Token) -> PyResult<Option<engine::SoonKey>> {
        if self.is_home() {
            Ok(Some(self.engine()?.call_soon(token)))
        } else {
            self.remote.call_soon_threadsafe(token);
            Ok(None)
        }
    }

    /// Puts a native entry at the end of the run-soon queue, from any thread.
    pub(crate) fn call_native_soon(&self, run: NativeEntry, object: &Bound<'_, PyAny>) -> PyResult<Option<engine::SoonKey>> {
        let owned = NonNull::new(object.clone().into_ptr()).expect("a Bound is never null");
        self.call_soon(Token::Native { run, object: owned })
    }

    pub(crate) fn remote(&self) -> &engine::Remote<Token> {
        &self.remote
    }

    /// The next greenlet that can be resumed from here without the hub; the caller owns the reference.
    ///
    /// # Safety
    /// On the home thread, with the GIL held.
    #[inline]
    pub(crate) unsafe fn next_runnable(&self) -> Option<NonNull<PyGreenlet>> {
        loop {
            let entry = match self.handed.take() {
                Some(entry) => entry,
                None => self.try_next()?,
            };
            // SAFETY: the entry has just been taken out of the loop, so its reference is ours.
            match unsafe { self.resolve(entry, Place::Passing) } {
                Resolved::Resume(target) => return Some(target),
                Resolved::Nothing => {}
                Resolved::ForHub => return None,
            }
        }
    }

    #[inline]
    fn try_next(&self) -> Option<Entry> {
        match self.engine().ok()?.try_next()? {
            engine::Ready::Event { data, revents, .. } => Some(Entry::Event { token: data, revents: revents.bits() }),
            engine::Ready::Soon(data) => Some(Entry::Soon(data)),
        }
    }

    /// Finds out what an entry means, as far as that can be done at `place`.
    ///
    /// # Safety
    /// The entry's reference is the caller's to give, and the GIL is held.
    #[inline]
    unsafe fn resolve(&self, entry: Entry, place: Place) -> Resolved {
        match entry.token() {
            Token::Wake { greenlet, wait } => {
                // SAFETY: the token's reference keeps the greenlet alive.
                if unsafe { greenlet::slot(greenlet.as_ptr()) }.claim(wait) {
                    return Resolved::Resume(greenlet);
                }
                // SAFETY: the token was taken out of the loop.
                unsafe { entry.token().release() };
                Resolved::Nothing
            }
            Token::Native { run, object } => {
                // SAFETY: the entry's contract is the type's; the reference goes along.
                match unsafe { run(object, place) } {
                    Outcome::Done => Resolved::Nothing,
                    Outcome::Wake { greenlet, again } => {
                        if again {
                            self.hand(entry);
                        }
                        Resolved::Resume(greenlet)
                    }
                    Outcome::NeedsHub => {
                        self.hand(entry);
                        Resolved::ForHub
                    }
                }
            }
            Token::Callback(_) | Token::Watcher(_) => {
                self.hand(entry);
                Resolved::ForHub
            }
        }
    }

    /// Makes an entry the next one, before all that the loop has.
    #[inline]
    fn hand(&self, entry: Entry) {
        let before = self.handed.replace(Some(entry));
        debug_assert!(before.is_none(), "an entry that was handed over would be lost");
    }

    /// Switches to a greenlet that is due, and gives its reference back when somebody has landed.
    /// Returns what the switch returns: owned, or null with an exception set.
    ///
    /// # Safety
    /// `target`'s reference is the caller's; the GIL is held, on the home thread.
    #[inline]
    pub(crate) unsafe fn resume(&self, target: NonNull<PyGreenlet>) -> *mut ffi::PyObject {
        // SAFETY: at most one reference waits here: it is given back by whoever lands, below and in
        // the first step of a new greenlet.
        unsafe { self.release_deferred() };
        self.deferred.set(Some(target.cast()));
        // SAFETY: the target is alive: its reference is in `deferred`.
        let result = unsafe { greenlet::switch(target.as_ptr(), super::park::woken()) };
        // SAFETY: as above.
        unsafe { self.release_deferred() };
        result
    }

    /// Gives back the reference of the greenlet that was resumed last.
    ///
    /// # Safety
    /// On the home thread, with the GIL held. May run any Python code, an exception that is set survives it.
    #[inline]
    pub(crate) unsafe fn release_deferred(&self) {
        if let Some(object) = self.deferred.take() {
            // SAFETY: the reference is owned by the cell it was taken from. When it is the last one,
            // the object's destruction saves and restores the exception that is set.
            unsafe { ffi::Py_DECREF(object.as_ptr()) }
        }
    }

    /// Runs one entry in the hub (or in whichever greenlet runs the loop).
    fn dispatch(&self, py: Python<'_>, entry: Entry) {
        if let Token::Callback(_) | Token::Watcher(_) = entry.token() {
            self.check_signals(py);
            return match entry {
                Entry::Event { token: Token::Watcher(object), revents } => watcher::fire(self, py, object, revents),
                Entry::Event { token, .. } | Entry::Soon(token) => super::callback::fire(self, py, token.object()),
            };
        }
        // SAFETY: the entry was just taken out of the loop.
        if let Resolved::Resume(target) = unsafe { self.resolve(entry, Place::Hub) } {
            // Kept for the error report: the one that was resumed may be gone by then.
            // SAFETY: `target` is alive, its reference is ours.
            let name = unsafe { Bound::from_borrowed_ptr(py, target.as_ptr().cast()) };
            // SAFETY: the GIL is held; the running greenlet outlives the switch.
            let before = self.at_rest.replace(unsafe { greenlet::current() });
            // SAFETY: on the home thread with the GIL held.
            let result = unsafe { self.resume(target) };
            self.at_rest.set(before);
            if result.is_null() {
                self.handle_error(py, Some(&name), PyErr::fetch(py));
            } else {
                // SAFETY: an owned reference that nobody wants.
                unsafe { ffi::Py_DECREF(result) };
            }
        }
    }

    /// Runs Python's signal handlers, which only the main thread's loop may do.
    fn check_signals(&self, py: Python<'_>) {
        if self.is_default
            && let Err(error) = py.check_signals()
        {
            self.handle_error(py, None, error);
        }
    }

    /// Reports an error of a callback to the hub, or prints it when the loop has none.
    pub(crate) fn handle_error(&self, py: Python<'_>, context: Option<&Bound<'_, PyAny>>, error: PyErr) {
        // SAFETY: only read here, and cloned before Python code runs.
        let handler = unsafe { (*self.error_handler.get()).as_ref().map(|handler| handler.clone_ref(py)) };
        let context = context.map_or_else(|| py.None().into_bound(py), Clone::clone);
        let Some(handler) = handler else {
            error.print(py);
            if let Ok(engine) = self.engine() {
                engine.break_(engine::Break::One);
            }
            return;
        };
        let arguments = (context, error.get_type(py), error.value(py), error.traceback(py));
        if let Err(second) = handler.call_method1(py, "handle_error", arguments) {
            second.write_unraisable(py, Some(handler.bind(py)));
        }
    }

    /// Pulls and runs entries until the loop says it is done.
    fn drive(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            if let Some(entry) = self.handed.take() {
                self.dispatch(py, entry);
                continue;
            }
            match self.engine()?.next() {
                engine::Step::Event { data, revents, .. } => self.dispatch(py, Entry::Event { token: data, revents: revents.bits() }),
                engine::Step::Soon(data) => self.dispatch(py, Entry::Soon(data)),
                engine::Step::Block(wait) => self.block(py, wait)?,
                engine::Step::Done => return Ok(()),
            }
            if self.is_destroyed() {
                return Ok(());
            }
        }
    }

    /// Waits for the operating system, with the GIL released.
    fn block(&self, py: Python<'_>, mut wait: engine::Wait) -> PyResult<()> {
        if wait.masked {
            // From here to the system call no signal can arrive unseen (see the loop crate's `Wait`).
            wait.mask_signals();
            if let Err(error) = py.check_signals() {
                // The error may go to another greenlet: not with its signals blocked.
                drop(wait);
                self.handle_error(py, None, error);
                return Ok(());
            }
            if self.engine()?.is_stale(&wait) {
                return Ok(());
            }
        }
        let woken = py.detach(|| wait.block());
        self.engine()?.absorb(woken);
        self.check_signals(py);
        Ok(())
    }
}

/// What an entry came to.
enum Resolved {
    Resume(NonNull<PyGreenlet>),
    Nothing,
    ForHub,
}

impl LoopObject {
    /// Whether `hub` would do nothing but take the next entry if it were switched to: then a parking greenlet
    /// may take it itself. Not so while it is in the middle of a callback, of telling links, or outside `run`.
    #[inline]
    pub(crate) fn is_at_rest(&self, hub: *const PyGreenlet) -> bool {
        std::ptr::eq(self.at_rest.get(), hub)
    }

    pub(super) fn is_default_loop(&self) -> bool {
        self.is_default
    }

    /// Refuses the calling thread if the loop is another's.
    fn at_home(&self, py: Python<'_>) -> PyResult<&mut engine::Loop<Token>> {
        if !self.is_home() {
            return Err(error::wrong_thread(py, "this event loop"));
        }
        self.engine()
    }

    fn make_callback(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<Py<CallbackObject>> {
        Py::new(slf.py(), CallbackObject::create(callback.clone().unbind(), arguments.clone().unbind(), slf.clone().unbind()))
    }
}

/// gevent's `EVBREAK_ONE`.
const BREAK_ONE: u32 = 1;

#[pymethods]
impl LoopObject {
    #[new]
    #[pyo3(signature = (flags=None, default=None))]
    fn new(py: Python<'_>, flags: Option<&Bound<'_, PyAny>>, default: Option<bool>) -> PyResult<Self> {
        let flags = super::flags::from_python(py, flags)?;
        let is_default = default.unwrap_or(true);
        Self::create(flags | engine::Flags::NO_ENV | engine::Flags::FORK_CHECK, is_default)
    }

    /// Runs the loop: until nothing is left (the default), for one iteration that waits (`once`), or for
    /// one that does not (`nowait`).
    #[pyo3(signature = (nowait=false, once=false))]
    fn run(&self, py: Python<'_>, nowait: bool, once: bool) -> PyResult<()> {
        let mode = match (nowait, once) {
            (true, _) => engine::Mode::NoWait,
            (false, true) => engine::Mode::Once,
            (false, false) => engine::Mode::Default,
        };
        self.at_home(py)?.enter(mode);
        let result = self.drive(py);
        if let Ok(engine) = self.engine() {
            engine.leave();
        }
        result
    }

    /// Calls `func(*args)` in the next pass, before the loop polls. From another thread this is
    /// `run_callback_threadsafe`.
    #[pyo3(signature = (func, *args))]
    fn run_callback(slf: &Bound<'_, Self>, func: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<Py<CallbackObject>> {
        let this = slf.get();
        if this.is_destroyed() {
            this.engine()?;
        }
        let object = Self::make_callback(slf, func, args)?;
        let token = Token::Callback(NonNull::new(object.clone_ref(slf.py()).into_ptr()).expect("a Py is never null"));
        let key = this.call_soon(token)?;
        object.get().set_key(key);
        Ok(object)
    }

    /// The same, from any thread; wakes the loop if it sleeps.
    #[pyo3(signature = (func, *args))]
    fn run_callback_threadsafe(slf: &Bound<'_, Self>, func: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<Py<CallbackObject>> {
        Self::run_callback(slf, func, args)
    }

    /// Reports an error to `error_handler`, or prints it and leaves the loop.
    #[pyo3(name = "handle_error")]
    fn py_handle_error(
        &self,
        py: Python<'_>,
        context: &Bound<'_, PyAny>,
        r#type: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        // SAFETY: cloned in one step.
        let handler = unsafe { (*self.error_handler.get()).as_ref().map(|handler| handler.clone_ref(py)) };
        match handler {
            Some(handler) => handler.call_method1(py, "handle_error", (context, r#type, value, tb)).map(drop),
            None => {
                py.import("traceback")?.call_method1("print_exception", (r#type, value, tb))?;
                self.engine()?.break_(engine::Break::One);
                Ok(())
            }
        }
    }

    /// Who is told of errors: an object with `handle_error`, or None.
    #[getter]
    fn error_handler(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.error_handler.get()).as_ref().map(|handler| handler.clone_ref(py)) }
    }

    #[setter]
    fn set_error_handler(&self, value: Option<Py<PyAny>>) {
        // SAFETY: one step; the old value is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.error_handler.get(), value) };
        drop(old);
    }

    /// Leaves the innermost `run` (`EVBREAK_ONE`), all (`EVBREAK_ALL`), or takes that back (`EVBREAK_CANCEL`).
    #[pyo3(signature = (how=BREAK_ONE))]
    fn break_(&self, py: Python<'_>, how: u32) -> PyResult<()> {
        let how = match how {
            0 => engine::Break::Cancel,
            BREAK_ONE => engine::Break::One,
            2 => engine::Break::All,
            other => return Err(PyValueError::new_err(format!("how must be EVBREAK_CANCEL (0), EVBREAK_ONE (1) or EVBREAK_ALL (2), not {other}"))),
        };
        self.at_home(py)?.break_(how);
        Ok(())
    }

    /// Counts as one active watcher more: the loop does not end.
    fn r#ref(&self, py: Python<'_>) -> PyResult<()> {
        self.at_home(py)?.ref_();
        Ok(())
    }

    /// Takes a `ref` back.
    fn unref(&self, py: Python<'_>) -> PyResult<()> {
        self.at_home(py)?.unref();
        Ok(())
    }

    /// The loop's idea of the time, seconds since 1970; renewed when the loop has polled.
    fn now(&self) -> PyResult<f64> {
        Ok(self.engine()?.now() as f64 * 1e-9)
    }

    /// Renews the loop's idea of the time.
    fn update_now(&self) -> PyResult<()> {
        self.engine()?.update_now();
        Ok(())
    }

    /// The old name of `update_now`.
    fn update(&self) -> PyResult<()> {
        self.update_now()
    }

    /// Checks the loop's own structures; raises SystemError when they are damaged.
    fn verify(&self) -> PyResult<()> {
        self.engine()?.verify().map_err(pyo3::exceptions::PySystemError::new_err)
    }

    /// To be called in the child after a fork.
    fn reinit(&self) -> PyResult<()> {
        self.engine()?.reinit();
        Ok(())
    }

    /// Tells every watcher of `fd` that it is about to be closed; whether there was one.
    fn closing_fd(&self, py: Python<'_>, fd: i32) -> PyResult<bool> {
        Ok(self.at_home(py)?.closing_fd(fd))
    }

    /// Frees the loop. Watchers of it can no longer be started.
    fn destroy(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_destroyed() {
            return Ok(());
        }
        self.at_home(py)?;
        // SAFETY: one step; what the loop held is dropped afterwards.
        let engine = unsafe { (*self.engine.get()).take() };
        if let Some(engine) = engine {
            for token in engine.into_payloads() {
                match token {
                    Token::Watcher(object) => watcher::forget(py, object),
                    // SAFETY: the loop is gone, its tokens are ours.
                    _ => unsafe { token.release() },
                }
            }
        }
        if let Some(entry) = self.handed.take() {
            // SAFETY: as above.
            unsafe { entry.token().release() };
        }
        self.set_error_handler(None);
        Ok(())
    }

    /// Claims SIGCHLD for child watchers. Children are watched by descriptor here, so nothing is to be done.
    fn install_sigchld(&self) {}

    /// Gives SIGCHLD back: see `install_sigchld`.
    fn reset_sigchld(&self) {}

    /// The backend's file descriptor, or None where it has none (poll, select).
    fn fileno(&self) -> Option<i32> {
        self.engine().ok().and_then(|engine| engine.fileno())
    }

    /// Whether this is the main thread's loop.
    #[getter]
    fn default(&self) -> bool {
        self.is_default && !self.is_destroyed()
    }

    #[getter]
    fn iteration(&self) -> PyResult<u32> {
        Ok(self.engine()?.iteration())
    }

    #[getter]
    fn depth(&self) -> PyResult<usize> {
        Ok(self.engine()?.depth())
    }

    /// The backend's name.
    #[getter]
    fn backend(&self) -> PyResult<&'static str> {
        Ok(self.engine()?.backend_name())
    }

    /// The backend's number (libev's).
    #[getter]
    fn backend_int(&self) -> PyResult<u32> {
        Ok(self.engine()?.backend())
    }

    /// How many watchers wait for their callback.
    #[getter]
    fn pendingcnt(&self) -> PyResult<usize> {
        Ok(self.engine()?.pending_count())
    }

    /// How many watchers keep the loop running.
    #[getter]
    fn activecnt(&self) -> PyResult<i64> {
        Ok(self.engine()?.active_count())
    }

    #[getter]
    fn origflags_int(&self) -> PyResult<u32> {
        Ok(self.engine()?.flags().0)
    }

    #[getter]
    fn origflags(&self) -> PyResult<Vec<&'static str>> {
        Ok(super::flags::names(self.engine()?.flags()))
    }

    /// Non-zero while the loop lives.
    #[getter]
    fn ptr(slf: &Bound<'_, Self>) -> usize {
        if slf.get().is_destroyed() { 0 } else { slf.as_ptr().addr() }
    }

    #[getter(MAXPRI)]
    fn max_priority(&self) -> i8 {
        engine::MAX_PRIORITY
    }

    #[getter(MINPRI)]
    fn min_priority(&self) -> i8 {
        engine::MIN_PRIORITY
    }

    /// The resolution of timers, in seconds.
    #[getter]
    fn approx_timer_resolution(&self) -> f64 {
        0.00001
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let this = slf.get();
        let address = slf.as_ptr().addr();
        let Ok(engine) = this.engine() else {
            return format!("<{} at {address:#x} destroyed>", slf.get_type().name().map_or_else(|_| "loop".into(), |name| name.to_string()));
        };
        let mut text = format!("<loop at {address:#x} {}", engine.backend_name());
        if this.is_default {
            text.push_str(" default");
        }
        text.push_str(&format!(" pending={} ref={}", engine.pending_count(), engine.active_count()));
        if let Some(fd) = engine.fileno() {
            text.push_str(&format!(" fileno={fd}"));
        }
        text.push('>');
        text
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe { visit.call(&*self.error_handler.get()) }
    }

    /// A watcher of a file descriptor: READ (1), WRITE (2) or both.
    #[pyo3(signature = (fd, events, r#ref=true, priority=None))]
    fn io(slf: &Bound<'_, Self>, fd: i32, events: u32, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_io(slf, fd, events, r#ref, priority)
    }

    /// A timer: `after` seconds from its start, then every `repeat` seconds if that is not 0.
    #[pyo3(signature = (after, repeat=0.0, r#ref=true, priority=None))]
    fn timer(slf: &Bound<'_, Self>, after: f64, repeat: f64, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_timer(slf, after, repeat, r#ref, priority)
    }

    /// A watcher of a signal.
    #[pyo3(signature = (signum, r#ref=true, priority=None))]
    fn signal(slf: &Bound<'_, Self>, signum: i32, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_signal(slf, signum, r#ref, priority)
    }

    /// Called when nothing else is to be done.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn idle(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_plain(slf, watcher::Plain::Idle, r#ref, priority)
    }

    /// Called before each poll.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn prepare(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_plain(slf, watcher::Plain::Prepare, r#ref, priority)
    }

    /// Called after each poll.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn check(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_plain(slf, watcher::Plain::Check, r#ref, priority)
    }

    /// Called in the child after a fork.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn fork(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_plain(slf, watcher::Plain::Fork, r#ref, priority)
    }

    /// Called when any thread has called its `send`.
    #[pyo3(signature = (r#ref=true, priority=None))]
    fn async_(slf: &Bound<'_, Self>, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_async(slf, r#ref, priority)
    }

    /// A watcher of a child process's state.
    #[pyo3(signature = (pid, trace=0, r#ref=true))]
    fn child(slf: &Bound<'_, Self>, pid: i32, trace: i32, r#ref: bool) -> PyResult<Py<PyAny>> {
        watcher::new_child(slf, pid, trace, r#ref)
    }

    /// A watcher of a path's attributes.
    #[pyo3(signature = (path, interval=0.0, r#ref=true, priority=None))]
    fn stat(slf: &Bound<'_, Self>, path: std::path::PathBuf, interval: f64, r#ref: bool, priority: Option<i64>) -> PyResult<Py<PyAny>> {
        watcher::new_stat(slf, path, interval, r#ref, priority)
    }

    fn __getattr__(slf: &Bound<'_, Self>, name: &str) -> PyResult<Py<PyAny>> {
        // `async` is a keyword, and gevent offers it all the same.
        if name == "async" {
            return Ok(slf.getattr("async_")?.unbind());
        }
        Err(pyo3::exceptions::PyAttributeError::new_err(format!("'loop' object has no attribute '{name}'")))
    }
}
