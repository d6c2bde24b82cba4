//! `sleep` and `idle`: giving way, for a time or for a turn.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{limit, object as hub, park};

/// `time.sleep` of a patched program: `sleep`, but a negative number is a ValueError, as in the standard library.
///
/// It says that it is `gevent.hub.sleep`, by which programs know that they are patched.
#[pyfunction]
#[pyo3(name = "sleep", signature = (seconds, r#ref=true))]
pub(crate) fn time_sleep(py: Python<'_>, seconds: f64, r#ref: bool) -> PyResult<()> {
    if seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "sleep length must be non-negative, not {seconds:?}; use sleep(0) to let others run"
        )));
    }
    sleep(py, seconds, r#ref)
}

/// Lets others run for at least `seconds` (a number; 0 or less: until all that is ready now has had its turn).
///
/// With `ref` false the sleep alone does not keep the program running. Behaviour: gevent.sleep (reference row GV-77).
#[pyfunction]
#[pyo3(signature = (seconds=0.0, r#ref=true))]
pub(crate) fn sleep(py: Python<'_>, seconds: f64, r#ref: bool) -> PyResult<()> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err(
            "sleep length must be a number of seconds, not NaN",
        ));
    }
    let ticket = park::arm(py)?;
    let home = ticket.home().get();
    if seconds <= 0.0 {
        ticket.wake(py)?;
        return park::park_until_switched(py).map(drop);
    }
    hub::update_now(py, ticket.home())?;
    let engine = home.engine()?;
    let key = engine.wait_timer(limit::nanoseconds(seconds), 0, ticket.token(py));
    if !r#ref {
        let _ = engine.set_ref(key, false);
    }
    let result = park::park_until_woken(py);
    if result.is_err()
        && let Some(token) = home.engine().ok().and_then(|engine| engine.cancel(key))
    {
        // SAFETY: the token has just been taken out of the loop, with the GIL held.
        unsafe { token.release() };
    }
    result
}
