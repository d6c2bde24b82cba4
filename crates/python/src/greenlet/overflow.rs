//! What is said when a greenlet's C stack overflows: which greenlet, where it is in Python, and how to give it more.
//!
//! CPython raises RecursionError in time wherever it knows how much stack there is. Where it does not (3.11; C code that recurses
//! without asking), the stack's guard is hit, and the process ends by SIGSEGV. A handler of ours turns that into a report:
//!
//! ```text
//!   SIGSEGV --> handler, on the thread's signal stack: was it the guard of the running greenlet?
//!                 yes: report to descriptor 2
//!               whoever handled the signal before gets it: faulthandler if it is enabled, or the process ends
//! ```
//!
//! If `faulthandler` was enabled after us it comes first, and sends the signal on to us by `raise`, without the address. The
//! registers that the kernel saved are then still on the signal stack, the address among them, and it is looked for there.
//!
//! Everything here runs in a signal handler: nothing is allocated or locked, no Python object is changed.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_int, c_void};
use std::io::{Cursor, Write};
use std::mem::{MaybeUninit, zeroed};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;

use super::object::state;
use super::stacks;
use super::thread::{self, Thread};
use crate::tstate;

/// On Linux a guard gives SIGSEGV, elsewhere SIGBUS.
const SIGNAL: c_int = if cfg!(target_os = "linux") {
    libc::SIGSEGV
} else {
    libc::SIGBUS
};

/// The signal stack that a thread gets if it has none: address space, until the handler runs.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

/// Who handled the signal before us. Written once, before our handler can be called.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written before the handler is in place, only read after.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Sees to it that an overflow in this thread is reported. To be called once for each thread that has greenlets.
pub(super) fn watch_thread() {
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        install();
    }
    SIGNAL_STACK.with(SignalStack::provide);
}

fn install() {
    // SAFETY: the action is complete; what was there before is kept before ours can be called.
    unsafe {
        let mut before: libc::sigaction = zeroed();
        if libc::sigaction(SIGNAL, std::ptr::null(), &raw mut before) != 0 {
            return;
        }
        (*PREVIOUS.0.get()).write(before);
        let mut ours: libc::sigaction = zeroed();
        ours.sa_sigaction = handler as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut ours.sa_mask);
        libc::sigaction(SIGNAL, &raw const ours, null_mut());
    }
}

/// The memory of a thread's signal stack, if it is ours.
struct SignalStack(Cell<*mut c_void>);

thread_local!(static SIGNAL_STACK: SignalStack = const { SignalStack(Cell::new(null_mut())) });

impl SignalStack {
    /// A signal handler cannot run on a stack that is used up: the thread needs another.
    fn provide(&self) {
        // SAFETY: a new mapping is made and given to the kernel, unless the thread has a signal stack.
        unsafe {
            let mut present: libc::stack_t = zeroed();
            if libc::sigaltstack(std::ptr::null(), &raw mut present) != 0 || present.ss_flags & libc::SS_DISABLE == 0 {
                return;
            }
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(null_mut(), SIGNAL_STACK_BYTES, protection, flags, -1, 0);
            if memory == libc::MAP_FAILED {
                return;
            }
            let stack = libc::stack_t {
                ss_sp: memory,
                ss_flags: 0,
                ss_size: SIGNAL_STACK_BYTES,
            };
            libc::sigaltstack(&raw const stack, null_mut());
            self.0.set(memory);
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let memory = self.0.replace(null_mut());
        if memory.is_null() {
            return;
        }
        // SAFETY: the thread ends; the mapping is ours, and the kernel is told first if it still has it.
        unsafe {
            let mut present: libc::stack_t = zeroed();
            libc::sigaltstack(std::ptr::null(), &raw mut present);
            if present.ss_sp == memory {
                present.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&raw const present, null_mut());
            }
            libc::munmap(memory, SIGNAL_STACK_BYTES);
        }
    }
}

unsafe extern "C" fn handler(signal: c_int, information: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: called by the kernel. The thread's record and its current greenlet are there while the thread runs.
    unsafe {
        let sent = (*information).si_code <= 0;
        let thread = thread::present_if_any();
        if !thread.is_null() {
            let thread = &*thread;
            let overflow = if sent {
                forwarded_overflow(thread)
            } else {
                is_overflow(thread, (*information).si_addr() as usize)
            };
            if overflow {
                report(thread);
            }
        }
        libc::sigaction(signal, (*PREVIOUS.0.get()).as_ptr(), null_mut());
        if sent {
            libc::raise(signal); // blocked until we return
        }
        // Otherwise the access is tried again, and faults again.
    }
}

/// Whether the address is in the guard of the stack that the thread runs on.
unsafe fn is_overflow(thread: &Thread, address: usize) -> bool {
    // SAFETY: as in `handler`.
    unsafe {
        let Some(stack) = (*state(thread.current.get()).stack.get()).as_ref() else {
            return false;
        };
        let lowest = stack.lowest() as usize;
        (lowest - stacks::GUARD..lowest).contains(&address)
    }
}

/// The same for a signal that another handler has sent on. The kernel left the fault's address on the signal stack, among the saved
/// registers: nothing else there points into a guard.
#[cfg(target_os = "linux")]
unsafe fn forwarded_overflow(thread: &Thread) -> bool {
    // SAFETY: reads the part of the signal stack that is in use, in which we are.
    unsafe {
        let mut present: libc::stack_t = zeroed();
        libc::sigaltstack(std::ptr::null(), &raw mut present);
        if present.ss_flags & libc::SS_ONSTACK == 0 {
            return false;
        }
        let end = (present.ss_sp as usize + present.ss_size) as *const usize;
        let mut each = (&raw const present).cast::<usize>();
        while each < end {
            if is_overflow(thread, each.read()) {
                return true;
            }
            each = each.add(1);
        }
        false
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn forwarded_overflow(_thread: &Thread) -> bool {
    false
}

unsafe fn report(thread: &Thread) {
    // SAFETY: as in `handler`. The type's name is there as long as the greenlet.
    unsafe {
        let greenlet = thread.current.get();
        let kind = CStr::from_ptr((*ffi::Py_TYPE(greenlet.cast())).tp_name);
        let bytes = (*state(greenlet).stack.get()).as_ref().map_or(0, |stack| stack.len());
        let mut text = [0; 1024];
        let mut writer = Cursor::new(&mut text[..]);
        // What does not fit is left out.
        let _ = write!(
            writer,
            "\nFatal error: the C stack of a greenlet has overflowed.\n\
             <{} object at {greenlet:p}> has used all of its {} KiB, and what it was calling does not look for the end of a stack.\n\
             The environment variable VERDIGRIS_STACK_SIZE gives every greenlet more: VERDIGRIS_STACK_SIZE={}M, for example.\n\n",
            kind.to_str().unwrap_or("greenlet"),
            bytes / 1024,
            (bytes >> 20) * 2 + 4,
        );
        let length = writer.position() as usize;
        libc::write(2, text.as_ptr().cast(), length);
        tstate::print_frames(thread.tstate(), 2);
    }
}
