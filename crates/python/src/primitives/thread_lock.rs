//! LockType: what `threading.Lock` is when threads are greenlets.
//!
//! A semaphore of one, with three differences that the standard library's locks make necessary:
//!
//! * `acquire(blocking=True, timeout=-1)` checks its arguments as they do.
//! * Taking it in vain without blocking lets others run: programs ask again and again until a lock is free, and with
//!   native threads somebody would free it meanwhile.
//! * While a fork is going on, nothing may switch: the handlers of `os.register_at_fork` take locks before it and give them
//!   back after it, and another greenlet that came to run in between could fork, too. Whoever holds the lock is
//!   suspended for as long, so the handler may go on as if it had got it.

use std::cell::{Cell, RefCell};

use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::semaphore::{BoundedSemaphoreObject, SemaphoreObject};
use super::waits;
use crate::{greenlet, hub};

/// `_thread.TIMEOUT_MAX`: what the system's clocks can wait for, in seconds.
const TIMEOUT_MAX: f64 = 9_223_372_036.0;

thread_local! {
    /// How many forks are going on in this thread (a handler may fork).
    static FORKS: Cell<usize> = const { Cell::new(0) };
    /// The locks that handlers of a fork believe to hold.
    static BELIEVED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A lock between greenlets, which any of them may release.
#[pyclass(name = "LockType", module = "verdigris.thread", extends = BoundedSemaphoreObject, frozen)]
pub(crate) struct LockObject;

/// Whether a fork is going on in this thread.
#[inline]
pub(super) fn forks() -> bool {
    FORKS.get() > 0
}

impl LockObject {
    fn semaphore<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, SemaphoreObject> {
        slf.as_super().as_super()
    }

    #[inline]
    fn take(slf: &Bound<'_, Self>, blocking: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let semaphore = Self::semaphore(slf);
        if SemaphoreObject::acquire_within(semaphore, false, None)? {
            return Ok(true);
        }
        Self::take_slowly(slf, blocking, timeout)
    }

    #[cold]
    fn take_slowly(slf: &Bound<'_, Self>, blocking: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        if FORKS.get() > 0 {
            if blocking {
                BELIEVED.with_borrow_mut(|locks| locks.push(slf.as_ptr().addr()));
            }
            return Ok(blocking);
        }
        if blocking {
            return SemaphoreObject::acquire_within(Self::semaphore(slf), true, timeout);
        }
        if let Some(hub) = hub::current_if_exists(py)
            && !greenlet::current_bound(py)?.is(&hub)
        {
            hub::sleep_for(py, 0.0, true)?;
        }
        Ok(false)
    }

    #[inline]
    fn give(slf: &Bound<'_, Self>) -> PyResult<()> {
        if FORKS.get() > 0 && Self::was_believed(slf) {
            return Ok(());
        }
        SemaphoreObject::release_native(Self::semaphore(slf)).map(drop)
    }

    #[cold]
    fn was_believed(slf: &Bound<'_, Self>) -> bool {
        let address = slf.as_ptr().addr();
        BELIEVED.with_borrow_mut(|locks| {
            let place = locks.iter().rposition(|lock| *lock == address);
            place.map(|place| locks.swap_remove(place)).is_some()
        })
    }
}

#[pymethods]
impl LockObject {
    #[new]
    fn new() -> PyClassInitializer<Self> {
        BoundedSemaphoreObject::initializer().add_subclass(LockObject)
    }

    /// Takes the lock; whether it did. It waits unless `blocking` is false, for at most `timeout` seconds (-1: any time).
    #[pyo3(signature = (blocking=None, timeout=None))]
    fn acquire(
        slf: &Bound<'_, Self>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let blocking = waits(blocking)?;
        let seconds = match timeout {
            Some(timeout) if !timeout.is_none() => timeout.extract::<f64>()?,
            _ => -1.0,
        };
        if seconds == -1.0 {
            return Self::take(slf, blocking, None);
        }
        if !blocking {
            return Err(PyValueError::new_err("can't specify a timeout for a non-blocking call"));
        }
        if seconds < 0.0 || seconds.is_nan() {
            return Err(PyValueError::new_err("timeout value must be a non-negative number"));
        }
        if seconds > TIMEOUT_MAX {
            return Err(PyOverflowError::new_err("timeout value is too large"));
        }
        Self::take(slf, true, timeout)
    }

    /// Gives the lock back; anybody may, not only who took it. RuntimeError if nobody has it.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::give(slf)
    }

    /// An old name of `acquire`.
    #[pyo3(signature = (blocking=None, timeout=None))]
    fn acquire_lock(
        slf: &Bound<'_, Self>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        Self::acquire(slf, blocking, timeout)
    }

    /// An old name of `release`.
    fn release_lock(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::give(slf)
    }

    /// An old name of `locked`.
    fn locked_lock(slf: &Bound<'_, Self>) -> bool {
        Self::semaphore(slf).get().is_locked()
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::take(slf, true, None)
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        t: &Bound<'_, PyAny>,
        v: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (t, v, tb);
        Self::give(slf)
    }

    /// In the child of a fork: nobody holds it, and nobody waits for it.
    fn _at_fork_reinit(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::was_believed(slf);
        Self::semaphore(slf).call_method0("__init__").map(drop)
    }

    /// What releasing it too often raises: as a lock of the standard library does, not as a semaphore.
    #[classattr]
    #[allow(non_snake_case)]
    fn _OVER_RELEASE_ERROR(py: Python<'_>) -> Py<PyType> {
        py.get_type::<PyRuntimeError>().unbind()
    }
}

/// A fork begins: until `fork_ended`, no lock of this thread waits.
#[pyfunction]
pub(super) fn fork_begins() {
    FORKS.set(FORKS.get() + 1);
}

/// It is over, in the parent or in the child.
#[pyfunction]
pub(super) fn fork_ended() {
    FORKS.set(FORKS.get().saturating_sub(1));
    if FORKS.get() == 0 {
        BELIEVED.with_borrow_mut(Vec::clear);
    }
}

/// Whether a fork is going on in this thread.
#[pyfunction]
pub(super) fn is_forking() -> bool {
    FORKS.get() > 0
}
