//! Waiting: the only file of the socket that knows how a greenlet waits for a descriptor.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::errors;
use super::object::Socket;

/// What a greenlet may wait for. At most one greenlet waits for each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The bit that the loop uses for it.
    pub(super) fn mask(self) -> u8 {
        match self {
            Direction::Read => 1,
            Direction::Write => 2,
        }
    }
}

/// How long one call may take in all. The clock is read at the first wait, not before.
pub(super) struct Patience {
    timeout: Option<f64>,
    deadline: Option<Instant>,
}

impl Patience {
    pub(super) fn new(timeout: Option<f64>) -> Self {
        Patience { timeout, deadline: None }
    }

    /// A timeout of zero: the caller wants to be told "not now" and never waits.
    pub(super) fn is_none(&self) -> bool {
        self.timeout == Some(0.0)
    }

    /// Seconds left, or None for ever; TimeoutError when there are none.
    pub(super) fn remaining(&mut self) -> PyResult<Option<f64>> {
        let Some(timeout) = self.timeout else { return Ok(None) };
        let now = Instant::now();
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => match Duration::try_from_secs_f64(timeout).ok().and_then(|length| now.checked_add(length)) {
                Some(deadline) => *self.deadline.insert(deadline),
                None => return Ok(None), // longer than the clock reaches
            },
        };
        match deadline.saturating_duration_since(now) {
            Duration::ZERO => Err(errors::timed_out()),
            left => Ok(Some(left.as_secs_f64())),
        }
    }
}

impl Socket {
    /// Whether a call in this direction may succeed, as far as is known without asking the kernel.
    pub(super) fn may_be_ready(&self, _direction: Direction) -> bool {
        true
    }

    /// The kernel just said "not now" in this direction.
    pub(super) fn mark_unready(&self, _direction: Direction) {}

    /// Parks the greenlet until the descriptor may be ready; TimeoutError when the patience is over,
    /// `cancel_wait_ex` when the socket is closed meanwhile.
    pub(super) fn wait(&self, py: Python<'_>, direction: Direction, patience: &mut Patience) -> PyResult<()> {
        let seconds = patience.remaining()?;
        let common = py.import("verdigris._socketcommon")?;
        let watcher = common.call_method1("_watcher_of", (self.descriptor(), direction.mask(), self.keeps_loop_alive()))?;
        let slot = self.waiter(direction);
        let previous = slot.take();
        let busy = previous.as_ref().map(|watcher| watcher.getattr(py, "callback"));
        slot.set(previous);
        if let Some(callback) = busy {
            let callback = callback?;
            return Err(common.call_method1("_already_used", (callback,)).map_or_else(|error| error, PyErr::from_value));
        }
        slot.set(Some(watcher.clone().unbind()));
        let result = common.call_method1("wait", (watcher, seconds));
        drop(slot.take());
        result.map(drop)
    }

    /// Wakes whoever waits, with an error that says the socket has gone.
    pub(super) fn cancel_waits(&self, py: Python<'_>, directions: &[Direction]) -> PyResult<()> {
        for direction in directions {
            let slot = self.waiter(*direction);
            let watcher = slot.take();
            let copy = watcher.as_ref().map(|watcher| watcher.clone_ref(py));
            slot.set(watcher);
            if let Some(watcher) = copy {
                py.import("verdigris._socketcommon")?.call_method1("cancel_wait", (watcher,))?;
            }
        }
        Ok(())
    }

    /// The descriptor is about to be closed or given away: the loop must forget it.
    pub(super) fn leave_loop(&self, py: Python<'_>) -> PyResult<()> {
        self.cancel_waits(py, &[Direction::Read, Direction::Write])
    }
}
