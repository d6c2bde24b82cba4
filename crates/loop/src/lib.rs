//! An event loop on libev's model that is *pulled*: the caller asks for what is ready and runs it itself.
//!
//! Nothing here calls back. [`Loop::next`] says what is to be done next, and nothing of the loop is borrowed while the
//! caller does it, nor while the operating system blocks:
//!
//! ```text
//!   enter(mode)
//!     next() -> Event{key, data, revents}   a watcher or a one-shot wait is due: act on `data`
//!            -> Soon(data)                  an entry of the run-soon queue: act on `data`
//!            -> Block(wait)                 nothing is ready: absorb(wait.block())
//!            -> Done                        this run is over
//!   leave()
//! ```
//!
//! One iteration, in libev's order (`ROWS.md` in the crate maps each rule of libev to the test that proves it):
//!
//! ```text
//!   fork watchers, if this is a forked child
//!   prepare watchers, then the run-soon queue: FIFO, until it is empty or 5 ms are over
//!   what changed is told to the backend; how long may it wait? ── 0 ──► look
//!                                                              └─ n ──► Block(wait), absorb
//!   fed, last in first out within a priority: I/O, signals and asyncs, timers, periodics, idle, check
//!   Invoke: the highest priority first, looked at again after each entry
//! ```
//!
//! Two kinds of entries: **watchers** ([`Loop::insert`], start, stop; libev's twelve types), and **one-shot waits**
//! ([`Loop::wait_timer`], [`Loop::wait_io`], [`Loop::wait_io_for`]), which are freed when they are handed out: what a
//! fiber or a greenlet that sleeps needs, and nothing else. A **socket** that is [adopted](Loop::adopt) is registered
//! with the system once for its life and its readiness is remembered, so that waiting for it makes no system call.
//!
//! The payload is any `Copy` type: an index, a pointer, a small enum. `BENCHMARKS.md` compares all this with C libev.
//!
//! ```
//! use verdigris_loop::{Flags, Loop, Mode, Step};
//!
//! let mut event_loop = Loop::new(Flags::AUTO)?;
//! event_loop.wait_timer(1_000_000, 0, "a millisecond later");
//! event_loop.call_soon("at once");
//! event_loop.enter(Mode::Default);
//! loop {
//!     match event_loop.next() {
//!         Step::Soon(what) | Step::Event { data: what, .. } => println!("{what}"),
//!         Step::Block(wait) => event_loop.absorb(wait.block()),
//!         Step::Done => break,
//!     }
//! }
//! event_loop.leave();
//! # Ok::<(), verdigris_loop::Error>(())
//! ```
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod backend;
mod child;
mod clock;
mod deadlines;
mod error;
mod event_loop;
mod events;
mod fds;
mod heap;
mod internal;
mod key;
mod kinds;
mod pending;
mod periodic;
mod polling;
mod remote;
mod reports;
mod run;
mod signals;
mod slab;
mod sockets;
mod soon;
mod spec;
mod stat;
mod timers;
mod verify;
mod wait;
mod watchers;

pub use backend::{Script, embeddable_backends, recommended_backends, supported_backends};
pub use clock::wall_clock_ns;
pub use error::{Error, Result};
pub use event_loop::Loop;
pub use events::{Break, Events, Flags, MAX_PRIORITY, MIN_PRIORITY, Mode};
pub use key::{Key, SoonKey};
pub use periodic::Reschedule;
pub use remote::{AsyncSender, Remote};
pub use run::{Ready, Step};
pub use spec::Spec;
pub use stat::Attributes;
pub use wait::{Wait, Woken};
