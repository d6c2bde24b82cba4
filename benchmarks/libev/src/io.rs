//! I/O watchers started and stopped, and iterations in which nothing happens.

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use verdigris_loop::{Events, Key, Loop, Mode, Spec};

use crate::libev;
use crate::measure::{Case, Side, Taken, compare, processor_time};
use crate::ours;

const WATCHERS: usize = 1_000;
const TURNS: usize = 100;
const ITERATIONS: usize = 50_000;

pub(crate) fn run(rounds: usize, filter: &str) {
    let cases: [(&str, Side<Theirs>, Side<Own>); 4] = [
        ("io: stop and start", Theirs::stop_and_start, Own::stop_and_start),
        ("io: start, look, stop, look", Theirs::with_looks, Own::with_looks),
        ("io: set and start, look, stop", Theirs::set, Own::set),
        ("an empty iteration", Theirs::iterate, Own::iterate),
    ];
    for (name, libev, ours) in cases {
        if !name.contains(filter) {
            continue;
        }
        let sockets: Vec<_> = (0..WATCHERS).map(|_| UnixStream::pair().expect("sockets")).collect();
        let fds: Vec<c_int> = sockets.iter().map(|(reading, _)| reading.as_raw_fd()).collect();
        let mut theirs = Theirs::new(&fds);
        let mut own = Own::new(&fds);
        compare(
            rounds,
            Case {
                name: name.into(),
                libev: Box::new(move || libev(&mut theirs)),
                ours: Box::new(move || ours(&mut own)),
            },
        );
    }
}

struct Theirs {
    event_loop: libev::Owned,
    fds: Vec<c_int>,
    watchers: Vec<libev::Io>,
}

unsafe extern "C" fn nothing(_: *mut libev::EvLoop, _: *mut c_void, _: c_int) {}

impl Theirs {
    fn new(fds: &[c_int]) -> Theirs {
        let event_loop = libev::Owned::new();
        // SAFETY: the loop lives. It is not to end because nothing is active.
        unsafe { libev::ev_ref(event_loop.0) };
        let mut theirs = Theirs {
            event_loop,
            fds: fds.to_vec(),
            watchers: vec![libev::Io::NEW; fds.len()],
        };
        theirs.init();
        theirs
    }

    fn init(&mut self) {
        for (watcher, &fd) in self.watchers.iter_mut().zip(&self.fds) {
            // SAFETY: the watcher is stopped.
            unsafe { libev::shim_io_init(watcher, nothing, fd, libev::READ) };
        }
    }

    fn start(&mut self) {
        for watcher in &mut self.watchers {
            // SAFETY: set, and stays where it is.
            unsafe { libev::ev_io_start(self.event_loop.0, watcher) };
        }
    }

    fn stop(&mut self) {
        for watcher in &mut self.watchers {
            // SAFETY: of this loop.
            unsafe { libev::ev_io_stop(self.event_loop.0, watcher) };
        }
    }

    fn look(&self) {
        self.event_loop.run(libev::RUN_NOWAIT);
    }

    fn stop_and_start(&mut self) -> Taken {
        self.start();
        self.look();
        let taken = processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.stop();
                self.start();
                self.look();
            }
        });
        self.stop();
        self.look();
        taken
    }

    fn with_looks(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.start();
                self.look();
                self.stop();
                self.look();
            }
        })
    }

    fn set(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.init();
                self.start();
                self.look();
                self.stop();
            }
        })
    }

    fn iterate(&mut self) -> Taken {
        processor_time(ITERATIONS, || {
            for _ in 0..ITERATIONS {
                self.look();
            }
        })
    }
}

struct Own {
    event_loop: Loop<usize>,
    fds: Vec<c_int>,
    keys: Vec<Key>,
}

impl Own {
    fn new(fds: &[c_int]) -> Own {
        let mut event_loop = ours::new_loop();
        event_loop.ref_();
        let watcher = |(number, &fd)| {
            let spec = Spec::Io {
                fd,
                events: Events::READ,
            };
            event_loop.insert(spec, number).expect("a watcher")
        };
        let keys = fds.iter().enumerate().map(watcher).collect();
        Own {
            event_loop,
            fds: fds.to_vec(),
            keys,
        }
    }

    fn init(&mut self) {
        for (&key, &fd) in self.keys.iter().zip(&self.fds) {
            let spec = Spec::Io {
                fd,
                events: Events::READ,
            };
            self.event_loop.set(key, spec).expect("stopped");
        }
    }

    fn start(&mut self) {
        for &key in &self.keys {
            self.event_loop.start(key).expect("a watcher");
        }
    }

    fn stop(&mut self) {
        for &key in &self.keys {
            self.event_loop.stop(key).expect("a watcher");
        }
    }

    fn look(&mut self) {
        ours::run(&mut self.event_loop, Mode::NoWait, |_, _| {});
    }

    fn stop_and_start(&mut self) -> Taken {
        self.start();
        self.look();
        let taken = processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.stop();
                self.start();
                self.look();
            }
        });
        self.stop();
        self.look();
        taken
    }

    fn with_looks(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.start();
                self.look();
                self.stop();
                self.look();
            }
        })
    }

    fn set(&mut self) -> Taken {
        processor_time(WATCHERS * TURNS, || {
            for _ in 0..TURNS {
                self.init();
                self.start();
                self.look();
                self.stop();
            }
        })
    }

    fn iterate(&mut self) -> Taken {
        processor_time(ITERATIONS, || {
            for _ in 0..ITERATIONS {
                self.look();
            }
        })
    }
}
