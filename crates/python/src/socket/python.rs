//! The class `Socket` as Python sees it: its attributes and methods.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::errors::{self, os_error};
use super::object::Socket;
use super::patience::{Limit, Patience, seconds};
use super::wait::Direction;
use super::{connection, receive, send};
use crate::names;

#[pymethods]
impl Socket {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(family=-1, type=-1, proto=-1, fileno=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Socket::empty()
    }

    #[pyo3(signature = (family = -1, r#type = -1, proto = -1, fileno = None))]
    fn __init__(
        &self,
        py: Python<'_>,
        family: c_int,
        r#type: c_int,
        proto: c_int,
        fileno: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // A descriptor's own answers are better than defaults; without one, the defaults of the standard class.
        let (family, kind, proto) = match fileno {
            Some(_) => (family, r#type, proto),
            None => (
                if family == -1 { libc::AF_INET } else { family },
                if r#type == -1 { libc::SOCK_STREAM } else { r#type },
                if proto == -1 { 0 } else { proto },
            ),
        };
        let class = names::socket_common(py, "_NativeSocket")?;
        let raw = class.call1((family, kind, proto, fileno))?;
        if let Some(timeout) = raw.call_method0("gettimeout")?.extract()? {
            self.timeout.set(Some(timeout));
        }
        raw.call_method1("setblocking", (false,))?;
        self.descriptor.set(raw.call_method0("fileno")?.extract()?);
        self.family.set(raw.getattr("family")?.extract()?);
        self.kind.set(raw.getattr("type")?.extract()?);
        self.protocol.set(raw.getattr("proto")?.extract()?);
        drop(self.raw.replace(Some(raw.unbind())));
        Ok(())
    }

    /// The standard socket on the same descriptor. It never blocks, and never waits either.
    #[getter]
    fn _sock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.raw(py)
    }

    #[getter(_family)]
    fn raw_family(&self) -> c_int {
        self.family.get()
    }

    #[getter(_type)]
    fn raw_kind(&self) -> c_int {
        self.kind.get()
    }

    /// The protocol number.
    #[getter]
    fn proto(&self) -> c_int {
        self.protocol.get()
    }

    /// Seconds that a call may wait: None for ever, 0.0 not at all.
    #[getter]
    fn timeout(&self) -> Option<f64> {
        self.timeout.get()
    }

    #[getter(_io_refs)]
    fn get_io_refs(&self) -> isize {
        self.files.get()
    }

    #[setter(_io_refs)]
    fn set_io_refs(&self, count: isize) {
        self.files.set(count);
    }

    #[getter(_closed)]
    fn get_closed_flag(&self) -> bool {
        self.closed.get()
    }

    #[setter(_closed)]
    fn set_closed_flag(&self, closed: bool) {
        self.closed.set(closed);
    }

    /// Whether `close` has been called.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether a greenlet that waits for this socket keeps the loop from ending.
    #[getter(r#ref)]
    fn get_ref(&self) -> bool {
        self.keeps_loop_alive.get()
    }

    #[setter(r#ref)]
    fn set_ref(&self, value: bool) {
        self.keeps_loop_alive.set(value);
    }

    /// The descriptor's number, -1 once closed.
    fn fileno(&self) -> RawFd {
        self.descriptor.get()
    }

    /// Sets how long calls may wait: seconds, None for ever, zero not at all.
    fn settimeout(&self, howlong: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.timeout.set(howlong.map(seconds).transpose()?);
        Ok(())
    }

    fn gettimeout(&self) -> Option<f64> {
        self.timeout.get()
    }

    /// True waits for ever, False not at all.
    fn setblocking(&self, flag: &Bound<'_, PyAny>) -> PyResult<()> {
        let blocking = flag.is_truthy()?;
        self.timeout.set(if blocking { None } else { Some(0.0) });
        Ok(())
    }

    fn getblocking(&self) -> bool {
        self.timeout.get() != Some(0.0)
    }

    /// Closes the socket once the files made from it are closed, too. Greenlets that wait for it get `cancel_wait_ex`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let socket = slf.get();
        socket.closed.set(true);
        match socket.files.get() {
            // By name, because a TLS socket has more to do.
            ..=0 => slf.call_method0(intern!(slf.py(), "_real_close")).map(drop),
            _ => Ok(()),
        }
    }

    fn _decref_socketios(slf: &Bound<'_, Self>) -> PyResult<()> {
        let socket = slf.get();
        socket.files.set((socket.files.get() - 1).max(0));
        if socket.closed.get() {
            slf.call_method0(intern!(slf.py(), "close")).map(drop)
        } else {
            Ok(())
        }
    }

    /// Closes the descriptor now, whatever files there are.
    fn _real_close(&self, py: Python<'_>) -> PyResult<()> {
        self.close_descriptor(py)
    }

    /// Closes the socket without closing the descriptor, which is returned.
    pub(super) fn detach(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.closed.set(true);
        if self.descriptor.get() < 0 {
            return Ok(-1);
        }
        let left = self.leave_loop(py);
        let descriptor = self.descriptor.replace(-1);
        if let Some(raw) = self.raw.take() {
            raw.call_method0(py, "detach")?;
        }
        left.map(|()| descriptor)
    }

    /// Shuts down reading, writing or both; greenlets that wait for what is shut get `cancel_wait_ex`.
    fn shutdown(&self, py: Python<'_>, how: c_int) -> PyResult<()> {
        let descriptor = self.open_descriptor(py)?;
        match how {
            libc::SHUT_RD => self.cancel_waits(py, &[Direction::Read])?,
            libc::SHUT_WR => self.cancel_waits(py, &[Direction::Write])?,
            _ => self.cancel_waits(py, &[Direction::Read, Direction::Write])?,
        }
        // SAFETY: a system call on a number.
        match unsafe { libc::shutdown(descriptor, how) } {
            0 => Ok(()),
            _ => Err(os_error(py, errors::last_errno())),
        }
    }

    /// Binds to a local address.
    fn bind<'py>(&self, py: Python<'py>, address: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "bind", &(address,).into_pyobject(py)?)
    }

    /// Starts listening for connections.
    #[pyo3(signature = (*args))]
    fn listen<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "listen", args)
    }

    /// The local address.
    fn getsockname<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "getsockname", &PyTuple::empty(py))
    }

    /// The address of the other end.
    fn getpeername<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "getpeername", &PyTuple::empty(py))
    }

    /// As the standard `getsockopt(level, option[, length])`.
    #[pyo3(signature = (*args))]
    fn getsockopt<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "getsockopt", args)
    }

    /// As the standard `setsockopt(level, option, value[, length])`.
    #[pyo3(signature = (*args))]
    fn setsockopt<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.ask_raw(py, "setsockopt", args)
    }

    /// Waits until there is something to read (or the other side has closed).
    fn _wait_read(&self, py: Python<'_>) -> PyResult<()> {
        self.mark_unready(Direction::Read);
        self.wait(py, Direction::Read, &mut self.patience())
    }

    /// Waits until something can be written.
    fn _wait_write(&self, py: Python<'_>) -> PyResult<()> {
        self.mark_unready(Direction::Write);
        self.wait(py, Direction::Write, &mut self.patience())
    }

    /// Receives up to `bufsize` bytes; none at the end of the stream.
    #[pyo3(signature = (bufsize, flags = 0, /), text_signature = "($self, *args)")]
    fn recv<'py>(&self, py: Python<'py>, bufsize: isize, flags: c_int) -> PyResult<Bound<'py, PyBytes>> {
        receive::recv(self, py, bufsize, flags)
    }

    /// Receives into a writable buffer, up to `nbytes` (0: all of it); returns how many.
    #[pyo3(signature = (buffer, nbytes = 0, flags = 0), text_signature = "($self, *args)")]
    fn recv_into(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, nbytes: isize, flags: c_int) -> PyResult<usize> {
        receive::recv_into(self, py, buffer, nbytes, flags)
    }

    /// Receives a message and the address it came from.
    #[pyo3(signature = (bufsize, flags = 0, /), text_signature = "($self, *args)")]
    fn recvfrom<'py>(&self, py: Python<'py>, bufsize: isize, flags: c_int) -> PyResult<Bound<'py, PyAny>> {
        receive::recvfrom(self, py, bufsize, flags)
    }

    /// As `recvfrom`, but returns None if no message is there. For the families of the internet and of Unix.
    fn _recvfrom_nowait<'py>(&self, py: Python<'py>, bufsize: isize) -> PyResult<Option<Bound<'py, PyAny>>> {
        receive::recvfrom_nowait(self, py, bufsize)
    }

    /// Receives a message into a buffer; returns its length and the address it came from.
    #[pyo3(signature = (buffer, nbytes = 0, flags = 0), text_signature = "($self, *args)")]
    fn recvfrom_into<'py>(
        &self,
        py: Python<'py>,
        buffer: &Bound<'py, PyAny>,
        nbytes: isize,
        flags: c_int,
    ) -> PyResult<Bound<'py, PyAny>> {
        receive::recvfrom_into(self, py, buffer, nbytes, flags)
    }

    #[pyo3(signature = (*args))]
    fn recvmsg<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let flags = args.get_item(2).map_or(Ok(0), |flags| flags.extract())?;
        self.call_raw(py, Direction::Read, flags, "recvmsg", args)
    }

    #[pyo3(signature = (buffers, *args))]
    fn recvmsg_into<'py>(
        &self,
        py: Python<'py>,
        buffers: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // The buffers are tried more than once, so an iterator has to become a list first.
        let buffers = PyTuple::new(py, buffers.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        let arguments: Vec<_> = std::iter::once(buffers.into_any()).chain(args.iter()).collect();
        let arguments = PyTuple::new(py, arguments)?;
        let flags = args.get_item(1).map_or(Ok(0), |flags| flags.extract())?;
        self.call_raw(py, Direction::Read, flags, "recvmsg_into", &arguments)
    }

    /// Sends some of the data and returns how much. `timeout` takes the place of the socket's own.
    #[pyo3(signature = (data, flags = 0, timeout = Limit::Own), text_signature = "($self, data, flags=0, timeout=timeout_default)")]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int, timeout: Limit) -> PyResult<usize> {
        let patience = match timeout {
            Limit::Own => self.patience().with_flags(Direction::Write, flags),
            Limit::Given(timeout) => Patience::new(timeout),
        };
        send::send(self, py, data, flags, patience)
    }

    /// Sends all of the data. The timeout is for all of it.
    #[pyo3(signature = (data, flags = 0))]
    fn sendall(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<()> {
        send::sendall(self, py, data, flags)
    }

    /// `sendto(data, [flags,] address)`: sends a message to an address.
    #[pyo3(signature = (*args), text_signature = "($self, data, [flags], address)")]
    fn sendto<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> PyResult<usize> {
        send::sendto(slf, args)
    }

    #[pyo3(signature = (buffers, ancdata = None, flags = 0, address = None), text_signature = "($self, buffers, ancdata=(), flags=0, address=None)")]
    fn sendmsg<'py>(
        slf: &Bound<'py, Self>,
        buffers: &Bound<'py, PyAny>,
        ancdata: Option<&Bound<'py, PyAny>>,
        flags: c_int,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        send::sendmsg(slf, buffers, ancdata, flags, address)
    }

    /// Waits for a connection: a new socket and the address of its other end.
    fn accept<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        connection::accept(self, py)
    }

    /// As `accept`, but returns a descriptor in place of the socket; the caller owns it.
    fn _accept<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        connection::accept_descriptor(self, py)
    }

    /// As `accept`, but returns None if nobody is waiting to be accepted.
    fn _accept_nowait<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        connection::accept_nowait(self, py)
    }

    /// Connects to an address, resolving a name if it has one.
    fn connect<'py>(slf: &Bound<'py, Self>, address: &Bound<'py, PyAny>) -> PyResult<()> {
        connection::connect(slf, address)
    }

    /// As `connect`, but returns an error number instead of raising OSError.
    fn connect_ex<'py>(slf: &Bound<'py, Self>, address: &Bound<'py, PyAny>) -> PyResult<c_int> {
        connection::connect_ex(slf, address)
    }
}
