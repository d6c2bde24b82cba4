//! The primitives that greenlets and threads meet at: events, results, semaphores, locks, queues.
//!
//! ```text
//!   notifier.rs      who waits is told: from which loop, and when      <- all of them
//!   linkable.rs      links, rawlink                                    <- event.rs result.rs semaphore.rs
//!   rlock.rs         on top of a semaphore
//!   local.rs         attributes for each greenlet
//!   queue/           queues, their items in store.rs; channel/: the queue without room
//!   thread_lock.rs   a semaphore of one, as `threading` wants it
//! ```
//!
//! A wait makes no Python object, and what is not contended touches neither hub nor loop, so that it works
//! in any thread. The state is protected by the GIL, in single steps.

mod channel;
mod event;
mod ident;
mod linkable;
mod local;
mod notifier;
mod queue;
mod result;
mod rlock;
mod semaphore;
mod store;
mod thread_lock;
mod usual;

use pyo3::prelude::*;

pub(crate) use event::EventObject;
pub(crate) use local::LocalStores;
pub(crate) use result::ResultObject;
pub(crate) use semaphore::SemaphoreObject;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<linkable::Linkable>()?;
    module.add_class::<event::EventObject>()?;
    module.add_class::<result::ResultObject>()?;
    module.add_class::<semaphore::SemaphoreObject>()?;
    module.add_class::<semaphore::BoundedSemaphoreObject>()?;
    module.add_class::<rlock::RLockObject>()?;
    module.add_function(wrap_pyfunction!(ident::get_ident, module)?)?;
    module.add_class::<local::LocalObject>()?;
    module.add_function(wrap_pyfunction!(local::all_local_dicts_for_greenlet, module)?)?;
    module.add_class::<queue::SimpleQueueObject>()?;
    module.add_class::<queue::QueueObject>()?;
    module.add_class::<queue::LifoQueueObject>()?;
    module.add_class::<queue::PriorityQueueObject>()?;
    module.add_class::<channel::ChannelObject>()?;
    module.add("JoinableQueue", module.getattr("Queue")?)?;
    module.add_class::<thread_lock::LockObject>()?;
    usual::install(module.py())?;
    module.add_function(wrap_pyfunction!(thread_lock::fork_begins, module)?)?;
    module.add_function(wrap_pyfunction!(thread_lock::fork_ended, module)?)?;
    module.add_function(wrap_pyfunction!(thread_lock::is_forking, module)?)?;
    Ok(())
}

/// What an argument `block` or `blocking` says: who leaves it out waits.
fn waits(block: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    block.map_or(Ok(true), Bound::is_truthy)
}
