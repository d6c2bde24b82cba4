//! The cooperative socket: what happens per call or per byte of `verdigris.socket`.
//!
//! ```text
//!   verdigris/socket.py       class socket(Socket): names, files, what is rare
//!        |
//!   python.rs                 the method table
//!    |       \
//!   receive   connection      recv and its like; accept and connect
//!   send      descriptor      send and its like; how a descriptor ends
//!    |    \     |
//!   buffer   address          borrowed Python memory; sockaddr <-> Python tuples
//!    |       /
//!   attempt  tls              a call made until it is done; OpenSSL's, too
//!    |      /  \
//!   wait.rs     patience      the only file that knows how a greenlet waits; for how long
//!    |
//!   object.rs                 the class: state, life and death
//! ```
//!
//! A call is made on the descriptor itself, without blocking and with the GIL held: it costs less
//! than giving the GIL away. Only when the kernel says "not now" does the greenlet wait in the loop.

use pyo3::prelude::*;

mod address;
mod attempt;
mod buffer;
mod connection;
mod descriptor;
mod errors;
mod object;
mod patience;
mod python;
mod receive;
mod send;
mod tls;
mod wait;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<object::Socket>()?;
    module.add_class::<tls::TlsChannel>()?;
    module.add_function(wrap_pyfunction!(connection::set_socket_class, module)?)?;
    Ok(())
}
