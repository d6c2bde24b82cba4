//! What a sleeping thread needs beside its backend: something to be woken by, and a signal mask.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::Result;

/// An eventfd. A write makes the backend return.
pub(crate) struct Waker {
    fd: OwnedFd,
}

impl Waker {
    pub(crate) fn new() -> Result<Waker> {
        Ok(Waker {
            fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Async-signal-safe: one write(2), errno kept. A full counter is as good as a write.
    pub(crate) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: errno's address is valid in every thread; write reads 8 bytes that live on this stack, and the fd is
        // open as long as self is.
        unsafe {
            let errno = libc::__errno_location();
            let kept = *errno;
            libc::write(self.fd(), one.as_ptr().cast(), one.len());
            *errno = kept;
        }
    }

    /// Empties it, for backends that would report it again and again.
    pub(crate) fn drain(&self) {
        let mut buffer = [0u8; 8];
        let _ = rustix::io::read(&self.fd, &mut buffer);
    }

    /// In a forked child: the object is shared with the parent, so it is exchanged for a new one under the same number
    /// (signal handlers and other threads' handles have the number already).
    pub(crate) fn after_fork(&self) -> Result<()> {
        let fresh = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // SAFETY: both numbers are open; dup3 replaces what ours means and touches no memory.
        let outcome = unsafe { libc::dup3(fresh.as_raw_fd(), self.fd(), libc::O_CLOEXEC) };
        if outcome < 0 {
            return Err(crate::Error::System(
                std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EBADF),
            ));
        }
        Ok(())
    }
}

/// Whether a number is that of an open file.
pub(crate) fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD touches no memory, and a number that is not open is reported.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// The signal mask a thread had before every signal was blocked in it; put back on drop.
pub(crate) struct SignalMask {
    before: libc::sigset_t,
}

impl SignalMask {
    /// Blocks every signal in the calling thread.
    pub(crate) fn block_all() -> SignalMask {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset fills `all`; pthread_sigmask reads it and fills `before`. With SIG_SETMASK and valid
        // pointers it cannot fail.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            SignalMask {
                before: before.assume_init(),
            }
        }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sigset_t {
        &self.before
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: `before` was filled by pthread_sigmask.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}
