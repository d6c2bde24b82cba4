//! Watchers of the loop itself: idle, prepare, check, fork, and async, which other threads send to.

use std::ptr::NonNull;

use pyo3::prelude::*;
use verdigris_loop::Spec;

use super::{WatcherObject, made};
use crate::hub::error;
use crate::hub::event_loop::LoopObject;
use crate::hub::token::Token;

/// Called when nothing else is to be done.
#[pyclass(name = "idle", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct IdleWatcher;
/// Called before each poll.
#[pyclass(name = "prepare", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct PrepareWatcher;
/// Called after each poll.
#[pyclass(name = "check", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct CheckWatcher;
/// Called in the child after a fork.
#[pyclass(name = "fork", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct ForkWatcher;

/// The kinds of watchers that need no arguments.
pub(in crate::hub) enum Plain {
    Idle,
    Prepare,
    Check,
    Fork,
}

pub(in crate::hub) fn new_plain(
    home: &Bound<'_, LoopObject>,
    kind: Plain,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
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
pub(in crate::hub) struct AsyncWatcher {
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

pub(in crate::hub) fn new_async(
    home: &Bound<'_, LoopObject>,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
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
    home.get()
        .engine()?
        .set_data(key, Token::Watcher(named))
        .map_err(error::from_loop)?;
    Ok(object)
}
