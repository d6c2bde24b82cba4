//! Everything that can go wrong, in one place: each error names the rule, the value and the way out.

use std::fmt;
use std::io;

/// Why a call on a loop was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key belongs to nothing (any more): it was removed, delivered or cancelled.
    NoSuchKey,
    /// The watcher is of another kind than this call is for.
    WrongKind,
    /// The watcher is active (or pending), and this can only be changed while it is not.
    Active,
    /// A file descriptor below zero.
    NegativeFd(i32),
    /// An event mask with bits other than READ and WRITE.
    IllegalEvents(u32),
    /// A signal number outside 1..65, or one that cannot be caught.
    IllegalSignal(i32),
    /// Another loop already watches this signal.
    SignalTaken(i32),
    /// A repeat or interval below zero (in nanoseconds).
    NegativeRepeat(i64),
    /// A reschedule function answered with a time before the one it was given (nanoseconds since 1970).
    PastDeadline(i64),
    /// Child watchers live on the default loop alone.
    NotDefaultLoop,
    /// None of the wanted backends works here (libev's backend bits).
    NoBackend(u32),
    /// This kind of watcher does not exist on this system.
    Unsupported,
    /// The loop has been destroyed.
    Destroyed,
    /// The system refused; the number is `errno`.
    System(i32),
}

/// What calls on a loop return.
pub type Result<V> = std::result::Result<V, Error>;

impl Error {
    /// The system's error number, where this is one of the system's errors.
    pub fn errno(self) -> Option<i32> {
        match self {
            Error::System(number) => Some(number),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::NoSuchKey => write!(
                formatter,
                "this key belongs to no watcher: it was removed, delivered or cancelled; keep keys only as long as their watchers"
            ),
            Error::WrongKind => write!(formatter, "the watcher is of another kind than this call is for"),
            Error::Active => write!(
                formatter,
                "this cannot be changed while the watcher is active or pending; stop it first"
            ),
            Error::NegativeFd(fd) => write!(formatter, "fd must be non-negative: {fd}"),
            Error::IllegalEvents(bits) => {
                write!(
                    formatter,
                    "illegal event mask: {bits}; only READ (1) and WRITE (2) can be watched"
                )
            }
            Error::IllegalSignal(number) => {
                write!(
                    formatter,
                    "illegal signal number: {number}; it must be 1 to 64 and possible to catch"
                )
            }
            Error::SignalTaken(number) => write!(
                formatter,
                "signal {number} is watched by another loop; stop its watchers there first"
            ),
            Error::NegativeRepeat(ns) => {
                write!(formatter, "repeat must be positive or zero: {ns} nanoseconds")
            }
            Error::PastDeadline(now) => write!(
                formatter,
                "the reschedule function must answer with a time that is not before {now} (now, in nanoseconds)"
            ),
            Error::NotDefaultLoop => {
                write!(formatter, "child watchers are only available on the default loop")
            }
            Error::NoBackend(bits) => write!(
                formatter,
                "none of the backends {bits:#x} works here; ask for one of supported_backends()"
            ),
            Error::Unsupported => write!(formatter, "this kind of watcher is not supported on this system"),
            Error::Destroyed => write!(formatter, "operation on destroyed loop"),
            Error::System(number) => write!(formatter, "{}", io::Error::from_raw_os_error(number)),
        }
    }
}

impl std::error::Error for Error {}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        Error::System(errno.raw_os_error())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::System(number) => io::Error::from_raw_os_error(number),
            other => io::Error::other(other),
        }
    }
}
