//! verdigris-loop and C libev, alternately in one run: `make bench-loop`, or here
//! `cargo run --release -- [--rounds N] [part of a case's name]`.
//!
//! The columns: nanoseconds for an operation on libev, on ours, and how many times faster ours is. Both use epoll, both
//! programs do the same, and libev is the system's shared library, as its users have it.

mod io;
mod libev;
mod measure;
mod ours;
mod pairs;
mod timers;
mod wakeups;

fn main() {
    let (mut rounds, mut filter) = (9, String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            rounds = arguments
                .next()
                .and_then(|number| number.parse().ok())
                .expect("--rounds is followed by a number");
        } else {
            filter = argument;
        }
    }
    println!("{:<58} {:>10} {:>10} {:>7}", "", "libev, ns", "ours, ns", "ratio");
    timers::run(rounds, &filter);
    io::run(rounds, &filter);
    wakeups::run(rounds, &filter);
    pairs::run(rounds, &filter);
}
