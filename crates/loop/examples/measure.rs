//! What the loop costs, in nanoseconds of processor time per operation: `cargo run --release --example measure`.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use verdigris_loop::{Events, Flags, Loop, Mode, Step};

/// Runs until the loop is done; how many entries it handed out.
fn run(event_loop: &mut Loop<usize>, mode: Mode, mut act: impl FnMut(&mut Loop<usize>, usize)) -> usize {
    let mut entries = 0;
    event_loop.enter(mode);
    loop {
        match event_loop.next() {
            Step::Event { data, .. } | Step::Soon(data) => {
                entries += 1;
                act(event_loop, data);
            }
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
        }
    }
    event_loop.leave();
    entries
}

/// The processor time of this process: says more than the clock on a machine that is shared.
fn now_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn report(name: &str, operations: usize, begun: i64) {
    println!("{name:<44} {:>9.1} ns", (now_ns() - begun) as f64 / operations as f64);
}

/// A cheap random number, to make orders that no cache foresees.
fn scramble(value: u64) -> u64 {
    let mixed = (value ^ (value >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

fn timers(count: usize) {
    let mut event_loop = Loop::new(Flags::NO_ENV).expect("a backend");
    let after = |number: usize| 1_000_000_000_000 + (scramble(number as u64) % 1_000_000_000) as i64;
    let begun = now_ns();
    let mut keys: Vec<_> = (0..count)
        .map(|number| event_loop.wait_timer(after(number), 0, number))
        .collect();
    report(&format!("timer insert, {count} of them"), count, begun);
    let rounds = 200_000;
    let begun = now_ns();
    for round in 0..rounds {
        let which = scramble(round as u64) as usize % count;
        black_box(event_loop.cancel(keys[which]));
        keys[which] = event_loop.wait_timer(after(round), 0, which);
    }
    report(&format!("timer cancel + insert among {count}"), rounds, begun);
    let begun = now_ns();
    for key in keys {
        event_loop.cancel(key);
    }
    report(&format!("timer cancel, {count} of them"), count, begun);
    for number in 0..count {
        event_loop.wait_timer((scramble(number as u64) % 1000) as i64 - 2_000_000, 0, number);
    }
    let begun = now_ns();
    let entries = run(&mut event_loop, Mode::Default, |_, _| {});
    assert_eq!(entries, count);
    report(&format!("timer expire, {count} of them"), count, begun);
}

fn main() {
    for count in [1_000, 100_000, 1_000_000] {
        timers(count);
    }

    let mut event_loop = Loop::new(Flags::NO_ENV).expect("a backend");
    let rounds = 2_000_000;
    event_loop.call_soon(0);
    let begun = now_ns();
    let mut left = rounds;
    run(&mut event_loop, Mode::Default, |event_loop, data| {
        left -= 1;
        if left > 0 {
            event_loop.call_soon(data);
        }
    });
    report("run-soon, one that queues itself again", rounds, begun);

    let rounds = 300_000;
    event_loop.wait_timer(1_000_000_000_000, 0, 0);
    let begun = now_ns();
    for _ in 0..rounds {
        run(&mut event_loop, Mode::NoWait, |_, _| {});
    }
    report("an empty iteration (one system call)", rounds, begun);

    for adopted in [true, false, true, false] {
        let (mut left, mut right) = UnixStream::pair().expect("sockets");
        let fd = left.as_raw_fd();
        if adopted {
            event_loop.adopt(fd).expect("adopted");
        }
        let rounds = 200_000;
        let begun = now_ns();
        for _ in 0..rounds {
            event_loop.mark_unready(fd, Events::READ);
            event_loop.wait_io(fd, Events::READ, 1).expect("a wait");
            right.write_all(b"x").expect("written");
            run(&mut event_loop, Mode::NoWait, |_, _| {});
            left.read_exact(&mut [0]).expect("read");
        }
        let name = if adopted { "adopted socket" } else { "plain fd" };
        report(&format!("write, wait, look, read: {name}"), rounds, begun);
    }

    let remote = event_loop.remote();
    let rounds = 50_000;
    let begun = now_ns();
    let thread = std::thread::spawn(move || {
        for number in 0..rounds {
            remote.call_soon_threadsafe(number);
        }
    });
    let mut left = rounds;
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        left -= 1;
        if left == 0 {
            event_loop.break_(verdigris_loop::Break::One);
        }
    });
    report("call_soon_threadsafe from another thread", rounds, begun);
    thread.join().expect("the thread ends");
}
