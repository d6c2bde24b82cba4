//! Event: a flag that greenlets and threads wait for.
//!
//! Setting it lets everybody go who waits, in the order they came, even if it is cleared at once. Whoever
//! begins to wait while they are let go comes after them, though the flag is set: so the order stays that
//! of the waits (gevent's issue 1520).

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::linkable::{Kind, Linkable};
use super::notifier::Ended;
use crate::hub::Limit;

/// A flag: `set`, `clear`, and `wait` until it is set.
#[pyclass(name = "Event", module = "verdigris.event", extends = Linkable, subclass, frozen)]
pub(crate) struct EventObject {
    flag: Cell<bool>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Sync for EventObject {}

static KIND: Kind = Kind::new(flag_of, Linkable::tell_due, Linkable::tell_everybody);

fn flag_of(slf: &Bound<'_, Linkable>) -> bool {
    // SAFETY: only events have this table of functions.
    unsafe { slf.cast_unchecked::<EventObject>() }.get().flag.get()
}

impl EventObject {
    pub(crate) fn make(py: Python<'_>, flag: bool) -> PyResult<Py<EventObject>> {
        Py::new(py, Self::initializer(flag))
    }

    fn initializer(flag: bool) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Self::linkable()).add_subclass(Self::with_flag(flag))
    }

    /// The fields of a new event, as a linkable and its own.
    #[inline]
    pub(super) fn linkable() -> Linkable {
        Linkable::of(&KIND)
    }

    #[inline]
    pub(super) fn with_flag(flag: bool) -> Self {
        Self { flag: Cell::new(flag) }
    }

    pub(super) fn clear_flag(&self) {
        self.flag.set(false);
    }
}

#[pymethods]
impl EventObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::initializer(false)
    }

    fn __init__(&self) {}

    /// Whether the flag is set.
    pub(super) fn is_set(&self) -> bool {
        self.flag.get()
    }

    /// The old name of `is_set`.
    #[pyo3(name = "isSet")]
    fn is_set_old(&self) -> bool {
        self.flag.get()
    }

    /// Whether the flag is set.
    fn ready(&self) -> bool {
        self.flag.get()
    }

    /// Sets the flag and lets go everybody who waits for it.
    pub(crate) fn set(slf: &Bound<'_, Self>) -> PyResult<()> {
        let base = slf.as_super();
        base.get().notifier.touch();
        slf.get().flag.set(true);
        Linkable::tell_everybody(base)
    }

    /// Clears the flag.
    pub(crate) fn clear(slf: &Bound<'_, Self>) {
        slf.as_super().get().notifier.touch();
        slf.get().flag.set(false);
    }

    /// Waits until the flag is set, for at most `timeout` (seconds, or a Timeout). Whether it was set: False
    /// only if the time has passed.
    #[pyo3(signature = (timeout=None))]
    pub(super) fn wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let base = slf.as_super().get();
        base.notifier.touch();
        if this.flag.get() && !base.must_queue(py) {
            return Ok(true);
        }
        let limit = Limit::begin(py, timeout)?;
        let set_before = this.flag.get();
        let ended = base.park(py, set_before, limit.nanoseconds());
        limit.end();
        match ended {
            Ok(Ended::Told) => Ok(true),
            // Also if it was set meanwhile: who returns True has been told.
            Ok(Ended::TimedOut) => Ok(set_before),
            Err(error) if limit.is(py, &error) => Ok(set_before),
            Err(error) => Err(error),
        }
    }

    /// For `threading`, after a fork: nothing to do.
    fn _reset_internal_locks(&self) {}

    /// For `threading`, after a fork: nothing to do.
    fn _at_fork_reinit(&self) {}

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let state = if slf.get().flag.get() { "set" } else { "clear" };
        Ok(format!(
            "<{}.{} at {:#x} {state} {}>",
            slf.get_type().module()?,
            slf.get_type().qualname()?,
            slf.as_ptr().addr(),
            slf.as_super().get().tail()
        ))
    }
}
