//! libev's published benchmark, in our words: many pairs of sockets of which few are active.
//!
//! Each pair has a watcher on its reading end, and if asked for, an inactivity timer that every event starts anew. Some
//! pairs get a byte; whoever reads one passes one on to a pair elsewhere, until so many events were handled. Setting
//! up (all watchers stopped, set and started anew) and handling are told apart, as libev's page does.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::measure::{Case, Options, Taken, compare, processor_time, scramble};
use crate::ours::Ours;
use crate::side::{Act, Side};
use crate::table::Table;
use crate::theirs::Theirs;

const EVENTS: usize = 10_000;

#[derive(Clone, Copy)]
struct Shape {
    pairs: usize,
    active: usize,
    timers: bool,
}

pub(crate) fn run(options: &Options, table: &mut Table) {
    for timers in [false, true] {
        for (pairs, active) in [
            (100, 1),
            (100, 100),
            (1_000, 100),
            (4_000, 1),
            (4_000, 100),
            (4_000, 1_000),
        ] {
            let shape = Shape { pairs, active, timers };
            let with = if timers { ", timers" } else { "" };
            for setting_up in [true, false] {
                let what = if setting_up { "set up" } else { "an event" };
                let name = format!("pairs: {pairs}, {active} active{with}: {what}");
                if !options.wants(&name) {
                    continue;
                }
                let mut theirs = Pairs::<Theirs<Traffic>>::new(shape);
                let mut own = Pairs::<Ours<Traffic>>::new(shape);
                compare(
                    options,
                    table,
                    Case {
                        name,
                        libev: Box::new(move || if setting_up { theirs.set_up() } else { theirs.handle() }),
                        ours: Box::new(move || if setting_up { own.set_up() } else { own.handle() }),
                        floor: None,
                        steady: true,
                    },
                );
            }
        }
    }
}

/// The pairs, and the part of the program that is the same for both: a byte is read, and passed on.
struct Traffic {
    pairs: Vec<(UnixStream, UnixStream)>,
    shape: Shape,
    to_write: usize,
    to_read: usize,
}

impl Traffic {
    fn new(shape: Shape) -> Traffic {
        let pair = |_| {
            let (reading, writing) = UnixStream::pair().expect("enough file descriptors: `ulimit -n 20000`");
            reading.set_nonblocking(true).expect("a socket");
            writing.set_nonblocking(true).expect("a socket");
            (reading, writing)
        };
        Traffic {
            pairs: (0..shape.pairs).map(pair).collect(),
            shape,
            to_write: 0,
            to_read: 0,
        }
    }

    fn fd(&self, number: usize) -> c_int {
        self.pairs[number].0.as_raw_fd()
    }

    /// The first bytes.
    fn begin(&mut self) {
        self.to_write = EVENTS;
        self.to_read = EVENTS;
        let space = self.shape.pairs / self.shape.active;
        for number in 0..self.shape.active {
            self.write(number * space);
        }
    }

    /// True when all events were handled.
    fn event(&mut self, number: usize) -> bool {
        let mut byte = [0u8];
        // SAFETY: one byte is read into one that lives on this stack.
        let count = unsafe { libc::recv(self.fd(number), byte.as_mut_ptr().cast(), 1, 0) };
        if count == 1 {
            self.to_read -= 1;
            self.write((number + 1) % self.shape.pairs);
        }
        self.to_read == 0
    }

    fn write(&mut self, number: usize) {
        if self.to_write > 0 {
            self.to_write -= 1;
            // SAFETY: one byte is read from a constant.
            let count = unsafe { libc::send(self.pairs[number].1.as_raw_fd(), c"e".as_ptr().cast(), 1, 0) };
            assert_eq!(count, 1, "a socket takes one byte");
        }
    }
}

impl Act for Traffic {
    fn due(&mut self, number: usize, again: impl FnOnce()) -> bool {
        if self.shape.timers {
            again();
        }
        self.event(number)
    }
}

struct Pairs<S> {
    side: S,
    shape: Shape,
}

impl<S: Side<Traffic>> Pairs<S> {
    fn new(shape: Shape) -> Pairs<S> {
        let timers = if shape.timers { shape.pairs } else { 0 };
        let mut pairs = Pairs {
            side: S::new(shape.pairs, timers, 0, Traffic::new(shape)),
            shape,
        };
        pairs.start(true);
        pairs
    }

    fn start(&mut self, first: bool) {
        for number in 0..self.shape.pairs {
            let fd = self.side.act().fd(number);
            if !first {
                self.side.stop_io(number);
            }
            self.side.set_io(number, fd);
            self.side.start_io(number);
            if self.shape.timers {
                if !first {
                    self.side.stop_repeating(number);
                }
                // Between ten and eleven seconds, as on libev's page.
                let timeout_ns = 10_000_000_000 + (scramble(number) % 1_000_000_000) as i64;
                self.side.set_repeating(number, S::time(timeout_ns));
                self.side.again(number);
            }
        }
        self.side.look();
    }

    fn set_up(&mut self) -> Taken {
        processor_time(self.shape.pairs, || self.start(false))
    }

    fn handle(&mut self) -> Taken {
        self.side.act().begin();
        processor_time(EVENTS, || self.side.run())
    }
}
