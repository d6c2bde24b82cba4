//! What every processor offers: a saved stack pointer, the switch, and the first frame of a new stack.
//!
//! Each file gives `switch_stacks(save, to, value) -> value` and `first_frame(top, entry) -> stack pointer`. The switch is
//! inline `asm!` that tells the compiler which registers do not survive, instead of a function that saves
//! all the callee-saved ones: the compiler then keeps across the switch only what it needs, and the jump to the
//! place where the other side left is an ordinary indirect jump, which unlike `ret` does not unbalance the
//! processor's return prediction (1.2 ns against 2.3 in a loop).

use crate::Stack;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
use aarch64::{first_frame, switch_stacks};

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64::{first_frame, switch_stacks};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("verdigris-fiber knows x86-64 and aarch64 only");

/// A place to switch to: the stack pointer of a fiber that is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Context(*mut u8);

impl Context {
    /// No place at all; switching to it crashes.
    pub const NULL: Context = Context(std::ptr::null_mut());

    pub const fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The lowest address of its stack that is in use.
    pub const fn stack_pointer(self) -> *mut u8 {
        self.0
    }
}

/// Leaves the running fiber, after storing where it left in `save`, and enters `to`. Returns when somebody switches to
/// what was saved, with the value they brought; `value` is what `to` gets.
///
/// # Safety
///
/// `to` was saved by a switch or made by [`prepare`], in this thread, has not been entered since, and its stack is still there.
/// `save` is valid for a write until this returns. Everything the caller holds (locks, borrows, guards) stays held meanwhile.
#[inline(always)]
pub unsafe fn switch(save: *mut Context, to: Context, value: usize) -> usize {
    debug_assert!(!to.is_null(), "a switch to nowhere");
    // SAFETY: the caller's promise, passed on.
    unsafe { switch_stacks(save, to, value) }
}

/// The first function on a fiber's stack: gets the value of the first switch to it, and gives what its end leads to.
///
/// It is where unwinding ends: a panic must not leave it.
pub type Entry = unsafe extern "C-unwind" fn(usize) -> Departure;

/// What a fiber ends with: where to go from here, and what to bring there. The rules are those of [`switch`]; nothing is saved.
///
/// A fiber that ends by a switch leaves behind, in the processor's prediction of returns, all the calls that the switch was made
/// in, and each return of whoever is entered is a surprise (8 of them in a wait of a greenlet, 5 to 10 ns each). One that returns to where
/// it began has left none: whoever has started it, and is entered now, returns as foreseen.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Departure {
    pub to: Context,
    pub value: usize,
}

/// Makes a context that calls `entry` on `stack` with the value of the first switch to it.
///
/// # Safety
///
/// Nothing else uses the stack while the context or anything saved on it lives, and where the entry departs to can be entered then.
pub unsafe fn prepare(stack: &Stack, entry: Entry) -> Context {
    // SAFETY: `top` is the exclusive end of writable memory of at least a page, aligned to 16 bytes (slab.rs).
    Context(unsafe { first_frame(stack.top(), entry) })
}
