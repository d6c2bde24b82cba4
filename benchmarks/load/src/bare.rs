//! Servers that do nothing but what has to be done: what an epoll loop in Rust costs is the floor for the others.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::Result;
use crate::connection::listen;
use crate::options::Options;
use crate::reactor::Reactor;

/// Tokens of the servers' own; those below are the clients' (see `echo`).
const LISTENER: u64 = 1 << 40;

pub(crate) fn run(options: &Options) -> Result<()> {
    match options.text("what") {
        Some("udp") => echo_datagrams(),
        Some("accept") => accept_and_close(),
        _ => {
            let mut server = EchoServer::listen()?;
            let mut reactor = Reactor::new()?;
            server.register(&reactor)?;
            println!("port {}", server.port()?);
            loop {
                for token in reactor.wait()? {
                    server.event(token, &reactor)?;
                }
            }
        }
    }
}

/// A TCP echo server.
pub(crate) struct EchoServer {
    listener: TcpListener,
    connections: Vec<Option<Echoed>>,
    scratch: Vec<u8>,
}

struct Echoed {
    stream: TcpStream,
    /// What could not be sent yet.
    rest: Vec<u8>,
}

impl EchoServer {
    pub(crate) fn listen() -> Result<EchoServer> {
        Ok(EchoServer {
            listener: listen()?,
            connections: Vec::new(),
            scratch: vec![0; 64 * 1024],
        })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    pub(crate) fn register(&self, reactor: &Reactor) -> Result<()> {
        reactor.add_readable(&self.listener, LISTENER)
    }

    pub(crate) fn event(&mut self, token: u64, reactor: &Reactor) -> Result<()> {
        if token == LISTENER {
            while let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(true)?;
                reactor.add_readable(&stream, LISTENER + 1 + self.connections.len() as u64)?;
                self.connections.push(Some(Echoed {
                    stream,
                    rest: Vec::new(),
                }));
            }
            return Ok(());
        }
        let number = (token - LISTENER - 1) as usize;
        if let Some(echoed) = &mut self.connections[number]
            && !echoed.echo(&mut self.scratch, token, reactor)?
        {
            self.connections[number] = None;
        }
        Ok(())
    }
}

impl Echoed {
    /// Sends back what came; false when the peer has gone.
    fn echo(&mut self, scratch: &mut [u8], token: u64, reactor: &Reactor) -> Result<bool> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            if !self.send(&rest) {
                return Ok(false);
            }
            if self.rest.is_empty() {
                reactor.want_writable(&self.stream, token, false)?;
            }
            return Ok(true);
        }
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) => return Ok(error.kind() == ErrorKind::WouldBlock),
        };
        if !self.send(&scratch[..count]) {
            return Ok(false);
        }
        if !self.rest.is_empty() {
            reactor.want_writable(&self.stream, token, true)?;
        }
        Ok(true)
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write(bytes) {
            Ok(count) => self.rest = bytes[count..].to_vec(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.rest = bytes.to_vec(),
            Err(_) => return false,
        }
        true
    }
}

fn accept_and_close() -> Result<()> {
    let listener = listen()?;
    println!("port {}", listener.local_addr()?.port());
    let mut reactor = Reactor::new()?;
    reactor.add_readable(&listener, LISTENER)?;
    loop {
        reactor.wait()?;
        while listener.accept().is_ok() {}
    }
}

fn echo_datagrams() -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_nonblocking(true)?;
    println!("port {}", socket.local_addr()?.port());
    let mut reactor = Reactor::new()?;
    reactor.add_readable(&socket, LISTENER)?;
    let mut scratch = vec![0; 64 * 1024];
    loop {
        reactor.wait()?;
        while let Ok((count, peer)) = socket.recv_from(&mut scratch) {
            socket.send_to(&scratch[..count], peer)?;
        }
    }
}
