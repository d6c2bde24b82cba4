//! `TlsChannel`: the standard `_ssl._SSLSocket` of a socket, made to wait cooperatively.
//!
//! OpenSSL works on a descriptor that does not block; where it says that it wants to read or to
//! write, the greenlet waits for that and the call is made again.

use pyo3::exceptions::{PyReferenceError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyWeakrefReference};

use super::object::Socket;
use super::wait::Direction;

/// What a TLS socket has as its `_sslobj`.
#[pyclass(module = "verdigris._core", frozen)]
pub(super) struct TlsChannel {
    native: Py<PyAny>,
    /// Weak, because the socket owns the channel.
    socket: Py<PyWeakrefReference>,
}

#[pymethods]
impl TlsChannel {
    #[new]
    fn new(native: Py<PyAny>, socket: &Bound<'_, Socket>) -> PyResult<Self> {
        Ok(TlsChannel {
            native,
            socket: PyWeakrefReference::new(socket)?.unbind(),
        })
    }

    #[pyo3(signature = (*args))]
    fn read<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "read"), args)
    }

    fn write<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "write"), &(data,).into_pyobject(py)?)
    }

    fn do_handshake<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "do_handshake"), &PyTuple::empty(py))
    }

    /// Ends the TLS session; returns the socket, on which plain bytes may follow.
    fn shutdown<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.until_done(py, intern!(py, "shutdown"), &PyTuple::empty(py))?;
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
    ) -> PyResult<Bound<'py, PyAny>> {
        let native = self.native.bind(py);
        let mut patience = None;
        loop {
            let error = match native.call_method1(method, arguments) {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let Some(direction) = wanted(py, &error)? else {
                return Err(error);
            };
            let socket = self.socket(py)?;
            let socket = socket.get();
            let patience = patience.get_or_insert_with(|| socket.patience());
            if patience.is_none() {
                return Err(error);
            }
            socket.mark_unready(direction);
            socket
                .wait(py, direction, patience)
                .map_err(|error| name_the_operation(py, error, method))?;
        }
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
