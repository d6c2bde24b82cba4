//! Our loop, driven the way a program drives it.

use verdigris_loop::{Flags, Loop, Mode, Step};

pub(crate) fn new_loop() -> Loop<usize> {
    Loop::new(Flags::NO_ENV | Flags::EPOLL).expect("epoll")
}

/// Pulls and acts until the run is over.
pub(crate) fn run(event_loop: &mut Loop<usize>, mode: Mode, mut act: impl FnMut(&mut Loop<usize>, usize)) {
    event_loop.enter(mode);
    loop {
        match event_loop.next() {
            Step::Event { data, .. } | Step::Soon(data) => act(event_loop, data),
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
        }
    }
    event_loop.leave();
}
