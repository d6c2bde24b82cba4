//! The primitives that greenlets and threads meet at: events, results, semaphores, locks, queues.
//!
//! ```text
//!   notifier.rs      who waits is told: from which loop, and when      <- all of them
//!   linkable.rs      links, rawlink                                    <- event.rs result.rs semaphore.rs
//!   rlock.rs         on top of a semaphore
//! ```
//!
//! A wait makes no Python object, and what is not contended touches neither hub nor loop, so that it works
//! in any thread. The state is protected by the GIL, in single steps.

mod event;
mod linkable;
mod notifier;
mod result;
mod rlock;
mod semaphore;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<linkable::Linkable>()?;
    module.add_class::<event::EventObject>()?;
    module.add_class::<result::ResultObject>()?;
    module.add_class::<semaphore::SemaphoreObject>()?;
    module.add_class::<semaphore::BoundedSemaphoreObject>()?;
    module.add_class::<rlock::RLockObject>()?;
    Ok(())
}
