//! How large the stacks of greenlets are, and the pool they come from.
//!
//! Only address space is reserved; memory is what a greenlet has touched. What limits the size is the page tables, of which a
//! stack takes up to 4 KiB with one page touched. So the first stacks are as good as a thread's at the default recursion limit
//! (the greediest recursion known, `sorted` through its `key`, takes 2.4 MiB for 1,000 levels), and a crowd gets less. Where
//! CPython can be told where a stack ends (3.14 and later) it raises RecursionError in time, and a large crowd can have small ones.
//!
//! ```text
//!   greenlets at once    C stack
//!   up to 1,024          2.9 MiB
//!   up to 32,768         896 KiB
//!   more                 416 KiB (3.11 to 3.13), 224 KiB (3.14 and later)
//! ```
//!
//! The environment variable `VERDIGRIS_STACK_SIZE` (bytes, or with the suffix K or M) sets one size for all.

use std::ptr::with_exposed_provenance_mut;
use std::sync::LazyLock;

use verdigris_fiber::{Place, Stack, StackPool, StackSize};

use super::object::{PyGreenlet, state};
use crate::tstate;

const KIB: usize = 1 << 10;
pub(super) const GUARD: usize = 64 * KIB;
/// CPython reserves about 48 KiB of a stack for itself and wants 96 at least.
const SMALLEST: usize = 128 * KIB;
const LARGEST: usize = 1 << 30;

/// The stacks of all threads. The lock inside is never held while Python code runs.
pub(crate) fn pool() -> &'static StackPool {
    static POOL: LazyLock<StackPool> = LazyLock::new(make);
    &POOL
}

/// Gives back the pages of a suspended greenlet's stack that hold nothing: what it used once, deeper than it is now. False when it
/// is not suspended. Worth its system calls for a greenlet that will stay suspended for long: a TLS handshake leaves 12 KiB.
///
/// # Safety
///
/// The GIL is held; `greenlet` is a greenlet that is alive.
pub(crate) unsafe fn trim(greenlet: *mut PyGreenlet) -> bool {
    // SAFETY: the caller's promise. A greenlet with a context is suspended: nothing below its stack pointer or above
    // its Python frames is in use, and nobody resumes it meanwhile.
    unsafe {
        let own = state(greenlet);
        let context = own.context.get();
        let Some(stack) = (*own.stack.get()).as_ref() else {
            return false;
        };
        if context.is_null() {
            return false;
        }
        let (annex, annex_bytes) = stack.annex();
        let used = tstate::annex_used(own.saved.get());
        let used = if used.is_null() { annex.add(annex_bytes) } else { used };
        stack.trim(context.stack_pointer(), used).is_ok()
    }
}

/// Bytes of a greenlet's stack that are in memory; 0 when it has none. A system call.
///
/// # Safety
///
/// As [`trim`].
pub(super) unsafe fn resident_bytes(greenlet: *mut PyGreenlet) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*state(greenlet).stack.get()).as_ref().map_or(0, Stack::resident_bytes) }
}

/// How many greenlets have a stack and can run, and how many cannot any more, because their thread has ended.
///
/// # Safety
///
/// The GIL is held.
pub(super) unsafe fn count() -> [usize; 2] {
    let mut numbers = [0, 0];
    let mut owners = [0; 128];
    let mut place = Some(Place::default());
    while let Some(from) = place {
        let (count, next) = pool().owners(from, &mut owners);
        for &owner in &owners[..count] {
            // SAFETY: a greenlet that owns a stack is alive: only whoever holds the GIL can end that.
            let active = unsafe { state(with_exposed_provenance_mut(owner)).is_active() };
            numbers[usize::from(!active)] += 1;
        }
        place = next;
    }
    numbers
}

/// Bytes of C stack that a suspended greenlet is in the middle of; 0 when it is not suspended. A main greenlet is on the thread's own
/// stack, of which this is not known: it counts as one word.
///
/// # Safety
///
/// As [`trim`].
pub(super) unsafe fn held_bytes(greenlet: *mut PyGreenlet) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let own = state(greenlet);
        let context = own.context.get();
        if context.is_null() || own.is_dead() {
            return 0;
        }
        match (*own.stack.get()).as_ref() {
            Some(stack) => stack.top() as usize - context.stack_pointer() as usize,
            None => size_of::<usize>(),
        }
    }
}

fn make() -> StackPool {
    if let Some(stack) = std::env::var("VERDIGRIS_STACK_SIZE").ok().and_then(|text| parse(&text)) {
        return StackPool::new(StackSize {
            stack,
            annex: 64 * KIB,
            guard: GUARD,
        });
    }
    let pool = StackPool::new(StackSize {
        stack: 2944 * KIB,
        annex: 64 * KIB,
        guard: GUARD,
    });
    pool.set_crowd_size(
        1024,
        StackSize {
            stack: 896 * KIB,
            annex: 64 * KIB,
            guard: GUARD,
        },
    );
    pool.set_crowd_size(
        32_768,
        StackSize {
            stack: if cfg!(Py_3_14) { 224 * KIB } else { 416 * KIB },
            annex: 32 * KIB,
            guard: GUARD,
        },
    );
    pool
}

/// Bytes, "512K" or "2M"; what is no number is ignored, what is too small or large is brought into range.
fn parse(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.chars().last()?.to_ascii_uppercase() {
        'K' => (&text[..text.len() - 1], KIB),
        'M' => (&text[..text.len() - 1], KIB * KIB),
        _ => (text, 1),
    };
    let number: usize = digits.trim().parse().ok()?;
    Some(number.saturating_mul(unit).clamp(SMALLEST, LARGEST))
}
