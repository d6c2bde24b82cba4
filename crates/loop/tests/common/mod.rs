//! What the tests share: a run that hands each ready entry to a closure, and one that writes a trace.
#![allow(dead_code, unreachable_pub)]

use verdigris_loop::{Loop, Mode, Ready, Step};

/// A millisecond, in nanoseconds.
pub const MS: i64 = 1_000_000;

/// Runs the loop as a caller does.
pub fn run<T: Copy>(event_loop: &mut Loop<T>, mode: Mode, mut act: impl FnMut(&mut Loop<T>, Ready<T>)) -> i64 {
    event_loop.enter(mode);
    loop {
        match event_loop.next() {
            Step::Event { key, data, revents } => act(event_loop, Ready::Event { key, data, revents }),
            Step::Soon(data) => act(event_loop, Ready::Soon(data)),
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => return event_loop.leave(),
        }
    }
}

/// Runs the loop and writes down what it hands out: "payload EVENTS" or "payload soon".
pub fn trace<T: Copy + std::fmt::Display>(event_loop: &mut Loop<T>, mode: Mode) -> Vec<String> {
    let mut lines = Vec::new();
    run(event_loop, mode, |_, ready| lines.push(line(ready)));
    lines
}

/// One line of a trace.
pub fn line<T: Copy + std::fmt::Display>(ready: Ready<T>) -> String {
    match ready {
        Ready::Event { data, revents, .. } => format!("{data} {revents:?}"),
        Ready::Soon(data) => format!("{data} soon"),
    }
}
