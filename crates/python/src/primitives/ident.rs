//! `get_ident`: what tells threads apart when threads are greenlets.

use pyo3::prelude::*;

use crate::{greenlet, hub};

/// The identifier of a greenlet, by default of the running one.
///
/// When the interpreter is being finalized and no greenlet can be named any more, it is the native thread's: destructors
/// ask then, too.
#[pyfunction]
#[pyo3(signature = (gr=None))]
pub(super) fn get_ident(py: Python<'_>, gr: Option<&Bound<'_, PyAny>>) -> u64 {
    match gr.filter(|gr| !gr.is_none()) {
        Some(gr) => gr.as_ptr().addr() as u64,
        None => greenlet::current_bound(py)
            .map_or_else(|_| hub::native_thread_ident(), |current| current.as_ptr().addr() as u64),
    }
}
