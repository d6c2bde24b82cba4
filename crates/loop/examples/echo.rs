//! An echo server in one thread: `cargo run --example echo`, then `nc localhost 7007`.
//!
//! Each connection is a number that travels through the loop as payload; the server is a table indexed by it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use verdigris_loop::{Events, Flags, Loop, Mode, Spec, Step};

/// The payload of the listener's watcher; connections are numbered from 0.
const LISTENER: usize = usize::MAX;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:7007")?;
    listener.set_nonblocking(true)?;
    println!("echoing on {}", listener.local_addr()?);

    let mut event_loop: Loop<usize> = Loop::new(Flags::AUTO)?;
    let watcher = event_loop.insert(
        Spec::Io {
            fd: listener.as_raw_fd(),
            events: Events::READ,
        },
        LISTENER,
    )?;
    event_loop.start(watcher)?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();

    event_loop.enter(Mode::Default);
    loop {
        match event_loop.next() {
            Step::Event { data: LISTENER, .. } => {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    event_loop.adopt(stream.as_raw_fd())?;
                    event_loop.wait_io(stream.as_raw_fd(), Events::READ, connections.len())?;
                    connections.push(Some(stream));
                }
            }
            Step::Event { data: number, .. } => {
                if let Some(stream) = &mut connections[number]
                    && !echo(&mut event_loop, stream, number)?
                {
                    event_loop.forget(stream.as_raw_fd());
                    connections[number] = None;
                }
            }
            Step::Soon(_) => {}
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
        }
    }
    event_loop.leave();
    Ok(())
}

/// Sends back what there is and waits for more; false when the connection is over.
fn echo(event_loop: &mut Loop<usize>, stream: &mut TcpStream, number: usize) -> Result<bool, verdigris_loop::Error> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            // A client that does not read loses what does not fit: good enough for an example.
            Ok(count) if stream.write_all(&buffer[..count]).is_err() => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                event_loop.mark_unready(stream.as_raw_fd(), Events::READ);
                event_loop.wait_io(stream.as_raw_fd(), Events::READ, number)?;
                return Ok(true);
            }
            Err(_) => return Ok(false),
        }
    }
}
