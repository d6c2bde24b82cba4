//! An HTTP server that answers every request with the same page, for a client program that is measured.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::Result;
use crate::connection::listen;
use crate::options::{Options, Target};
use crate::reactor::Reactor;
use crate::window::Window;

const LISTENER: u64 = u64::MAX;

struct Visitor {
    stream: TcpStream,
    /// How much of the end of a request's head has been seen.
    matched: usize,
    since: Instant,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let body = vec![b'x'; options.get("bytes", 1024)?];
    let mut page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    page.extend_from_slice(&body);
    let expected: usize = options.get("connections", 200)?;
    let mut reactor = Reactor::new()?;
    let listener = listen()?;
    println!("port {}", listener.local_addr()?.port());
    reactor.add_readable(&listener, LISTENER)?;
    let target = Target::read()?;
    let mut window = Window::new(options, &target)?;
    let mut visitors: Vec<Option<Visitor>> = Vec::new();
    let mut scratch = vec![0; 16 * 1024];
    loop {
        for token in reactor.wait()? {
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    reactor.add_readable(&stream, visitors.len() as u64)?;
                    visitors.push(Some(Visitor {
                        stream,
                        matched: 0,
                        since: Instant::now(),
                    }));
                }
                continue;
            }
            let Some(visitor) = &mut visitors[token as usize] else {
                continue;
            };
            match visitor.stream.read(&mut scratch) {
                Ok(0) => visitors[token as usize] = None,
                Ok(count) => {
                    for _ in 0..visitor.requests_in(&scratch[..count]) {
                        window.done(visitor.since, Instant::now());
                        visitor.since = Instant::now();
                        // A page is small: it fits into the socket's buffer, or the client does not read.
                        visitor.stream.write_all(&page)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        if visitors.len() >= expected {
            window.open(Instant::now());
        }
        if window.tick()? {
            return Ok(());
        }
    }
}

impl Visitor {
    /// How many requests end in these bytes (they have no bodies).
    fn requests_in(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let mut requests = 0;
        for &byte in bytes {
            self.matched = if byte == END[self.matched] {
                self.matched + 1
            } else {
                usize::from(byte == END[0])
            };
            if self.matched == END.len() {
                self.matched = 0;
                requests += 1;
            }
        }
        requests
    }
}
