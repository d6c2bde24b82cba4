//! Datagrams, closed loop: each socket has one under way. One that is not answered in time is counted as lost and sent again.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::Result;
use crate::options::{Options, Target};
use crate::reactor::Reactor;
use crate::window::Window;

const PATIENCE: Duration = Duration::from_millis(200);

struct Asker {
    socket: UdpSocket,
    since: Instant,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let message = vec![b'x'; options.get("bytes", 1024)?];
    let mut scratch = vec![0; 64 * 1024];
    let mut reactor = Reactor::new()?;
    let target = Target::read()?;
    let mut window = Window::new(options, &target)?;
    let mut askers = Vec::new();
    for number in 0..options.get("connections", 100)? {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(target.address)?;
        reactor.add_readable(&socket, number)?;
        askers.push(Asker {
            socket,
            since: Instant::now(),
        });
    }
    window.open(Instant::now());
    for asker in &mut askers {
        asker.ask(&message)?;
    }
    let mut looked = Instant::now();
    let mut lost = 0.0;
    loop {
        for token in reactor.wait()? {
            let asker = &mut askers[token as usize];
            if asker.socket.recv(&mut scratch)? != message.len() {
                return Err("what came back is not what was sent".into());
            }
            window.done(asker.since, Instant::now());
            asker.ask(&message)?;
        }
        let now = Instant::now();
        if now - looked > PATIENCE / 2 {
            looked = now;
            for asker in askers.iter_mut().filter(|asker| now - asker.since > PATIENCE) {
                lost += 1.0;
                asker.ask(&message)?;
            }
            window.extra = vec![("lost", lost)];
        }
        if window.tick()? {
            return Ok(());
        }
    }
}

impl Asker {
    fn ask(&mut self, message: &[u8]) -> Result<()> {
        self.since = Instant::now();
        self.socket.send(message)?;
        Ok(())
    }
}
