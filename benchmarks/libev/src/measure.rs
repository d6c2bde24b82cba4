//! Measuring two programs in turns, on a machine that others use too.
//!
//! What is timed is the processor time of the process (of all its threads), unless a case says that it is about
//! latency. Each case runs several rounds, libev and ours in turns, and the median of each side is reported. What noise
//! does not touch is counted beside it if asked for: the instructions outside the kernel (`instructions`).

use std::time::Duration;

use crate::instructions;
use crate::table::{Row, Table};

/// One comparison: each side runs it once and says how long it took, and for how many operations.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    pub(crate) libev: Run<'a>,
    pub(crate) ours: Run<'a>,
    /// The system calls of it alone: what no loop can go below.
    pub(crate) floor: Option<Run<'a>>,
    /// Always the same instructions, so that they can be counted.
    pub(crate) steady: bool,
}

pub(crate) type Run<'a> = Box<dyn FnMut() -> Taken + 'a>;

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
    instructions::counted(act);
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

/// What the command line asked for.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// A part of the names of the cases to run.
    pub(crate) filter: String,
    pub(crate) instructions: bool,
    /// Run one side of the case of this very name, once, to be counted.
    pub(crate) counted: Option<(String, bool)>,
}

impl Options {
    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.counted {
            Some((counted, _)) => name == counted,
            None => name.contains(&self.filter),
        }
    }
}

/// Runs a case and adds its row.
pub(crate) fn compare(options: &Options, table: &mut Table, mut case: Case<'_>) {
    if let Some((_, ours)) = options.counted {
        let taken = if ours { (case.ours)() } else { (case.libev)() };
        return instructions::tell(taken.operations);
    }
    let (mut theirs, mut own, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // Who goes first has colder caches: that, too, is done in turns.
        if round % 2 == 0 {
            theirs.push((case.libev)().nanoseconds());
            own.push((case.ours)().nanoseconds());
        } else {
            own.push((case.ours)().nanoseconds());
            theirs.push((case.libev)().nanoseconds());
        }
        floor.extend(case.floor.as_mut().map(|floor| floor().nanoseconds()));
    }
    let instructions = (options.instructions && case.steady).then(|| {
        (
            instructions::count(&case.name, false),
            instructions::count(&case.name, true),
        )
    });
    table.add(Row {
        name: case.name,
        libev_ns: median(theirs),
        ours_ns: median(own),
        floor_ns: case.floor.is_some().then(|| median(floor)),
        instructions,
    });
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
