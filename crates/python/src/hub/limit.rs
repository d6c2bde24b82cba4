//! The `timeout` argument of a wait, read once: nothing, seconds, or a Timeout object.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::timeout::TimeoutObject;

/// Seconds as whole nanoseconds; what is too large is as long as can be.
pub(crate) fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

/// A number of seconds, of whatever type; whole ones without the float that Python would make of them.
#[inline]
pub(crate) fn seconds_of(number: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(whole) = number.cast_exact::<PyInt>() {
        // SAFETY: a live int, with the GIL held; -1 may say that an exception is set.
        let seconds = unsafe { ffi::PyLong_AsDouble(whole.as_ptr()) };
        if seconds != -1.0 {
            return Ok(seconds);
        }
        if let Some(error) = PyErr::take(number.py()) {
            return Err(error);
        }
        return Ok(seconds);
    }
    number.extract()
}

/// The `timeout` argument of a wait: nothing, seconds, or a Timeout object.
pub(crate) enum Limit {
    None,
    Seconds(Py<PyAny>, i64),
    Object(Py<TimeoutObject>),
}

impl Limit {
    /// Reads the argument. A Timeout object is started if it is not running, as gevent does.
    pub(crate) fn begin(py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Limit> {
        let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) else {
            return Ok(Limit::None);
        };
        if let Ok(object) = timeout.cast::<TimeoutObject>() {
            if !object.get().is_pending() {
                object.call_method0("start")?;
            }
            return Ok(Limit::Object(object.clone().unbind()));
        }
        let seconds = seconds_of(timeout)?;
        let _ = py;
        Ok(Limit::Seconds(timeout.clone().unbind(), nanoseconds(seconds)))
    }

    /// The limit for `park`.
    pub(crate) fn nanoseconds(&self) -> Option<i64> {
        match self {
            Limit::Seconds(_, nanoseconds) => Some(*nanoseconds),
            _ => None,
        }
    }

    /// To be called when the wait is over, however it ended.
    pub(crate) fn end(&self) {
        if let Limit::Object(object) = self {
            object.get().stop();
        }
    }

    /// The error of a wait that timed out.
    pub(crate) fn expired(&self, py: Python<'_>) -> PyErr {
        let made = match self {
            Limit::Seconds(seconds, _) => py.get_type::<TimeoutObject>().call1((seconds,)),
            Limit::Object(object) => Ok(object.bind(py).clone().into_any()),
            Limit::None => py.get_type::<TimeoutObject>().call0(),
        };
        match made {
            Ok(made) => PyErr::from_value(made),
            Err(error) => error,
        }
    }

    /// Whether `error` is this limit's own.
    pub(crate) fn is(&self, py: Python<'_>, error: &PyErr) -> bool {
        match self {
            Limit::Object(object) => error.value(py).is(object),
            _ => false,
        }
    }
}
