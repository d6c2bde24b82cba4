//! RLock: a lock that the greenlet which holds it may take again.

use std::cell::{Cell, UnsafeCell};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::semaphore::SemaphoreObject;
use super::waits;
use crate::greenlet;
use crate::hub::HubObject;

/// A lock with an owner, and a count of how often that one has taken it.
#[pyclass(name = "RLock", module = "verdigris.lock", subclass, frozen, weakref)]
pub(crate) struct RLockObject {
    block: Py<SemaphoreObject>,
    owner: UnsafeCell<Option<Py<PyAny>>>,
    count: Cell<usize>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Sync for RLockObject {}

impl RLockObject {
    fn owner(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.owner.get()).as_ref().map(|owner| owner.clone_ref(py)) }
    }

    fn set_owner(&self, owner: Option<Py<PyAny>>) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.owner.get(), owner) };
        drop(old);
    }

    #[inline]
    fn is_mine(&self, current: &Bound<'_, PyAny>) -> bool {
        // SAFETY: read in one step.
        unsafe { (*self.owner.get()).as_ref().is_some_and(|owner| owner.is(current)) }
    }

    fn take(&self, py: Python<'_>, blocking: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let Ok(current) = greenlet::current_bound(py) else {
            // The interpreter is being finalized: nobody else will ever run.
            self.count.set(self.count.get() + 1);
            return Ok(true);
        };
        if self.is_mine(&current) {
            self.count.set(self.count.get() + 1);
            return Ok(true);
        }
        let taken = SemaphoreObject::acquire_within(self.block.bind(py), blocking, timeout)?;
        if taken {
            self.set_owner(Some(current.unbind()));
            self.count.set(1);
        }
        Ok(taken)
    }

    fn give(&self, py: Python<'_>) -> PyResult<()> {
        let Ok(current) = greenlet::current_bound(py) else {
            self.count.set(self.count.get().saturating_sub(1));
            return Ok(());
        };
        if !self.is_mine(&current) {
            let owner = match self.owner(py) {
                Some(owner) => owner.bind(py).repr()?.to_string(),
                None => "None".to_owned(),
            };
            return Err(PyRuntimeError::new_err(format!(
                "cannot release un-acquired lock. Owner: {owner} Current: {}",
                current.repr()?
            )));
        }
        let count = self.count.get() - 1;
        self.count.set(count);
        if count == 0 {
            self.set_owner(None);
            SemaphoreObject::release_native(self.block.bind(py))?;
        }
        Ok(())
    }
}

#[pymethods]
impl RLockObject {
    #[new]
    #[pyo3(signature = (hub=None))]
    fn new(py: Python<'_>, hub: Option<Py<HubObject>>) -> PyResult<Self> {
        let block = SemaphoreObject::make(py, 1)?;
        if hub.is_some() {
            block.bind(py).as_super().get().notifier.set_hub(hub);
        }
        Ok(Self {
            block,
            owner: UnsafeCell::new(None),
            count: Cell::new(0),
        })
    }

    /// Takes the lock, again if the current greenlet holds it. Waits for it unless `blocking` is false, for at
    /// most `timeout` seconds. Whether it did.
    #[pyo3(signature = (blocking=None, timeout=None))]
    fn acquire(
        &self,
        py: Python<'_>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let blocking = waits(blocking)?;
        // `threading` says -1 where it means no limit.
        let timeout = match timeout {
            Some(timeout) if !timeout.is_none() && timeout.extract::<f64>().is_ok_and(|seconds| seconds == -1.0) => {
                None
            }
            other => other,
        };
        self.take(py, blocking, timeout)
    }

    /// Gives it back; it is free when that was done as often as it was taken. Raises RuntimeError for a greenlet
    /// that does not hold it.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.give(py)
    }

    /// Whether somebody holds it.
    fn locked(&self) -> bool {
        self.block.get().is_locked()
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.take(py, true, None)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        typ: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (typ, value, tb);
        self.give(py)
    }

    /// The semaphore underneath.
    #[getter]
    fn _block(&self, py: Python<'_>) -> Py<SemaphoreObject> {
        self.block.clone_ref(py)
    }

    #[getter]
    fn _owner(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.owner(py)
    }

    #[getter]
    fn _count(&self) -> usize {
        self.count.get()
    }

    /// How often the current greenlet has taken it.
    fn _recursion_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(if self._is_owned(py)? { self.count.get() } else { 0 })
    }

    /// For `threading.Condition`: gives it back entirely, and says how to take it again.
    fn _release_save(&self, py: Python<'_>) -> PyResult<(usize, Option<Py<PyAny>>)> {
        let state = (self.count.replace(0), self.owner(py));
        self.set_owner(None);
        SemaphoreObject::release_native(self.block.bind(py))?;
        Ok(state)
    }

    /// For `threading.Condition`: takes it again as it was.
    fn _acquire_restore(&self, py: Python<'_>, count_owner: (usize, Option<Py<PyAny>>)) -> PyResult<()> {
        SemaphoreObject::acquire_native(self.block.bind(py))?;
        self.count.set(count_owner.0);
        self.set_owner(count_owner.1);
        Ok(())
    }

    /// For `threading.Condition`: whether the current greenlet holds it.
    fn _is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.is_mine(&greenlet::current_bound(py)?))
    }

    /// For `threading`, after a fork: nobody holds it.
    fn _at_fork_reinit(&self, py: Python<'_>) -> PyResult<()> {
        let block = self.block.bind(py);
        block.call_method0("_at_fork_reinit")?;
        block.setattr("counter", 1)?;
        self.count.set(0);
        self.set_owner(None);
        Ok(())
    }

    /// The copy shares the lock, and knows its owner as of now.
    fn __copy__(&self, py: Python<'_>) -> Self {
        Self {
            block: self.block.clone_ref(py),
            owner: UnsafeCell::new(self.owner(py)),
            count: Cell::new(self.count.get()),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let owner = match this.owner(py) {
            Some(owner) => owner.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        Ok(format!(
            "<{} at {:#x} _block={} _count={} _owner={owner})>",
            slf.get_type().name()?,
            slf.as_ptr().addr(),
            this.block.bind(py).str()?,
            this.count.get(),
        ))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.block)?;
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe { visit.call(&*self.owner.get()) }
    }

    fn __clear__(&self) {
        self.set_owner(None);
    }
}
