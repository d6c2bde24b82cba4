//! Fibers: stacks that can be switched to, without Python.
//!
//! A fiber is a C stack of its own plus a saved stack pointer. [`switch`] leaves one and enters another; it is
//! symmetric (any fiber may switch to any other of the same thread) and costs about as much as a function call.
//! Nothing here schedules, and nothing here unwinds: a fiber that is dropped while suspended just stays where it is,
//! because the frames on it may belong to an interpreter that must not be unwound from outside.
//!
//! ```text
//!   arch/     the switch, one file per processor
//!   stack     one stack: [guard | C stack, grows down | annex, grows up]
//!   slab      many stacks in one mapping, and their guards
//!   pool      stacks to use again, and what they cost
//! ```
//!
//! ```
//! use verdigris_fiber::{prepare, switch, Context, Departure, StackPool, StackSize};
//! use std::cell::Cell;
//!
//! thread_local!(static MAIN: Cell<Context> = const { Cell::new(Context::NULL) });
//!
//! unsafe extern "C-unwind" fn body(value: usize) -> Departure {
//!     Departure { to: MAIN.get(), value: value + 1 }
//! }
//!
//! let pool = StackPool::new(StackSize::default());
//! let stack = pool.allocate().unwrap();
//! // SAFETY: the stack is fresh, and `body` goes back to where this switch is saved.
//! let answer = unsafe {
//!     let context = prepare(&stack, body);
//!     switch(MAIN.with(Cell::as_ptr), context, 41)
//! };
//! assert_eq!(answer, 42);
//! pool.release(stack);
//! ```

#[cfg(not(target_pointer_width = "64"))]
compile_error!("verdigris-fiber knows 64-bit processors only");

mod arch;
mod pool;
mod slab;
mod stack;

pub use arch::{Context, Departure, Entry, prepare, switch};
pub use pool::{Place, StackPool, Statistics};
pub use stack::{Stack, StackSize};
