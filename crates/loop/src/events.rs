//! The bits and small enumerations that libev's users know by number (LV-C02..LV-C06).
//!
//! The numbers are libev's own, so that a face which shows them (gevent's `core` does) needs no table.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// The lowest priority a watcher can have.
pub const MIN_PRIORITY: i8 = -2;
/// The highest priority a watcher can have.
pub const MAX_PRIORITY: i8 = 2;
/// How many priorities there are.
pub(crate) const PRIORITIES: usize = 5;

/// A set of event bits: what a watcher wants, or what happened to it.
#[derive(Copy, Clone, Default, PartialEq, Eq, Hash)]
pub struct Events(u32);

impl Events {
    /// No event.
    pub const NONE: Events = Events(0);
    /// The file descriptor can be read (or is at its end, or broken).
    pub const READ: Events = Events(0x01);
    /// The file descriptor can be written (or is broken).
    pub const WRITE: Events = Events(0x02);
    /// libev's internal `EV__IOFDSET`; shown by gevent, never delivered.
    pub const IOFDSET: Events = Events(0x80);
    /// A timer expired.
    pub const TIMER: Events = Events(0x100);
    /// A periodic came due.
    pub const PERIODIC: Events = Events(0x200);
    /// A signal was received.
    pub const SIGNAL: Events = Events(0x400);
    /// A child changed its state.
    pub const CHILD: Events = Events(0x800);
    /// A path changed.
    pub const STAT: Events = Events(0x1000);
    /// Nothing else is to be done.
    pub const IDLE: Events = Events(0x2000);
    /// The loop is about to poll.
    pub const PREPARE: Events = Events(0x4000);
    /// The loop has polled.
    pub const CHECK: Events = Events(0x8000);
    /// An embedded loop wants a sweep.
    pub const EMBED: Events = Events(0x1_0000);
    /// This is a forked child, before its first poll.
    pub const FORK: Events = Events(0x2_0000);
    /// The loop is being destroyed.
    pub const CLEANUP: Events = Events(0x4_0000);
    /// Another thread or a signal handler sent this.
    pub const ASYNC: Events = Events(0x8_0000);
    /// For the user's own `feed`.
    pub const CUSTOM: Events = Events(0x100_0000);
    /// The watcher was stopped because what it watched is unusable.
    pub const ERROR: Events = Events(0x8000_0000);

    /// Both directions of a file descriptor.
    pub const READ_WRITE: Events = Events(0x03);

    /// From libev's number.
    pub const fn from_bits(bits: u32) -> Events {
        Events(bits)
    }

    /// libev's number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether at least one bit is in both.
    pub const fn intersects(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every bit of `other` is set here.
    pub const fn contains(self, other: Events) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    pub const fn union(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// The bits that are not in `other`.
    pub const fn without(self, other: Events) -> Events {
        Events(self.0 & !other.0)
    }
}

impl BitOr for Events {
    type Output = Events;
    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Events) {
        self.0 |= other.0;
    }
}

impl BitAnd for Events {
    type Output = Events;
    fn bitand(self, other: Events) -> Events {
        Events(self.0 & other.0)
    }
}

impl Not for Events {
    type Output = Events;
    fn not(self) -> Events {
        Events(!self.0)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u32, &str); 17] = [
            (0x01, "READ"),
            (0x02, "WRITE"),
            (0x80, "_IOFDSET"),
            (0x100, "TIMER"),
            (0x200, "PERIODIC"),
            (0x400, "SIGNAL"),
            (0x800, "CHILD"),
            (0x1000, "STAT"),
            (0x2000, "IDLE"),
            (0x4000, "PREPARE"),
            (0x8000, "CHECK"),
            (0x1_0000, "EMBED"),
            (0x2_0000, "FORK"),
            (0x4_0000, "CLEANUP"),
            (0x8_0000, "ASYNC"),
            (0x100_0000, "CUSTOM"),
            (0x8000_0000, "ERROR"),
        ];
        let mut rest = self.0;
        let mut separator = "";
        for (bit, name) in NAMES {
            if rest & bit != 0 {
                write!(formatter, "{separator}{name}")?;
                separator = "|";
                rest &= !bit;
            }
        }
        if rest != 0 || separator.is_empty() {
            write!(formatter, "{separator}{rest:#x}")?;
        }
        Ok(())
    }
}

/// How long a run lasts (LV-R01..LV-R03).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until nothing that counts is active, or a break.
    Default,
    /// One iteration that waits if it has to.
    Once,
    /// One iteration that never waits.
    NoWait,
    /// The last: only what is pending and the cleanup watchers (LV-L16).
    Destroy,
}

/// What `break_` does to the runs in progress (LV-R07..LV-R09).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// Take an earlier break back.
    Cancel,
    /// Leave the innermost run.
    One,
    /// Leave all nested runs.
    All,
}

/// Which backend, and how the loop behaves; libev's numbers (LV-C03, LV-C04), combined with `|`.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Flags(pub u32);

impl Flags {
    /// The best backend, the environment considered.
    pub const AUTO: Flags = Flags(0);
    /// Use `select`.
    pub const SELECT: Flags = Flags(1);
    /// Use `poll`.
    pub const POLL: Flags = Flags(2);
    /// Use `epoll`.
    pub const EPOLL: Flags = Flags(4);
    /// Use `kqueue`.
    pub const KQUEUE: Flags = Flags(8);
    /// Never use inotify for stat watchers.
    pub const NO_INOTIFY: Flags = Flags(0x0010_0000);
    /// Accepted for compatibility; signals come through a handler.
    pub const SIGNALFD: Flags = Flags(0x0020_0000);
    /// Do not touch the signal mask (DD-01).
    pub const NO_SIGMASK: Flags = Flags(0x0040_0000);
    /// Do not use a timerfd to notice jumps of the wall clock.
    pub const NO_TIMERFD: Flags = Flags(0x0080_0000);
    /// Do not look at the environment variable `LIBEV_FLAGS`.
    pub const NO_ENV: Flags = Flags(0x0100_0000);
    /// Accepted for compatibility: a fork is always noticed at the start of the next iteration (LV-L13).
    pub const FORK_CHECK: Flags = Flags(0x0200_0000);

    /// The bits that name backends.
    pub const BACKENDS: u32 = 0xffff;

    /// These, or what the environment says instead.
    pub(crate) fn or_environment(self) -> Flags {
        if self.contains(Flags::NO_ENV) || runs_for_another_user() {
            return self;
        }
        match std::env::var("LIBEV_FLAGS") {
            Ok(text) => Flags(leading_number(&text)),
            Err(_) => self,
        }
    }

    /// Whether every bit of `other` is set here.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Whether the environment may come from somebody with fewer rights than the program.
fn runs_for_another_user() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

/// C's atoi: the digits at the start, or 0.
fn leading_number(text: &str) -> u32 {
    let text = text.trim_start();
    let digits = text.len()
        - text
            .trim_start_matches(|character: char| character.is_ascii_digit())
            .len();
    text[..digits].parse().unwrap_or(0)
}
