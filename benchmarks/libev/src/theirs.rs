//! libev, driven as a C program drives it: watchers in arrays, their numbers in `data`, everything else in a global.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::libev::{self, Async, EvLoop, Io, Timer};
use crate::side::{Act, Side};

/// The `Theirs` whose loop is running: there is one at a time.
static RUNNING: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) struct Theirs<A> {
    event_loop: libev::Owned,
    ios: Vec<Io>,
    timers: Vec<Timer>,
    asyncs: Vec<Async>,
    act: A,
}

unsafe extern "C" fn due<A: Act>(event_loop: *mut EvLoop, watcher: *mut c_void, _: c_int) {
    // SAFETY: libev calls this for io and async watchers, which both begin with what is common to all.
    let number = unsafe { (*watcher.cast::<libev::Common>()).data } as usize;
    // SAFETY: `run_with` has put it there, and nobody else touches it while libev runs.
    let side = unsafe { &mut *RUNNING.load(Ordering::Relaxed).cast::<Theirs<A>>() };
    let timers = &mut side.timers;
    // SAFETY: the timer is of this loop.
    let again = || unsafe { libev::ev_timer_again(event_loop, &mut timers[number]) };
    if side.act.due(number, again) {
        // SAFETY: the loop is running this callback.
        unsafe { libev::ev_break(event_loop, libev::BREAK_ONE) };
    }
}

unsafe extern "C" fn expired(_: *mut EvLoop, _: *mut c_void, _: c_int) {}

/// What a sending thread needs.
struct Target(*mut EvLoop, *mut Async);

// SAFETY: ev_async_send, the only use, may be called in any thread while the loop and the watcher live.
unsafe impl Sync for Target {}
// SAFETY: as above.
unsafe impl Send for Target {}

impl Target {
    fn send(&self) {
        // SAFETY: the cases end the threads that send before they drop the loop and its watchers.
        unsafe { libev::ev_async_send(self.0, self.1) };
    }
}

impl<A: Act> Theirs<A> {
    fn run_with(&mut self, flags: c_int) {
        let event_loop = self.event_loop.0;
        RUNNING.store(std::ptr::from_mut(self).cast(), Ordering::Relaxed);
        // SAFETY: the loop lives, and so do its watchers.
        unsafe { libev::ev_run(event_loop, flags) };
    }
}

impl<A: Act> Side<A> for Theirs<A> {
    type Time = f64;

    fn new(ios: usize, timers: usize, asyncs: usize, act: A) -> Theirs<A> {
        let event_loop = libev::Owned::new();
        let mut asyncs: Vec<Async> = (0..asyncs).map(|number| Async::new(due::<A>, number)).collect();
        for watcher in &mut asyncs {
            // SAFETY: the vector's watchers stay where they are.
            unsafe { libev::ev_async_start(event_loop.0, watcher) };
        }
        Theirs {
            event_loop,
            ios: (0..ios).map(|number| Io::new(due::<A>, number)).collect(),
            timers: (0..timers).map(|number| Timer::new(expired, number)).collect(),
            asyncs,
            act,
        }
    }

    fn act(&mut self) -> &mut A {
        &mut self.act
    }

    fn time(ns: i64) -> f64 {
        ns as f64 * 1e-9
    }

    fn keep(&mut self) {
        // SAFETY: the loop lives.
        unsafe { libev::ev_ref(self.event_loop.0) };
    }

    #[inline(always)]
    fn set_io(&mut self, number: usize, fd: c_int) {
        self.ios[number].set(fd, libev::READ);
    }

    #[inline(always)]
    fn start_io(&mut self, number: usize) {
        // SAFETY: set, and stays where it is.
        unsafe { libev::ev_io_start(self.event_loop.0, &mut self.ios[number]) };
    }

    #[inline(always)]
    fn stop_io(&mut self, number: usize) {
        // SAFETY: of this loop.
        unsafe { libev::ev_io_stop(self.event_loop.0, &mut self.ios[number]) };
    }

    #[inline(always)]
    fn start_once(&mut self, number: usize, after: f64) {
        let timer = &mut self.timers[number];
        timer.set(after, 0.0);
        // SAFETY: stopped until now, and stays where it is.
        unsafe { libev::ev_timer_start(self.event_loop.0, timer) };
    }

    #[inline(always)]
    fn stop_once(&mut self, number: usize) {
        // SAFETY: of this loop.
        unsafe { libev::ev_timer_stop(self.event_loop.0, &mut self.timers[number]) };
    }

    #[inline(always)]
    fn set_repeating(&mut self, number: usize, repeat: f64) {
        self.timers[number].set(0.0, repeat);
    }

    #[inline(always)]
    fn again(&mut self, number: usize) {
        // SAFETY: set, and stays where it is.
        unsafe { libev::ev_timer_again(self.event_loop.0, &mut self.timers[number]) };
    }

    #[inline(always)]
    fn stop_repeating(&mut self, number: usize) {
        self.stop_once(number);
    }

    fn sender(&self, number: usize) -> impl Fn() + Sync + Send + 'static {
        let target = Target(self.event_loop.0, std::ptr::from_ref(&self.asyncs[number]).cast_mut());
        move || target.send()
    }

    fn look(&mut self) {
        self.run_with(libev::RUN_NOWAIT);
    }

    fn run(&mut self) {
        self.run_with(0);
    }
}
