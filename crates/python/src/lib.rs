//! The extension module `verdigris._core`: what of verdigris is Rust, shown to Python.
//!
//! ```text
//!   python/verdigris      policy: what a user imports
//!        |
//!   crates/python         translation (here)
//!        |           |
//!   crates/fiber   crates/loop      mechanism: no Python
//! ```

use pyo3::prelude::*;

#[cfg(feature = "canary")]
mod canary;
mod forks;
mod greenlet;
mod greenlet_base;
mod hub;
mod names;
mod pack;
mod pool;
mod prefetch;
mod primitives;
mod socket;
mod spin;
mod threadpool;
mod tstate;
mod usual;
#[cfg(not(Py_3_14))]
mod with_statement;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    forks::watch();
    greenlet::register(module)?;
    hub::register(module)?;
    primitives::register(module)?;
    pool::register(module)?;
    socket::register(module)?;
    threadpool::register(module)?;
    #[cfg(feature = "canary")]
    canary::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
