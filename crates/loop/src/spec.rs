//! What a watcher watches, as told to `Loop::insert` and `Loop::set`.

use std::path::PathBuf;

use crate::Events;

/// One kind of watcher with what it needs to know. Times are nanoseconds; `after_ns` counts from the loop's cached
/// time at the moment of `start` and may be negative (due at once).
#[derive(Clone, Debug)]
pub enum Spec {
    /// A file descriptor becomes readable or writable (level-triggered, LV-IO1..).
    Io {
        /// The file descriptor.
        fd: i32,
        /// READ, WRITE, both or none.
        events: Events,
    },
    /// Time passes (LV-T1..). With `repeat_ns` above zero it starts itself again.
    Timer {
        /// From `start` to the first expiry.
        after_ns: i64,
        /// From then on between two expiries; zero for none.
        repeat_ns: i64,
    },
    /// The wall clock reaches a time (LV-P1..).
    Periodic {
        /// The time itself, or, with an interval, any one of its multiples' offset (nanoseconds since 1970).
        offset_ns: i64,
        /// Zero: once, at `offset_ns`. Otherwise at every `offset_ns + N * interval_ns`.
        interval_ns: i64,
    },
    /// The process receives a signal (LV-S1..).
    Signal {
        /// Its number.
        signum: i32,
    },
    /// A child process changes its state (LV-CH2..).
    Child {
        /// Its process id, or 0 for any child.
        pid: i32,
        /// Tell about stops and continuations too.
        trace: bool,
    },
    /// A path's attributes change (LV-ST1..).
    Stat {
        /// The path.
        path: PathBuf,
        /// How often to look where the system does not tell; 0 for the default.
        interval_ns: i64,
    },
    /// Nothing else is to be done (LV-I1..).
    Idle,
    /// The loop is about to poll (LV-PR1).
    Prepare,
    /// The loop has polled (LV-CK1).
    Check,
    /// Another thread or a signal handler calls `AsyncSender::send` (LV-A1..).
    Async,
    /// The process was forked and this is the child (LV-F1).
    Fork,
    /// The loop is being destroyed (LV-CL1).
    Cleanup,
    /// Another loop, by its `fileno()`, has something to do (LV-E1).
    Embed {
        /// The other loop's backend file descriptor.
        fd: i32,
    },
}
