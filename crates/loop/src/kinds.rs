//! What an entry of the slab is: one variant per kind of watcher, with what that kind has to remember.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::child::Child;
use crate::periodic::Periodic;
use crate::stat::Stat;

/// The kinds that are kept in a plain array each and fed all together.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Prepare,
    Check,
    Idle,
    Fork,
    Cleanup,
    Async,
}

pub(crate) enum Kind {
    /// A free place.
    Vacant,
    /// An io watcher or wait. `next` and `previous` chain what watches the same fd.
    Io {
        fd: i32,
        events: u8,
        /// The fd may mean a new file: tell the kernel even if nothing seems changed (LV-IO3).
        fresh: bool,
        next: u32,
        previous: u32,
    },
    /// A timer or wait. The time left is kept here only while it is inactive; the heap has the deadline.
    Timer { remaining_ns: i64, repeat_ns: i64 },
    /// A periodic; its heap has the deadline while it is active.
    Periodic(Box<Periodic>),
    /// A child watcher.
    Child(Box<Child>),
    /// A stat watcher; in the timers' heap while it has to look by itself.
    Stat(Box<Stat>),
    /// A signal watcher, chained with those of the same signal.
    Signal { signum: i32, next: u32, previous: u32 },
    /// A member of one of the groups; `position` is its place in the array while active.
    Grouped { group: Group, position: u32 },
    /// An async watcher; the flag is shared with its senders.
    Async { sent: Arc<AtomicBool>, position: u32 },
}

impl Kind {
    /// The group and the place in it, for the kinds that have one.
    pub(crate) fn group_mut(&mut self) -> Option<(Group, &mut u32)> {
        match self {
            Kind::Grouped { group, position } => Some((*group, position)),
            Kind::Async { position, .. } => Some((Group::Async, position)),
            _ => None,
        }
    }

    /// For an async watcher: whether it was sent since this was last asked.
    pub(crate) fn take_sent(&self) -> bool {
        matches!(self, Kind::Async { sent, .. } if sent.swap(false, Ordering::SeqCst))
    }
}
