//! Bytes in and out: the calls that run once per message.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::RawFd;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::address::{self, Address};
use super::buffer::Bytes;
use super::connection::{audit, resolve};
use super::errors::{last_errno, os_error};
use super::object::Socket;
use super::wait::{Direction, Patience};

/// Messages up to this size are received into a block that the thread keeps, so that a call that
/// has to wait allocates nothing, and one that gets little keeps no more than it got.
const SCRATCH_BYTES: usize = 16 * 1024;

unsafe extern "C" {
    // Not in PyO3's bindings.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

thread_local! {
    static SCRATCH: UnsafeCell<Box<[u8]>> = UnsafeCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

pub(super) fn recv<'py>(socket: &Socket, py: Python<'py>, size: isize, flags: c_int) -> PyResult<Bound<'py, PyBytes>> {
    let size = buffer_size(size, "recv")?;
    if size == 0 {
        return Ok(PyBytes::new(py, b""));
    }
    until_done(
        socket,
        py,
        Direction::Read,
        socket.patience().with_flags(Direction::Read, flags),
        |descriptor| {
            receive_bytes(py, size, |target, size| {
                // SAFETY: `receive_bytes` gives memory for `size` bytes.
                unsafe { libc::recv(descriptor, target, size, flags | libc::MSG_DONTWAIT) }
            })
        },
    )
}

pub(super) fn recvfrom<'py>(
    socket: &Socket,
    py: Python<'py>,
    size: isize,
    flags: c_int,
) -> PyResult<Bound<'py, PyAny>> {
    if !address::is_known_family(socket.family()) {
        return socket.call_raw(
            py,
            Direction::Read,
            flags,
            "recvfrom",
            &(size, flags).into_pyobject(py)?,
        );
    }
    let size = buffer_size(size, "recvfrom")?;
    let mut source = Address::new();
    let data = until_done(
        socket,
        py,
        Direction::Read,
        socket.patience().with_flags(Direction::Read, flags),
        |descriptor| {
            receive_bytes(py, size, |target, size| {
                receive_from(descriptor, target, size, flags, &mut source)
            })
        },
    )?;
    Ok((data, source.to_python(py)?).into_pyobject(py)?.into_any())
}

pub(super) fn recv_into(
    socket: &Socket,
    py: Python<'_>,
    buffer: &Bound<'_, PyAny>,
    size: isize,
    flags: c_int,
) -> PyResult<usize> {
    let target = Bytes::writable(buffer, "recv_into")?;
    let size = target_size(&target, size, "recv_into")?;
    if size == 0 {
        return Ok(0);
    }
    until_done(
        socket,
        py,
        Direction::Read,
        socket.patience().with_flags(Direction::Read, flags),
        |descriptor| {
            // SAFETY: the buffer is borrowed to write and has at least `size` bytes.
            count(unsafe { libc::recv(descriptor, target.as_ptr().cast(), size, flags | libc::MSG_DONTWAIT) })
        },
    )
}

pub(super) fn recvfrom_into<'py>(
    socket: &Socket,
    py: Python<'py>,
    buffer: &Bound<'py, PyAny>,
    size: isize,
    flags: c_int,
) -> PyResult<Bound<'py, PyAny>> {
    if !address::is_known_family(socket.family()) {
        return socket.call_raw(
            py,
            Direction::Read,
            flags,
            "recvfrom_into",
            &(buffer, size, flags).into_pyobject(py)?,
        );
    }
    let target = Bytes::writable(buffer, "recvfrom_into")?;
    let size = target_size(&target, size, "recvfrom_into")?;
    let mut source = Address::new();
    let received = until_done(
        socket,
        py,
        Direction::Read,
        socket.patience().with_flags(Direction::Read, flags),
        |descriptor| {
            count(receive_from(
                descriptor,
                target.as_ptr().cast(),
                size,
                flags,
                &mut source,
            ))
        },
    )?;
    Ok((received, source.to_python(py)?).into_pyobject(py)?.into_any())
}

pub(super) fn send(
    socket: &Socket,
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    flags: c_int,
    patience: Patience,
) -> PyResult<usize> {
    let data = Bytes::readable(data)?;
    until_done(socket, py, Direction::Write, patience, |descriptor| {
        // SAFETY: the buffer is borrowed and has that length.
        count(unsafe { libc::send(descriptor, data.as_ptr().cast(), data.len(), send_flags(flags)) })
    })
}

pub(super) fn sendall(socket: &Socket, py: Python<'_>, data: &Bound<'_, PyAny>, flags: c_int) -> PyResult<()> {
    let data = Bytes::readable(data)?;
    let mut patience = socket.patience().with_flags(Direction::Write, flags);
    let mut sent = 0;
    loop {
        sent += until_done_with(socket, py, Direction::Write, &mut patience, |descriptor| {
            // SAFETY: the buffer is borrowed, and `sent` is not more than its length.
            count(unsafe {
                libc::send(
                    descriptor,
                    data.as_ptr().add(sent).cast(),
                    data.len() - sent,
                    send_flags(flags),
                )
            })
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
        let sent = match &data {
            Bytes::Exact(bytes) => socket.call_raw(
                py,
                Direction::Write,
                flags,
                "sendto",
                &(bytes, flags, address).into_pyobject(py)?,
            ),
            Bytes::View(_) => socket.call_raw(
                py,
                Direction::Write,
                flags,
                "sendto",
                &(arguments.get_item(0)?, flags, address).into_pyobject(py)?,
            ),
        };
        return sent?.extract();
    };
    audit(c"socket.sendto", slf, &address)?;
    until_done(
        socket,
        py,
        Direction::Write,
        socket.patience().with_flags(Direction::Write, flags),
        |descriptor| {
            // SAFETY: buffer and address are ours for the call and have the lengths given.
            count(unsafe {
                libc::sendto(
                    descriptor,
                    data.as_ptr().cast(),
                    data.len(),
                    send_flags(flags),
                    target.as_ptr(),
                    target.length(),
                )
            })
        },
    )
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

/// Makes a system call that does not block, again after every wait, until it says something else
/// than "not now". A call that is known to fail is not made, unless the caller never waits.
pub(super) fn until_done<T>(
    socket: &Socket,
    py: Python<'_>,
    direction: Direction,
    mut patience: Patience,
    call: impl FnMut(RawFd) -> io::Result<T>,
) -> PyResult<T> {
    until_done_with(socket, py, direction, &mut patience, call)
}

pub(super) fn until_done_with<T>(
    socket: &Socket,
    py: Python<'_>,
    direction: Direction,
    patience: &mut Patience,
    mut call: impl FnMut(RawFd) -> io::Result<T>,
) -> PyResult<T> {
    loop {
        let descriptor = socket.open_descriptor(py)?;
        if patience.is_none() || socket.may_be_ready(direction) {
            let error = match call(descriptor) {
                Ok(result) => return Ok(result),
                Err(error) => error.raw_os_error().unwrap_or(0),
            };
            match error {
                libc::EINTR => {
                    py.check_signals()?;
                    continue;
                }
                libc::EAGAIN if !patience.is_none() => socket.mark_unready(direction),
                0 => return Err(PyErr::fetch(py)),
                errno => return Err(os_error(py, errno)),
            }
        }
        socket.wait(py, direction, patience)?;
    }
}

/// Runs a receiving call into memory for `size` bytes, and makes a bytes object of what came.
fn receive_bytes<'py>(
    py: Python<'py>,
    size: usize,
    call: impl FnOnce(*mut c_void, usize) -> isize,
) -> io::Result<Bound<'py, PyBytes>> {
    if size <= SCRATCH_BYTES {
        return SCRATCH.with(|scratch| {
            // SAFETY: nothing in here runs Python code or switches, so the block has one user.
            let scratch = unsafe { &mut *scratch.get() };
            let received = count(call(scratch.as_mut_ptr().cast(), size))?;
            Ok(PyBytes::new(py, &scratch[..received]))
        });
    }
    // SAFETY: a fresh bytes object has room for `size` bytes and nobody else sees it; resizing
    // either updates the pointer or frees the object and sets an exception (errno 0 stands for that).
    unsafe {
        let mut object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size as isize);
        if object.is_null() {
            return Err(io::Error::from_raw_os_error(0));
        }
        let received = match count(call(ffi::PyBytes_AsString(object).cast(), size)) {
            Ok(received) => received,
            Err(error) => {
                ffi::Py_DECREF(object);
                return Err(error);
            }
        };
        if received != size && _PyBytes_Resize(&mut object, received as isize) != 0 {
            return Err(io::Error::from_raw_os_error(0));
        }
        Ok(Bound::from_owned_ptr(py, object).cast_into_unchecked())
    }
}

fn receive_from(descriptor: RawFd, target: *mut c_void, size: usize, flags: c_int, source: &mut Address) -> isize {
    *source = Address::new();
    let (place, length) = (source.as_mut_ptr(), std::ptr::from_mut(source.length_mut()));
    // SAFETY: the callers pass memory for `size` bytes; the address has room for any sockaddr, and its length says so.
    unsafe { libc::recvfrom(descriptor, target, size, flags | libc::MSG_DONTWAIT, place, length) }
}

/// Never blocks; a broken pipe is an exception, not a signal.
fn send_flags(flags: c_int) -> c_int {
    flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL
}

/// A system call's result: a count, or the error of this thread.
fn count(result: isize) -> io::Result<usize> {
    match usize::try_from(result) {
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::from_raw_os_error(last_errno())),
    }
}

fn buffer_size(size: isize, function: &str) -> PyResult<usize> {
    usize::try_from(size).map_err(|_| PyValueError::new_err(format!("negative buffersize in {function}")))
}

fn target_size(target: &Bytes<'_>, size: isize, function: &str) -> PyResult<usize> {
    match buffer_size(size, function)? {
        0 => Ok(target.len()),
        size if size > target.len() => Err(PyValueError::new_err(match function {
            "recv_into" => "buffer too small for requested bytes",
            _ => "nbytes is greater than the length of the buffer",
        })),
        size => Ok(size),
    }
}
