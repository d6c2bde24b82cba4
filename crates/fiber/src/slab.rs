//! Many stacks in one mapping, and how their guards are made.
//!
//! A mapping per stack would cost two system calls and two kernel objects each, and Linux allows 65,530 mappings. A slab
//! is one reservation (`MAP_NORESERVE`: address space, not memory) cut into slots that are handed out in order.
//!
//! Guards are made when a slot is used first:
//!
//! * `MADV_GUARD_INSTALL` (Linux 6.13 and later) marks the pages in the page table: no mapping is split, any number of guards.
//! * Where the kernel does not know it, `mprotect`. Each guard then costs two mappings, so their number is bounded
//!   by `vm.max_map_count`, of which a share is left to everybody else.
//! * Beyond that bound a slot has no guard but a gap as large as its stack, which nobody uses: an overflow has twice the room,
//!   and is not caught. [`Statistics::unguarded`](crate::Statistics) counts them.
//!
//! Transparent huge pages are refused: one touched page of a stack would become 2 MiB of memory.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::stack::{Stack, StackSize};

/// The bytes one mapping may reserve at most; it bounds the number of mappings for a million stacks to some hundred.
const LARGEST_BYTES: usize = 4 << 30;
const SMALLEST_SLOTS: usize = 16;

#[derive(Debug)]
pub(crate) struct Slab {
    start: *mut u8,
    slots: usize,
    used: usize,
}

// SAFETY: a slab is an address range; the pool that holds it serialises its use.
unsafe impl Send for Slab {}

impl Slab {
    /// Reserves room for about `slots` stacks; fewer if the address space is limited (RLIMIT_AS, strict overcommit).
    pub(crate) fn reserve(size: StackSize, slots: usize) -> io::Result<Slab> {
        let largest = (LARGEST_BYTES / size.stride()).max(1);
        let mut slots = slots.clamp(SMALLEST_SLOTS.min(largest), largest);
        loop {
            match map(slots * size.stride()) {
                Ok(start) => {
                    return Ok(Slab { start, slots, used: 0 });
                }
                Err(_) if slots > 1 => slots /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Room for a single stack of a size that no other has.
    pub(crate) fn reserve_one(size: StackSize) -> io::Result<Slab> {
        Ok(Slab {
            start: map(size.stride())?,
            slots: 1,
            used: 0,
        })
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used == self.slots
    }

    /// The next slot, with its guard. The slab must not be full.
    pub(crate) fn next(&mut self, size: StackSize, class: u32, place: u32, guards: &Guards) -> io::Result<Stack> {
        debug_assert!(!self.is_full());
        let slot = self.start.wrapping_add(self.used * size.stride());
        // SAFETY: the slot is in the slab's mapping and has not been handed out.
        unsafe { guards.install(slot, size.guard) }?;
        self.used += 1;
        // SAFETY: as above; `used` has grown, so it is not handed out again.
        Ok(unsafe { Stack::at(slot, size, class, place) })
    }

    /// How many bytes of the slots handed out are in memory: a system call for each 64 MiB.
    pub(crate) fn resident_bytes(&self, size: StackSize) -> usize {
        const STEP: usize = 64 << 20;
        let page = crate::stack::page_size();
        let end = self.used * size.stride();
        let mut pages = vec![0u8; STEP.min(end) / page];
        let mut resident = 0;
        for offset in (0..end).step_by(STEP) {
            let length = STEP.min(end - offset);
            // SAFETY: the range is in the slab's mapping, and `pages` has a byte for each page of it.
            let result = unsafe { libc::mincore(self.start.add(offset).cast(), length, pages.as_mut_ptr().cast()) };
            if result == 0 {
                resident += pages[..length / page].iter().filter(|&&page| page & 1 == 1).count() * page;
            }
        }
        resident
    }

    /// Gives the address space back.
    ///
    /// # Safety
    ///
    /// None of its stacks is in use or will be.
    pub(crate) unsafe fn unmap(self, size: StackSize) {
        // SAFETY: the mapping is the slab's own, and unused by the caller's promise.
        let _ = unsafe { munmap(self.start.cast(), self.slots * size.stride()) };
    }
}

fn map(bytes: usize) -> io::Result<*mut u8> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping where the kernel likes touches nothing that exists.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    #[cfg(target_os = "linux")]
    // SAFETY: advice about the new mapping. A kernel built without huge pages refuses it, which is as good.
    let _ = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxNoHugepage) };
    Ok(start.cast())
}

/// How guards are made on this kernel, and how many were made by splitting mappings.
#[derive(Debug)]
pub(crate) struct Guards {
    by_advice: AtomicBool,
    split: AtomicUsize,
    split_limit: usize,
    unguarded: AtomicUsize,
}

impl Guards {
    pub(crate) fn new() -> Guards {
        Guards {
            by_advice: AtomicBool::new(cfg!(target_os = "linux")),
            split: AtomicUsize::new(0),
            split_limit: split_limit(),
            unguarded: AtomicUsize::new(0),
        }
    }

    #[cfg(test)]
    pub(crate) fn by_protection(split_limit: usize) -> Guards {
        Guards {
            by_advice: AtomicBool::new(false),
            split_limit,
            ..Guards::new()
        }
    }

    pub(crate) fn unguarded(&self) -> usize {
        self.unguarded.load(Ordering::Relaxed)
    }

    /// Whether a stack made now needs a gap in place of a guard.
    pub(crate) fn exhausted(&self) -> bool {
        !self.by_advice.load(Ordering::Relaxed) && self.split.load(Ordering::Relaxed) >= self.split_limit
    }

    /// # Safety
    ///
    /// The `bytes` from `start` are mapped, page-aligned and unused.
    unsafe fn install(&self, start: *mut u8, bytes: usize) -> io::Result<()> {
        if self.by_advice.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            match unsafe { guard_by_advice(start, bytes) } {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    self.by_advice.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        if self.split.load(Ordering::Relaxed) >= self.split_limit {
            self.unguarded.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { mprotect(start.cast(), bytes, MprotectFlags::empty()) }?;
        self.split.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(target_os = "linux")]
unsafe fn guard_by_advice(start: *mut u8, bytes: usize) -> io::Result<()> {
    /// `MADV_GUARD_INSTALL` of Linux 6.13, which the C library's headers do not have yet.
    const GUARD_INSTALL: libc::c_int = 102;
    // SAFETY: the caller's promise.
    match unsafe { libc::madvise(start.cast(), bytes, GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn guard_by_advice(_start: *mut u8, _bytes: usize) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// Guards that may split a mapping: each takes two of the process's mappings, and a quarter is left to others.
fn split_limit() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    match text.trim().parse::<usize>() {
        Ok(mappings) => mappings / 8 * 3,
        Err(_) if cfg!(target_os = "linux") => 65_530 / 8 * 3,
        Err(_) => usize::MAX,
    }
}
