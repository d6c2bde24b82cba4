//! I/O watchers started and stopped, and iterations in which nothing happens.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::kernel::Bell;
use crate::measure::{Case, Options, Run, Taken, compare, processor_time};
use crate::ours::Ours;
use crate::side::{Nothing, Side};
use crate::table::Table;
use crate::theirs::Theirs;

const WATCHERS: usize = 1_000;
const TURNS: usize = 100;
const ITERATIONS: usize = 50_000;

pub(crate) fn run(options: &Options, table: &mut Table) {
    type Act<S> = fn(&mut Watchers<S>) -> Taken;
    type Pair = (&'static str, Act<Theirs<Nothing>>, Act<Ours<Nothing>>);
    let cases: [Pair; 4] = [
        ("io: stop and start", Watchers::stop_and_start, Watchers::stop_and_start),
        (
            "io: start, look, stop, look",
            Watchers::with_looks,
            Watchers::with_looks,
        ),
        ("io: set and start, look, stop", Watchers::set, Watchers::set),
        ("an empty iteration", Watchers::iterate, Watchers::iterate),
    ];
    for (name, libev, ours) in cases {
        if !options.wants(name) {
            continue;
        }
        let sockets: Vec<_> = (0..WATCHERS).map(|_| UnixStream::pair().expect("sockets")).collect();
        let fds: Vec<c_int> = sockets.iter().map(|(reading, _)| reading.as_raw_fd()).collect();
        let mut theirs = Watchers::new(&fds);
        let mut own = Watchers::new(&fds);
        let floor = (name == "an empty iteration").then(look_alone);
        compare(
            options,
            table,
            Case {
                name: name.into(),
                libev: Box::new(move || libev(&mut theirs)),
                ours: Box::new(move || ours(&mut own)),
                floor,
                steady: true,
            },
        );
    }
}

/// The look at the kernel and nothing else.
pub(crate) fn look_alone() -> Run<'static> {
    let bell = Bell::new();
    Box::new(move || processor_time(ITERATIONS, || (0..ITERATIONS).for_each(|_| bell.wait(0))))
}

struct Watchers<S> {
    side: S,
    fds: Vec<c_int>,
}

impl<S: Side<Nothing>> Watchers<S> {
    fn new(fds: &[c_int]) -> Watchers<S> {
        let mut watchers = Watchers {
            side: S::new(fds.len(), 0, 0, Nothing),
            fds: fds.to_vec(),
        };
        // It is not to end because nothing is active.
        watchers.side.keep();
        watchers.set_all();
        watchers
    }

    fn set_all(&mut self) {
        for (number, &fd) in self.fds.iter().enumerate() {
            self.side.set_io(number, fd);
        }
    }

    fn start(&mut self) {
        (0..self.fds.len()).for_each(|number| self.side.start_io(number));
    }

    fn stop(&mut self) {
        (0..self.fds.len()).for_each(|number| self.side.stop_io(number));
    }

    fn stop_and_start(&mut self) -> Taken {
        self.start();
        self.side.look();
        let taken = processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.stop();
                self.start();
                self.side.look();
            }
        });
        self.stop();
        self.side.look();
        taken
    }

    fn with_looks(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.start();
                self.side.look();
                self.stop();
                self.side.look();
            }
        })
    }

    fn set(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.set_all();
                self.start();
                self.side.look();
                self.stop();
            }
        })
    }

    fn iterate(&mut self) -> Taken {
        processor_time(ITERATIONS, || (0..ITERATIONS).for_each(|_| self.side.look()))
    }
}
