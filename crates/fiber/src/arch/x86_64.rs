//! The switch on x86-64 (System V).
//!
//! What a fiber that is not running has on its stack:
//!
//! ```text
//!        higher addresses
//!   |  ...frames of the code that called switch ...  |
//!   +------------------------------------------------+
//!   |  rbp                                           |  not nameable as clobbers (rbp may be the frame
//!   |  rbx                                           |  pointer, rbx is LLVM's own): saved by hand
//!   |  address to go on at                           |
//!   |  x87 control word (4) | MXCSR (4)              |  callee-saved by the ABI: rounding and exception masks
//!   +------------------------------------------------+ <- Context
//!        lower addresses
//! ```
//!
//! Everything else is declared clobbered, so the compiler has put away what it needs before the asm starts.
//! A new fiber has the same picture, made by `first_frame`: rbx holds the entry function, rbp is zero, and the address is the
//! trampoline's, which moves the value into the argument register and calls. Its call leaves the stack as the ABI wants
//! it at a function's first instruction (rsp + 8 a multiple of 16), and `.cfi_undefined rip` tells debuggers, profilers, panics
//! and `pthread_exit` that the stack ends there. When the entry function returns, the trampoline goes where that says.

use std::arch::{asm, global_asm};

use super::{Context, Entry};

/// Goes on at the picture that rsi points to, with the value in rdx; rsp points to the control words of the fiber that is left.
///
/// Loading the control words is slow, and they are nearly always the same. Of the MXCSR the lowest six bits are no control but flags of
/// what has happened, which a call may change.
macro_rules! enter {
    () => {
        "
        mov eax, [rsp]
        movzx ecx, word ptr [rsp + 4]
        mov rsp, rsi
        xor eax, [rsp]
        xor cx, [rsp + 4]
        and eax, 0xffc0
        or eax, ecx
        jz 3f
        ldmxcsr [rsp]
        fldcw [rsp + 4]
        3:
        mov rax, [rsp + 8]
        add rsp, 16
        jmp rax
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
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "sub rsp, 8",
            "stmxcsr [rsp]",
            "fnstcw [rsp + 4]",
            "mov [rdi], rsp",
            enter!(),
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") save => _,
            inout("rsi") to.0 => _,
            inout("rdx") value => result,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    result
}

pub(super) unsafe fn first_frame(top: *mut u8, entry: Entry) -> *mut u8 {
    let mut control: u64 = 0;
    // SAFETY: writes the control words of the running fiber into `control`, which is 8 bytes.
    unsafe {
        let words = &raw mut control;
        asm!("stmxcsr [{0}]", "fnstcw [{0} + 4]", in(reg) words, options(nostack, preserves_flags));
    }
    // SAFETY: the caller gives the exclusive end of writable memory, aligned to 16.
    unsafe {
        let frame = top.cast::<u64>().sub(6);
        frame.write(control);
        frame.add(1).write(verdigris_fiber_start as *const () as u64);
        frame.add(2).write(entry as *const () as u64);
        frame.add(3).write(0);
        // Two words above keep rsp a multiple of 16 at the trampoline's call, and end the chain of frame pointers.
        frame.add(4).write(0);
        frame.add(5).write(0);
        frame.cast()
    }
}

unsafe extern "C" {
    fn verdigris_fiber_start();
}

global_asm!(
    ".pushsection .text.verdigris_fiber_start,\"ax\",@progbits",
    ".balign 16",
    ".globl verdigris_fiber_start",
    ".hidden verdigris_fiber_start",
    ".type verdigris_fiber_start,@function",
    "verdigris_fiber_start:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "pop rbx",
    "pop rbp",
    "mov rdi, rdx",
    "call rbx",
    // What is to be entered came in rax, the value in rdx. The two words above the picture are free now.
    "mov rsi, rax",
    "stmxcsr [rsp]",
    "fnstcw [rsp + 4]",
    enter!(),
    ".cfi_endproc",
    ".size verdigris_fiber_start, . - verdigris_fiber_start",
    ".popsection",
);
