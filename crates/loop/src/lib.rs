//! An event loop on libev's model that is *pulled*: the caller asks for what is ready and runs it itself.
//!
//! Nothing here calls back. `Loop::next` says what is to be done next, and nothing of the loop is borrowed while the
//! caller does it, nor while the operating system blocks:
//!
//! ```text
//!   enter(mode)
//!     next() -> Event{key, data, revents}   a watcher or a one-shot wait has something: act on `data`
//!            -> Soon(data)                  an entry of the run-soon queue: act on `data`
//!            -> Block(wait)                 nothing is ready: absorb(wait.block())
//!            -> Done                        this run is over
//!   leave()
//! ```
#![deny(unsafe_code)]

mod error;
mod events;
mod key;
mod spec;
mod stub;

pub use error::{Error, Result};
pub use events::{Break, Events, Flags, MAX_PRIORITY, MIN_PRIORITY, Mode};
pub use key::{Key, SoonKey};
pub use spec::Spec;
pub use stub::*;
