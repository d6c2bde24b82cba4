//! Our loop, driven the way a program drives it.

use std::ffi::c_int;

use verdigris_loop::{AsyncSender, Break, Events, Flags, Key, Loop, Mode, Spec, Step};

use crate::side::{Act, Side};

/// The payload of timers.
const TIMER: usize = usize::MAX;

pub(crate) struct Ours<A> {
    event_loop: Loop<usize>,
    ios: Vec<Key>,
    /// Watchers, for those that repeat.
    timers: Vec<Key>,
    /// One-shot waits, which are made and freed each time.
    once: Vec<Key>,
    senders: Vec<AsyncSender>,
    act: A,
}

impl<A: Act> Ours<A> {
    /// Pulls and acts until the run is over.
    fn pull(&mut self, mode: Mode) {
        let Ours {
            event_loop,
            timers,
            act,
            ..
        } = self;
        event_loop.enter(mode);
        loop {
            match event_loop.next() {
                Step::Event { data: TIMER, .. } => {}
                Step::Event { data, .. } | Step::Soon(data) => {
                    let again = || event_loop.again(timers[data]).expect("a timer");
                    if act.due(data, again) {
                        event_loop.break_(Break::One);
                    }
                }
                Step::Block(wait) => event_loop.absorb(wait.block()),
                Step::Done => break,
            }
        }
        event_loop.leave();
    }
}

impl<A: Act> Side<A> for Ours<A> {
    type Time = i64;

    fn new(ios: usize, timers: usize, asyncs: usize, act: A) -> Ours<A> {
        let mut event_loop = Loop::new(Flags::NO_ENV | Flags::EPOLL).expect("epoll");
        let mut made = |spec: Spec, number| event_loop.insert(spec, number).expect("a watcher");
        let io = Spec::Io {
            fd: 0,
            events: Events::READ,
        };
        let timer = Spec::Timer {
            after_ns: 0,
            repeat_ns: 0,
        };
        let ios = (0..ios).map(|number| made(io.clone(), number)).collect();
        let timers: Vec<Key> = (0..timers).map(|_| made(timer.clone(), TIMER)).collect();
        let asyncs: Vec<Key> = (0..asyncs).map(|number| made(Spec::Async, number)).collect();
        let mut sender = |key| {
            event_loop.start(key).expect("a watcher");
            event_loop.async_sender(key).expect("an async watcher")
        };
        let senders = asyncs.into_iter().map(&mut sender).collect();
        Ours {
            event_loop,
            ios,
            once: timers.clone(),
            timers,
            senders,
            act,
        }
    }

    fn act(&mut self) -> &mut A {
        &mut self.act
    }

    fn time(ns: i64) -> i64 {
        ns
    }

    fn keep(&mut self) {
        self.event_loop.ref_();
    }

    #[inline(always)]
    fn set_io(&mut self, number: usize, fd: c_int) {
        let events = Events::READ;
        let spec = Spec::Io { fd, events };
        self.event_loop.set(self.ios[number], spec).expect("stopped");
    }

    #[inline(always)]
    fn start_io(&mut self, number: usize) {
        self.event_loop.start(self.ios[number]).expect("a watcher");
    }

    #[inline(always)]
    fn stop_io(&mut self, number: usize) {
        self.event_loop.stop(self.ios[number]).expect("a watcher");
    }

    #[inline(always)]
    fn start_once(&mut self, number: usize, after_ns: i64) {
        self.once[number] = self.event_loop.wait_timer(after_ns, 0, TIMER);
    }

    #[inline(always)]
    fn stop_once(&mut self, number: usize) {
        self.event_loop.cancel(self.once[number]);
    }

    #[inline(always)]
    fn set_repeating(&mut self, number: usize, repeat_ns: i64) {
        let after_ns = 0;
        let spec = Spec::Timer { after_ns, repeat_ns };
        self.event_loop.set(self.timers[number], spec).expect("stopped");
    }

    #[inline(always)]
    fn again(&mut self, number: usize) {
        self.event_loop.again(self.timers[number]).expect("a timer");
    }

    #[inline(always)]
    fn stop_repeating(&mut self, number: usize) {
        self.event_loop.stop(self.timers[number]).expect("a timer");
    }

    fn sender(&self, number: usize) -> impl Fn() + Sync + Send + 'static {
        let sender = self.senders[number].clone();
        move || sender.send()
    }

    fn look(&mut self) {
        self.pull(Mode::NoWait);
    }

    fn run(&mut self) {
        self.pull(Mode::Default);
    }
}
