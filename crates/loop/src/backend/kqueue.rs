//! kqueue, of the BSDs and macOS (LV-B08): compiled, but not yet run by us.
//!
//! Each direction is a filter of its own; both of an fd are two reports. A change is made at once and not batched with
//! the wait, so that a wait on a bad fd fails where it is asked for. A filter that is added again is a new one for the
//! kernel if the file behind the number changed, so a fresh fd needs nothing special.
#![allow(unsafe_code)]
#![allow(clippy::unnecessary_cast, reason = "the types of the fields differ between systems")]

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::{
    Applied, Change, EDGE, READ, Report, Reports, SharedFd, SignalMask, WAKER_FD, WRITE, Waker, last_errno, timespec,
};
use crate::{Error, Result};

const FIRST_EVENTS: usize = 64;

pub(crate) struct Kqueue {
    fd: Option<SharedFd>,
    /// A kqueue is not inherited by a forked child: there its number means nothing, or something else.
    process: u32,
    waker: RawFd,
    spare: Option<Box<KqueueSleeper>>,
}

impl Kqueue {
    pub(crate) fn new(waker: &Waker) -> Result<Kqueue> {
        let mut kqueue = Kqueue {
            fd: None,
            process: 0,
            waker: waker.fd(),
            spare: None,
        };
        kqueue.recreate(waker)?;
        Ok(kqueue)
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.fd.as_ref().map_or(-1, |fd| fd.as_raw_fd())
    }

    pub(crate) fn shortest_wait_ns(&self) -> i64 {
        1
    }

    pub(crate) fn recreate(&mut self, waker: &Waker) -> Result<()> {
        // SAFETY: kqueue takes no arguments.
        let fd = unsafe { libc::kqueue() };
        if fd < 0 {
            return Err(Error::System(last_errno()));
        }
        // SAFETY: just opened, and nobody else's.
        let fresh = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&fresh, rustix::io::FdFlags::CLOEXEC)?;
        self.spare = None;
        let old = self.fd.replace(Arc::new(fresh));
        if self.process != std::process::id()
            && let Some(old) = old.and_then(Arc::into_inner)
        {
            // Not ours to close in this process.
            let _ = old.into_raw_fd();
        }
        self.process = std::process::id();
        self.waker = waker.fd();
        self.filter(self.waker, libc::EVFILT_READ, libc::EV_ADD | libc::EV_CLEAR, 0)
            .map_err(Error::System)
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> std::result::Result<Applied, i32> {
        let Change {
            kernel,
            wanted,
            generation,
            ..
        } = change;
        let mode_changed = kernel != 0 && (kernel ^ wanted) & EDGE != 0;
        for (direction, filter) in [(READ, libc::EVFILT_READ), (WRITE, libc::EVFILT_WRITE)] {
            if kernel & direction != 0 && (wanted & direction == 0 || mode_changed) {
                // It may be gone already, with the file.
                let _ = self.filter(fd, filter, libc::EV_DELETE, generation);
            }
            if wanted & direction != 0 {
                let clear = if wanted & EDGE != 0 { libc::EV_CLEAR } else { 0 };
                match self.filter(fd, filter, libc::EV_ADD | clear, generation) {
                    Ok(()) => {}
                    Err(libc::EINVAL | libc::ENODEV | libc::EPERM) => {
                        return Ok(Applied {
                            kernel: 0,
                            generation,
                            always_ready: true,
                        });
                    }
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(Applied {
            kernel: wanted,
            generation,
            always_ready: false,
        })
    }

    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8, generation: u32) -> bool {
        for (direction, filter) in [(READ, libc::EVFILT_READ), (WRITE, libc::EVFILT_WRITE)] {
            if wanted & direction == 0 {
                let _ = self.filter(fd, filter, libc::EV_DELETE, generation);
            }
        }
        true
    }

    fn filter(&self, fd: i32, filter: i16, flags: u16, generation: u32) -> std::result::Result<(), i32> {
        let mut change = blank();
        change.ident = fd as libc::uintptr_t;
        change.filter = filter as _;
        change.flags = flags as _;
        change.udata = generation as usize as *mut libc::c_void as _;
        // SAFETY: the kernel reads one change, which lives on this stack, and writes no event.
        let outcome = unsafe { libc::kevent(self.fileno(), &change, 1, std::ptr::null_mut(), 0, std::ptr::null()) };
        if outcome < 0 { Err(last_errno()) } else { Ok(()) }
    }

    pub(crate) fn sleeper(&mut self) -> Box<KqueueSleeper> {
        self.spare.take().unwrap_or_else(|| {
            Box::new(KqueueSleeper {
                fd: self.fd.clone(),
                waker: self.waker,
                events: vec![blank(); FIRST_EVENTS],
                count: 0,
            })
        })
    }

    pub(crate) fn recycle(&mut self, mut sleeper: Box<KqueueSleeper>) {
        if sleeper.count == sleeper.events.len() {
            sleeper.events.resize(sleeper.count * 2, blank());
        }
        // It may have been away while the kqueue was made anew.
        let same = matches!((&sleeper.fd, &self.fd), (Some(its), Some(ours)) if Arc::ptr_eq(its, ours));
        if same && sleeper.waker == self.waker {
            self.spare = Some(sleeper);
        }
    }
}

fn blank() -> libc::kevent {
    // SAFETY: all fields are numbers or a pointer, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// A kqueue and a buffer for what it says.
pub(crate) struct KqueueSleeper {
    fd: Option<SharedFd>,
    waker: RawFd,
    events: Vec<libc::kevent>,
    count: usize,
}

// SAFETY: the pointers in the events are numbers that only we made and only we read.
unsafe impl Send for KqueueSleeper {}

impl KqueueSleeper {
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> std::result::Result<(), i32> {
        self.count = 0;
        let Some(fd) = self.fd.as_ref().map(|fd| fd.as_raw_fd()) else {
            return Err(libc::EBADF);
        };
        let mut timeout = timeout_ns.map(timespec);
        if let Some(mask) = mask {
            // kevent knows no mask: the kqueue itself is waited for by something that does, then read.
            let mut list = [libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            }];
            super::system::wait_poll(&mut list, timeout_ns, Some(mask))?;
            timeout = Some(timespec(0));
        }
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: no changes are read; the kernel writes at most as many events as the buffer has; the timeout is null or
        // outlives the call.
        let count = unsafe {
            libc::kevent(
                fd,
                std::ptr::null(),
                0,
                self.events.as_mut_ptr(),
                self.events.len() as _,
                timeout,
            )
        };
        if count < 0 {
            return Err(last_errno());
        }
        self.count = count as usize;
        Ok(())
    }
}

impl Reports for KqueueSleeper {
    fn len(&self) -> usize {
        self.count
    }

    fn report(&self, place: usize) -> Option<Report> {
        let event = self.events[..self.count].get(place)?;
        let fd = event.ident as i32;
        let direction = if event.filter == libc::EVFILT_WRITE as _ {
            WRITE
        } else {
            READ
        };
        let failed = event.flags as u16 & libc::EV_ERROR as u16 != 0;
        Some(Report {
            fd: if fd == self.waker { WAKER_FD } else { fd },
            generation: event.udata as usize as u32,
            events: direction,
            plain: direction,
            ended: direction == READ && event.flags as u16 & libc::EV_EOF as u16 != 0,
            unsure: true,
            invalid: failed && event.data as i32 == libc::EBADF,
        })
    }
}
