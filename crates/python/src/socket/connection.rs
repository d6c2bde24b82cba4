//! Connections: accepting and making them.

use std::ffi::{CStr, c_char, c_int};
use std::mem::size_of;
use std::os::fd::RawFd;

use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::address::{self, Address};
use super::attempt::{Attempt, until_done};
use super::descriptor::Owned;
use super::errors::{last_errno, os_error};
use super::object::Socket;
use super::patience::Patience;
use super::wait::{Direction, note_peer};
use crate::names;

/// The class of accepted sockets: `verdigris.socket.socket`, told once by that module.
static SOCKET_CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Tells which class `accept` makes instances of.
#[pyfunction]
#[pyo3(name = "_set_socket_class")]
pub(super) fn set_socket_class(py: Python<'_>, class: Py<PyType>) {
    let _ = SOCKET_CLASS.set(py, class);
}

pub(super) fn accept<'py>(socket: &Socket, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    let mut peer = Address::new();
    let descriptor = until_done(
        socket,
        py,
        Direction::Read,
        &mut socket.patience(),
        |listener| match accept_on(listener, &mut peer) {
            Ok(descriptor) => Ok(Attempt::Done(descriptor)),
            Err(errno) => Attempt::of_errno(py, errno),
        },
    )?;
    connected(socket, py, descriptor, &peer)
}

/// As `accept`: the descriptor, which the caller has to close, and the address.
pub(super) fn accept_descriptor<'py>(socket: &Socket, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (connected, address): (Bound<'py, Socket>, Bound<'py, PyAny>) = accept(socket, py)?.extract()?;
    let descriptor = connected.get().detach(py)?;
    Ok((descriptor, address).into_pyobject(py)?.into_any())
}

pub(super) fn accept_nowait<'py>(socket: &Socket, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut peer = Address::new();
    let listener = socket.open_descriptor(py)?;
    match accept_on(listener, &mut peer) {
        Ok(descriptor) => connected(socket, py, descriptor, &peer).map(Some),
        // Also when the one who was waiting has gone again.
        Err(libc::EAGAIN | libc::ECONNABORTED | libc::EINTR) => Ok(None),
        Err(errno) => Err(os_error(py, errno)),
    }
}

/// The pair that `accept` returns, of a descriptor just accepted.
fn connected<'py>(
    listener: &Socket,
    py: Python<'py>,
    descriptor: Owned,
    peer: &Address,
) -> PyResult<Bound<'py, PyAny>> {
    note_peer(py);
    let address = if address::is_known_family(listener.family()) {
        peer.to_python(py)?
    } else {
        names::socket_common(py, "_peer_address")?.call1((descriptor.0, listener.family()))?
    };
    let timeout = default_timeout(py)?;
    let class = SOCKET_CLASS
        .get(py)
        .map_or_else(|| py.get_type::<Socket>(), |class| class.bind(py).clone());
    let connected = make(&class)?;
    connected
        .cast::<Socket>()?
        .get()
        .own(descriptor.release(), listener, timeout);
    Ok((connected, address).into_pyobject(py)?.into_any())
}

/// What `socket.setdefaulttimeout` has set.
fn default_timeout(py: Python<'_>) -> PyResult<Option<f64>> {
    static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if ASK.get(py).is_none() {
        // Not `get_or_init`: nothing may run Python code while that is under way.
        let _ = ASK.set(py, py.import("_socket")?.getattr("getdefaulttimeout")?.unbind());
    }
    match ASK.get(py) {
        Some(ask) => ask.call0(py)?.extract(py),
        None => Ok(None),
    }
}

/// An instance of a class of sockets, made by `__new__` alone.
fn make<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    // SAFETY: every class of sockets has the slot, by inheritance; it is given what `class.__new__(class)` would give it.
    unsafe {
        let new = (*class.as_type_ptr()).tp_new.expect("a class of sockets can be made");
        let made = new(class.as_type_ptr(), PyTuple::empty(py).as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// Accepts, or says the error's number.
fn accept_on(listener: RawFd, peer: &mut Address) -> Result<Owned, c_int> {
    *peer = Address::new();
    let (place, length) = (peer.as_mut_ptr(), std::ptr::from_mut(peer.length_mut()));
    // SAFETY: the address has room for any sockaddr, and its length says so.
    match unsafe { libc::accept4(listener, place, length, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) } {
        -1 => Err(last_errno()),
        accepted => Ok(Owned(accepted)),
    }
}

pub(super) fn connect<'py>(slf: &Bound<'py, Socket>, address: &Bound<'py, PyAny>) -> PyResult<()> {
    match attempt(slf, address)? {
        0 => Ok(()),
        errno => Err(os_error(slf.py(), errno)),
    }
}

pub(super) fn connect_ex<'py>(slf: &Bound<'py, Socket>, address: &Bound<'py, PyAny>) -> PyResult<c_int> {
    let py = slf.py();
    match attempt(slf, address) {
        // As the standard socket: the number says "not yet".
        Err(error) if error.is_instance_of::<PyTimeoutError>(py) && error.value(py).getattr("errno")?.is_none() => {
            Ok(libc::EAGAIN)
        }
        // An address that cannot be resolved is not an error number of `connect`.
        Err(error) if error.get_type(py).is(py.get_type::<pyo3::exceptions::PyOSError>()) => {
            error.value(py).getattr("errno")?.extract()
        }
        result => result,
    }
}

/// Connects, and waits for the outcome: 0, or what went wrong.
fn attempt<'py>(slf: &Bound<'py, Socket>, address: &Bound<'py, PyAny>) -> PyResult<c_int> {
    let (py, socket) = (slf.py(), slf.get());
    let mut patience = socket.patience();
    socket.open_descriptor(py)?;
    let (address, target) = match Address::parse(socket.family(), address) {
        Some(target) => (address.clone(), Some(target)),
        None => {
            let address = if patience.is_none() {
                address.clone()
            } else {
                resolve(slf, address)?
            };
            let target = Address::parse(socket.family(), &address);
            (address, target)
        }
    };
    let mut pause = Pause::default();
    if target.is_some() {
        audit(c"socket.connect", slf, &address)?;
    }
    loop {
        let descriptor = socket.open_descriptor(py)?;
        let errno = match &target {
            // SAFETY: the address is ours and has that length.
            Some(target) => match unsafe { libc::connect(descriptor, target.as_ptr(), target.length()) } {
                0 => 0,
                _ => last_errno(),
            },
            None => socket.raw(py)?.call_method1("connect_ex", (&address,))?.extract()?,
        };
        match errno {
            libc::EINPROGRESS | libc::EALREADY | libc::EINTR if !patience.is_none() => {
                if errno == libc::EINTR {
                    py.check_signals()?; // the connection goes on by itself
                }
                return outcome(socket, py, &mut patience);
            }
            // A Unix listener whose backlog is full: nothing will tell when there is room.
            libc::EAGAIN if !patience.is_none() => pause.take(py, &mut patience)?,
            errno => return Ok(errno),
        }
    }
}

/// Waits until the connection stands or has failed.
fn outcome(socket: &Socket, py: Python<'_>, patience: &mut Patience) -> PyResult<c_int> {
    loop {
        // What was known of the descriptor is of the time before it was connecting.
        socket.mark_unready(Direction::Read);
        socket.mark_unready(Direction::Write);
        socket.wait(py, Direction::Write, patience)?;
        let descriptor = socket.open_descriptor(py)?;
        if is_settled(descriptor) {
            let (mut errno, mut length): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
            let place = std::ptr::from_mut(&mut errno).cast();
            // SAFETY: the option is an int, and the length says so.
            return match unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_ERROR, place, &mut length) } {
                0 => Ok(errno),
                _ => Err(os_error(py, last_errno())),
            };
        }
    }
}

/// Whether the kernel has finished connecting, one way or the other.
fn is_settled(descriptor: RawFd) -> bool {
    let mut entry = libc::pollfd {
        fd: descriptor,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, and it does not wait.
    unsafe { libc::poll(&mut entry, 1, 0) != 0 }
}

/// Growing pauses between attempts that nothing announces.
#[derive(Default)]
struct Pause {
    attempts: u32,
}

impl Pause {
    fn take(&mut self, py: Python<'_>, patience: &mut Patience) -> PyResult<()> {
        let length = 0.001 * f64::from(1 << self.attempts.min(5));
        self.attempts += 1;
        let length = patience
            .remaining()?
            .map_or(length, |left| left.as_secs_f64().min(length));
        py.import("verdigris.hub")?.call_method1("sleep", (length,)).map(drop)
    }
}

/// Makes the address one with numbers only, by the hub's resolver.
pub(super) fn resolve<'py>(slf: &Bound<'py, Socket>, address: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    names::socket_common(slf.py(), "_resolve_addr")?.call1((slf, address))
}

unsafe extern "C" {
    // Not in PyO3's bindings.
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Tells the audit hooks what the standard socket would tell them.
pub(super) fn audit(event: &CStr, slf: &Bound<'_, Socket>, address: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the format takes two objects, and two are passed.
    match unsafe { PySys_Audit(event.as_ptr(), c"OO".as_ptr(), slf.as_ptr(), address.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(slf.py())),
    }
}
