//! The switch on aarch64 (AAPCS64).
//!
//! What a fiber that is not running has on its stack:
//!
//! ```text
//!        higher addresses
//!   |  ...frames of the code that called switch ...  |
//!   +------------------------------------------------+
//!   |  FPCR                  | address to go on at   |  rounding mode and exception masks, callee-saved
//!   |  x29 (frame pointer)   | x19 (LLVM's own)      |  not nameable as clobbers: saved by hand
//!   +------------------------------------------------+ <- Context
//!        lower addresses
//! ```
//!
//! Everything else is declared clobbered (x20 to x28 and v8 to v15, too, which the ABI calls callee-saved), so the compiler
//! has put away what it needs. A new fiber has the same picture, with the entry function in x19 and x29 zero; when that returns, the
//! trampoline which called it goes where it says.

use std::arch::{asm, global_asm};

use super::{Context, Entry};

/// Goes on at the picture that x1 points to, with the value in x2; x10 is the FPCR of the fiber that is left. It is written only when it
/// differs: writing it flushes the pipeline on many cores.
macro_rules! enter {
    () => {
        "
        mov sp, x1
        ldp x9, x11, [sp, #16]
        cmp x10, x11
        b.eq 3f
        msr fpcr, x11
        3:
        ldp x19, x29, [sp], #32
        br x9
        "
    };
}

#[inline(always)]
pub(super) unsafe fn switch_stacks(save: *mut Context, to: Context, value: usize) -> usize {
    let result;
    // SAFETY: the caller's promise (see `switch`): `to` points to a picture as drawn above. Registers that change are
    // all declared; the stack is balanced when the code after label 2 has run.
    unsafe {
        asm!(
            "stp x19, x29, [sp, #-32]!",
            "adr x9, 2f",
            "mrs x10, fpcr",
            "stp x9, x10, [sp, #16]",
            "mov x11, sp",
            "str x11, [x0]",
            enter!(),
            "2:",
            // `bti j`, a no-operation where branch targets are not checked.
            "hint #36",
            inout("x0") save => _,
            inout("x1") to.0 => _,
            inout("x2") value => result,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            clobber_abi("C"),
        );
    }
    result
}

pub(super) unsafe fn first_frame(top: *mut u8, entry: Entry) -> *mut u8 {
    let control: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {0}, fpcr", out(reg) control, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the caller gives the exclusive end of writable memory, aligned to 16.
    unsafe {
        let frame = top.cast::<u64>().sub(6);
        frame.write(entry as *const () as u64);
        frame.add(1).write(0);
        frame.add(2).write(verdigris_fiber_start as *const () as u64);
        frame.add(3).write(control);
        // An empty frame record: walks along the frame pointers end here.
        frame.add(4).write(0);
        frame.add(5).write(0);
        frame.cast()
    }
}

unsafe extern "C" {
    fn verdigris_fiber_start();
}

#[cfg(not(target_vendor = "apple"))]
global_asm!(
    ".pushsection .text.verdigris_fiber_start,\"ax\",@progbits",
    ".balign 16",
    ".globl verdigris_fiber_start",
    ".hidden verdigris_fiber_start",
    ".type verdigris_fiber_start,@function",
    "verdigris_fiber_start:",
    ".cfi_startproc",
    ".cfi_undefined x30",
    "hint #36",
    "mov x29, sp",
    "mov x0, x2",
    "mov x30, xzr",
    "blr x19",
    // What is to be entered came in x0, the value in x1.
    "mov x2, x1",
    "mov x1, x0",
    "mrs x10, fpcr",
    enter!(),
    ".cfi_endproc",
    ".size verdigris_fiber_start, . - verdigris_fiber_start",
    ".popsection",
);

#[cfg(target_vendor = "apple")]
global_asm!(
    ".balign 16",
    ".globl _verdigris_fiber_start",
    ".private_extern _verdigris_fiber_start",
    "_verdigris_fiber_start:",
    ".cfi_startproc",
    ".cfi_undefined x30",
    "mov x29, sp",
    "mov x0, x2",
    "mov x30, xzr",
    "blr x19",
    // What is to be entered came in x0, the value in x1.
    "mov x2, x1",
    "mov x1, x0",
    "mrs x10, fpcr",
    enter!(),
    ".cfi_endproc",
);
