//! How long a call may take: the socket's timeout, or the one that a call is given, and what is left of it.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::errors;
use super::wait::Direction;

/// How long one call may take in all. The clock is read at the first wait, not before.
pub(super) struct Patience {
    timeout: Option<f64>,
    deadline: Option<Instant>,
}

impl Patience {
    pub(super) fn new(timeout: Option<f64>) -> Self {
        Patience {
            timeout,
            deadline: None,
        }
    }

    /// Who passes MSG_DONTWAIT never waits. Nor does the kernel wait for urgent data or for errors:
    /// that there are none says nothing about the rest.
    pub(super) fn with_flags(self, direction: Direction, flags: c_int) -> Self {
        let at_once = match direction {
            Direction::Read => libc::MSG_DONTWAIT | libc::MSG_OOB | libc::MSG_ERRQUEUE,
            Direction::Write => libc::MSG_DONTWAIT,
        };
        if flags & at_once == 0 {
            self
        } else {
            Patience::new(Some(0.0))
        }
    }

    /// A timeout of zero: the caller wants to be told "not now" and never waits.
    pub(super) fn is_none(&self) -> bool {
        self.timeout == Some(0.0)
    }

    /// What is left, or None for ever; TimeoutError when nothing is.
    pub(super) fn remaining(&mut self) -> PyResult<Option<Duration>> {
        let Some(timeout) = self.timeout else { return Ok(None) };
        let now = Instant::now();
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => match Duration::try_from_secs_f64(timeout)
                .ok()
                .and_then(|length| now.checked_add(length))
            {
                Some(deadline) => *self.deadline.insert(deadline),
                None => return Ok(None), // longer than the clock reaches
            },
        };
        match deadline.saturating_duration_since(now) {
            Duration::ZERO => Err(errors::timed_out()),
            left => Ok(Some(left)),
        }
    }

    /// TimeoutError when the time is over; a caller that never waits has no such time.
    pub(super) fn remaining_unless_none(&mut self) -> PyResult<()> {
        if self.is_none() {
            Ok(())
        } else {
            self.remaining().map(drop)
        }
    }
}

/// The `timeout` argument of `send`: absent (or `timeout_default`), or given.
pub(super) enum Limit {
    Own,
    Given(Option<f64>),
}

impl<'py> FromPyObject<'_, 'py> for Limit {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            return Ok(Limit::Given(None));
        }
        // `timeout_default` is a bare object(), which nothing else is.
        if object.get_type().is(object.py().get_type::<PyAny>()) {
            return Ok(Limit::Own);
        }
        seconds(&object).map(|timeout| Limit::Given(Some(timeout)))
    }
}

/// Reads a timeout, as the standard `settimeout` does.
pub(super) fn seconds(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    let value: f64 = object.extract().map_err(|_| match object.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!("a float is required, not {name}")),
        Err(error) => error,
    })?;
    if value.is_nan() || value < 0.0 {
        return Err(PyValueError::new_err("Timeout value out of range"));
    }
    Ok(value)
}
