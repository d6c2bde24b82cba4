//! Connections made and ended: the server closes each at once, and when we see that, the next one is made.

use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

use crate::Result;
use crate::connection::{close_hard, connect};
use crate::options::{Options, Target};
use crate::reactor::Reactor;
use crate::window::Window;

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut reactor = Reactor::new()?;
    let target = Target::read()?;
    let mut window = Window::new(options, &target)?;
    let begin = |reactor: &Reactor, number: usize| -> Result<(TcpStream, Instant)> {
        let stream = connect(target.address, 0)?;
        reactor.add_readable(&stream, number as u64)?;
        Ok((stream, Instant::now()))
    };
    let mut slots = Vec::new();
    for number in 0..options.get("connections", 50)? {
        slots.push(begin(&reactor, number)?);
    }
    window.open(Instant::now());
    loop {
        for token in reactor.wait()? {
            let number = token as usize;
            let (stream, since) = &mut slots[number];
            match stream.read(&mut [0; 16]) {
                Ok(0) => window.done(*since, Instant::now()),
                Ok(_) => return Err("the server sent something".into()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            let (old, _) = std::mem::replace(&mut slots[number], begin(&reactor, number)?);
            close_hard(old)?;
        }
        if window.tick()? {
            return Ok(());
        }
    }
}
