//! The hub: the greenlet that runs the loop, and what waits for it.
//!
//! ```text
//!   park.rs          tickets: how a greenlet sleeps and is woken     <- everything that blocks uses this
//!   event_loop/      the loop and the scheduler
//!   token.rs         what the loop keeps for us
//!   object.rs        the hub itself, and the current one
//!   greenlet/        gevent's Greenlet          links.rs   who is told when it is done
//!   watcher/ callback.rs waiter.rs timeout.rs sleep.rs wait.rs      gevent's objects
//! ```

mod callback;
mod error;
mod event_loop;
mod flags;
mod greenlet;
mod limit;
mod line;
mod links;
mod object;
mod park;
mod sleep;
mod spawn_callbacks;
mod spawn_site;
mod thread_wait;
mod threads;
mod timeout;
mod token;
mod wait;
mod waiter;
mod watcher;

use pyo3::prelude::*;

use crate::greenlet_base;

pub(crate) use error::{concurrent_use, from_loop as error_from_loop};
pub(crate) use event_loop::{LoopObject, ThreadMark};
pub(crate) use greenlet::{GreenletObject, type_pointer as greenlet_type_pointer};
pub(crate) use limit::Limit;
pub(crate) use links::{Link, Links, Notice, Told};
pub(crate) use object::{HubObject, current, current_if_exists};
pub(crate) use park::{GreenletSlot, Ticket, Woken, arm, park, park_until_woken};
pub(crate) use sleep::sleep as sleep_for;
pub(crate) use thread_wait::ThreadWait;
pub(crate) use threads::{here as native_thread_ident, is_main as is_main_thread};
pub(crate) use timeout::TimeoutObject;
pub(crate) use token::{NativeEntry, Outcome, Place, Token};
pub(crate) use wait::Collector;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    park::prepare(py)?;
    spawn_callbacks::prepare(py)?;
    greenlet_base::install_dealloc::<HubObject>(&py.get_type::<HubObject>());
    greenlet_base::install_dealloc::<GreenletObject>(&py.get_type::<GreenletObject>());
    module.add_class::<LoopObject>()?;
    module.add_class::<HubObject>()?;
    greenlet::usual::install(&py.get_type::<GreenletObject>())?;
    module.add_class::<GreenletObject>()?;
    module.add_class::<TimeoutObject>()?;
    module.add_class::<Collector>()?;
    module.add_class::<waiter::WaiterObject>()?;
    module.add_class::<callback::CallbackObject>()?;
    module.add_class::<watcher::WatcherObject>()?;
    module.add_class::<watcher::IoWatcher>()?;
    module.add_class::<watcher::TimerWatcher>()?;
    module.add_class::<watcher::SignalWatcher>()?;
    module.add_class::<watcher::IdleWatcher>()?;
    module.add_class::<watcher::PrepareWatcher>()?;
    module.add_class::<watcher::CheckWatcher>()?;
    module.add_class::<watcher::ForkWatcher>()?;
    module.add_class::<watcher::AsyncWatcher>()?;
    module.add_class::<watcher::ChildWatcher>()?;
    module.add_class::<watcher::StatWatcher>()?;
    module.add("EVENTS", watcher::EventsSentinel)?;
    module.add_function(wrap_pyfunction!(object::get_hub, module)?)?;
    module.add_function(wrap_pyfunction!(object::get_hub_if_exists, module)?)?;
    module.add_function(wrap_pyfunction!(object::set_hub, module)?)?;
    module.add_function(wrap_pyfunction!(greenlet::spawn, module)?)?;
    module.add_function(wrap_pyfunction!(sleep::sleep, module)?)?;
    module.add("time_sleep", wrap_pyfunction!(sleep::time_sleep, module)?)?;
    module.add_class::<wait::WaitIterator>()?;
    module.add_function(wrap_pyfunction!(wait::wait, module)?)?;
    module.add_function(wrap_pyfunction!(wait::joinall, module)?)?;
    module.add_function(wrap_pyfunction!(timeout::with_timeout, module)?)?;
    module.add_function(wrap_pyfunction!(flags::flags_to_list, module)?)?;
    module.add_function(wrap_pyfunction!(spawn_site::configure_spawn_sites, module)?)?;
    module.add_function(wrap_pyfunction!(threads::thread_ident, module)?)?;
    module.add_function(wrap_pyfunction!(threads::main_thread_ident, module)?)?;
    module.add_function(wrap_pyfunction!(flags::supported_backends_int, module)?)?;
    module.add_function(wrap_pyfunction!(flags::recommended_backends_int, module)?)?;
    module.add_function(wrap_pyfunction!(flags::embeddable_backends_int, module)?)?;
    module.add_function(wrap_pyfunction!(flags::wall_clock, module)?)?;
    Ok(())
}
