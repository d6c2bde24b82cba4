//! A collection that never ends: a finalizer which the collector called switched away, and its thread ended before anybody switched back.
//!
//! ```text
//!   the stack of the greenlet that stays suspended           elsewhere
//!   gc.collect()
//!     lists of garbage: [next, prev]  <------------------->  object <-> object ...
//!       a finalizer
//!         switch()
//! ```
//!
//! The objects that were found to be garbage are in lists whose heads lie on that stack. Whoever drops one of the objects writes to the head: so
//! the stack may not be used for anything else. And the interpreter takes itself to be in the middle of a collection, for which reason it
//! would never begin another one: it is told that this one is over. What was in the lists is no garbage any more; it ends by its
//! last reference, or not at all.
//!
//! Which greenlet it is nobody has noted: that would cost every collection or every switch. So when a thread ends and a collection is under
//! way, the stacks of its suspended greenlets are searched for heads of lists.

use std::ffi::c_int;
use std::ptr;

use verdigris_fiber::Place;

use super::object::{PyGreenlet, State, state};
use super::pool;
use super::thread::Thread;

unsafe extern "C" {
    /// Where the interpreter notes that it is collecting; NULL if that is not known. (frames.c)
    fn verdigris_collecting() -> *mut c_int;
}

/// What the stack of a suspended greenlet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Lists,
    /// It could not be searched.
    Unknown,
}

/// To be called when the thread has ended: gives up a collection that is under way in one of its suspended greenlets.
///
/// # Safety
///
/// The GIL is held; none of the thread's greenlets will ever run again.
pub(super) unsafe fn give_up(thread: &Thread) {
    // SAFETY: the caller's promise. A greenlet that owns a stack is alive: only whoever holds the GIL can end that.
    unsafe {
        let collecting = verdigris_collecting();
        if collecting.is_null() || collecting.read() == 0 {
            return;
        }
        let mut owners = [0; 32];
        let mut place = Some(Place::default());
        while let Some(from) = place {
            let (count, next) = pool().owners(from, &mut owners);
            place = next;
            for &owner in &owners[..count] {
                let own = state(ptr::with_exposed_provenance_mut::<PyGreenlet>(owner));
                if !ptr::eq(own.thread.get(), thread) || own.context.get().is_null() {
                    continue;
                }
                let found = search(own);
                if found == Found::Nothing {
                    continue;
                }
                if let Some(stack) = (*own.stack.get()).take() {
                    pool().abandon(stack);
                }
                if found == Found::Lists {
                    collecting.write(0);
                    return;
                }
            }
        }
    }
}

/// # Safety
///
/// The greenlet is suspended for ever.
unsafe fn search(own: &State) -> Found {
    // SAFETY: nobody else looks at the stack meanwhile.
    let Some(stack) = (unsafe { (*own.stack.get()).as_ref() }) else {
        return Found::Nothing;
    };
    let lowest = own.context.get().stack_pointer().addr();
    let mut words = vec![0; (stack.top().addr() - lowest) / size_of::<usize>()];
    if read(lowest, &mut words).is_none() {
        return Found::Unknown;
    }
    let heads = words.windows(2).enumerate().any(|(index, pair)| {
        let place = lowest + index * size_of::<usize>();
        is_head(place, [pair[0], pair[1]])
    });
    if heads { Found::Lists } else { Found::Nothing }
}

/// Whether this is the head of one of the collector's lists: a ring of such pairs. (One that is empty refers to itself twice. There
/// is always such a one, of objects that cannot be collected; the bits at the end are flags.)
fn is_head(place: usize, [next, previous]: [usize; 2]) -> bool {
    let plain = |link: usize| link & !3;
    let linked = |link: usize| link > 4096 && link.is_multiple_of(size_of::<usize>());
    if next == place && previous == place {
        return true;
    }
    let (next, previous) = (plain(next), plain(previous));
    let mut pair = [0; 2];
    linked(next)
        && linked(previous)
        && read(next, &mut pair).is_some_and(|()| plain(pair[1]) == place)
        && read(previous, &mut pair).is_some_and(|()| plain(pair[0]) == place)
}

/// Reads memory that may not be there, or that belongs to nobody who could be asked; None if it cannot be read.
fn read(address: usize, words: &mut [usize]) -> Option<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let bytes = size_of_val(words);
        let to = libc::iovec {
            iov_base: words.as_mut_ptr().cast(),
            iov_len: bytes,
        };
        let from = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(address),
            iov_len: bytes,
        };
        // The system call itself, because AddressSanitizer would look at what the C library's function is given.
        // SAFETY: the kernel writes to `words`, and looks itself what there is to read.
        let done = unsafe {
            libc::syscall(
                libc::SYS_process_vm_readv,
                libc::c_long::from(libc::getpid()),
                &raw const to,
                1usize,
                &raw const from,
                1usize,
                0usize,
            )
        };
        (usize::try_from(done) == Ok(bytes)).then_some(())
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (address, words);
        None
    }
}
