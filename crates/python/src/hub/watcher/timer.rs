//! Timers.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop::Spec;

use super::{WatcherObject, made};
use crate::hub::error;
use crate::hub::event_loop::LoopObject;
use crate::hub::limit::nanoseconds;

/// Watches the clock.
#[pyclass(name = "timer", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct TimerWatcher;

#[pymethods]
impl TimerWatcher {
    /// Starts it; `update` says whether the loop's time is renewed first (default: while callbacks are run).
    #[pyo3(signature = (callback, *args, update=None, pass_events=false))]
    fn start(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        update: Option<bool>,
        pass_events: bool,
    ) -> PyResult<()> {
        let base = slf.as_super();
        base.get().maybe_update_now(update)?;
        WatcherObject::start_with(base, callback, args, pass_events)
    }

    /// Starts it anew with `repeat` as the time to wait.
    #[pyo3(signature = (callback, *args, update=true, pass_events=false))]
    fn again(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        update: Option<bool>,
        pass_events: bool,
    ) -> PyResult<()> {
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
        Ok(if this.is_active() {
            (engine.now() + remaining) as f64 * 1e-9
        } else {
            remaining as f64 * 1e-9
        })
    }

    #[getter]
    fn repeat(slf: &Bound<'_, Self>) -> f64 {
        match slf.as_super().get().spec() {
            Spec::Timer { repeat_ns, .. } => repeat_ns as f64 * 1e-9,
            _ => 0.0,
        }
    }
}

pub(in crate::hub) fn new_timer(
    home: &Bound<'_, LoopObject>,
    after: f64,
    repeat: f64,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
    if repeat < 0.0 {
        return Err(PyValueError::new_err(format!(
            "repeat must be positive or zero: {repeat:?}"
        )));
    }
    let spec = Spec::Timer {
        after_ns: nanoseconds(after),
        repeat_ns: nanoseconds(repeat),
    };
    made(home, WatcherObject::create(home, spec, counts, priority), TimerWatcher)
}
