//! Faults on purpose (feature `canary`): what AddressSanitizer must stop, so that the job which runs under it is known to work.
//!
//! Never part of a release: only `make asan` builds with this feature.

use std::hint::black_box;

use pyo3::ffi;
use pyo3::prelude::*;

/// Reads memory of Rust's after it was freed.
#[pyfunction]
fn read_freed_memory() -> u8 {
    let freed: *const u8 = {
        let bytes = black_box(vec![7u8; 64]);
        bytes.as_ptr()
    };
    // SAFETY: none. The fault is the purpose.
    unsafe { black_box(freed).read_volatile() }
}

/// Reads a Python object after its last reference is gone.
#[pyfunction]
fn read_freed_object(py: Python<'_>) -> isize {
    let freed = pyo3::types::PyBytes::new(py, &[0; 64]).as_ptr();
    // SAFETY: none. The fault is the purpose.
    unsafe { black_box(freed).cast::<isize>().read_volatile() + ffi::Py_REFCNT(freed) }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(read_freed_memory, module)?)?;
    module.add_function(wrap_pyfunction!(read_freed_object, module)?)
}
