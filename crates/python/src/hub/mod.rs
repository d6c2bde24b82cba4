//! The hub: the greenlet that runs the loop, and what waits for it.

use std::cell::Cell;

use pyo3::prelude::*;

/// What the hub keeps inside every greenlet, so that parking one allocates nothing.
#[derive(Default)]
pub(crate) struct GreenletSlot {
    /// Counts the waits of this greenlet; a wake-up that carries an older number is stale and ignored.
    pub(crate) wait: Cell<u32>,
    /// Whether a wake-up for the present wait is on its way or has been delivered.
    pub(crate) woken: Cell<bool>,
}

pub(crate) fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
