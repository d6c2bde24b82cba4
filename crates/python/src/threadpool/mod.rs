//! The thread pool: functions that block run in threads of the operating system, and greenlets wait for them.
//!
//! ```text
//!   hub's thread                                             worker threads
//!   apply, spawn ── Task ──► queue.rs (mutex, condition) ──► worker.rs: calls the function
//!        ▲                                                        │
//!        └── completions.rs: an entry of the loop ◄── Completion ┘
//! ```
//!
//! A greenlet that waits in `apply` is parked like any other, and no Python object is made for it. The queue's mutex
//! is never locked while Python code runs, nor while a thread waits for the GIL.

mod completions;
mod places;
mod pool;
mod python;
mod queue;
mod task;
mod worker;

use pyo3::prelude::*;

pub(crate) use worker::root_of_this_thread;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<pool::PoolObject>()
}
