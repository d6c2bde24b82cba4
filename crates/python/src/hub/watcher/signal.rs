//! Watchers of signals.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use verdigris_loop::Spec;

use super::{WatcherObject, made};
use crate::hub::event_loop::LoopObject;

/// Watches a signal.
#[pyclass(name = "signal", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct SignalWatcher;

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

pub(in crate::hub) fn new_signal(
    home: &Bound<'_, LoopObject>,
    signum: i32,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
    if !(1..=64).contains(&signum) {
        return Err(PyValueError::new_err(format!("illegal signal number: {signum}")));
    }
    made(
        home,
        WatcherObject::create(home, Spec::Signal { signum }, counts, priority),
        SignalWatcher,
    )
}
