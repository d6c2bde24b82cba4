//! `TlsChannel`: the standard `_ssl._SSLSocket` of a socket, made to wait cooperatively.
//!
//! OpenSSL works on a descriptor that does not block; where it says that it wants to read or to
//! write, the greenlet waits for that and the call is made again.
//!
//! It says so by an exception, which costs more than to decrypt a short message. So where a read had to wait and the next one
//! is likely to, too, the kernel is asked first whether anything has come.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyReferenceError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyWeakrefReference};

use super::object::Socket;
use super::patience::Patience;
use super::wait::Direction;

/// What a TLS socket has as its `_sslobj`.
#[pyclass(module = "verdigris._core", frozen)]
pub(super) struct TlsChannel {
    native: Py<PyAny>,
    /// Weak, because the socket owns the channel.
    socket: Py<PyWeakrefReference>,
    /// Whether the last read had to wait, and then brought something.
    waits_to_read: AtomicBool,
}

#[pymethods]
impl TlsChannel {
    #[new]
    fn new(native: Py<PyAny>, socket: &Bound<'_, Socket>) -> PyResult<Self> {
        Ok(TlsChannel {
            native,
            socket: PyWeakrefReference::new(socket)?.unbind(),
            waits_to_read: AtomicBool::new(false),
        })
    }

    #[pyo3(signature = (*args))]
    fn read<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let method = intern!(py, "read");
        let mut patience = None;
        if self.waits_to_read.load(Ordering::Relaxed) && !self.may_read(py)? {
            self.wait(py, Direction::Read, &mut patience, method)?;
        }
        let result = self.until_done(py, method, args, &mut patience)?;
        // At the end of the stream reading does not wait, whatever the kernel says.
        self.waits_to_read
            .store(patience.is_some() && result.is_truthy()?, Ordering::Relaxed);
        Ok(result)
    }

    fn write<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "write"), &(data,).into_pyobject(py)?, &mut None)
    }

    fn do_handshake<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "do_handshake"), &PyTuple::empty(py), &mut None)
    }

    /// Ends the TLS session; returns the socket, on which plain bytes may follow.
    fn shutdown<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "shutdown"), &PyTuple::empty(py), &mut None)?;
        Ok(self.socket(py)?.into_any())
    }

    /// Everything that does not wait is the native object's.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr(name)
    }

    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr("context")
    }

    #[setter]
    fn set_context(&self, py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        self.native.bind(py).setattr("context", context)
    }

    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr("session")
    }

    #[setter]
    fn set_session(&self, py: Python<'_>, session: &Bound<'_, PyAny>) -> PyResult<()> {
        self.native.bind(py).setattr("session", session)
    }

    #[getter]
    fn owner<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.native.bind(py).getattr("owner")
    }

    #[setter]
    fn set_owner(&self, py: Python<'_>, owner: &Bound<'_, PyAny>) -> PyResult<()> {
        self.native.bind(py).setattr("owner", owner)
    }
}

impl TlsChannel {
    fn socket<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Socket>> {
        let socket = self.socket.bind(py).call0()?;
        socket
            .cast_into()
            .map_err(|_| PyReferenceError::new_err("the socket of this TLS session is gone"))
    }

    /// Calls a native method, again after every wait it asks for.
    fn until_done<'py>(
        &self,
        py: Python<'py>,
        method: &Bound<'py, PyString>,
        arguments: &Bound<'py, PyTuple>,
        patience: &mut Option<Patience>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let native = self.native.bind(py);
        loop {
            let error = match native.call_method1(method, arguments) {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let Some(direction) = wanted(py, &error)? else {
                return Err(error);
            };
            if self.socket(py)?.get().patience().is_none() {
                return Err(error);
            }
            self.wait(py, direction, patience, method)?;
        }
    }

    /// Waits, after OpenSSL or the kernel has said "not now".
    fn wait(
        &self,
        py: Python<'_>,
        direction: Direction,
        patience: &mut Option<Patience>,
        method: &Bound<'_, PyString>,
    ) -> PyResult<()> {
        let socket = self.socket(py)?;
        let socket = socket.get();
        let patience = patience.get_or_insert_with(|| socket.patience());
        socket.mark_unready(direction);
        socket
            .wait(py, direction, patience)
            .map_err(|error| name_the_operation(py, error, method))
    }

    /// Whether a read may do anything but wait: something has been decrypted, or the kernel has bytes, an end or an error. True
    /// for one that is never to wait, too.
    fn may_read(&self, py: Python<'_>) -> PyResult<bool> {
        let socket = self.socket(py)?;
        let socket = socket.get();
        if socket.patience().is_none() || socket.descriptor() < 0 {
            return Ok(true);
        }
        if self.native.bind(py).call_method0(intern!(py, "pending"))?.is_truthy()? {
            return Ok(true);
        }
        let mut asked = libc::pollfd {
            fd: socket.descriptor(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, ours, and no time to wait.
        Ok(unsafe { libc::poll(&mut asked, 1, 0) } != 0)
    }
}

/// The direction that OpenSSL wants to go in, if that is what the error says.
fn wanted(py: Python<'_>, error: &PyErr) -> PyResult<Option<Direction>> {
    static WANTS: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    if WANTS.get(py).is_none() {
        // Not `get_or_init`: nothing may run Python code while that is under way.
        let module = py.import("_ssl")?;
        let wants = (
            module.getattr("SSLWantReadError")?.unbind(),
            module.getattr("SSLWantWriteError")?.unbind(),
        );
        let _ = WANTS.set(py, wants);
    }
    let Some((read, write)) = WANTS.get(py) else {
        return Ok(None);
    };
    let kind = error.get_type(py);
    Ok(match &kind {
        kind if kind.is(read) => Some(Direction::Read),
        kind if kind.is(write) => Some(Direction::Write),
        _ => None,
    })
}

/// A timeout says what it is that took too long, as the standard module does.
fn name_the_operation(py: Python<'_>, error: PyErr, method: &Bound<'_, PyString>) -> PyErr {
    let plain = error.is_instance_of::<PyTimeoutError>(py)
        && error.value(py).getattr("errno").is_ok_and(|errno| errno.is_none());
    match method.to_str().unwrap_or_default() {
        "read" if plain => PyTimeoutError::new_err("The read operation timed out"),
        "write" if plain => PyTimeoutError::new_err("The write operation timed out"),
        "do_handshake" if plain => PyTimeoutError::new_err("The handshake operation timed out"),
        _ => error,
    }
}
