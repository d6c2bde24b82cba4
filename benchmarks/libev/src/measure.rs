//! Measuring two programs in turns, on a machine that others use too.
//!
//! What is counted is the processor time of the process (of all its threads), unless a case says that it is about
//! latency. Each case runs several rounds, libev and ours in turns, and the median of each side is reported.

use std::time::Duration;

/// One comparison: each side runs it once and says how long it took, and for how many operations.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    pub(crate) libev: Box<dyn FnMut() -> Taken + 'a>,
    pub(crate) ours: Box<dyn FnMut() -> Taken + 'a>,
}

/// One side of a case, before it is bound to what it runs on.
pub(crate) type Side<T> = fn(&mut T) -> Taken;

#[derive(Clone, Copy)]
pub(crate) struct Taken {
    time: Duration,
    operations: usize,
}

impl Taken {
    pub(crate) fn new(time: Duration, operations: usize) -> Taken {
        Taken { time, operations }
    }

    pub(crate) fn sum(parts: impl Iterator<Item = Taken>) -> Taken {
        parts.fold(Taken::new(Duration::ZERO, 0), |sum, part| {
            Taken::new(sum.time + part.time, sum.operations + part.operations)
        })
    }

    fn nanoseconds(self) -> f64 {
        self.time.as_nanos() as f64 / self.operations as f64
    }
}

/// Processor time of `act`.
pub(crate) fn processor_time(operations: usize, act: impl FnOnce()) -> Taken {
    let begun = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    act();
    Taken::new(clock(libc::CLOCK_PROCESS_CPUTIME_ID) - begun, operations)
}

/// Processor time of `act` in this thread alone.
pub(crate) fn thread_time(operations: usize, act: impl FnOnce()) -> Taken {
    let begun = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    act();
    Taken::new(clock(libc::CLOCK_THREAD_CPUTIME_ID) - begun, operations)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the one structure, which lives on this stack.
    unsafe { libc::clock_gettime(id, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs a case and prints its line.
pub(crate) fn compare(rounds: usize, case: Case<'_>) {
    let Case {
        name,
        mut libev,
        mut ours,
    } = case;
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who goes first has colder caches: that, too, is done in turns.
        if round % 2 == 0 {
            theirs.push(libev().nanoseconds());
            own.push(ours().nanoseconds());
        } else {
            own.push(ours().nanoseconds());
            theirs.push(libev().nanoseconds());
        }
    }
    let (theirs, own) = (median(theirs), median(own));
    println!("{name:<58} {theirs:>10.1} {own:>10.1} {:>7.2}", theirs / own);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A cheap random number, to make orders that no cache foresees.
pub(crate) fn scramble(value: usize) -> usize {
    let mixed = (value as u64 ^ (value as u64 >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20) as usize
}
