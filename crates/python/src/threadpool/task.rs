//! A task on its way to a worker, and what has become of it on the way back.

use std::cell::UnsafeCell;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::pool::PoolObject;
use crate::hub::Ticket;
use crate::primitives::ResultObject;

/// A call to be made in a worker thread.
pub(super) struct Task {
    /// Where its outcome goes; a worker that has no task does not keep the pool.
    pub(super) pool: Py<PoolObject>,
    pub(super) function: Py<PyAny>,
    pub(super) arguments: Py<PyTuple>,
    pub(super) keywords: Option<Py<PyDict>>,
    pub(super) receiver: Receiver,
}

/// Who gets what the call returns or raises.
pub(super) enum Receiver {
    /// What `spawn` has returned.
    Result(Py<ResultObject>),
    /// A greenlet in `apply`.
    Waiting(Arc<Waiting>),
}

/// A task that is done.
pub(super) struct Completion {
    pub(super) receiver: Receiver,
    pub(super) outcome: PyResult<Py<PyAny>>,
    /// The worker and the function, for the report of an error.
    pub(super) context: Option<(Py<PyAny>, Py<PyAny>)>,
}

/// Where a greenlet in `apply` gets its outcome.
#[derive(Default)]
pub(super) struct Waiting {
    outcome: UnsafeCell<Option<PyResult<Py<PyAny>>>>,
    ticket: UnsafeCell<Option<Ticket>>,
}

// SAFETY: workers only carry it; it is looked into by the thread that owns the pool, with the GIL held, in single steps.
unsafe impl Send for Waiting {}
// SAFETY: as above.
unsafe impl Sync for Waiting {}

impl Waiting {
    /// Stores the outcome; gives the ticket of the greenlet, if it waits.
    pub(super) fn deliver(&self, outcome: PyResult<Py<PyAny>>) -> Option<Ticket> {
        // SAFETY: single steps.
        unsafe {
            *self.outcome.get() = Some(outcome);
            (*self.ticket.get()).take()
        }
    }

    pub(super) fn take(&self) -> Option<PyResult<Py<PyAny>>> {
        // SAFETY: one step.
        unsafe { (*self.outcome.get()).take() }
    }

    /// Whether no greenlet waits (any more, or yet).
    pub(super) fn is_abandoned(&self) -> bool {
        // SAFETY: one step.
        unsafe { (*self.ticket.get()).is_none() }
    }

    pub(super) fn set_ticket(&self, ticket: Option<Ticket>) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.ticket.get(), ticket) };
        drop(old);
    }
}
