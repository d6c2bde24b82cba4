//! The cooperative socket: what happens per call or per byte of `verdigris.socket`.
//!
//! ```text
//!   verdigris/socket.py    class socket(Socket): names, files, what is rare
//!        |
//!   object.rs              the class: state, life and death, the method table
//!    |         |
//!   transfer   connection  recv and send; accept and connect
//!    |    \     |
//!   buffer  address        borrowed Python memory; sockaddr <-> Python tuples
//!    |   \   /
//!  tls.rs  |              OpenSSL's calls, made to wait the same way
//!     \    |
//!        wait.rs           the only file that knows how a greenlet waits
//! ```
//!
//! A call is made on the descriptor itself, without blocking and with the GIL held: it costs less
//! than giving the GIL away. Only when the kernel says "not now" does the greenlet wait in the loop.

use pyo3::prelude::*;

mod address;
mod buffer;
mod connection;
mod errors;
mod object;
mod tls;
mod transfer;
mod wait;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<object::Socket>()?;
    module.add_class::<tls::TlsChannel>()?;
    module.add_function(wrap_pyfunction!(connection::set_socket_class, module)?)?;
    Ok(())
}
