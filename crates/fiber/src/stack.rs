//! One stack: where it begins, where it ends, and what lives above it.
//!
//! ```text
//!    slot                                                                     slot + stride
//!     |  guard (>= 64 KiB)  |  C stack                        top  |  annex        |
//!     |  no access          |  . . . . . . . . . <- grows down  <--|--> grows up   |
//!     ^                     ^                                      ^               ^
//!     slot                  lowest                                top             end
//!                                                         | one page |
//! ```
//!
//! `top` lies within a page, near its end. What an interpreter keeps per fiber (CPython's first chunk of Python frames) goes into
//! the annex, so that a fiber which is only one call deep has touched one page and no more: 4.5 KB for a suspended greenlet
//! where two separate mappings need 8.6. The guard is large because C code moves the stack pointer by more than a page at once
//! without touching what lies between (a `select.select` has a frame of 50 KB): a small guard would be stepped over.

use std::io;
use std::ptr::NonNull;

/// How large the parts of a stack are, in bytes. Each is rounded up to whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSize {
    pub stack: usize,
    pub annex: usize,
    pub guard: usize,
}

impl Default for StackSize {
    fn default() -> Self {
        StackSize {
            stack: 896 << 10,
            annex: 64 << 10,
            guard: 64 << 10,
        }
    }
}

impl StackSize {
    pub(crate) fn rounded(self) -> StackSize {
        let page = page_size();
        let round = |bytes: usize| bytes.next_multiple_of(page);
        StackSize {
            stack: round(self.stack.max(16 << 10)),
            annex: round(self.annex),
            guard: round(self.guard.max(page)),
        }
    }

    /// The distance from one stack to the next, in bytes.
    pub const fn stride(self) -> usize {
        self.guard + self.stack + self.annex
    }
}

/// A stack that somebody owns. It goes back by [`StackPool::release`](crate::StackPool::release); one that is dropped is never
/// used again, which is what must happen to a stack that something may still point into.
#[derive(Debug)]
#[must_use = "a stack that is not released is lost"]
pub struct Stack {
    top: NonNull<u8>,
    stack_bytes: u32,
    annex_bytes: u32,
    /// Which of the pool's sizes it has, and its number among those.
    pub(crate) class: u32,
    pub(crate) place: u32,
}

// SAFETY: a stack is memory that its owner alone uses, whichever thread the owner is in.
unsafe impl Send for Stack {}

impl Stack {
    /// Takes possession of a slot of a slab.
    ///
    /// # Safety
    ///
    /// `slot` is the start of `size.stride()` bytes, writable above the guard, that nobody else uses.
    pub(crate) unsafe fn at(slot: *mut u8, size: StackSize, class: u32, place: u32) -> Stack {
        // Of the page that both ends share, what waits takes more of the C stack (up to 3.5 KiB below a Python function, on
        // CPython 3.14) than of the annex (some 100 bytes for each Python frame).
        let annex_share = page_size() / 8;
        // SAFETY: inside the slot, by the caller's promise.
        let top = unsafe { slot.add(size.guard + size.stack - annex_share) };
        Stack {
            // A slot is not at address zero.
            top: NonNull::new(top).expect("a mapping at address zero"),
            stack_bytes: u32::try_from(size.stack - annex_share).expect("a stack of 4 GiB or more"),
            annex_bytes: u32::try_from(size.annex + annex_share).expect("an annex of 4 GiB or more"),
            class,
            place,
        }
    }

    /// The lowest address that may be used; the guard lies below.
    pub fn lowest(&self) -> *mut u8 {
        self.top().wrapping_sub(self.stack_bytes as usize)
    }

    /// The end of the C stack (exclusive); aligned to 16.
    pub fn top(&self) -> *mut u8 {
        self.top.as_ptr()
    }

    /// The memory above the C stack and its length.
    pub fn annex(&self) -> (*mut u8, usize) {
        (self.top(), self.annex_bytes as usize)
    }

    /// Usable bytes of C stack.
    pub fn len(&self) -> usize {
        self.stack_bytes as usize
    }

    pub fn is_empty(&self) -> bool {
        self.stack_bytes == 0
    }

    pub fn contains(&self, address: *const u8) -> bool {
        address >= self.lowest().cast_const() && address < self.end().cast_const()
    }

    fn end(&self) -> *mut u8 {
        self.top().wrapping_add(self.annex_bytes as usize)
    }

    /// Gives the pages of a suspended fiber back that hold nothing: those below its stack pointer and those from `annex_used`
    /// on. They read as zeroes when they are touched again.
    ///
    /// # Safety
    ///
    /// The fiber is suspended at `stack_pointer`, and nothing at or above `annex_used` will be read before it is written.
    pub unsafe fn trim(&self, stack_pointer: *mut u8, annex_used: *mut u8) -> io::Result<()> {
        debug_assert!(self.contains(stack_pointer) && annex_used >= self.top() && annex_used <= self.end());
        let page = page_size();
        // The ABI lets code write up to 128 bytes below the stack pointer.
        let free_end = (stack_pointer as usize - 128) & !(page - 1);
        let annex_free = (annex_used as usize).next_multiple_of(page);
        // SAFETY: both ranges are inside the stack and hold nothing, by the caller's promise.
        unsafe {
            discard(self.lowest(), free_end.saturating_sub(self.lowest() as usize))?;
            discard(annex_free as *mut u8, (self.end() as usize).saturating_sub(annex_free))
        }
    }

    /// Gives all its pages back: for a stack that nobody is on.
    pub(crate) fn discard_all(&self) -> io::Result<()> {
        // SAFETY: the stack is owned and not in use: nothing on it will be read.
        unsafe { discard(self.lowest(), self.end() as usize - self.lowest() as usize) }
    }

    /// How many bytes of it are in memory. A system call: for statistics, not for a hot path.
    pub fn resident_bytes(&self) -> usize {
        let page = page_size();
        let start = self.lowest();
        let length = self.end() as usize - start as usize;
        let mut pages = vec![0u8; length / page];
        // SAFETY: the range is mapped, and `pages` has a byte for each page of it.
        let result = unsafe { libc::mincore(start.cast(), length, pages.as_mut_ptr().cast()) };
        if result != 0 {
            return 0;
        }
        pages.iter().filter(|&&page| page & 1 == 1).count() * page
    }
}

/// # Safety
///
/// The range is page-aligned, private anonymous memory whose contents nobody needs.
unsafe fn discard(start: *mut u8, length: usize) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::madvise(start.cast(), length, rustix::mm::Advice::LinuxDontNeed) }?;
    Ok(())
}

pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}
