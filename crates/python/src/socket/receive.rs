//! Bytes in: the calls that run once per message received.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::address::{self, Address};
use super::attempt::{Attempt, until_done};
use super::buffer::Bytes;
use super::object::Socket;
use super::wait::{Direction, note_peer};

/// Reads of up to this size go into a block that the thread keeps, so that what is allocated is what has come. A copy costs
/// less than asking for much memory and giving most of it back.
const SCRATCH_BYTES: usize = 64 * 1024;

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
    receive(socket, py, flags, |descriptor| {
        into_bytes(socket, py, size, flags, |target| {
            // SAFETY: `into_bytes` gives memory for `size` bytes.
            unsafe { libc::recv(descriptor, target, size, flags | libc::MSG_DONTWAIT) }
        })
    })
}

pub(super) fn recvfrom<'py>(
    socket: &Socket,
    py: Python<'py>,
    size: isize,
    flags: c_int,
) -> PyResult<Bound<'py, PyAny>> {
    if !address::is_known_family(socket.family()) {
        let arguments = (size, flags).into_pyobject(py)?;
        return socket.call_raw(py, Direction::Read, flags, "recvfrom", &arguments);
    }
    let size = buffer_size(size, "recvfrom")?;
    let mut source = Address::new();
    let data = receive(socket, py, flags, |descriptor| {
        into_bytes(socket, py, size, flags, |target| {
            receive_from(descriptor, target, size, flags, &mut source)
        })
    })?;
    Ok((data, source.to_python(py)?).into_pyobject(py)?.into_any())
}

/// As `recvfrom`, but None if no message is there.
pub(super) fn recvfrom_nowait<'py>(
    socket: &Socket,
    py: Python<'py>,
    size: isize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let size = buffer_size(size, "recvfrom")?;
    let mut source = Address::new();
    loop {
        let descriptor = socket.open_descriptor(py)?;
        let attempt = into_bytes(socket, py, size, 0, |target| {
            receive_from(descriptor, target, size, 0, &mut source)
        })?;
        match attempt {
            Attempt::Done(data) => {
                note_peer(py);
                return Ok(Some((data, source.to_python(py)?).into_pyobject(py)?.into_any()));
            }
            Attempt::NotNow(_) => return Ok(None),
            Attempt::Interrupted => py.check_signals()?,
        }
    }
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
    let received = receive(socket, py, flags, |descriptor| {
        // SAFETY: the buffer is borrowed to write and has at least `size` bytes.
        Attempt::of_call(py, unsafe {
            libc::recv(descriptor, target.as_ptr().cast(), size, flags | libc::MSG_DONTWAIT)
        })
    })?;
    socket.note_received(received, size, flags);
    Ok(received)
}

pub(super) fn recvfrom_into<'py>(
    socket: &Socket,
    py: Python<'py>,
    buffer: &Bound<'py, PyAny>,
    size: isize,
    flags: c_int,
) -> PyResult<Bound<'py, PyAny>> {
    if !address::is_known_family(socket.family()) {
        let arguments = (buffer, size, flags).into_pyobject(py)?;
        return socket.call_raw(py, Direction::Read, flags, "recvfrom_into", &arguments);
    }
    let target = Bytes::writable(buffer, "recvfrom_into")?;
    let size = target_size(&target, size, "recvfrom_into")?;
    let mut source = Address::new();
    let received = receive(socket, py, flags, |descriptor| {
        let place = target.as_ptr().cast();
        Attempt::of_call(py, receive_from(descriptor, place, size, flags, &mut source))
    })?;
    Ok((received, source.to_python(py)?).into_pyobject(py)?.into_any())
}

#[inline]
fn receive<T>(
    socket: &Socket,
    py: Python<'_>,
    flags: c_int,
    attempt: impl FnMut(RawFd) -> PyResult<Attempt<T>>,
) -> PyResult<T> {
    let mut patience = socket.patience().with_flags(Direction::Read, flags);
    until_done(socket, py, Direction::Read, &mut patience, attempt)
}

/// Runs a receiving call into memory for `size` bytes, and makes a bytes object of what came. Never inlined: what it needs of
/// the stack is not to be there while the greenlet waits.
#[inline(never)]
fn into_bytes<'py>(
    socket: &Socket,
    py: Python<'py>,
    size: usize,
    flags: c_int,
    call: impl FnOnce(*mut c_void) -> isize,
) -> PyResult<Attempt<Bound<'py, PyBytes>>> {
    socket.approach_last_read();
    let attempt = if size <= SCRATCH_BYTES && !socket.gets_much() {
        through_scratch(py, call)
    } else {
        in_place(py, size, call)
    }?;
    if let Attempt::Done(bytes) = &attempt {
        socket.note_received(bytes.as_bytes().len(), size, flags);
        socket.note_data(bytes);
    }
    Ok(attempt)
}

/// By way of the thread's block.
#[inline]
fn through_scratch<'py>(
    py: Python<'py>,
    call: impl FnOnce(*mut c_void) -> isize,
) -> PyResult<Attempt<Bound<'py, PyBytes>>> {
    SCRATCH.with(|scratch| {
        // SAFETY: nothing in here runs Python code or switches, so the block has one user.
        let scratch = unsafe { &mut *scratch.get() };
        let attempt = Attempt::of_call(py, call(scratch.as_mut_ptr().cast()))?;
        Ok(attempt.map(|received| PyBytes::new(py, &scratch[..received])))
    })
}

/// Into a bytes object that is shortened afterwards.
fn in_place<'py>(
    py: Python<'py>,
    size: usize,
    call: impl FnOnce(*mut c_void) -> isize,
) -> PyResult<Attempt<Bound<'py, PyBytes>>> {
    // SAFETY: a fresh bytes object has room for `size` bytes, and nobody else sees it until it is returned.
    let bytes = unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size as isize);
        Bound::from_owned_ptr_or_err(py, object)?
    };
    // SAFETY: as above.
    let target = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) };
    let received = match Attempt::of_call(py, call(target.cast()))? {
        Attempt::Done(received) => received,
        other => return Ok(other.map(|_| PyBytes::new(py, b""))),
    };
    let mut object = bytes.into_ptr();
    // SAFETY: ours alone; it is replaced, or freed and set to null with an exception.
    unsafe {
        if received != size && _PyBytes_Resize(&mut object, received as isize) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Attempt::Done(Bound::from_owned_ptr(py, object).cast_into_unchecked()))
    }
}

fn receive_from(descriptor: RawFd, target: *mut c_void, size: usize, flags: c_int, source: &mut Address) -> isize {
    *source = Address::new();
    let (place, length) = (source.as_mut_ptr(), std::ptr::from_mut(source.length_mut()));
    // SAFETY: the callers pass memory for `size` bytes; the address has room for any sockaddr, and its length says so.
    unsafe { libc::recvfrom(descriptor, target, size, flags | libc::MSG_DONTWAIT, place, length) }
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
