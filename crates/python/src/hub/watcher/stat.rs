//! Watchers of a path's attributes.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use verdigris_loop::{Attributes, Spec};

use super::{WatcherObject, made};
use crate::hub::error;
use crate::hub::event_loop::LoopObject;
use crate::hub::limit::nanoseconds;
use crate::names;

/// Watches a path's attributes.
#[pyclass(name = "stat", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct StatWatcher;

#[pymethods]
impl StatWatcher {
    #[getter]
    fn path(slf: &Bound<'_, Self>) -> Option<std::ffi::OsString> {
        match slf.as_super().get().spec() {
            Spec::Stat { path, .. } => Some(path.into_os_string()),
            _ => None,
        }
    }

    /// The path's attributes (an `os.stat_result`) as they were last seen; None if it was not there.
    #[getter]
    fn attr(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let base = slf.as_super();
        let key = WatcherObject::ensure_key(base)?;
        let engine = base.get().home.get().engine()?;
        if !engine.is_active(key) {
            let now = engine.stat_now(key).map_err(error::from_loop)?;
            return result(slf.py(), &now);
        }
        let (_, now) = engine.stat_attributes(key).map_err(error::from_loop)?;
        result(slf.py(), &now)
    }

    /// The attributes before the last change; None if it was not there.
    #[getter]
    fn prev(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let base = slf.as_super();
        let key = WatcherObject::ensure_key(base)?;
        let (before, _) = base
            .get()
            .home
            .get()
            .engine()?
            .stat_attributes(key)
            .map_err(error::from_loop)?;
        result(slf.py(), &before)
    }

    /// Seconds between two looks, where the system does not tell of changes.
    /// Before the start it is what was asked for, then what the loop makes of it.
    #[getter]
    fn interval(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let base = slf.as_super().get();
        let interval_ns = match (base.key.get(), base.spec()) {
            (Some(key), _) => base
                .home
                .get()
                .engine()?
                .stat_interval_ns(key)
                .map_err(error::from_loop)?,
            (None, Spec::Stat { interval_ns, .. }) => interval_ns,
            _ => 0,
        };
        Ok(interval_ns as f64 * 1e-9)
    }

    /// The path as bytes, as the system takes it.
    #[getter]
    fn _paths(slf: &Bound<'_, Self>) -> std::borrow::Cow<'static, [u8]> {
        match slf.as_super().get().spec() {
            Spec::Stat { path, .. } => path.into_os_string().into_encoded_bytes().into(),
            _ => Vec::new().into(),
        }
    }
}

/// Attributes as `os.stat_result`, which takes them in this order; times whole, then exact.
fn result(py: Python<'_>, attributes: &Attributes) -> PyResult<Option<Py<PyAny>>> {
    if attributes.nlink == 0 {
        return Ok(None);
    }
    const SECOND_NS: i64 = 1_000_000_000;
    let times = [attributes.atime_ns, attributes.mtime_ns, attributes.ctime_ns];
    let [accessed, modified, changed] = times.map(|time_ns| time_ns.div_euclid(SECOND_NS));
    let [accessed_exactly, modified_exactly, changed_exactly] = times.map(|time_ns| time_ns as f64 * 1e-9);
    let fields = (
        (
            attributes.mode,
            attributes.ino,
            attributes.dev,
            attributes.nlink,
            attributes.uid,
            attributes.gid,
            attributes.size,
        ),
        (accessed, modified, changed),
        (accessed_exactly, modified_exactly, changed_exactly),
        times,
    );
    let (file, whole, exact, times_ns) = fields;
    let mut all: Vec<Bound<'_, PyAny>> = file.into_pyobject(py)?.iter().collect();
    all.extend(whole.into_pyobject(py)?.iter());
    all.extend(exact.into_pyobject(py)?.iter());
    all.extend(times_ns.into_pyobject(py)?.try_iter()?.collect::<PyResult<Vec<_>>>()?);
    names::stat_result(py)?
        .call1((PyTuple::new(py, all)?,))
        .map(|made| Some(made.unbind()))
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
