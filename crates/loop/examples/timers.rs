//! Timers: one that repeats, one that puts off another, and one that ends it all: `cargo run --example timers`.

use verdigris_loop::{Flags, Loop, Mode, Spec, Step};

const MILLISECOND_NS: i64 = 1_000_000;

#[derive(Clone, Copy)]
enum What {
    Tick,
    Idle,
    Work(u32),
}

fn main() -> Result<(), verdigris_loop::Error> {
    let mut event_loop = Loop::new(Flags::AUTO)?;
    let tick = event_loop.insert(timer(0, 100), What::Tick)?;
    event_loop.start(tick)?;
    // An inactivity timer: `again` puts it off, at next to no cost.
    let idle = event_loop.insert(timer(0, 250), What::Idle)?;
    event_loop.again(idle)?;
    for number in 1..=3 {
        event_loop.wait_timer(i64::from(number) * 150 * MILLISECOND_NS, 0, What::Work(number));
    }

    event_loop.enter(Mode::Default);
    loop {
        match event_loop.next() {
            Step::Event { data: What::Tick, .. } => println!("tick at {}", event_loop.now() / MILLISECOND_NS),
            Step::Event {
                data: What::Work(number),
                ..
            } => {
                println!("work {number}");
                event_loop.again(idle)?;
            }
            Step::Event { data: What::Idle, .. } => {
                println!("nothing to do for 250 ms");
                event_loop.remove(idle);
                event_loop.remove(tick);
            }
            Step::Soon(_) => {}
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
        }
    }
    event_loop.leave();
    Ok(())
}

fn timer(after_ms: i64, repeat_ms: i64) -> Spec {
    Spec::Timer {
        after_ns: after_ms * MILLISECOND_NS,
        repeat_ns: repeat_ms * MILLISECOND_NS,
    }
}
