//! File descriptors of the loop's own: watched through the same tables as everybody's, handled here.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::backend::system;
use crate::{Flags, Loop};

/// What one of them is for.
pub(crate) enum Internal {
    /// Cancelled by the kernel when somebody sets the wall clock.
    Clock(OwnedFd),
    /// Tells of changes of paths.
    Paths(OwnedFd),
    /// Readable when the child that this watcher is for has ended.
    Child(OwnedFd, u32),
}

impl AsRawFd for Internal {
    fn as_raw_fd(&self) -> i32 {
        match self {
            Internal::Clock(fd) | Internal::Paths(fd) | Internal::Child(fd, _) => fd.as_raw_fd(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Internals {
    by_fd: BTreeMap<i32, Internal>,
    pub(crate) clock: Option<i32>,
    pub(crate) paths: Option<i32>,
}

impl Internals {
    pub(crate) fn get(&self, fd: i32) -> Option<&Internal> {
        self.by_fd.get(&fd)
    }
}

impl<T: Copy> Loop<T> {
    /// Watches an fd of our own from the next poll on.
    pub(crate) fn add_internal(&mut self, internal: Internal) -> i32 {
        let fd = internal.as_raw_fd();
        self.internals.by_fd.insert(fd, internal);
        self.watch_internal(fd, true);
        fd
    }

    /// Closes one.
    pub(crate) fn remove_internal(&mut self, fd: i32) {
        if self.internals.by_fd.contains_key(&fd) {
            self.watch_internal(fd, false);
            self.forget(fd);
            self.internals.by_fd.remove(&fd);
        }
    }

    /// One of ours is readable (or cannot be watched).
    pub(crate) fn internal_event(&mut self, fd: i32) {
        match self.internals.by_fd.get(&fd) {
            Some(Internal::Clock(clock)) => {
                system::rearm_clock_watch(clock);
                self.now.expire();
            }
            Some(Internal::Paths(_)) => self.read_paths(fd),
            Some(&Internal::Child(_, index)) => self.child_ended(index),
            None => {}
        }
    }

    /// Makes sure that a jump of the wall clock wakes the loop (LV-P8).
    pub(crate) fn watch_clock(&mut self) {
        if self.internals.clock.is_some() || self.flags().contains(Flags::NO_TIMERFD) || self.backend() == 0 {
            return;
        }
        if let Some(clock) = system::open_clock_watch() {
            self.internals.clock = Some(self.add_internal(Internal::Clock(clock)));
        }
    }

    /// In a forked child: what is shared with the parent in a way that matters is opened anew.
    pub(crate) fn recreate_internals(&mut self) {
        if let Some(fd) = self.internals.clock.take() {
            self.remove_internal(fd);
            self.watch_clock();
        }
        self.recreate_paths();
        self.abandon_children();
    }
}
