//! Watchers of a path's attributes.

use pyo3::prelude::*;
use verdigris_loop::Spec;

use super::{WatcherObject, made};
use crate::hub::event_loop::LoopObject;
use crate::hub::limit::nanoseconds;

/// Watches a path's attributes.
#[pyclass(name = "stat", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct StatWatcher;

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

pub(in crate::hub) fn new_stat(
    home: &Bound<'_, LoopObject>,
    path: std::path::PathBuf,
    interval: f64,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
    let spec = Spec::Stat {
        path,
        interval_ns: nanoseconds(interval),
    };
    made(home, WatcherObject::create(home, spec, counts, priority), StatWatcher)
}
