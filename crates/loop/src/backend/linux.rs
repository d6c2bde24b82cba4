//! What Linux has and other systems have not: eventfd, pidfd, inotify, a timerfd that notices a set clock. `other.rs` has
//! the same functions for systems without them; everybody else asks here.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::{SignalMask, last_errno, timespec};
use crate::Result;

/// Something to write to that makes something readable: here the same object.
pub(crate) struct Bell {
    fd: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Result<Bell> {
        Ok(Bell {
            fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub(crate) fn readable(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Async-signal-safe: one write(2), errno kept. A full counter is as good as a write.
    pub(crate) fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: errno's address is valid in every thread; write reads 8 bytes that live on this stack, and the fd is
        // open as long as self is.
        unsafe {
            let errno = libc::__errno_location();
            let kept = *errno;
            libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len());
            *errno = kept;
        }
    }

    pub(crate) fn silence(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }

    /// Exchanges the object behind the number for a new one.
    pub(crate) fn replace(&self) -> Result<()> {
        let fresh = Bell::new()?;
        // SAFETY: both numbers are open; dup3 replaces what ours means and touches no memory.
        let outcome = unsafe { libc::dup3(fresh.fd.as_raw_fd(), self.fd.as_raw_fd(), libc::O_CLOEXEC) };
        if outcome < 0 {
            Err(crate::Error::System(last_errno()))
        } else {
            Ok(())
        }
    }
}

/// poll(2) with a timeout in nanoseconds and a signal mask.
pub(crate) fn wait_poll(
    list: &mut [libc::pollfd],
    timeout_ns: Option<i64>,
    mask: Option<&SignalMask>,
) -> std::result::Result<usize, i32> {
    let timeout = timeout_ns.map(timespec);
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask = mask.map_or(std::ptr::null(), SignalMask::as_ptr);
    // SAFETY: the list is an array of as many entries as are told; timeout and mask are null or point to values that
    // outlive the call.
    let count = unsafe { libc::ppoll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout, mask) };
    if count < 0 {
        Err(last_errno())
    } else {
        Ok(count as usize)
    }
}

/// Becomes readable when somebody sets the wall clock.
pub(crate) fn open_clock_watch() -> Option<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let clock = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags).ok()?;
    arm_clock_watch(&clock);
    Some(clock)
}

/// It was readable; once more.
pub(crate) fn rearm_clock_watch(clock: &OwnedFd) {
    // The read says ECANCELED.
    let _ = rustix::io::read(clock, &mut [0u8; 8]);
    arm_clock_watch(clock);
}

fn arm_clock_watch(clock: &OwnedFd) {
    let it_value = Timespec {
        tv_sec: i64::MAX / 2,
        tv_nsec: 0,
    };
    let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    // If this fails, a jump is noticed a minute later.
    let _ = rustix::time::timerfd_settime(clock, flags, &Itimerspec { it_interval, it_value });
}

/// A way to watch one process.
pub(crate) enum Process {
    /// Readable when it has ended.
    Watched(OwnedFd),
    /// There is no such process.
    Missing,
    /// Not this way.
    Unwatchable,
}

/// Watches one process.
pub(crate) fn watch_process(pid: Pid) -> Process {
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(fd) => Process::Watched(fd),
        Err(Errno::SRCH) => Process::Missing,
        Err(_) => Process::Unwatchable,
    }
}

/// Something that tells of changes of paths.
pub(crate) fn open_path_watches() -> Option<OwnedFd> {
    inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()
}

/// Watches a path; the number of the watch (that of a path watched before, if they are the same file).
pub(crate) fn watch_path(object: &OwnedFd, path: &Path) -> Option<i32> {
    let wanted = WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DONT_FOLLOW
        | WatchFlags::MASK_ADD;
    inotify::add_watch(object, path, wanted).ok()
}

/// Ends a watch.
pub(crate) fn unwatch_path(object: &OwnedFd, watch: i32) {
    let _ = inotify::remove_watch(object, watch);
}

/// Reads what happened: the watch concerned, or None for all of them.
pub(crate) fn read_path_watches(object: &OwnedFd, mut found: impl FnMut(Option<i32>)) {
    let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
    let mut reader = inotify::Reader::new(object.as_fd(), &mut buffer);
    while let Ok(event) = reader.next() {
        let overflow = event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
        found((!overflow).then_some(event.wd()));
    }
}

/// Whether changes on this file system can only be made through this kernel, so that inotify hears of all of them.
pub(crate) fn is_local(path: &Path) -> bool {
    const LOCAL: [i64; 13] = [
        0xef53,      // ext2, ext3, ext4
        0x9123_683e, // btrfs
        0x5846_5342, // xfs
        0x0102_1994, // tmpfs
        0x8584_58f6, // ramfs
        0x3153_464a, // jfs
        0x5346_544e, // ntfs
        0x4d44,      // msdos
        0x72b6,      // jffs2
        0x5265_4973, // reiserfs
        0x1373,      // devfs
        0x2fc1_2fc1, // zfs
        0xf2f5_2010, // f2fs
    ];
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type of the field differs between architectures"
    )]
    rustix::fs::statfs(path).is_ok_and(|system| LOCAL.contains(&(system.f_type as i64)))
}
