//! The places of a pool: `maxsize + 1` tasks may be out at a time, so that there is always one that the next free worker finds.
//!
//! Who wants to put in more waits for a task to come back, in the order they came. Beside them wait those who want the
//! pool to have nothing to do, or its workers to end: they look again whenever a task or a worker has ended.

use pyo3::prelude::*;

use super::pool::PoolObject;
use crate::hub;

impl PoolObject {
    /// Takes a place for a task, waiting for it.
    pub(super) fn take_place(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner();
        if inner.held <= inner.maxsize && inner.waiting.is_empty() {
            inner.held += 1;
            return Ok(());
        }
        let ticket = hub::arm(py)?;
        self.inner().waiting.push_back(ticket.clone_ref(py));
        let woken = hub::park(py, &ticket, None);
        if let Err(error) = woken {
            let waiting = &mut self.inner().waiting;
            let place = waiting.iter().position(|other| other.same(&ticket));
            let removed = place.and_then(|place| waiting.remove(place));
            if removed.is_none() {
                // It was given one, and does not come for it.
                self.release_place(py);
            }
            return Err(error);
        }
        Ok(())
    }

    pub(super) fn release_place(&self, py: Python<'_>) {
        let inner = self.inner();
        inner.held = inner.held.saturating_sub(1);
        self.give_places(py);
    }

    /// Gives the free places to those who wait.
    pub(super) fn give_places(&self, py: Python<'_>) {
        loop {
            let inner = self.inner();
            if inner.held > inner.maxsize {
                return;
            }
            let Some(ticket) = inner.waiting.pop_front() else {
                return;
            };
            inner.held += 1;
            if let Err(error) = ticket.wake(py) {
                error.write_unraisable(py, None);
            }
        }
    }

    pub(super) fn tell_watching(&self, py: Python<'_>) {
        for ticket in std::mem::take(&mut self.inner().watching) {
            if let Err(error) = ticket.wake(py) {
                error.write_unraisable(py, None);
            }
        }
    }

    /// Waits until `over` is true; it is asked whenever a task or a worker ends.
    pub(super) fn wait_until(&self, py: Python<'_>, over: impl Fn(&Self) -> bool) -> PyResult<()> {
        while !over(self) {
            let ticket = hub::arm(py)?;
            let home = ticket.home().clone_ref(py);
            self.inner().watching.push(ticket.clone_ref(py));
            home.get().engine()?.ref_();
            let woken = hub::park(py, &ticket, None);
            if let Ok(engine) = home.get().engine() {
                engine.unref();
            }
            if let Err(error) = woken {
                self.inner().watching.retain(|other| !other.same(&ticket));
                return Err(error);
            }
        }
        Ok(())
    }
}
