//! Watchers of file descriptors.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use verdigris_loop::{Events, Spec};

use super::{WatcherObject, events_text, made};
use crate::hub::event_loop::LoopObject;

/// Watches a file descriptor.
#[pyclass(name = "io", module = "verdigris.core", extends = WatcherObject, frozen)]
pub(in crate::hub) struct IoWatcher;

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
    Ok(Spec::Io {
        fd,
        events: Events::from_bits(events),
    })
}

pub(in crate::hub) fn new_io(
    home: &Bound<'_, LoopObject>,
    fd: i32,
    events: u32,
    counts: bool,
    priority: Option<i64>,
) -> PyResult<Py<PyAny>> {
    made(
        home,
        WatcherObject::create(home, io_spec(fd, events)?, counts, priority),
        IoWatcher,
    )
}
