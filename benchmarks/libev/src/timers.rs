//! Timers: many with random deadlines, inserted, exchanged, put off, cancelled, expired.
//!
//! libev's are structures in an array; ours are one-shot waits, which are made and freed here, too (watchers for
//! `again`, which waits have not). What is random was made before.

use crate::measure::{Case, Options, Taken, compare, processor_time, scramble};
use crate::ours::Ours;
use crate::side::{Nothing, Side};
use crate::table::Table;
use crate::theirs::Theirs;

const EXCHANGES: usize = 100_000;
/// A measurement handles at least so many timers.
const LEAST: usize = 100_000;

pub(crate) fn run(options: &Options, table: &mut Table) {
    type Act<S> = fn(&mut Timers<S, <S as Side<Nothing>>::Time>) -> Taken;
    type Pair = (&'static str, Act<Theirs<Nothing>>, Act<Ours<Nothing>>);
    let cases: [Pair; 5] = [
        ("insert", Timers::insert, Timers::insert),
        ("cancel one, insert one", Timers::exchange, Timers::exchange),
        ("again", Timers::again, Timers::again),
        ("cancel", Timers::cancel, Timers::cancel),
        ("expire", Timers::expire, Timers::expire),
    ];
    for count in [1_000, 100_000, 1_000_000] {
        for (what, libev, ours) in cases {
            let name = format!("timers: {what}, {count}");
            if !options.wants(&name) {
                continue;
            }
            let mut theirs = Timers::new(count);
            let mut own = Timers::new(count);
            compare(
                options,
                table,
                Case {
                    name,
                    libev: Box::new(move || libev(&mut theirs)),
                    ours: Box::new(move || ours(&mut own)),
                    floor: None,
                    steady: true,
                },
            );
        }
    }
}

struct Timers<S, T> {
    side: S,
    count: usize,
    /// Within a second, some while from now.
    far: Vec<T>,
    /// Long ago.
    past: Vec<T>,
    /// Which of them is exchanged, and for when.
    exchanges: Vec<(usize, T)>,
}

impl<S: Side<Nothing, Time = T>, T: Copy> Timers<S, T> {
    fn new(count: usize) -> Timers<S, T> {
        let far = |number| S::time(1_000_000_000_000 + (scramble(number) % 1_000_000_000) as i64);
        let past = |number| S::time((scramble(number) % 1_000) as i64 - 2_000_000_000);
        let exchange = |round| (scramble(round) % count, far(round));
        Timers {
            side: S::new(0, count, 0, Nothing),
            count,
            far: (0..count).map(far).collect(),
            past: (0..count).map(past).collect(),
            exchanges: (0..EXCHANGES).map(exchange).collect(),
        }
    }

    fn fill(&mut self) {
        for (number, &after) in self.far.iter().enumerate() {
            self.side.start_once(number, after);
        }
    }

    fn empty(&mut self) {
        (0..self.count).for_each(|number| self.side.stop_once(number));
    }

    fn repeat(&mut self, mut act: impl FnMut(&mut Self) -> Taken) -> Taken {
        Taken::sum((0..LEAST.div_ceil(self.count)).map(|_| act(self)))
    }

    fn insert(&mut self) -> Taken {
        self.repeat(|timers| {
            let taken = processor_time(timers.count, || timers.fill());
            timers.empty();
            taken
        })
    }

    fn cancel(&mut self) -> Taken {
        self.repeat(|timers| {
            timers.fill();
            processor_time(timers.count, || timers.empty())
        })
    }

    fn expire(&mut self) -> Taken {
        self.repeat(|timers| {
            for (number, &after) in timers.past.iter().enumerate() {
                timers.side.start_once(number, after);
            }
            processor_time(timers.count, || timers.side.run())
        })
    }

    fn exchange(&mut self) -> Taken {
        self.fill();
        let taken = processor_time(EXCHANGES, || {
            for &(which, after) in &self.exchanges {
                self.side.stop_once(which);
                self.side.start_once(which, after);
            }
        });
        self.empty();
        taken
    }

    fn again(&mut self) -> Taken {
        for (number, &repeat) in self.far.iter().enumerate() {
            self.side.set_repeating(number, repeat);
            self.side.again(number);
        }
        let taken = processor_time(EXCHANGES, || {
            for &(which, _) in &self.exchanges {
                self.side.again(which);
            }
        });
        (0..self.count).for_each(|number| self.side.stop_repeating(number));
        taken
    }
}
