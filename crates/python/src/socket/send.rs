//! Bytes out: the calls that run once per message sent.

use std::ffi::c_int;
use std::os::fd::RawFd;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::address::Address;
use super::attempt::{Attempt, until_done};
use super::buffer::Bytes;
use super::connection::{audit, resolve};
use super::object::Socket;
use super::patience::Patience;
use super::wait::Direction;

pub(super) fn send(
    socket: &Socket,
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    flags: c_int,
    mut patience: Patience,
) -> PyResult<usize> {
    let data = Bytes::readable(data)?;
    until_done(socket, py, Direction::Write, &mut patience, |descriptor| {
        send_from(py, descriptor, &data, 0, flags)
    })
}

pub(super) fn sendall(socket: &Socket, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<()> {
    let data = Bytes::readable(data)?;
    let mut patience = socket.patience().with_flags(Direction::Write, flags);
    let mut sent = 0;
    loop {
        sent += until_done(socket, py, Direction::Write, &mut patience, |descriptor| {
            send_from(py, descriptor, &data, sent, flags)
        })?;
        if sent >= data.len() {
            return Ok(());
        }
        patience.remaining_unless_none()?;
    }
}

pub(super) fn sendto<'py>(slf: &Bound<'py, Socket>, arguments: &Bound<'py, PyTuple>) -> PyResult<usize> {
    let (py, socket) = (slf.py(), slf.get());
    let (data, flags, address) = match arguments.len() {
        2 => (arguments.get_item(0)?, 0, arguments.get_item(1)?),
        3 => (
            arguments.get_item(0)?,
            arguments.get_item(1)?.extract()?,
            arguments.get_item(2)?,
        ),
        given => {
            return Err(PyTypeError::new_err(format!(
                "sendto() takes 2 or 3 arguments ({given} given)"
            )));
        }
    };
    let data = Bytes::readable(&data)?;
    let (address, target) = match Address::parse(socket.family(), &address) {
        Some(target) => (address, Some(target)),
        None => {
            let address = resolve(slf, &address)?;
            let target = Address::parse(socket.family(), &address);
            (address, target)
        }
    };
    let Some(target) = target else {
        // Let the standard socket read it, or say what is wrong with it.
        let arguments = (arguments.get_item(0)?, flags, address).into_pyobject(py)?;
        return socket
            .call_raw(py, Direction::Write, flags, "sendto", &arguments)?
            .extract();
    };
    audit(c"socket.sendto", slf, &address)?;
    let mut patience = socket.patience().with_flags(Direction::Write, flags);
    until_done(socket, py, Direction::Write, &mut patience, |descriptor| {
        let (place, length) = (target.as_ptr(), target.length());
        let (bytes, flags) = (data.as_ptr().cast(), send_flags(flags));
        // SAFETY: buffer and address are ours for the call and have the lengths given.
        Attempt::of_call(py, unsafe {
            libc::sendto(descriptor, bytes, data.len(), flags, place, length)
        })
    })
}

pub(super) fn sendmsg<'py>(
    slf: &Bound<'py, Socket>,
    buffers: &Bound<'py, PyAny>,
    ancillary: Option<&Bound<'py, PyAny>>,
    flags: c_int,
    address: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    // Both may be tried more than once, so iterators have to become tuples first.
    let buffers = PyTuple::new(py, buffers.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
    let ancillary = match ancillary {
        Some(ancillary) => PyTuple::new(py, ancillary.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        None => PyTuple::empty(py),
    };
    let arguments = match address {
        Some(address) if !address.is_none() => (buffers, ancillary, flags, resolve(slf, address)?).into_pyobject(py)?,
        _ => (buffers, ancillary, flags).into_pyobject(py)?,
    };
    slf.get().call_raw(py, Direction::Write, flags, "sendmsg", &arguments)
}

/// Sends what there is from `start` on. Never inlined: what it needs of the stack is not to be there while the greenlet waits.
#[inline(never)]
fn send_from(
    py: Python<'_>,
    descriptor: RawFd,
    data: &Bytes<'_>,
    start: usize,
    flags: c_int,
) -> PyResult<Attempt<usize>> {
    let length = data.len() - start;
    // SAFETY: the buffer is borrowed, and `start` is not beyond its end (`length` would have panicked).
    Attempt::of_call(py, unsafe {
        libc::send(descriptor, data.as_ptr().add(start).cast(), length, send_flags(flags))
    })
}

/// Never blocks; a broken pipe is an exception, not a signal.
fn send_flags(flags: c_int) -> c_int {
    flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL
}
