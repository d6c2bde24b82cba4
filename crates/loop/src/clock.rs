//! The two clocks and the loop's cached reading of them, in nanoseconds (LV-C01, LV-R14, LV-P7, LV-P10).
//!
//! Timers run on the monotonic clock; the wall clock is wanted for `now()` and periodics alone. Reading both each
//! time would double the cost, so the wall clock is read only when half a second of monotonic time has passed since
//! it was last read, and is interpolated in between. A jump is believed when the difference between the clocks moved
//! by a second or more, and kept doing so in three readings (a preemption between two readings looks the same).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

pub(crate) const SECOND_NS: i64 = 1_000_000_000;
/// libev's MIN_TIMEJUMP.
const JUMP_NS: i64 = SECOND_NS;

/// A clock that a test moves by hand.
#[derive(Default)]
pub(crate) struct ManualClock {
    pub(crate) monotonic_ns: AtomicI64,
    pub(crate) wall_ns: AtomicI64,
}

pub(crate) enum Clock {
    System,
    Manual(Arc<ManualClock>),
}

impl Clock {
    fn monotonic(&self) -> i64 {
        match self {
            Clock::System => nanoseconds(clock_gettime(ClockId::Monotonic)),
            Clock::Manual(clock) => clock.monotonic_ns.load(Ordering::Relaxed),
        }
    }

    fn wall(&self) -> i64 {
        match self {
            Clock::System => wall_clock_ns(),
            Clock::Manual(clock) => clock.wall_ns.load(Ordering::Relaxed),
        }
    }
}

/// The wall clock now, in nanoseconds since 1970 (LV-R32).
pub fn wall_clock_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: rustix::time::Timespec) -> i64 {
    // Both clocks of all systems end long before 2262.
    time.tv_sec.wrapping_mul(SECOND_NS).wrapping_add(time.tv_nsec)
}

/// The loop's cached time.
pub(crate) struct Now {
    clock: Clock,
    /// Cached monotonic time.
    pub(crate) monotonic_ns: i64,
    /// Cached wall time.
    pub(crate) wall_ns: i64,
    /// Wall minus monotonic, as last read.
    difference_ns: i64,
    /// The monotonic time at which the wall clock was last read.
    wall_read_ns: i64,
}

impl Now {
    pub(crate) fn new(clock: Clock) -> Now {
        let monotonic_ns = clock.monotonic();
        let wall_ns = clock.wall();
        Now {
            clock,
            monotonic_ns,
            wall_ns,
            difference_ns: wall_ns - monotonic_ns,
            wall_read_ns: monotonic_ns,
        }
    }

    /// Reads the clock(s). True when the wall clock jumped: periodics are to be reconsidered.
    #[inline]
    pub(crate) fn update(&mut self) -> bool {
        self.monotonic_ns = self.clock.monotonic();
        if self.monotonic_ns - self.wall_read_ns < JUMP_NS / 2 {
            self.wall_ns = self.monotonic_ns + self.difference_ns;
            return false;
        }
        self.read_wall_clock()
    }

    #[inline(never)]
    fn read_wall_clock(&mut self) -> bool {
        let before_ns = self.difference_ns;
        for _ in 0..3 {
            self.wall_ns = self.clock.wall();
            self.difference_ns = self.wall_ns - self.monotonic_ns;
            self.wall_read_ns = self.monotonic_ns;
            if (self.difference_ns - before_ns).abs() < JUMP_NS {
                return false;
            }
            self.monotonic_ns = self.clock.monotonic();
        }
        true
    }

    /// Reads the wall clock at the next update whatever the time (suspend, fork, an explicit `update_now`).
    pub(crate) fn expire(&mut self) {
        self.wall_read_ns = i64::MIN / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual() -> (Now, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        clock.wall_ns.store(1_700_000_000 * SECOND_NS, Ordering::Relaxed);
        (Now::new(Clock::Manual(clock.clone())), clock)
    }

    /// LV-P10: between two readings the wall time is the monotonic time plus the known difference.
    #[test]
    fn wall_time_is_interpolated() {
        let (mut now, clock) = manual();
        let start = now.wall_ns;
        clock.monotonic_ns.store(JUMP_NS / 4, Ordering::Relaxed);
        assert!(!now.update());
        assert_eq!(now.wall_ns, start + JUMP_NS / 4);
    }

    /// LV-P7: a jump of a second or more is noticed, smaller drift is adopted silently.
    #[test]
    fn jumps_are_noticed_and_drift_is_adopted() {
        let (mut now, clock) = manual();
        let start = now.wall_ns;
        clock.monotonic_ns.store(JUMP_NS, Ordering::Relaxed);
        clock.wall_ns.store(start + JUMP_NS + JUMP_NS / 3, Ordering::Relaxed);
        assert!(!now.update());
        assert_eq!(now.wall_ns, start + JUMP_NS + JUMP_NS / 3);
        clock.monotonic_ns.store(2 * JUMP_NS, Ordering::Relaxed);
        clock.wall_ns.store(start - 3600 * JUMP_NS, Ordering::Relaxed);
        assert!(now.update());
        assert_eq!(now.wall_ns, start - 3600 * JUMP_NS);
        clock.monotonic_ns.store(3 * JUMP_NS, Ordering::Relaxed);
        clock.wall_ns.store(start - 3599 * JUMP_NS, Ordering::Relaxed);
        assert!(!now.update(), "one jump is told once");
    }
}
