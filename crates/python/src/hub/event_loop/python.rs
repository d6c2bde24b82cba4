//! `loop`: the event loop as Python sees it.
//!
//! Names, arguments and errors are those of gevent's `loop` (reference rows GV-10 to GV-38). What runs
//! the entries is in `mod.rs`.

use std::ptr::NonNull;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop as engine;

use super::LoopObject;
use crate::hub::callback::CallbackObject;
use crate::hub::token::Token;
use crate::hub::{flags, watcher};

/// gevent's `EVBREAK_ONE`.
const BREAK_ONE: u32 = 1;

#[pymethods]
impl LoopObject {
    #[new]
    #[pyo3(signature = (flags=None, default=None))]
    fn new(py: Python<'_>, flags: Option<&Bound<'_, PyAny>>, default: Option<bool>) -> PyResult<Self> {
        let flags = flags::from_python(py, flags)?;
        let is_default = default.unwrap_or(true);
        Self::create(
            py,
            flags | engine::Flags::NO_ENV | engine::Flags::FORK_CHECK,
            is_default,
        )
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
        let engine = self.at_home(py)?;
        engine.enter(mode);
        let depth = engine.depth();
        self.drive(py, depth)
    }

    /// Calls `func(*args)` in the next pass, before the loop polls. From another thread this is
    /// `run_callback_threadsafe`.
    #[pyo3(signature = (func, *args))]
    fn run_callback(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<Py<CallbackObject>> {
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
    fn run_callback_threadsafe(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<Py<CallbackObject>> {
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
        let handler = unsafe {
            (*self.error_handler.get())
                .as_ref()
                .map(|handler| handler.clone_ref(py))
        };
        match handler {
            Some(handler) => handler
                .call_method1(py, "handle_error", (context, r#type, value, tb))
                .map(drop),
            None => {
                py.import("traceback")?
                    .call_method1("print_exception", (r#type, value, tb))?;
                self.engine()?.break_(engine::Break::One);
                Ok(())
            }
        }
    }

    /// Who is told of errors: an object with `handle_error`, or None.
    #[getter]
    fn error_handler(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: cloned in one step.
        unsafe {
            (*self.error_handler.get())
                .as_ref()
                .map(|handler| handler.clone_ref(py))
        }
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
            other => {
                return Err(PyValueError::new_err(format!(
                    "how must be EVBREAK_CANCEL (0), EVBREAK_ONE (1) or EVBREAK_ALL (2), not {other}"
                )));
            }
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
        self.engine()?
            .verify()
            .map_err(pyo3::exceptions::PySystemError::new_err)
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
        if self.blocked.get() {
            // Not while its own thread is in the middle of a wait. Once that has ended, anybody may.
            self.at_home(py)?;
        }
        // SAFETY: single steps; what the loop held is dropped afterwards.
        let (engine, remote) = unsafe { ((*self.engine.get()).take(), (*self.remote.get()).take()) };
        drop(remote);
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

    /// Whether a signal has yet to be handed to its watchers; it is, before anybody could ask: always 0.
    #[getter]
    fn sig_pending(&self) -> PyResult<u32> {
        self.engine()?;
        Ok(0)
    }

    /// The class of all watchers.
    #[getter(WatcherType)]
    fn watcher_type<'py>(&self, py: Python<'py>) -> Bound<'py, pyo3::types::PyType> {
        py.get_type::<watcher::WatcherObject>()
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
        Ok(flags::names(self.engine()?.flags()))
    }

    /// Non-zero while the loop lives.
    #[getter]
    fn ptr(slf: &Bound<'_, Self>) -> usize {
        if slf.get().is_destroyed() {
            0
        } else {
            slf.as_ptr().addr()
        }
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
            return format!(
                "<{} at {address:#x} destroyed>",
                slf.get_type()
                    .name()
                    .map_or_else(|_| "loop".into(), |name| name.to_string())
            );
        };
        let mut text = format!("<loop at {address:#x} {}", engine.backend_name());
        if this.is_default {
            text.push_str(" default");
        }
        text.push_str(&format!(
            " pending={} ref={}",
            engine.pending_count(),
            engine.active_count()
        ));
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
    fn timer(
        slf: &Bound<'_, Self>,
        after: f64,
        repeat: f64,
        r#ref: bool,
        priority: Option<i64>,
    ) -> PyResult<Py<PyAny>> {
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
    fn stat(
        slf: &Bound<'_, Self>,
        path: std::path::PathBuf,
        interval: f64,
        r#ref: bool,
        priority: Option<i64>,
    ) -> PyResult<Py<PyAny>> {
        watcher::new_stat(slf, path, interval, r#ref, priority)
    }

    fn __getattr__(slf: &Bound<'_, Self>, name: &str) -> PyResult<Py<PyAny>> {
        // `async` is a keyword, and gevent offers it all the same.
        if name == "async" {
            return Ok(slf.getattr("async_")?.unbind());
        }
        Err(pyo3::exceptions::PyAttributeError::new_err(format!(
            "'loop' object has no attribute '{name}'"
        )))
    }
}
