//! What `linux.rs` offers, on systems that have none of it: a pipe to be woken by, and plain "no" for the rest, so that
//! children come by SIGCHLD, paths are looked at, and a set clock is noticed within a minute.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::Pid;

use super::{SignalMask, last_errno};
use crate::{Error, Result};

/// Something to write to that makes something readable.
pub(crate) struct Bell {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Result<Bell> {
        let (reader, writer) = rustix::pipe::pipe()?;
        for end in [&reader, &writer] {
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
            rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
        }
        Ok(Bell { reader, writer })
    }

    pub(crate) fn readable(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Async-signal-safe: one write(2), errno kept. A full pipe is as good as a write.
    pub(crate) fn ring(&self) {
        // SAFETY: errno's address is valid in every thread; write reads one byte that lives on this stack, and the fd is
        // open as long as self is.
        unsafe {
            let errno = errno_location();
            let kept = *errno;
            libc::write(self.writer.as_raw_fd(), [1u8].as_ptr().cast(), 1);
            *errno = kept;
        }
    }

    pub(crate) fn silence(&self) {
        let mut buffer = [0u8; 256];
        while rustix::io::read(&self.reader, &mut buffer).is_ok_and(|count| count == buffer.len()) {}
    }

    /// Exchanges the objects behind the numbers for new ones.
    pub(crate) fn replace(&self) -> Result<()> {
        let fresh = Bell::new()?;
        for (new, old) in [(&fresh.reader, &self.reader), (&fresh.writer, &self.writer)] {
            // SAFETY: both numbers are open; dup2 replaces what ours means and touches no memory.
            if unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) } < 0 {
                return Err(Error::System(last_errno()));
            }
            rustix::io::fcntl_setfd(old, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok(())
    }
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: has no requirements.
    unsafe { libc::__error() }
}

#[cfg(any(target_os = "netbsd", target_os = "openbsd"))]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: has no requirements.
    unsafe { libc::__errno() }
}

/// poll(2) with a timeout in nanoseconds (rounded up to milliseconds) and a signal mask. The mask is exchanged before
/// and after the call: a signal between is seen when the wait ends.
pub(crate) fn wait_poll(
    list: &mut [libc::pollfd],
    timeout_ns: Option<i64>,
    mask: Option<&SignalMask>,
) -> std::result::Result<usize, i32> {
    let timeout_ms = match timeout_ns {
        None => -1,
        Some(ns) => ns
            .saturating_add(999_999)
            .div_euclid(1_000_000)
            .clamp(0, i32::MAX as i64) as i32,
    };
    let set = |mask: *const libc::sigset_t| {
        // SAFETY: the mask is a valid set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
    };
    if let Some(mask) = mask {
        set(mask.as_ptr());
    }
    // SAFETY: the list is an array of as many entries as are told.
    let count = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout_ms) };
    if count < 0 {
        Err(last_errno())
    } else {
        Ok(count as usize)
    }
}

pub(crate) fn open_clock_watch() -> Option<OwnedFd> {
    None
}

pub(crate) fn rearm_clock_watch(_clock: &OwnedFd) {}

/// A way to watch one process.
#[allow(dead_code, reason = "the shape is that of Linux")]
pub(crate) enum Process {
    Watched(OwnedFd),
    Missing,
    Unwatchable,
}

pub(crate) fn watch_process(_pid: Pid) -> Process {
    Process::Unwatchable
}

pub(crate) fn open_path_watches() -> Option<OwnedFd> {
    None
}

pub(crate) fn watch_path(_object: &OwnedFd, _path: &Path) -> Option<i32> {
    None
}

pub(crate) fn unwatch_path(_object: &OwnedFd, _watch: i32) {}

pub(crate) fn read_path_watches(_object: &OwnedFd, _found: impl FnMut(Option<i32>)) {}

pub(crate) fn is_local(_path: &Path) -> bool {
    false
}
