//! The load generator of the whole-server benchmarks, and the bare servers that say what the floor is.
//!
//! ```text
//!   verdigris-load MODE [name=value ...]
//!
//!   echo   connections=100 bytes=1024 [idle=0] [tls=yes]     a TCP (or TLS) echo server is asked, closed loop
//!   udp    connections=100 bytes=1024                        the same with datagrams
//!   accept connections=50                                    connect, read the end that the server sends, close
//!   http   connections=200 bytes=1024                        here we are the server: a client program fetches from us
//!   proxy  connections=100 bytes=1024                        we are on both sides of a TCP proxy
//!   bare   what=echo|udp|accept                              a bare epoll loop as the server
//!
//!   in all but `bare`: seconds=1 (measured), warm=0.25 (before that), limit=60 (seconds after which it gives up)
//! ```
//!
//! It prints `port N` if it listens, reads one line `PID PORT` (the program that is measured, and where it listens; port 0
//! for none), and prints one line of JSON. Everything stays on the loopback interface and ends by itself. One thread: what
//! is measured is a server on one core by a generator on another.

mod accept;
mod bare;
mod client;
mod connection;
mod echo;
mod http;
mod options;
mod process;
mod reactor;
mod tls;
mod udp;
mod window;

use std::error::Error;
use std::process::ExitCode;

use options::Options;

/// What can go wrong ends the program: a benchmark that failed has no figures.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verdigris-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    process::raise_descriptor_limit();
    match options.mode.as_str() {
        "echo" => echo::run(&options, None),
        "proxy" => echo::run(&options, Some(bare::EchoServer::listen()?)),
        "udp" => udp::run(&options),
        "accept" => accept::run(&options),
        "http" => http::run(&options),
        "bare" => bare::run(&options),
        mode => Err(format!("no such mode: {mode:?} (echo, udp, accept, http, proxy, bare)").into()),
    }
}
