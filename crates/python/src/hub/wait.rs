//! Waiting for several things at once: `wait`, `iwait`, `joinall` and `killall` stand on this.
//!
//! A collector is linked to every object; each one that becomes ready is put into its list, and the
//! greenlet that waits is woken for the first. Objects of ours (greenlets, events, semaphores) take
//! the collector itself as a link; any other object with `rawlink` gets its bound `switch`.

use std::cell::UnsafeCell;
use std::collections::VecDeque;

use pyo3::prelude::*;

use super::limit;
use super::park::{self, Ticket, Woken};

/// Gathers the objects that have become ready.
#[pyclass(name = "Collector", module = "verdigris._core", frozen, weakref)]
pub(crate) struct Collector {
    ready: UnsafeCell<VecDeque<Py<PyAny>>>,
    ticket: UnsafeCell<Option<Ticket>>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Send for Collector {}
// SAFETY: as above.
unsafe impl Sync for Collector {}

impl Collector {
    /// Takes a ready object in. Gives the ticket of the greenlet that waits for it, if one does.
    pub(crate) fn collect(&self, source: &Bound<'_, PyAny>) -> Option<Ticket> {
        let source = source.clone().unbind();
        // SAFETY: single steps.
        unsafe {
            (*self.ready.get()).push_back(source);
            (*self.ticket.get()).take()
        }
    }

    fn pop(&self) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        unsafe { (*self.ready.get()).pop_front() }
    }

    fn set_ticket(&self, ticket: Option<Ticket>) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.ticket.get(), ticket) };
        drop(old);
    }
}

#[pymethods]
impl Collector {
    #[new]
    fn new() -> Self {
        Self {
            ready: UnsafeCell::new(VecDeque::new()),
            ticket: UnsafeCell::new(None),
        }
    }

    /// The link: called with an object that has become ready.
    fn __call__(&self, py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.collect(source) {
            Some(ticket) => ticket.wake(py),
            None => Ok(()),
        }
    }

    /// The next ready object; waits for one for at most `seconds` (None: for ever). None when that has passed.
    #[pyo3(signature = (seconds=None))]
    fn get(slf: &Bound<'_, Self>, seconds: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(object) = this.pop() {
            return Ok(Some(object));
        }
        let ticket = park::arm(py)?;
        this.set_ticket(Some(ticket.clone_ref(py)));
        let woken = park::park(py, &ticket, seconds.map(limit::nanoseconds));
        this.set_ticket(None);
        match woken? {
            Woken::Ready | Woken::TimedOut => Ok(this.pop()),
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            for object in &*self.ready.get() {
                visit.call(object)?;
            }
            match &*self.ticket.get() {
                Some(ticket) => ticket.traverse(&visit),
                None => Ok(()),
            }
        }
    }

    fn __clear__(&self) {
        self.set_ticket(None);
        while let Some(object) = self.pop() {
            drop(object);
        }
    }
}
