//! Signals: one handler for the process, which only notes the number and wakes the loop that owns it (LV-S1..LV-S4).
//!
//! ```text
//!   OWNERS[signum] -> the Wakeup of the owning loop     read by the handler
//!   IN_HANDLER                                          how many handlers run now
//! ```
//!
//! The table is read where no lock may be taken, so it holds a bare pointer. What it points to is freed only after
//! the pointer was taken out *and* no handler runs any more; a handler runs for nanoseconds.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::kinds::Kind;
use crate::pending::{CHILD_MARK, level};
use crate::remote::Wakeup;
use crate::slab::NONE;
use crate::{Error, Events, Flags, Loop, MAX_PRIORITY, Result};

const SIGNALS: usize = 65;

static OWNERS: [AtomicPtr<Wakeup>; SIGNALS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SIGNALS];
static IN_HANDLER: AtomicUsize = AtomicUsize::new(0);
/// Serialises taking and leaving; never taken in a handler.
static TABLE: Mutex<()> = Mutex::new(());

/// What was there before us, to be put back (DD-08).
struct Previous(libc::sigaction);

/// The signals a loop owns.
#[derive(Default)]
pub(crate) struct Signals {
    owned: BTreeMap<i32, Owned>,
}

struct Owned {
    head: u32,
    /// How many child watchers want it too (SIGCHLD alone).
    children: usize,
    previous: Previous,
}

extern "C" fn handle(signum: libc::c_int) {
    IN_HANDLER.fetch_add(1, Ordering::SeqCst);
    if let Some(owner) = OWNERS.get(signum as usize) {
        let wakeup = owner.load(Ordering::SeqCst);
        if !wakeup.is_null() {
            // SAFETY: the owner keeps its Wakeup alive until it has cleared the table and IN_HANDLER was seen at zero
            // (`release`); IN_HANDLER was raised before the pointer was read.
            unsafe { (*wakeup).signal(signum) };
        }
    }
    IN_HANDLER.fetch_sub(1, Ordering::SeqCst);
}

fn claim(signum: i32, wakeup: &Arc<Wakeup>) -> Result<Previous> {
    let _guard = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(owner) = OWNERS.get(signum as usize) else {
        return Err(Error::IllegalSignal(signum));
    };
    if !owner.load(Ordering::SeqCst).is_null() {
        return Err(Error::SignalTaken(signum));
    }
    owner.store(Arc::as_ptr(wakeup).cast_mut(), Ordering::SeqCst);
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a zeroed sigaction is a valid one; the fields set here make it "call `handle` with every signal blocked".
    // `handle` does only what a signal handler may do. The kernel fills `previous` when it says 0.
    let outcome = unsafe {
        let fields = action.as_mut_ptr();
        (*fields).sa_sigaction = handle as *const () as usize;
        (*fields).sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut (*fields).sa_mask);
        libc::sigaction(signum, action.as_ptr(), previous.as_mut_ptr())
    };
    if outcome < 0 {
        owner.store(std::ptr::null_mut(), Ordering::SeqCst);
        return Err(Error::IllegalSignal(signum));
    }
    // SAFETY: sigaction succeeded and has filled it.
    Ok(Previous(unsafe { previous.assume_init() }))
}

/// Puts the previous handler back, unless somebody has installed another over ours, and waits for handlers to end.
fn release(signum: i32, previous: &Previous) {
    let _guard = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut present = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction fills `present`; `previous` came from sigaction.
    unsafe {
        if libc::sigaction(signum, std::ptr::null(), present.as_mut_ptr()) == 0
            && present.assume_init().sa_sigaction == handle as *const () as usize
        {
            libc::sigaction(signum, &previous.0, std::ptr::null_mut());
        }
    }
    if let Some(owner) = OWNERS.get(signum as usize) {
        owner.store(std::ptr::null_mut(), Ordering::SeqCst);
    }
    // In a forked child the count may have been copied from a handler that does not exist here: give up after a while.
    for _ in 0..100_000 {
        if IN_HANDLER.load(Ordering::SeqCst) == 0 {
            return;
        }
        std::thread::yield_now();
    }
}

/// A signal that is to be heard must not be blocked in the thread of the loop (DD-01).
fn unblock(signum: i32) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset makes `set` a valid set, which the others then use; a bad number is refused without harm.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signum);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

impl<T: Copy> Loop<T> {
    pub(crate) fn start_signal(&mut self, index: u32, signum: i32) -> Result<()> {
        let head = std::mem::replace(&mut self.own(signum)?.head, index);
        if let Kind::Signal { next, previous, .. } = &mut self.slab[index].kind {
            (*next, *previous) = (head, NONE);
        }
        if head != NONE
            && let Kind::Signal { previous, .. } = &mut self.slab[head].kind
        {
            *previous = index;
        }
        Ok(())
    }

    pub(crate) fn stop_signal(&mut self, index: u32, signum: i32) {
        let Kind::Signal { next, previous, .. } = self.slab[index].kind else {
            return;
        };
        if next != NONE
            && let Kind::Signal { previous: before, .. } = &mut self.slab[next].kind
        {
            *before = previous;
        }
        if previous != NONE {
            if let Kind::Signal { next: after, .. } = &mut self.slab[previous].kind {
                *after = next;
            }
        } else if let Some(owned) = self.signals.owned.get_mut(&signum) {
            owned.head = next;
            self.disown_if_unused(signum);
        }
    }

    /// A child watcher needs SIGCHLD.
    pub(crate) fn claim_sigchld(&mut self) -> Result<()> {
        self.own(libc::SIGCHLD)?.children += 1;
        Ok(())
    }

    pub(crate) fn release_sigchld(&mut self) {
        if let Some(owned) = self.signals.owned.get_mut(&libc::SIGCHLD) {
            owned.children = owned.children.saturating_sub(1);
            self.disown_if_unused(libc::SIGCHLD);
        }
    }

    /// Makes a signal this loop's.
    fn own(&mut self, signum: i32) -> Result<&mut Owned> {
        match self.signals.owned.entry(signum) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let previous = claim(signum, &self.shared.wakeup)?;
                if !self.flags.contains(Flags::NO_SIGMASK) {
                    unblock(signum);
                }
                Ok(entry.insert(Owned {
                    head: NONE,
                    children: 0,
                    previous,
                }))
            }
        }
    }

    fn disown_if_unused(&mut self, signum: i32) {
        if let Entry::Occupied(entry) = self.signals.owned.entry(signum)
            && entry.get().head == NONE
            && entry.get().children == 0
        {
            release(signum, &entry.remove().previous);
        }
    }

    /// Feeds this loop's watchers of a signal (LV-R27); ignored if it has none.
    pub fn feed_signal(&mut self, signum: i32) {
        let Some(owned) = self.signals.owned.get(&signum) else {
            return;
        };
        let mut next = owned.head;
        if owned.children > 0 {
            self.pending.push_mark(level(MAX_PRIORITY), CHILD_MARK);
        }
        while next != NONE {
            let index = next;
            next = if let Kind::Signal { next, .. } = self.slab[index].kind {
                next
            } else {
                NONE
            };
            self.feed_index(index, Events::SIGNAL);
        }
    }

    /// Feeds the watchers of every signal that arrived: from the highest number down, so that the lowest runs first
    /// (LV-Q08).
    pub(crate) fn dispatch_signals(&mut self) {
        let mut arrived = self.shared.wakeup.take_signals();
        while arrived != 0 {
            let bit = 63 - arrived.leading_zeros();
            arrived &= !(1 << bit);
            self.feed_signal(bit as i32 + 1);
        }
    }
}

impl<T> Drop for Loop<T> {
    fn drop(&mut self) {
        for (signum, owned) in std::mem::take(&mut self.signals.owned) {
            release(signum, &owned.previous);
        }
    }
}
