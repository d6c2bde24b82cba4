//! Functions that are called with every greenlet that is about to be started
//! (`Greenlet.add_spawn_callback`).

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PySet;

/// The set of callbacks, and how many there are: a spawn only looks at the number.
static CALLBACKS: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Makes the set. Called once, when the module is imported.
pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
    CALLBACKS.store(PySet::empty(py)?.into_ptr(), Ordering::Relaxed);
    Ok(())
}

fn callbacks(py: Python<'_>) -> Bound<'_, PySet> {
    // SAFETY: made at import, never freed.
    unsafe { Bound::from_borrowed_ptr(py, CALLBACKS.load(Ordering::Relaxed)).cast_into_unchecked() }
}

/// Whether a spawn has to call any.
#[inline]
pub(super) fn are_there() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// Calls them all with a greenlet that starts.
#[inline]
pub(super) fn call(greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
    if !are_there() {
        return Ok(());
    }
    let all: Vec<Bound<'_, PyAny>> = callbacks(greenlet.py()).iter().collect();
    for callback in all {
        callback.call1((greenlet,))?;
    }
    Ok(())
}

/// `Greenlet.add_spawn_callback(callback)`.
pub(super) fn add_spawn_callback(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let all = callbacks(callback.py());
    all.add(callback)?;
    COUNT.store(all.len(), Ordering::Relaxed);
    Ok(())
}

/// `Greenlet.remove_spawn_callback(callback)`.
pub(super) fn remove_spawn_callback(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let all = callbacks(callback.py());
    all.discard(callback)?;
    COUNT.store(all.len(), Ordering::Relaxed);
    Ok(())
}
