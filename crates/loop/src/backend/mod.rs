//! How a loop asks the operating system: one file per way, behind the contract of this file.
//!
//! The contract. An *interest* is a byte: READ, WRITE, and EDGE (tell once per change, for both directions).
//!
//! * `change` makes the kernel's interest in an fd what the loop wants, or fails with the fd's error. It says what the
//!   kernel knows afterwards. It may be lazy about *less* interest: an unwanted event comes back through `narrow`.
//! * A fresh fd may be another file under an old number: nothing known about it holds.
//! * A registration carries a generation, and so does each report: a report of an older file is recognised.
//! * `sleeper` hands out everything that is needed to wait, owned: the backend may be changed while the sleeper is away.
//!   What it brings back is read by `report`, and `recycle` takes it home.
//! * `recreate` begins anew with kernel objects of its own (after a fork), knowing no fd but the waker.

#[cfg(target_os = "linux")]
mod epoll;
pub(crate) mod fork;
#[cfg(not(target_os = "linux"))]
mod kqueue;
mod poll;
mod scripted;
mod select;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
pub(crate) mod system;
mod waker;

use std::sync::Arc;

use crate::{Flags, Result};

#[cfg(target_os = "linux")]
pub(crate) use epoll::{Epoll as Queue, EpollSleeper as QueueSleeper};
#[cfg(not(target_os = "linux"))]
pub(crate) use kqueue::{Kqueue as Queue, KqueueSleeper as QueueSleeper};
pub(crate) use poll::Poll;
pub use scripted::Script;
pub(crate) use scripted::Scripted;
pub(crate) use select::Select;
pub(crate) use waker::{SignalMask, Waker, is_open};

#[cfg(target_os = "linux")]
const QUEUE: Flags = Flags::EPOLL;
#[cfg(target_os = "linux")]
const QUEUE_NAME: &str = "epoll";
#[cfg(not(target_os = "linux"))]
const QUEUE: Flags = Flags::KQUEUE;
#[cfg(not(target_os = "linux"))]
const QUEUE_NAME: &str = "kqueue";

/// Interest: reading.
pub(crate) const READ: u8 = 1;
/// Interest: writing.
pub(crate) const WRITE: u8 = 2;
/// Interest: both directions, told once per change.
pub(crate) const EDGE: u8 = 4;

/// The number that stands for the waker in a report.
pub(crate) const WAKER_FD: i32 = -1;

/// What the loop wants for an fd, and what is known about it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Change {
    /// What was wanted before.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only epoll has to know"))]
    pub(crate) before: u8,
    /// What the kernel was last told.
    pub(crate) kernel: u8,
    /// What is wanted now.
    pub(crate) wanted: u8,
    /// Of the present registration.
    pub(crate) generation: u32,
}

/// What holds after a change.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) kernel: u8,
    pub(crate) generation: u32,
    /// The kernel cannot watch it because it never blocks (a regular file, LV-IO9).
    pub(crate) always_ready: bool,
}

/// Something happened to an fd.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Report {
    pub(crate) fd: i32,
    pub(crate) generation: u32,
    /// READ and WRITE; errors and hang-ups are both.
    pub(crate) events: u8,
    /// READ and WRITE without those that only stand for an error or hang-up.
    pub(crate) plain: u8,
    /// The peer has ended its side for good: from now on a read brings what is left or the end, and never blocks.
    pub(crate) ended: bool,
    /// A read that brings less than it asked for says nothing about what is left: there is urgent data, or an error.
    pub(crate) unsure: bool,
    /// The fd is not open at all (poll and select find out only when they wait).
    pub(crate) invalid: bool,
}

/// The backends by name.
pub(crate) enum Backend {
    /// The system's own: epoll or kqueue.
    Queue(Queue),
    Poll(Poll),
    Select(Select),
    Scripted(Scripted),
}

/// What waits: owned, sendable, knows nothing of the loop. Boxed, because it is handed from one to the next several times
/// in each iteration; the box is used again.
pub(crate) enum Sleeper {
    Queue(Box<QueueSleeper>),
    Poll(Box<poll::PollSleeper>),
    Select(Box<select::SelectSleeper>),
    Scripted(Box<scripted::ScriptedSleeper>),
}

/// What a wait brought.
pub(crate) trait Reports {
    fn len(&self) -> usize;
    /// The report at a place below `len`, unless there is none.
    fn report(&self, place: usize) -> Option<Report>;
}

impl Backend {
    /// The first of the wanted backends that works (LV-L04).
    pub(crate) fn new(flags: Flags, waker: &Waker) -> Result<Backend> {
        let wanted = match flags.0 & Flags::BACKENDS {
            0 => recommended_backends(),
            some => some,
        };
        if wanted & QUEUE.0 != 0
            && let Ok(queue) = Queue::new(waker)
        {
            return Ok(Backend::Queue(queue));
        }
        if wanted & Flags::POLL.0 != 0 {
            return Ok(Backend::Poll(Poll::new(waker)));
        }
        if wanted & Flags::SELECT.0 != 0 {
            return Ok(Backend::Select(Select::new(waker)));
        }
        Err(crate::Error::NoBackend(wanted))
    }

    pub(crate) fn bit(&self) -> u32 {
        match self {
            Backend::Queue(_) => QUEUE.0,
            Backend::Poll(_) => Flags::POLL.0,
            Backend::Select(_) => Flags::SELECT.0,
            Backend::Scripted(_) => 0,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Backend::Queue(_) => QUEUE_NAME,
            Backend::Poll(_) => "poll",
            Backend::Select(_) => "select",
            Backend::Scripted(_) => "scripted",
        }
    }

    pub(crate) fn fileno(&self) -> Option<i32> {
        match self {
            Backend::Queue(queue) => Some(queue.fileno()),
            _ => None,
        }
    }

    /// Whether EDGE can be asked for.
    pub(crate) fn has_edges(&self) -> bool {
        match self {
            Backend::Queue(_) => true,
            Backend::Poll(_) | Backend::Select(_) => false,
            Backend::Scripted(scripted) => scripted.has_edges(),
        }
    }

    /// The shortest wait that is worth asking for (LV-C10).
    pub(crate) fn shortest_wait_ns(&self) -> i64 {
        match self {
            Backend::Queue(queue) => queue.shortest_wait_ns(),
            _ => 1,
        }
    }

    /// Up to this, looking again is cheaper than waiting: the kernel's timers have some 50 us of slack.
    pub(crate) fn not_worth_waiting_ns(&self) -> i64 {
        match self {
            Backend::Scripted(_) => 0,
            _ => 1_000,
        }
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> std::result::Result<Applied, i32> {
        match self {
            Backend::Queue(queue) => queue.change(fd, change),
            Backend::Poll(poll) => poll.change(fd, change),
            Backend::Select(select) => select.change(fd, change),
            Backend::Scripted(scripted) => scripted.change(fd, change),
        }
    }

    /// An event came that nobody wants: leave only `wanted`. False when that is impossible (LV-B05).
    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8, generation: u32) -> bool {
        match self {
            Backend::Queue(queue) => queue.narrow(fd, wanted, generation),
            Backend::Poll(poll) => poll.narrow(fd, wanted, generation),
            Backend::Select(select) => select.narrow(fd, wanted, generation),
            Backend::Scripted(scripted) => scripted.narrow(fd, wanted),
        }
    }

    pub(crate) fn recreate(&mut self, waker: &Waker) -> Result<()> {
        match self {
            Backend::Queue(queue) => queue.recreate(waker),
            Backend::Poll(poll) => {
                poll.recreate(waker);
                Ok(())
            }
            Backend::Select(select) => {
                select.recreate(waker);
                Ok(())
            }
            Backend::Scripted(scripted) => {
                scripted.recreate();
                Ok(())
            }
        }
    }

    #[inline]
    pub(crate) fn sleeper(&mut self) -> Sleeper {
        match self {
            Backend::Queue(queue) => Sleeper::Queue(queue.sleeper()),
            Backend::Poll(poll) => Sleeper::Poll(poll.sleeper()),
            Backend::Select(select) => Sleeper::Select(select.sleeper()),
            Backend::Scripted(scripted) => Sleeper::Scripted(scripted.sleeper()),
        }
    }

    #[inline]
    pub(crate) fn recycle(&mut self, sleeper: Sleeper) {
        match (self, sleeper) {
            (Backend::Queue(queue), Sleeper::Queue(sleeper)) => queue.recycle(sleeper),
            (Backend::Poll(poll), Sleeper::Poll(sleeper)) => poll.recycle(sleeper),
            (Backend::Select(select), Sleeper::Select(sleeper)) => select.recycle(sleeper),
            (Backend::Scripted(scripted), Sleeper::Scripted(sleeper)) => scripted.recycle(sleeper),
            _ => {}
        }
    }
}

impl Sleeper {
    /// Waits at most `timeout_ns` (0: looks; None: for ever) with `mask` as the signal mask.
    #[inline]
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> std::result::Result<(), i32> {
        match self {
            Sleeper::Queue(sleeper) => sleeper.wait(timeout_ns, mask),
            Sleeper::Poll(sleeper) => sleeper.wait(timeout_ns, mask),
            Sleeper::Select(sleeper) => sleeper.wait(timeout_ns, mask),
            Sleeper::Scripted(sleeper) => sleeper.wait(timeout_ns),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Sleeper::Queue(sleeper) => sleeper.len(),
            Sleeper::Poll(sleeper) => sleeper.len(),
            Sleeper::Select(sleeper) => sleeper.len(),
            Sleeper::Scripted(sleeper) => sleeper.len(),
        }
    }
}

/// Backends that this machine has (LV-L05).
pub fn supported_backends() -> u32 {
    QUEUE.0 | Flags::POLL.0 | Flags::SELECT.0
}

/// Backends that are chosen when none is asked for (LV-L06).
pub fn recommended_backends() -> u32 {
    supported_backends()
}

/// Backends whose loop can be embedded in another by its file descriptor (LV-L07).
pub fn embeddable_backends() -> u32 {
    Flags::EPOLL.0 | Flags::KQUEUE.0
}

/// A kernel object that a sleeper and its backend both hold.
pub(crate) type SharedFd = Arc<std::os::fd::OwnedFd>;

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)
}

fn timespec(ns: i64) -> libc::timespec {
    let ns = ns.max(0);
    libc::timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    }
}
