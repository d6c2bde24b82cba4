//! What a case costs in the kernel alone: the system calls that it cannot do without, made with nothing around them.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An epoll that watches an eventfd by edge: all that a loop needs which only waits to be woken.
pub(crate) struct Bell {
    epoll: OwnedFd,
    bell: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        // SAFETY: neither call touches memory; what they return is checked and owned once.
        let (epoll, bell) = unsafe {
            let (epoll, bell) = (libc::epoll_create1(0), libc::eventfd(0, libc::EFD_NONBLOCK));
            assert!(epoll >= 0 && bell >= 0, "file descriptors");
            (OwnedFd::from_raw_fd(epoll), OwnedFd::from_raw_fd(bell))
        };
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLET) as u32,
            u64: 0,
        };
        // SAFETY: the kernel reads one event, which lives on this stack.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, bell.as_raw_fd(), &mut event) };
        Bell { epoll, bell }
    }

    /// One write.
    pub(crate) fn ring(&self) {
        // SAFETY: eight bytes that live on this stack are read.
        unsafe { libc::write(self.bell.as_raw_fd(), 1u64.to_ne_bytes().as_ptr().cast(), 8) };
    }

    /// One wait, or look.
    pub(crate) fn wait(&self, timeout_ms: i32) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the kernel writes one event at most into one that lives on this stack.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &mut event, 1, timeout_ms) };
    }
}
