//! Errors of the hub and the loop, made in one place: the class, and a text that says the rule, the
//! value and the way out. Texts that gevent's users know are gevent's.

use pyo3::exceptions::{PyOSError, PyRuntimeError, PySystemError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use verdigris_loop::Error as LoopError;

use crate::names;

/// An instance of a class of `verdigris.exceptions`.
fn of_class(py: Python<'_>, class: &str, message: String) -> PyErr {
    match names::exception(py, class).and_then(|class| class.call1((message,))) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// The loop crate's errors as Python's.
pub(crate) fn from_loop(error: LoopError) -> PyErr {
    match error {
        LoopError::System(number) => {
            let text = std::io::Error::from_raw_os_error(number).to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((number, text))
        }
        LoopError::NotDefaultLoop => PyTypeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// A wait in the hub itself.
#[cold]
pub(crate) fn blocking_switch_out(py: Python<'_>) -> PyErr {
    of_class(
        py,
        "BlockingSwitchOutError",
        "Impossible to call blocking function in the event loop callback".to_owned(),
    )
}

/// A parked greenlet was switched to with a value by somebody who is not its waker.
#[cold]
pub(crate) fn invalid_switch(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyErr {
    let current = current_text(py);
    of_class(
        py,
        "InvalidSwitchError",
        format!("Invalid switch into {}: got {}", current, text(value)),
    )
}

/// `hub.wait` was left with something else than its own waiter.
#[cold]
pub(crate) fn invalid_switch_expected(
    py: Python<'_>,
    hub: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    expected: &Bound<'_, PyAny>,
    watcher: &Bound<'_, PyAny>,
) -> PyErr {
    let current = current_text(py);
    of_class(
        py,
        "InvalidSwitchError",
        format!(
            "Invalid switch into {}: got {} (expected {}; waiting on {} with {})",
            current,
            text(value),
            text(expected),
            text(hub),
            text(watcher)
        ),
    )
}

/// Somebody else already waits there.
#[cold]
pub(crate) fn concurrent_use(py: Python<'_>, message: String) -> PyErr {
    of_class(py, "ConcurrentObjectUseError", message)
}

/// A thing that belongs to one thread was used in another.
#[cold]
pub(crate) fn wrong_thread(py: Python<'_>, what: &str) -> PyErr {
    of_class(
        py,
        "InvalidThreadUseError",
        format!(
            "{what} belongs to another thread; from here only run_callback_threadsafe() and async_.send() may be used"
        ),
    )
}

/// A greenlet was waited for in another thread than its own: `greenlet.error`, as genuine greenlet's when it is to switch there.
#[cold]
pub(crate) fn greenlet_of_other_thread(py: Python<'_>) -> PyErr {
    // SAFETY: a static type that lives as long as the module, and the GIL is held.
    let class = unsafe { Bound::from_borrowed_ptr(py, crate::greenlet::error_type().cast()) };
    let text =
        "Cannot switch to a different thread: the greenlet runs in another one; wait for an Event or an AsyncResult";
    PyErr::from_type(class.cast_into().expect("an exception's class"), text)
}

/// The loop was destroyed.
#[cold]
pub(crate) fn destroyed_loop() -> PyErr {
    PyValueError::new_err("operation on destroyed loop")
}

/// The hub's loop was taken away or replaced before there was one.
#[cold]
pub(crate) fn no_native_loop() -> PyErr {
    PyRuntimeError::new_err("this hub has no event loop (it was destroyed); get_hub() makes a new one")
}

/// The interpreter is going away.
#[cold]
pub(crate) fn no_thread_state() -> PyErr {
    PySystemError::new_err("this thread's state is gone: the interpreter is being finalized")
}

/// The running greenlet, for messages.
fn current_text(py: Python<'_>) -> String {
    crate::greenlet::current_bound(py).map_or_else(|_| "a greenlet".to_owned(), |current| text(&current))
}

/// `repr`, for messages: an object whose `repr` fails does not hide the error.
fn text(object: &Bound<'_, PyAny>) -> String {
    object
        .repr()
        .map_or_else(|_| "<an object whose repr fails>".to_owned(), |text| text.to_string())
}
