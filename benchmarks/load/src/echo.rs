//! Echo, closed loop: so many connections, each with one message under way. With `idle`, so many more that only stay there.

use std::time::Instant;

use crate::bare::EchoServer;
use crate::client::{Client, Exchange};
use crate::options::{Options, Target};
use crate::process::resident_bytes;
use crate::reactor::Reactor;
use crate::window::Window;
use crate::{Result, tls};

/// Connections that are being made at the same time: less than any listener's backlog.
const CONNECTING: usize = 64;

/// As many are there before memory per connection is measured, so that what the first ones cost is not counted.
const BEFORE_MEMORY: usize = 50;

/// With a `backend`, the server is a proxy that connects to it.
pub(crate) fn run(options: &Options, mut backend: Option<EchoServer>) -> Result<()> {
    let active: usize = options.get("connections", 100)?;
    let idle: usize = options.get("idle", 0)?;
    let tls = match options.text("tls") {
        Some(_) => Some(tls::configuration()?),
        None => None,
    };
    let mut exchange = Exchange::new(options.get("bytes", 1024)?);
    let mut reactor = Reactor::new()?;
    if let Some(backend) = &backend {
        println!("port {}", backend.port()?);
        backend.register(&reactor)?;
    }
    let target = Target::read()?;
    let mut window = Window::new(options, &target)?;
    let mut clients: Vec<Client> = Vec::with_capacity(active + idle);
    let mut answered = 0;
    let mut resident_before = 0;
    loop {
        // The idle ones first: they rest after one message.
        while clients.len() < active + idle && clients.len() < answered + CONNECTING {
            if clients.len() == BEFORE_MEMORY && idle > BEFORE_MEMORY {
                if answered < BEFORE_MEMORY {
                    break;
                }
                resident_before = resident_bytes(target.pid)?;
            }
            if clients.len() == idle && answered < idle {
                break;
            }
            let mut client = Client::start(target.address, clients.len(), tls.as_ref(), &reactor)?;
            client.rests = clients.len() < idle;
            clients.push(client);
        }
        if answered == idle && idle > BEFORE_MEMORY && window.extra.is_empty() {
            let growth = resident_bytes(target.pid)?.saturating_sub(resident_before);
            window
                .extra
                .push(("resident_each", growth as f64 / (idle - BEFORE_MEMORY) as f64));
        }
        if answered == active + idle && !window.is_open() {
            window.open(Instant::now());
        }
        for token in reactor.wait()? {
            match clients.get_mut(token as usize) {
                Some(client) => {
                    let before = client.answers;
                    client.go_on(&mut exchange, &mut window)?;
                    answered += usize::from(before == 0 && client.answers > 0);
                }
                None => {
                    if let Some(backend) = &mut backend {
                        backend.event(token, &reactor)?;
                    }
                }
            }
        }
        if window.tick()? {
            return Ok(());
        }
    }
}
