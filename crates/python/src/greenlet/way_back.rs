//! The way back from `switch` to whoever called it: a return that the processor foresees.
//!
//! A processor remembers its calls and takes each `ret` for a return from the last one. After a switch, that is the call by which the
//! *other* greenlet left. If both called from the same instruction, all is well, and what is below on the two stacks may agree, too.
//! If not, the processor finds out only when the return address has been read: 10 ns on Zen 4, twice for there and back, of 73. A
//! jump to the same place is foreseen by what has been taken before, so that is how we go back in this case.
//!
//! ```text
//!   caller -- call --> switch -- call --> switch_method ~ ~ ~ ~ ~ switch_method -- ret --> switch -- ret or jmp --> caller
//!                      notes where                                  foreseen: it has       ret if the same place
//!                      it returns to                                one caller             was noted last
//! ```

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::AtomicUsize;

#[cfg(target_arch = "x86_64")]
use pyo3::ffi;

use super::methods;

/// Where the last one who called `switch` will go on. It only chooses between two ways to the same place, so it may be anybody's.
#[cfg(target_arch = "x86_64")]
static LAST: AtomicUsize = AtomicUsize::new(0);

/// The method `switch`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn switch(
    greenlet: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, [rsp]",
        "mov [rip + {last}], rax",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {switch_method}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "mov rcx, [rsp]",
        "cmp rcx, [rip + {last}]",
        "jne 2f",
        "ret",
        "2:",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_register rip, rcx",
        "jmp rcx",
        ".cfi_endproc",
        last = sym LAST,
        switch_method = sym methods::switch_method,
    )
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use methods::switch_method as switch;
