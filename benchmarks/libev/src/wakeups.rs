//! Asyncs: sent by the thread of the loop itself, by another thread while the loop works, and by another thread while
//! it sleeps.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use verdigris_loop::{AsyncSender, Break, Loop, Mode, Spec};

use crate::libev;
use crate::measure::{Case, Taken, compare, processor_time, thread_time};
use crate::ours;

const LOCAL: usize = 200_000;
const FLOOD: usize = 500_000;
const WAKE_UPS: usize = 3_000;
/// After so long the loop sleeps again.
const ASLEEP: Duration = Duration::from_micros(30);

pub(crate) fn run(rounds: usize, filter: &str) {
    for watchers in [1, 100] {
        let name = format!("async: the loop's own thread sends, {watchers} at a time");
        both(rounds, filter, &name, watchers, Theirs::local, Own::local);
    }
    let name = "async: a thread sends as fast as it can, a send";
    both(rounds, filter, name, 1, Theirs::flood, Own::flood);
    let name = "async: to a sleeping loop, its processor time";
    both(rounds, filter, name, 1, |side| side.wake().0, |side| side.wake().0);
    let name = "async: to a sleeping loop, until the callback runs";
    both(rounds, filter, name, 1, |side| side.wake().1, |side| side.wake().1);
}

fn both(
    rounds: usize,
    filter: &str,
    name: &str,
    watchers: usize,
    libev: fn(&mut Theirs) -> Taken,
    ours: fn(&mut Own) -> Taken,
) {
    if !name.contains(filter) {
        return;
    }
    let mut theirs = Theirs::new(watchers);
    let mut own = Own::new(watchers);
    compare(
        rounds,
        Case {
            name: name.into(),
            libev: Box::new(move || libev(&mut theirs)),
            ours: Box::new(move || ours(&mut own)),
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

struct Theirs {
    event_loop: libev::Owned,
    watchers: Vec<Watcher>,
    tally: Box<Tally>,
}

#[repr(C)]
struct Watcher {
    watcher: libev::Async,
    tally: *const Tally,
}

unsafe extern "C" fn called(event_loop: *mut libev::EvLoop, watcher: *mut c_void, _: c_int) {
    // SAFETY: the watcher is the first field of a Watcher, which lives while the loop runs, as does its tally.
    let tally = unsafe { &*(*watcher.cast::<Watcher>()).tally };
    if tally.called() {
        // SAFETY: the loop is running this callback.
        unsafe { libev::ev_break(event_loop, 1) };
    }
}

/// What the sending thread needs.
struct Target(*mut libev::EvLoop, *mut libev::Async);

// SAFETY: ev_async_send, the only use, may be called in any thread while the loop and the watcher live.
unsafe impl Sync for Target {}

impl Target {
    fn send(&self) {
        // SAFETY: the thread is scoped: the loop and the watcher outlive it.
        unsafe { libev::ev_async_send(self.0, self.1) };
    }
}

impl Theirs {
    fn new(watchers: usize) -> Theirs {
        let event_loop = libev::Owned::new();
        let tally = Box::<Tally>::default();
        let pointer: *const Tally = &*tally;
        let watcher = |_| Watcher {
            watcher: libev::Async::NEW,
            tally: pointer,
        };
        let mut watchers: Vec<_> = (0..watchers).map(watcher).collect();
        for watcher in &mut watchers {
            // SAFETY: the watchers stay where they are.
            unsafe {
                libev::shim_async_init(&mut watcher.watcher, called);
                libev::ev_async_start(event_loop.0, &mut watcher.watcher);
            }
        }
        Theirs {
            event_loop,
            watchers,
            tally,
        }
    }

    fn target(&mut self) -> Target {
        Target(self.event_loop.0, &mut self.watchers[0].watcher)
    }

    fn local(&mut self) -> Taken {
        self.tally.reset(usize::MAX);
        processor_time(LOCAL, || {
            for _ in 0..LOCAL / self.watchers.len() {
                for watcher in &mut self.watchers {
                    // SAFETY: active in this loop.
                    unsafe { libev::ev_async_send(self.event_loop.0, &mut watcher.watcher) };
                }
                self.event_loop.run(libev::RUN_NOWAIT);
            }
        })
    }

    fn flood(&mut self) -> Taken {
        self.tally.reset(usize::MAX);
        let target = self.target();
        let Theirs { event_loop, tally, .. } = self;
        processor_time(FLOOD, || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    tally.flood(|| target.send());
                });
                event_loop.run(0);
            });
        })
    }

    fn wake(&mut self) -> (Taken, Taken) {
        self.tally.reset(WAKE_UPS);
        let target = self.target();
        let Theirs { event_loop, tally, .. } = self;
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| tally.wake(|| target.send()));
            let busy = thread_time(WAKE_UPS, || event_loop.run(0));
            (busy, sender.join().expect("the sender ends"))
        })
    }
}

struct Own {
    event_loop: Loop<usize>,
    senders: Vec<AsyncSender>,
    tally: Tally,
}

impl Own {
    fn new(watchers: usize) -> Own {
        let mut event_loop = ours::new_loop();
        let watcher = |number| {
            let key = event_loop.insert(Spec::Async, number).expect("a watcher");
            event_loop.start(key).expect("a watcher");
            event_loop.async_sender(key).expect("an async watcher")
        };
        let senders = (0..watchers).map(watcher).collect();
        Own {
            event_loop,
            senders,
            tally: Tally::default(),
        }
    }

    fn local(&mut self) -> Taken {
        self.tally.reset(usize::MAX);
        let Own {
            event_loop,
            senders,
            tally,
        } = self;
        processor_time(LOCAL, || {
            for _ in 0..LOCAL / senders.len() {
                for sender in &*senders {
                    sender.send();
                }
                ours::run(event_loop, Mode::NoWait, |_, _| {
                    tally.called();
                });
            }
        })
    }

    fn flood(&mut self) -> Taken {
        self.tally.reset(usize::MAX);
        processor_time(FLOOD, || {
            std::thread::scope(|scope| {
                scope.spawn(|| self.tally.flood(|| self.senders[0].send()));
                until_told(&mut self.event_loop, &self.tally);
            });
        })
    }

    fn wake(&mut self) -> (Taken, Taken) {
        self.tally.reset(WAKE_UPS);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| self.tally.wake(|| self.senders[0].send()));
            let busy = thread_time(WAKE_UPS, || until_told(&mut self.event_loop, &self.tally));
            (busy, sender.join().expect("the sender ends"))
        })
    }
}

fn until_told(event_loop: &mut Loop<usize>, tally: &Tally) {
    ours::run(event_loop, Mode::Default, |event_loop, _| {
        if tally.called() {
            event_loop.break_(Break::One);
        }
    });
}
