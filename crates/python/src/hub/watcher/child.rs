//! Watchers of child processes.

use std::cell::Cell;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use verdigris_loop::Spec;

use super::{WatcherObject, made};
use crate::hub::event_loop::LoopObject;

/// Watches a child process.
#[pyclass(name = "child", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct ChildWatcher {
    /// (rpid, rstatus), when they have been set by hand.
    told: Cell<Option<(i32, i32)>>,
}

// SAFETY: touched with the GIL held only.
unsafe impl Sync for ChildWatcher {}

impl ChildWatcher {
    fn status(slf: &Bound<'_, Self>) -> (i32, i32) {
        if let Some(told) = slf.get().told.get() {
            return told;
        }
        let this = slf.as_super().get();
        match (this.key.get(), this.home.get().engine()) {
            (Some(key), Ok(engine)) => engine.child_status(key).unwrap_or((0, 0)),
            _ => (0, 0),
        }
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

pub(in crate::hub) fn new_child(
    home: &Bound<'_, LoopObject>,
    pid: i32,
    trace: i32,
    counts: bool,
) -> PyResult<Py<PyAny>> {
    if !home.get().is_default_loop() {
        return Err(PyTypeError::new_err(
            "child watchers are only available on the default loop",
        ));
    }
    let spec = Spec::Child { pid, trace: trace != 0 };
    made(
        home,
        WatcherObject::create(home, spec, counts, None),
        ChildWatcher { told: Cell::new(None) },
    )
}
