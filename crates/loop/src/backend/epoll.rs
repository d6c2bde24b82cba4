//! Linux's epoll: level-triggered for watchers, edge-triggered for sockets that were adopted (LV-B03..LV-B07).
//!
//! Registrations are deleted lazily: nobody wanting an fd any more makes no system call, because most fds are closed
//! soon (which deletes) or wanted again. If an event comes after all, `narrow` deletes. Each registration carries the
//! fd's generation in its data, because the kernel keeps one alive that belongs to a closed number as long as a
//! duplicate of the file is open (LV-IO8), and nothing but a new epoll gets rid of it.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::epoll::{CreateFlags, create};

use super::{
    Applied, Change, EDGE, READ, Report, Reports, SharedFd, SignalMask, WAKER_FD, WRITE, Waker, last_errno, timespec,
};
use crate::Result;

const WAKER_DATA: u64 = u64::MAX;
const FIRST_EVENTS: usize = 64;
const MILLISECOND_NS: i64 = 1_000_000;

/// Set once the kernel said that it has no epoll_pwait2 (before Linux 5.11).
static NO_NANOSECONDS: AtomicBool = AtomicBool::new(false);

pub(crate) struct Epoll {
    fd: SharedFd,
    /// The sleeper while nobody has it.
    resting: Option<Box<EpollSleeper>>,
}

impl Epoll {
    pub(crate) fn new(waker: &Waker) -> Result<Epoll> {
        let mut epoll = Epoll {
            fd: Arc::new(create(CreateFlags::CLOEXEC)?),
            resting: None,
        };
        epoll.add_waker(waker)?;
        Ok(epoll)
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(crate) fn shortest_wait_ns(&self) -> i64 {
        if NO_NANOSECONDS.load(Ordering::Relaxed) {
            MILLISECOND_NS
        } else {
            1
        }
    }

    pub(crate) fn recreate(&mut self, waker: &Waker) -> Result<()> {
        self.fd = Arc::new(create(CreateFlags::CLOEXEC)?);
        self.resting = None;
        self.add_waker(waker)
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> std::result::Result<Applied, i32> {
        let Change {
            before,
            kernel,
            wanted,
            generation,
        } = change;
        let applied = |generation| {
            Ok(Applied {
                kernel: wanted,
                generation,
                always_ready: false,
            })
        };
        if wanted == 0 {
            return Ok(Applied {
                kernel,
                generation,
                always_ready: false,
            });
        }
        let next = generation.wrapping_add(1);
        let registered = if before != 0 && kernel != wanted {
            match self.control(libc::EPOLL_CTL_MOD, fd, wanted, generation) {
                Ok(()) => return applied(generation),
                Err(libc::ENOENT) => self.control(libc::EPOLL_CTL_ADD, fd, wanted, next),
                Err(errno) => Err(errno),
            }
        } else {
            self.control(libc::EPOLL_CTL_ADD, fd, wanted, next)
        };
        match registered {
            Ok(()) => applied(next),
            Err(libc::EEXIST) if kernel == wanted => applied(generation),
            Err(libc::EEXIST) => {
                self.control(libc::EPOLL_CTL_MOD, fd, wanted, generation)?;
                applied(generation)
            }
            Err(libc::EPERM) => Ok(Applied {
                kernel: 0,
                generation,
                always_ready: true,
            }),
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8, generation: u32) -> bool {
        let operation = if wanted == 0 {
            libc::EPOLL_CTL_DEL
        } else {
            libc::EPOLL_CTL_MOD
        };
        self.control(operation, fd, wanted, generation).is_ok()
    }

    #[inline]
    pub(crate) fn sleeper(&mut self) -> Box<EpollSleeper> {
        match self.resting.take() {
            Some(sleeper) => sleeper,
            None => self.new_sleeper(),
        }
    }

    #[cold]
    #[inline(never)]
    fn new_sleeper(&self) -> Box<EpollSleeper> {
        Box::new(EpollSleeper {
            fd: self.fd.clone(),
            events: Vec::with_capacity(FIRST_EVENTS),
        })
    }

    #[inline]
    pub(crate) fn recycle(&mut self, mut sleeper: Box<EpollSleeper>) {
        if sleeper.events.len() == sleeper.events.capacity() {
            sleeper.events.clear();
            sleeper.events.reserve(sleeper.events.capacity() * 2);
        }
        // It may have been away while the epoll was made anew.
        if Arc::ptr_eq(&sleeper.fd, &self.fd) {
            self.resting = Some(sleeper);
        }
    }

    fn add_waker(&mut self, waker: &Waker) -> Result<()> {
        let event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLET) as u32,
            u64: WAKER_DATA,
        };
        control(self.fileno(), libc::EPOLL_CTL_ADD, waker.fd(), event).map_err(crate::Error::System)
    }

    fn control(&self, operation: i32, fd: i32, wanted: u8, generation: u32) -> std::result::Result<(), i32> {
        let data = u64::from(fd as u32) | u64::from(generation) << 32;
        let event = libc::epoll_event {
            events: kernel_events(wanted),
            u64: data,
        };
        control(self.fileno(), operation, fd, event)
    }
}

fn control(epoll: RawFd, operation: i32, fd: i32, mut event: libc::epoll_event) -> std::result::Result<(), i32> {
    // SAFETY: the kernel reads one event, which lives on this stack; bad file descriptors are reported, not trusted.
    let outcome = unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) };
    if outcome < 0 { Err(last_errno()) } else { Ok(()) }
}

fn kernel_events(wanted: u8) -> u32 {
    if wanted & EDGE != 0 {
        return (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
    }
    let read = if wanted & READ != 0 { libc::EPOLLIN } else { 0 };
    let write = if wanted & WRITE != 0 { libc::EPOLLOUT } else { 0 };
    (read | write) as u32
}

/// An epoll and a buffer for what it says.
pub(crate) struct EpollSleeper {
    fd: SharedFd,
    events: Vec<libc::epoll_event>,
}

impl EpollSleeper {
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> std::result::Result<(), i32> {
        self.events.clear();
        let outcome = match timeout_ns {
            Some(0) => self.look(),
            // Whole milliseconds (the longest wait is a number of them): the older call is the cheaper one.
            Some(ns) if ns % MILLISECOND_NS != 0 && !NO_NANOSECONDS.load(Ordering::Relaxed) => {
                match self.wait_ns(ns, mask) {
                    Err(libc::ENOSYS) => {
                        NO_NANOSECONDS.store(true, Ordering::Relaxed);
                        self.wait_ms(timeout_ns, mask)
                    }
                    outcome => outcome,
                }
            }
            _ => self.wait_ms(timeout_ns, mask),
        };
        let count = outcome?;
        // SAFETY: the kernel has written `count` events, which is at most the capacity it was told.
        unsafe { self.events.set_len(count.min(self.events.capacity())) };
        Ok(())
    }

    /// Without waiting.
    #[inline]
    fn look(&mut self) -> std::result::Result<usize, i32> {
        // SAFETY: the kernel writes at most `capacity` events into the buffer's spare room.
        let outcome = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), self.room(), 0) };
        if outcome < 0 {
            Err(last_errno())
        } else {
            Ok(outcome as usize)
        }
    }

    fn wait_ns(&mut self, timeout_ns: i64, mask: Option<&SignalMask>) -> std::result::Result<usize, i32> {
        let timeout = timespec(timeout_ns);
        let mask = mask.map_or(std::ptr::null(), SignalMask::as_ptr);
        // SAFETY: the kernel writes at most `capacity` events into the buffer's spare room and reads the timeout and
        // the mask (null, or a valid set of which it reads 8 bytes, the size of its own signal set). Called by number,
        // because the C library's wrapper is younger than the systems we build for.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.room(),
                &raw const timeout,
                mask,
                8usize,
            )
        };
        if outcome < 0 {
            Err(last_errno())
        } else {
            Ok(outcome as usize)
        }
    }

    fn wait_ms(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> std::result::Result<usize, i32> {
        // Rounded up: never early (LV-C11).
        let timeout_ms = match timeout_ns {
            None => -1,
            Some(ns) => ns
                .saturating_add(MILLISECOND_NS - 1)
                .div_euclid(MILLISECOND_NS)
                .clamp(0, i32::MAX as i64) as i32,
        };
        let (fd, room, events) = (self.fd.as_raw_fd(), self.room(), self.events.as_mut_ptr());
        // SAFETY: as above, with the C library's own wrappers.
        let outcome = unsafe {
            match mask {
                Some(mask) => libc::epoll_pwait(fd, events, room, timeout_ms, mask.as_ptr()),
                None => libc::epoll_wait(fd, events, room, timeout_ms),
            }
        };
        if outcome < 0 {
            Err(last_errno())
        } else {
            Ok(outcome as usize)
        }
    }

    fn room(&self) -> i32 {
        self.events.capacity().min(i32::MAX as usize) as i32
    }
}

impl Reports for EpollSleeper {
    #[inline]
    fn len(&self) -> usize {
        self.events.len()
    }

    #[inline]
    fn report(&self, place: usize) -> Option<Report> {
        let event = self.events.get(place)?;
        let (bits, data) = (event.events as i32, event.u64);
        if data == WAKER_DATA {
            return Some(Report {
                fd: WAKER_FD,
                generation: 0,
                events: 0,
                plain: 0,
                ended: false,
                unsure: false,
                invalid: false,
            });
        }
        let read = if bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0 {
            READ
        } else {
            0
        };
        let write = if bits & libc::EPOLLOUT != 0 { WRITE } else { 0 };
        let broken = if bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0 {
            READ | WRITE
        } else {
            0
        };
        Some(Report {
            fd: data as u32 as i32,
            generation: (data >> 32) as u32,
            events: read | write | broken,
            plain: read | write,
            ended: bits & libc::EPOLLRDHUP != 0,
            unsure: bits & (libc::EPOLLPRI | libc::EPOLLERR) != 0,
            invalid: false,
        })
    }
}
