//! One connection that sends a message, waits for the whole of it to come back, and sends the next.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::connection::connect;
use crate::reactor::Reactor;
use crate::{Result, window::Window};

/// What all connections share.
pub(crate) struct Exchange {
    pub(crate) message: Vec<u8>,
    pub(crate) scratch: Vec<u8>,
}

impl Exchange {
    pub(crate) fn new(bytes: usize) -> Exchange {
        Exchange {
            message: (0..bytes).map(|place| place as u8).collect(),
            scratch: vec![0; 64 * 1024],
        }
    }
}

pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    sent: usize,
    received: usize,
    /// When the present message was sent first.
    since: Instant,
    /// Messages that came back.
    pub(crate) answers: u64,
    /// Sends no further message: an idle connection, after its first.
    pub(crate) rests: bool,
}

impl Client {
    pub(crate) fn start(
        to: SocketAddr,
        number: usize,
        tls: Option<&Arc<ClientConfig>>,
        reactor: &Reactor,
    ) -> Result<Client> {
        let stream = connect(to, number)?;
        let tls = match tls {
            None => None,
            Some(configuration) => {
                let name = ServerName::try_from("localhost")?;
                Some(Box::new(ClientConnection::new(configuration.clone(), name)?))
            }
        };
        reactor.add_edge(&stream, number as u64)?;
        Ok(Client {
            stream,
            tls,
            sent: 0,
            received: 0,
            since: Instant::now(),
            answers: 0,
            rests: false,
        })
    }

    /// Something changed: goes on as far as it can.
    pub(crate) fn go_on(&mut self, exchange: &mut Exchange, window: &mut Window) -> Result<()> {
        loop {
            let wrote = self.write(exchange)?;
            let read = self.read(exchange)?;
            if self.received == exchange.message.len() {
                let now = Instant::now();
                window.done(self.since, now);
                self.answers += 1;
                if self.rests {
                    return Ok(());
                }
                (self.sent, self.received, self.since) = (0, 0, now);
                continue;
            }
            // A read that brought less than there was room for has emptied the socket.
            if !(wrote || read) {
                return Ok(());
            }
        }
    }

    /// Whether there may be more room.
    fn write(&mut self, exchange: &Exchange) -> Result<bool> {
        if let Some(tls) = &mut self.tls {
            if self.sent < exchange.message.len() && !tls.is_handshaking() {
                self.sent += tls.writer().write(&exchange.message[self.sent..])?;
            }
            let mut wrote = false;
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => wrote = true,
                    Err(error) if is_not_now(&error) => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(wrote);
        }
        if self.sent == exchange.message.len() {
            return Ok(false);
        }
        match self.stream.write(&exchange.message[self.sent..]) {
            Ok(count) => {
                self.sent += count;
                Ok(self.sent < exchange.message.len())
            }
            Err(error) if is_not_now(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there may be more to read.
    fn read(&mut self, exchange: &mut Exchange) -> Result<bool> {
        if self.received == self.sent && self.tls.is_none() {
            return Ok(false);
        }
        let Exchange { message, scratch } = exchange;
        let room = scratch.len();
        let mut again = false;
        let count = match &mut self.tls {
            None => match self.stream.read(scratch) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => {
                    again = count == room;
                    count
                }
                Err(error) if is_not_now(&error) => 0,
                Err(error) => return Err(error.into()),
            },
            Some(tls) => {
                match tls.read_tls(&mut self.stream) {
                    Ok(0) => return Err("the server closed a connection".into()),
                    Ok(_) => again = true,
                    Err(error) if is_not_now(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                tls.process_new_packets()?;
                match tls.reader().read(scratch) {
                    Ok(count) => count,
                    Err(error) if is_not_now(&error) => 0,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let expected = message.get(self.received..self.received + count);
        if expected != Some(&scratch[..count]) {
            return Err("what came back is not what was sent".into());
        }
        self.received += count;
        Ok(again)
    }
}

/// "Not now"; a connection that is still being made says so in its own way.
fn is_not_now(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected
    )
}
