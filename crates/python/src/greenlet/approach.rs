//! Approaching a greenlet: what resuming it will touch is brought near the processor while others still run.
//!
//! The addresses form a chain, each link of which can be followed only when the one before is near. So it is done in steps, one
//! for each of those that run before it (see `hub/event_loop/ahead`):
//!
//! ```text
//!   object  ->  state  ->  stack, where it waits, and what it waits for
//! ```

use std::mem::size_of;

use super::object::{PyGreenlet, State, state};
use crate::prefetch::prefetch_range;

/// Of a stack, so much from the stack pointer up is asked for: what a wait in a call from Python takes.
const STACK_BYTES: usize = 640;
/// Of the first Python frames, which lie above the stack, so much.
const FRAMES_BYTES: usize = 256;
/// Of the object that the greenlet waits for, so much.
const NEAR_BYTES: usize = 192;

/// The first step: the object.
#[inline]
pub(crate) fn object(greenlet: *const PyGreenlet) {
    prefetch_range(greenlet.cast(), size_of::<PyGreenlet>());
}

/// The second: the state behind it.
///
/// # Safety
///
/// `greenlet` is a greenlet that is alive.
#[inline]
pub(crate) unsafe fn state_of(greenlet: *mut PyGreenlet) {
    // SAFETY: the caller's promise.
    let own: *const State = unsafe { state(greenlet) };
    prefetch_range(own.cast(), size_of::<State>());
}

/// The third: its stack.
///
/// # Safety
///
/// As [`state_of`].
#[inline]
pub(crate) unsafe fn stack_of(greenlet: *mut PyGreenlet) {
    // SAFETY: the caller's promise.
    let own = unsafe { state(greenlet) };
    let start: *const u8 = own.context.get().stack_pointer();
    // SAFETY: read in one step, with the GIL held.
    let Some(stack) = (unsafe { &*own.stack.get() }) else {
        return;
    };
    let top: *const u8 = stack.top();
    let used = top.addr().wrapping_sub(start.addr()).min(STACK_BYTES);
    prefetch_range(start, used);
    prefetch_range(top, FRAMES_BYTES);
    let near = own.slot.near();
    if !near.is_null() {
        prefetch_range(near, NEAR_BYTES);
    }
}
