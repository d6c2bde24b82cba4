//! What a sleeping thread needs beside its backend: something to be woken by, and a signal mask.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::system;
use crate::Result;

/// What another thread or a signal handler rings to make the backend return.
pub(crate) struct Waker {
    bell: system::Bell,
}

impl Waker {
    pub(crate) fn new() -> Result<Waker> {
        Ok(Waker {
            bell: system::Bell::new()?,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.bell.readable()
    }

    /// Async-signal-safe.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// Empties it, for backends that would report it again and again.
    pub(crate) fn drain(&self) {
        self.bell.silence();
    }

    /// In a forked child: the object is shared with the parent, so it is exchanged for a new one under the same number
    /// (signal handlers and other threads' handles have the number already).
    pub(crate) fn after_fork(&self) -> Result<()> {
        self.bell.replace()
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
