//! libev's published benchmark, in our words: many pairs of sockets of which few are active.
//!
//! Each pair has a watcher on its reading end, and if asked for, an inactivity timer that every event starts anew. Some
//! pairs get a byte; whoever reads one passes one on to a pair elsewhere, until so many events were handled. Setting
//! up (all watchers stopped, set and started anew) and handling are told apart, as libev's page does.

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use verdigris_loop::{Break, Events, Key, Loop, Mode, Spec};

use crate::libev;
use crate::measure::{Case, Taken, compare, processor_time, scramble};
use crate::ours;

const EVENTS: usize = 10_000;

#[derive(Clone, Copy)]
struct Shape {
    pairs: usize,
    active: usize,
    timers: bool,
}

pub(crate) fn run(rounds: usize, filter: &str) {
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
                if !name.contains(filter) {
                    continue;
                }
                let mut theirs = Theirs::new(shape);
                let mut own = Own::new(shape);
                compare(
                    rounds,
                    Case {
                        name,
                        libev: Box::new(move || if setting_up { theirs.set_up() } else { theirs.handle() }),
                        ours: Box::new(move || if setting_up { own.set_up() } else { own.handle() }),
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

/// Between ten and eleven seconds, as on libev's page.
fn timeout_ns(number: usize) -> i64 {
    10_000_000_000 + (scramble(number) % 1_000_000_000) as i64
}

/// On libev. The watchers are first in `Connection`, so that a callback's argument is the connection.
struct Theirs {
    event_loop: libev::Owned,
    connections: Vec<Connection>,
    traffic: Box<Traffic>,
}

#[repr(C)]
struct Connection {
    io: libev::Io,
    timer: libev::Timer,
    number: usize,
    traffic: *mut Traffic,
}

unsafe extern "C" fn readable(event_loop: *mut libev::EvLoop, watcher: *mut c_void, _: c_int) {
    // SAFETY: every io watcher of this loop is the first field of a Connection that lives as long as the loop runs, and
    // nothing else refers to it meanwhile.
    let connection = unsafe { &mut *watcher.cast::<Connection>() };
    // SAFETY: the traffic is boxed beside the connections.
    let traffic = unsafe { &mut *connection.traffic };
    if traffic.shape.timers {
        // SAFETY: the timer is of this loop, and at rest in its place.
        unsafe { libev::ev_timer_again(event_loop, &mut connection.timer) };
    }
    if traffic.event(connection.number) {
        // SAFETY: the loop is running this callback.
        unsafe { libev::ev_break(event_loop, 1) };
    }
}

unsafe extern "C" fn expired(_: *mut libev::EvLoop, _: *mut c_void, _: c_int) {}

impl Theirs {
    fn new(shape: Shape) -> Theirs {
        let mut traffic = Box::new(Traffic::new(shape));
        let pointer: *mut Traffic = &mut *traffic;
        let connection = |number| Connection {
            io: libev::Io::NEW,
            timer: libev::Timer::NEW,
            number,
            traffic: pointer,
        };
        let mut theirs = Theirs {
            event_loop: libev::Owned::new(),
            connections: (0..shape.pairs).map(connection).collect(),
            traffic,
        };
        theirs.start(true);
        theirs
    }

    fn start(&mut self, first: bool) {
        let event_loop = self.event_loop.0;
        for connection in &mut self.connections {
            let fd = self.traffic.fd(connection.number);
            let seconds = timeout_ns(connection.number) as f64 * 1e-9;
            // SAFETY: the watchers do not move (the vector is never resized) and are stopped before they are set.
            unsafe {
                if !first {
                    libev::ev_io_stop(event_loop, &mut connection.io);
                }
                libev::shim_io_init(&mut connection.io, readable, fd, libev::READ);
                libev::ev_io_start(event_loop, &mut connection.io);
                if self.traffic.shape.timers {
                    if !first {
                        libev::ev_timer_stop(event_loop, &mut connection.timer);
                    }
                    libev::shim_timer_init(&mut connection.timer, expired, 0.0, seconds);
                    libev::ev_timer_again(event_loop, &mut connection.timer);
                }
            }
        }
        self.event_loop.run(libev::RUN_NOWAIT);
    }

    fn set_up(&mut self) -> Taken {
        processor_time(self.traffic.shape.pairs, || self.start(false))
    }

    fn handle(&mut self) -> Taken {
        self.traffic.begin();
        processor_time(EVENTS, || self.event_loop.run(0))
    }
}

/// On ours: the payload says which connection, and whether it is its timer.
struct Own {
    event_loop: Loop<usize>,
    connections: Vec<(Key, Key)>,
    traffic: Traffic,
}

/// The payload of timers.
const TIMER: usize = usize::MAX;

impl Own {
    fn new(shape: Shape) -> Own {
        let traffic = Traffic::new(shape);
        let mut event_loop = ours::new_loop();
        let connection = |number| {
            let fd = traffic.fd(number);
            let io = Spec::Io {
                fd,
                events: Events::READ,
            };
            let timer = Spec::Timer {
                after_ns: 0,
                repeat_ns: timeout_ns(number),
            };
            (
                event_loop.insert(io, number).expect("a watcher"),
                event_loop.insert(timer, TIMER).expect("a watcher"),
            )
        };
        let connections = (0..shape.pairs).map(connection).collect();
        let mut own = Own {
            event_loop,
            connections,
            traffic,
        };
        own.start();
        own
    }

    fn start(&mut self) {
        for (number, &(io, timer)) in self.connections.iter().enumerate() {
            let fd = self.traffic.fd(number);
            self.event_loop.stop(io).expect("a watcher");
            self.event_loop
                .set(
                    io,
                    Spec::Io {
                        fd,
                        events: Events::READ,
                    },
                )
                .expect("stopped");
            self.event_loop.start(io).expect("a watcher");
            if self.traffic.shape.timers {
                let spec = Spec::Timer {
                    after_ns: 0,
                    repeat_ns: timeout_ns(number),
                };
                self.event_loop.stop(timer).expect("a watcher");
                self.event_loop.set(timer, spec).expect("stopped");
                self.event_loop.again(timer).expect("a watcher");
            }
        }
        ours::run(&mut self.event_loop, Mode::NoWait, |_, _| {});
    }

    fn set_up(&mut self) -> Taken {
        processor_time(self.traffic.shape.pairs, || self.start())
    }

    fn handle(&mut self) -> Taken {
        self.traffic.begin();
        let Own {
            event_loop,
            connections,
            traffic,
        } = self;
        processor_time(EVENTS, || {
            ours::run(event_loop, Mode::Default, |event_loop, number| {
                if number == TIMER {
                    return;
                }
                if traffic.shape.timers {
                    event_loop.again(connections[number].1).expect("a timer");
                }
                if traffic.event(number) {
                    event_loop.break_(Break::One);
                }
            });
        })
    }
}
