//! What a thread pool does for each task: the queue, the worker's loop, and the way back to the hub.
//!
//! How many workers there are, when one more is started and what a worker is, is policy: `verdigris/threadpool.py`.

mod tasks;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<tasks::TaskQueue>()
}
