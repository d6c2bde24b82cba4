//! Asyncs: sent by the thread of the loop itself, by another thread while the loop works, and by another thread while
//! it sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::io::look_alone;
use crate::kernel::Bell;
use crate::measure::{Case, Options, Run, Taken, compare, processor_time, thread_time};
use crate::ours::Ours;
use crate::side::{Act, Side};
use crate::table::Table;
use crate::theirs::Theirs;

const LOCAL: usize = 200_000;
const FLOOD: usize = 500_000;
const WAKE_UPS: usize = 3_000;
/// After so long the loop sleeps again.
const ASLEEP: Duration = Duration::from_micros(30);

pub(crate) fn run(options: &Options, table: &mut Table) {
    for watchers in [1, 100] {
        let name = format!("async: the loop's own thread sends, {watchers} at a time");
        case(
            options,
            table,
            &name,
            watchers,
            (watchers == 1).then(look_alone),
            Asyncs::local,
            Asyncs::local,
        );
    }
    let name = "async: a thread sends as fast as it can, a send";
    case(options, table, name, 1, None, Asyncs::flood, Asyncs::flood);
    let name = "async: to a sleeping loop, its processor time";
    let floor: Run<'static> = Box::new(|| wake_alone().0);
    case(
        options,
        table,
        name,
        1,
        Some(floor),
        |side| side.wake().0,
        |side| side.wake().0,
    );
    let name = "async: to a sleeping loop, until the callback runs";
    let floor: Run<'static> = Box::new(|| wake_alone().1);
    case(
        options,
        table,
        name,
        1,
        Some(floor),
        |side| side.wake().1,
        |side| side.wake().1,
    );
}

type Told = Arc<Tally>;

fn case(
    options: &Options,
    table: &mut Table,
    name: &str,
    watchers: usize,
    floor: Option<Run<'_>>,
    libev: fn(&mut Asyncs<Theirs<Told>>) -> Taken,
    ours: fn(&mut Asyncs<Ours<Told>>) -> Taken,
) {
    if !options.wants(name) {
        return;
    }
    let mut theirs = Asyncs::new(watchers);
    let mut own = Asyncs::new(watchers);
    compare(
        options,
        table,
        Case {
            name: name.into(),
            libev: Box::new(move || libev(&mut theirs)),
            ours: Box::new(move || ours(&mut own)),
            floor,
            // Threads take turns as they like.
            steady: name.contains("own thread"),
        },
    );
}

/// What the callbacks and the sending thread tell each other.
#[derive(Default)]
struct Tally {
    calls: AtomicUsize,
    /// The loop is left at this call.
    last: AtomicUsize,
    /// The loop is left at the next call.
    over: AtomicBool,
}

impl Act for Told {
    fn due(&mut self, _: usize, _: impl FnOnce()) -> bool {
        self.called()
    }
}

impl Tally {
    /// One callback; whether to leave the loop.
    fn called(&self) -> bool {
        let calls = self.calls.load(Ordering::Relaxed) + 1;
        self.calls.store(calls, Ordering::Release);
        self.over.load(Ordering::Acquire) || calls == self.last.load(Ordering::Relaxed)
    }

    fn reset(&self, last: usize) {
        self.calls.store(0, Ordering::Relaxed);
        self.last.store(last, Ordering::Relaxed);
        self.over.store(false, Ordering::Relaxed);
    }

    /// Sends without waiting for anybody.
    fn flood(&self, send: impl Fn()) {
        for _ in 0..FLOOD {
            send();
        }
        self.over.store(true, Ordering::Release);
        send();
    }

    /// Wakes the loop again and again; how long it took until the callback ran, half of the times at most.
    fn wake(&self, send: impl Fn()) -> Taken {
        let mut latencies: Vec<Duration> = (1..=WAKE_UPS)
            .map(|number| {
                let asleep = Instant::now() + ASLEEP;
                while Instant::now() < asleep {
                    std::hint::spin_loop();
                }
                let sent = Instant::now();
                send();
                while self.calls.load(Ordering::Acquire) < number {
                    std::hint::spin_loop();
                }
                sent.elapsed()
            })
            .collect();
        latencies.sort();
        Taken::new(latencies[WAKE_UPS / 2], 1)
    }
}

/// Somebody wakes a thread in which `run` runs: its processor time, and how long it took each time.
fn wake(tally: &Tally, send: impl Fn() + Send, run: impl FnOnce()) -> (Taken, Taken) {
    tally.reset(WAKE_UPS);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| tally.wake(send));
        let busy = thread_time(WAKE_UPS, run);
        (busy, sender.join().expect("the sender ends"))
    })
}

/// The same with nothing but the two system calls.
fn wake_alone() -> (Taken, Taken) {
    let (bell, tally) = (Bell::new(), Tally::default());
    let until_told = || {
        loop {
            bell.wait(-1);
            if tally.called() {
                break;
            }
        }
    };
    wake(&tally, || bell.ring(), until_told)
}

struct Asyncs<S> {
    side: S,
    watchers: usize,
}

impl<S: Side<Told>> Asyncs<S> {
    fn new(watchers: usize) -> Asyncs<S> {
        Asyncs {
            side: S::new(0, 0, watchers, Told::default()),
            watchers,
        }
    }

    fn local(&mut self) -> Taken {
        self.side.act().reset(usize::MAX);
        let senders: Vec<_> = (0..self.watchers).map(|number| self.side.sender(number)).collect();
        processor_time(LOCAL, || {
            for _ in 0..LOCAL / senders.len() {
                senders.iter().for_each(|send| send());
                self.side.look();
            }
        })
    }

    fn flood(&mut self) -> Taken {
        let (tally, send) = (self.side.act().clone(), self.side.sender(0));
        tally.reset(usize::MAX);
        processor_time(FLOOD, || {
            std::thread::scope(|scope| {
                scope.spawn(|| tally.flood(&send));
                self.side.run();
            });
        })
    }

    fn wake(&mut self) -> (Taken, Taken) {
        let (tally, send) = (self.side.act().clone(), self.side.sender(0));
        wake(&tally, send, || self.side.run())
    }
}
