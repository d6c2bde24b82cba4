//! Prefetching: asking the processor for memory that will be needed soon, so that it is there by then.
//!
//! A crowd of a thousand connections does not fit into the processor's nearer caches: whatever belongs to one of them has been
//! pushed out by the others when its turn comes, and each first touch of it would wait. What is due next is known, though.

/// The smallest piece of memory that a cache keeps, in bytes; where it is larger, some are asked for twice.
const LINE: usize = 64;

/// Asks for the line at an address. Any address will do: one that is not mapped is ignored.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    // SAFETY: the instruction is a hint: it reads nothing that the program sees, and never faults.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}

/// The same for every line of a range.
#[inline(always)]
pub(crate) fn prefetch_range(start: *const u8, length: usize) {
    let mut line = start.map_addr(|address| address & !(LINE - 1));
    let end = start.addr() + length;
    while line.addr() < end {
        prefetch(line);
        line = line.wrapping_add(LINE);
    }
}
