//! What the cases ask of a loop, so that each is written once and runs on libev and on ours.
//!
//! Watchers are told apart by a number, as a program would tell its connections apart: libev's is in the watcher's
//! `data`, ours is the payload. All of it is generic and inline, so that neither side pays for being called through here.

use std::ffi::c_int;

/// What happens when an io or async watcher is due.
pub(crate) trait Act {
    /// Of the watcher `number`; `again` starts the timer of the same number anew. True: leave the run.
    fn due(&mut self, number: usize, again: impl FnOnce()) -> bool;
}

/// For the cases in which nobody is told anything.
pub(crate) struct Nothing;

impl Act for Nothing {
    fn due(&mut self, _: usize, _: impl FnOnce()) -> bool {
        false
    }
}

/// A loop, with watchers whose numbers are below those it was made for.
pub(crate) trait Side<A: Act>: Sized {
    /// How it is told a time.
    type Time: Copy;

    /// A loop with so many stopped io watchers and timers, and so many started async watchers.
    fn new(ios: usize, timers: usize, asyncs: usize, act: A) -> Self;
    fn act(&mut self) -> &mut A;
    fn time(ns: i64) -> Self::Time;
    /// Keeps it running although nothing is active.
    fn keep(&mut self);

    fn set_io(&mut self, number: usize, fd: c_int);
    fn start_io(&mut self, number: usize);
    fn stop_io(&mut self, number: usize);

    /// A timer that is used once: set and started.
    fn start_once(&mut self, number: usize, after: Self::Time);
    fn stop_once(&mut self, number: usize);
    /// A timer that repeats.
    fn set_repeating(&mut self, number: usize, repeat: Self::Time);
    fn again(&mut self, number: usize);
    fn stop_repeating(&mut self, number: usize);

    /// Sends to an async watcher, in any thread.
    fn sender(&self, number: usize) -> impl Fn() + Sync + Send + 'static;

    /// One iteration, without waiting.
    fn look(&mut self);
    /// Until `Act::due` says so, or nothing is active.
    fn run(&mut self);
}
