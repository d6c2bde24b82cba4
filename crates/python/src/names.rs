//! The Python names that Rust reaches up to, all of them here.
//!
//! They are looked up when they are needed, on paths that are rare (an error, the first hub of a
//! thread), so that importing `verdigris._core` imports nothing else.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

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

/// The function that a greenlet calls when it goes on in a thread that is traced.
pub(crate) fn goes_on(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    attribute(py, "verdigris._hub_local", "goes_on")
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

/// The error of a pool that has no room.
pub(crate) fn pool_full(pool: &Bound<'_, PyAny>) -> PyErr {
    let made = attribute(pool.py(), "verdigris.pool", "PoolFull").and_then(|class| class.call1((pool,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// `_thread.start_new_thread` as it was before any patching.
pub(crate) fn start_new_thread(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    const NAME: &str = "start_new_thread";
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if let Some(monkey) = modules.get_item("verdigris.monkey")? {
        return monkey.call_method1("get_original", ("_thread", NAME));
    }
    attribute(py, "_thread", NAME)
}

/// The base class of the greenlets that run in the threads of a pool.
pub(crate) fn worker_greenlet(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    attribute(py, "verdigris.threadpool", "_WorkerGreenlet")
}

/// Whether `threading.setprofile` or `settrace` has been used.
pub(crate) fn has_threading_hooks(py: Python<'_>) -> bool {
    // SAFETY: the GIL is held; the dictionary is borrowed from the interpreter.
    let modules = unsafe { Bound::from_borrowed_ptr_or_opt(py, pyo3::ffi::PyImport_GetModuleDict()) };
    let threading = modules.and_then(|modules| {
        modules
            .cast_into::<PyDict>()
            .ok()?
            .get_item(intern!(py, "threading"))
            .ok()?
    });
    threading.is_some_and(|threading| {
        [intern!(py, "_profile_hook"), intern!(py, "_trace_hook")]
            .into_iter()
            .any(|name| threading.getattr(name).is_ok_and(|hook| !hook.is_none()))
    })
}
