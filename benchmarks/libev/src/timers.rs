//! Timers: many with random deadlines, inserted, started anew, cancelled, expired.
//!
//! libev's are structures in an array; ours are one-shot waits, which are made and freed here, too (watchers for
//! `again`, which waits have not).

use std::ffi::{c_int, c_void};

use verdigris_loop::{Key, Loop, Mode, Spec};

use crate::libev;
use crate::measure::{Case, Side, Taken, compare, processor_time, scramble};
use crate::ours;

pub(crate) fn run(rounds: usize, filter: &str) {
    for count in [1_000, 100_000, 1_000_000] {
        // So that each measurement takes some milliseconds at least, and the largest not for ever.
        let rounds = if count == 1_000_000 { rounds.min(5) } else { rounds };
        let cases: [(&str, Side<Theirs>, Side<Own>); 5] = [
            ("insert", Theirs::insert, Own::insert),
            ("cancel one, insert one", Theirs::exchange, Own::exchange),
            ("again", Theirs::again, Own::again),
            ("cancel", Theirs::cancel, Own::cancel),
            ("expire", Theirs::expire, Own::expire),
        ];
        for (what, libev, ours) in cases {
            let name = format!("timers: {what}, {count}");
            if !name.contains(filter) {
                continue;
            }
            let mut theirs = Theirs::new(count);
            let mut own = Own::new(count);
            compare(
                rounds,
                Case {
                    name,
                    libev: Box::new(move || libev(&mut theirs)),
                    ours: Box::new(move || ours(&mut own)),
                },
            );
        }
    }
}

const EXCHANGES: usize = 100_000;
/// A measurement handles at least so many timers.
const LEAST: usize = 100_000;

/// Within a second, some while from now.
fn after_ns(number: usize) -> i64 {
    1_000_000_000_000 + (scramble(number) % 1_000_000_000) as i64
}

fn repetitions(count: usize) -> usize {
    LEAST.div_ceil(count)
}

struct Theirs {
    event_loop: libev::Owned,
    timers: Vec<libev::Timer>,
}

unsafe extern "C" fn expired(_: *mut libev::EvLoop, _: *mut c_void, _: c_int) {}

impl Theirs {
    fn new(count: usize) -> Theirs {
        Theirs {
            event_loop: libev::Owned::new(),
            timers: vec![libev::Timer::NEW; count],
        }
    }

    fn start(&mut self, number: usize, after_ns: i64) {
        // SAFETY: the timer is stopped, and stays where it is.
        unsafe {
            libev::shim_timer_init(&mut self.timers[number], expired, after_ns as f64 * 1e-9, 0.0);
            libev::ev_timer_start(self.event_loop.0, &mut self.timers[number]);
        }
    }

    fn stop(&mut self, number: usize) {
        // SAFETY: the timer is of this loop.
        unsafe { libev::ev_timer_stop(self.event_loop.0, &mut self.timers[number]) };
    }

    fn fill(&mut self) {
        for number in 0..self.timers.len() {
            self.start(number, after_ns(number));
        }
    }

    fn empty(&mut self) {
        for number in 0..self.timers.len() {
            self.stop(number);
        }
    }

    fn insert(&mut self) -> Taken {
        let count = self.timers.len();
        Taken::sum((0..repetitions(count)).map(|_| {
            let taken = processor_time(count, || self.fill());
            self.empty();
            taken
        }))
    }

    fn exchange(&mut self) -> Taken {
        self.fill();
        let taken = processor_time(EXCHANGES, || {
            for round in 0..EXCHANGES {
                let which = scramble(round) % self.timers.len();
                self.stop(which);
                self.start(which, after_ns(round));
            }
        });
        self.empty();
        taken
    }

    fn again(&mut self) -> Taken {
        for (number, timer) in self.timers.iter_mut().enumerate() {
            // SAFETY: as in `start`.
            unsafe {
                libev::shim_timer_init(timer, expired, 0.0, after_ns(number) as f64 * 1e-9);
                libev::ev_timer_again(self.event_loop.0, timer);
            }
        }
        let taken = processor_time(EXCHANGES, || {
            for round in 0..EXCHANGES {
                let which = scramble(round) % self.timers.len();
                // SAFETY: as in `start`.
                unsafe { libev::ev_timer_again(self.event_loop.0, &mut self.timers[which]) };
            }
        });
        self.empty();
        taken
    }

    fn cancel(&mut self) -> Taken {
        let count = self.timers.len();
        Taken::sum((0..repetitions(count)).map(|_| {
            self.fill();
            processor_time(count, || self.empty())
        }))
    }

    fn expire(&mut self) -> Taken {
        let count = self.timers.len();
        Taken::sum((0..repetitions(count)).map(|_| {
            for number in 0..count {
                self.start(number, (scramble(number) % 1000) as i64 - 2_000_000_000);
            }
            processor_time(count, || self.event_loop.run(0))
        }))
    }
}

struct Own {
    event_loop: Loop<usize>,
    keys: Vec<Key>,
    count: usize,
}

impl Own {
    fn new(count: usize) -> Own {
        Own {
            event_loop: ours::new_loop(),
            keys: Vec::with_capacity(count),
            count,
        }
    }

    fn fill(&mut self) {
        for number in 0..self.count {
            self.keys.push(self.event_loop.wait_timer(after_ns(number), 0, number));
        }
    }

    fn empty(&mut self) {
        for key in self.keys.drain(..) {
            self.event_loop.cancel(key);
        }
    }

    fn insert(&mut self) -> Taken {
        let count = self.count;
        Taken::sum((0..repetitions(count)).map(|_| {
            let taken = processor_time(count, || self.fill());
            self.empty();
            taken
        }))
    }

    fn exchange(&mut self) -> Taken {
        self.fill();
        let taken = processor_time(EXCHANGES, || {
            for round in 0..EXCHANGES {
                let which = scramble(round) % self.count;
                self.event_loop.cancel(self.keys[which]);
                self.keys[which] = self.event_loop.wait_timer(after_ns(round), 0, which);
            }
        });
        self.empty();
        taken
    }

    fn again(&mut self) -> Taken {
        for number in 0..self.count {
            let spec = Spec::Timer {
                after_ns: 0,
                repeat_ns: after_ns(number),
            };
            let key = self.event_loop.insert(spec, number).expect("a timer");
            self.event_loop.again(key).expect("a timer");
            self.keys.push(key);
        }
        let taken = processor_time(EXCHANGES, || {
            for round in 0..EXCHANGES {
                let which = scramble(round) % self.count;
                self.event_loop.again(self.keys[which]).expect("a timer");
            }
        });
        for key in self.keys.drain(..) {
            self.event_loop.remove(key);
        }
        taken
    }

    fn cancel(&mut self) -> Taken {
        let count = self.count;
        Taken::sum((0..repetitions(count)).map(|_| {
            self.fill();
            processor_time(count, || self.empty())
        }))
    }

    fn expire(&mut self) -> Taken {
        let count = self.count;
        Taken::sum((0..repetitions(count)).map(|_| {
            for number in 0..count {
                self.event_loop
                    .wait_timer((scramble(number) % 1000) as i64 - 2_000_000_000, 0, number);
            }
            processor_time(count, || ours::run(&mut self.event_loop, Mode::Default, |_, _| {}))
        }))
    }
}
