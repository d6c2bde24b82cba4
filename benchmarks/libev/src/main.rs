//! verdigris-loop and C libev, alternately in one run: `make bench-loop`, or here
//! `cargo run --release -- [--rounds N] [--instructions] [--write FILE] [part of a case's name]`.
//!
//! The columns: nanoseconds for an operation on libev, on ours, how many times faster ours is, what the system calls of
//! it take alone, and with `--instructions` how many instructions each side executes outside the kernel. Both use epoll,
//! both programs do the same, and libev is the system's shared library, as its users have it. `--write` puts the table
//! into a document (`crates/loop/BENCHMARKS.md`).

mod instructions;
mod io;
mod kernel;
mod libev;
mod measure;
mod ours;
mod pairs;
mod side;
mod table;
mod theirs;
mod timers;
mod wakeups;

use std::path::PathBuf;

use measure::Options;
use table::Table;

fn main() -> Result<(), String> {
    let mut options = Options {
        rounds: 9,
        filter: String::new(),
        instructions: false,
        counted: None,
    };
    let mut document = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} is followed by a value"));
        match argument.as_str() {
            "--rounds" => options.rounds = value()?.parse().map_err(|error| format!("--rounds: {error}"))?,
            "--instructions" => options.instructions = true,
            "--write" => document = Some(PathBuf::from(value()?)),
            "--counted" => options.counted = Some((value()?, value()? == "ours")),
            _ => options.filter = argument,
        }
    }
    let mut table = Table::default();
    if options.counted.is_none() {
        table.head();
    }
    timers::run(&options, &mut table);
    io::run(&options, &mut table);
    wakeups::run(&options, &mut table);
    pairs::run(&options, &mut table);
    document.map_or(Ok(()), |document| table.write(&document))
}
