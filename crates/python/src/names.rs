//! The Python names that Rust reaches up to, all of them here.
//!
//! They are looked up when they are needed, on paths that are rare (an error, the first hub of a
//! thread), so that importing `verdigris._core` imports nothing else.

use pyo3::prelude::*;

/// An attribute of a module.
fn attribute<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(name)
}

/// A class of `verdigris.exceptions`.
pub(crate) fn exception<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    attribute(py, "verdigris.exceptions", name)
}

/// `os.stat_result`, from the module that has it without importing `os`.
pub(crate) fn stat_result(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    attribute(py, "posix", "stat_result")
}

/// The class that `get_hub()` makes hubs of.
pub(crate) fn hub_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    attribute(py, "verdigris._hub_local", "get_hub_class")?.call0()
}

/// A link class of `verdigris.greenlet`: `SpawnedLink` or one of its subclasses.
pub(crate) fn spawned_link<'py>(py: Python<'py>, class: &str) -> PyResult<Bound<'py, PyAny>> {
    attribute(py, "verdigris.greenlet", class)
}

/// A name of `verdigris._socketcommon`: what the Rust socket leaves to Python.
pub(crate) fn socket_common<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    attribute(py, "verdigris._socketcommon", name)
}

/// An exception of `verdigris.queue`.
pub(crate) fn queue_exception<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    attribute(py, "verdigris.queue", name)
}
