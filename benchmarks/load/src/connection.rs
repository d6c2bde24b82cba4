//! Sockets as the generator makes them: never blocking, on the loopback interface, without delay.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::Result;

/// One address has some 28,000 ports to connect from; this many are taken from each.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;

/// Begins to connect. `number` says which of our connections it is: many of them need many addresses of ours.
pub(crate) fn connect(to: SocketAddr, number: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_tcp_nodelay(true)?;
    if number >= CONNECTIONS_PER_ADDRESS {
        let from = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(number / CONNECTIONS_PER_ADDRESS)?);
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error.into()),
        _ => Ok(socket.into()),
    }
}

/// Closes at once and leaves nothing behind: the port can be used again.
pub(crate) fn close_hard(stream: TcpStream) -> Result<()> {
    let socket = Socket::from(stream);
    socket.set_linger(Some(std::time::Duration::ZERO))?;
    Ok(())
}

/// A listener on a port of the system's choice.
pub(crate) fn listen() -> Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
