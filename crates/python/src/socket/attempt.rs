//! One call on a descriptor that does not block: made, and made again after every wait, until it says something else than "not now".

use std::os::fd::RawFd;

use pyo3::exceptions::PyBlockingIOError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::errors::{last_errno, os_error};
use super::object::Socket;
use super::patience::Patience;
use super::wait::Direction;

/// What trying came to.
pub(super) enum Attempt<T> {
    Done(T),
    /// The kernel has nothing, or no room. With the error that says so, if there is one already.
    NotNow(Option<PyErr>),
    /// A signal came first.
    Interrupted,
}

impl Attempt<usize> {
    /// Reads the result of a system call that has just been made: a count, or the error of this thread.
    #[inline]
    pub(super) fn of_call(py: Python<'_>, result: isize) -> PyResult<Self> {
        match usize::try_from(result) {
            Ok(count) => Ok(Attempt::Done(count)),
            Err(_) => Attempt::of_errno(py, last_errno()),
        }
    }
}

impl<T> Attempt<T> {
    /// Reads an error number.
    pub(super) fn of_errno(py: Python<'_>, errno: i32) -> PyResult<Self> {
        match errno {
            libc::EAGAIN => Ok(Attempt::NotNow(None)),
            libc::EINTR => Ok(Attempt::Interrupted),
            errno => Err(os_error(py, errno)),
        }
    }

    #[inline]
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Attempt::Done(result) => Attempt::Done(change(result)),
            Attempt::NotNow(error) => Attempt::NotNow(error),
            Attempt::Interrupted => Attempt::Interrupted,
        }
    }
}

/// Tries until it is done. A call that is known to say "not now" is not made, unless the caller never waits.
#[inline]
pub(super) fn until_done<T>(
    socket: &Socket,
    py: Python<'_>,
    direction: Direction,
    patience: &mut Patience,
    mut attempt: impl FnMut(RawFd) -> PyResult<Attempt<T>>,
) -> PyResult<T> {
    loop {
        let descriptor = socket.open_descriptor(py)?;
        if patience.is_none() || socket.may_be_ready(direction) {
            match attempt(descriptor)? {
                Attempt::Done(result) => return Ok(result),
                Attempt::Interrupted => {
                    py.check_signals()?;
                    continue;
                }
                Attempt::NotNow(error) if patience.is_none() => {
                    return Err(error.unwrap_or_else(|| os_error(py, libc::EAGAIN)));
                }
                Attempt::NotNow(_) => {}
            }
        }
        socket.wait(py, direction, patience)?;
    }
}

impl Socket {
    /// Calls a method of the standard socket until it does not say "not now".
    pub(super) fn call_raw<'py>(
        &self,
        py: Python<'py>,
        direction: Direction,
        flags: i32,
        method: &str,
        arguments: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut patience = self.patience().with_flags(direction, flags);
        until_done(self, py, direction, &mut patience, |_| {
            match self.raw(py)?.call_method1(method, arguments) {
                Ok(result) => Ok(Attempt::Done(result)),
                Err(error) if error.is_instance_of::<PyBlockingIOError>(py) => Ok(Attempt::NotNow(Some(error))),
                Err(error) => Err(error),
            }
        })
    }
}
