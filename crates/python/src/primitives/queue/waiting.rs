//! Waiting for an item or for room, and telling those who wait.

use std::cell::Cell;
use std::ptr::NonNull;
use std::time::Instant;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Queue, SimpleQueueObject, queue_error};
use crate::hub::{self, Limit, Link, Links, LoopObject, Outcome, Place, ThreadWait, Told};
use crate::primitives::linkable::in_hub;
use crate::primitives::notifier::{End, Ended};

/// Those who wait on one side, and how many sleeping threads have been woken and have not looked yet.
#[derive(Default)]
pub(super) struct Side {
    pub(super) links: Links,
    pub(super) summoned: Cell<usize>,
}

impl SimpleQueueObject {
    /// Waits on one side until `may` says yes. `error` is what it raises when that is not to be.
    pub(super) fn wait(
        slf: Queue<'_, '_>,
        side: &Side,
        may: impl Fn(Queue<'_, '_>) -> PyResult<bool>,
        (block, timeout): (bool, Option<&Bound<'_, PyAny>>),
        error: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if in_hub(py) {
            // The hub cannot wait, but it can let those go ahead who do.
            Self::serve_now(slf)?;
            return if may(slf)? { Ok(()) } else { Err(queue_error(py, error)) };
        }
        if !block {
            return Err(queue_error(py, error));
        }
        let limit = Limit::begin(py, timeout)?;
        let timeout_ns = limit.nanoseconds();
        let began = timeout_ns.map(|_| Instant::now());
        let native = ThreadWait::of_this_thread(py).is_some();
        let mut end = End::Back;
        let result = loop {
            let left = match (timeout_ns, began) {
                (Some(timeout_ns), Some(began)) if end == End::Front => {
                    let passed = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
                    Some(timeout_ns.saturating_sub(passed).max(0))
                }
                _ => timeout_ns,
            };
            // What can be done at once is told from a loop, whichever thread or greenlet is first.
            let tell = Self::tell_next(slf);
            let ended = tell.and_then(|()| this.notifier.park(py, &[&side.links], end, left));
            match ended {
                Err(error) => break Err(error),
                Ok(Ended::TimedOut) => break Err(queue_error(py, error)),
                Ok(Ended::Told) => {}
            }
            if native {
                side.summoned.set(side.summoned.get().saturating_sub(1));
            }
            match may(slf) {
                Ok(true) => break Ok(()),
                Ok(false) if this.shut_down.get() => break Err(queue_error(py, "ShutDown")),
                Ok(false) => end = End::Front,
                Err(error) => break Err(error),
            }
        };
        limit.end();
        if result.is_ok() && this.shut_down.get() && std::ptr::eq(side, &raw const this.putters) {
            return Err(queue_error(py, "ShutDown"));
        }
        result
    }

    /// Whether the first who waits on each side can go on: (putters, getters).
    pub(super) fn open(slf: Queue<'_, '_>) -> (bool, bool) {
        let this = slf.get();
        let shut_down = this.shut_down.get();
        let putters = !this.putters.links.is_empty()
            && (shut_down || Self::room(slf).is_ok_and(|room| room > this.putters.summoned.get()));
        let getters = !this.getters.links.is_empty()
            && (shut_down || Self::size(slf).is_ok_and(|size| size > this.getters.summoned.get()));
        (putters, getters)
    }

    /// Wakes the threads that sleep in front; gives the side whose first one a loop has to tell.
    pub(super) fn next_side<'a>(slf: &'a Bound<'_, Self>) -> Option<&'a Side> {
        let this = slf.get();
        loop {
            let (putters, getters) = Self::open(slf);
            let side = match (putters, getters) {
                (true, _) => &this.putters,
                (false, true) => &this.getters,
                (false, false) => return None,
            };
            if !side.wake_thread() {
                return Some(side);
            }
        }
    }

    /// Sees to it that the one who waits longest is told, if it can go on.
    pub(super) fn tell_next(slf: Queue<'_, '_>) -> PyResult<()> {
        let this = slf.get();
        if this.getters.links.is_empty() && this.putters.links.is_empty() || this.notifier.is_posted() {
            return Ok(());
        }
        while let Some(side) = Self::next_side(slf) {
            if let Some(home) = this.notifier.loop_of_front(slf.py(), &side.links)? {
                return this.notifier.post(slf.as_any(), &home);
            }
        }
        Ok(())
    }

    /// One step of the notifier's entry: tells the first that can go on and waits in the loop `home`.
    pub(super) fn step(slf: Queue<'_, '_>, home: &Py<LoopObject>, place: Place) -> Option<Told> {
        let this = slf.get();
        if place == Place::Passing && (this.hooks.any() || !this.store.is_inside()) {
            return Some(Told::NeedsHub);
        }
        loop {
            let (putters, getters) = Self::open(slf);
            let side = [(putters, &this.putters), (getters, &this.getters)]
                .into_iter()
                .find(|(open, side)| *open && side.is_told_in(home))?
                .1;
            if side.wake_thread() {
                continue;
            }
            let link = side.links.pop()?;
            match side.links.tell(home.get(), slf.as_any(), link, place) {
                Told::Done => {}
                told => return Some(told),
            }
        }
    }

    pub(super) fn notify(slf: Queue<'_, '_>, home: &Py<LoopObject>, place: Place) -> Outcome {
        match Self::step(slf, home, place) {
            Some(Told::Resume(greenlet)) => return Outcome::Wake { greenlet, again: true },
            Some(Told::NeedsHub) => return Outcome::NeedsHub,
            Some(Told::Done) | None => {}
        }
        slf.get().notifier.finished(slf.py());
        if let Err(error) = Self::tell_next(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
        Outcome::Done
    }

    /// In the hub: lets all go ahead that can, now.
    pub(super) fn serve_now(slf: Queue<'_, '_>) -> PyResult<()> {
        let py = slf.py();
        let home = hub::current(py)?.get().native_loop(py)?;
        while let Some(Told::Resume(greenlet)) = Self::step(slf, &home, Place::Hub) {
            // SAFETY: on the loop's own thread, with the GIL held; the reference is ours to give.
            unsafe { resume(py, home.get(), greenlet) };
        }
        Ok(())
    }
}

impl Side {
    /// Wakes the thread that sleeps in front, if it is one.
    fn wake_thread(&self) -> bool {
        if !matches!(self.links.front(), Some(Link::Thread(_))) {
            return false;
        }
        if let Some(Link::Thread(thread)) = self.links.pop() {
            self.summoned.set(self.summoned.get() + 1);
            thread.wake();
        }
        true
    }

    fn is_told_in(&self, home: &Py<LoopObject>) -> bool {
        match self.links.front() {
            Some(Link::Wake(ticket)) => ticket.home().is(home),
            Some(_) => true,
            None => false,
        }
    }
}

/// Switches from the hub to a greenlet that is due.
///
/// # Safety
/// In the hub, on the loop's own thread, with the GIL held; the reference is the callee's.
pub(in crate::primitives) unsafe fn resume(
    py: Python<'_>,
    home: &LoopObject,
    greenlet: NonNull<crate::greenlet::PyGreenlet>,
) {
    // SAFETY: the caller's promise.
    let result = unsafe { home.resume(greenlet) };
    if result.is_null() {
        home.handle_error(py, None, PyErr::fetch(py));
    } else {
        // SAFETY: an owned reference that nobody wants.
        unsafe { ffi::Py_DECREF(result) };
    }
}

/// The notifier's entry.
pub(super) unsafe fn run_notifier(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only queues are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<SimpleQueueObject>() };
    let Some(home) = slf.get().notifier.home(py) else {
        return Outcome::Done;
    };
    let outcome = SimpleQueueObject::notify(&slf, &home, place);
    if matches!(outcome, Outcome::NeedsHub | Outcome::Wake { again: true, .. }) {
        std::mem::forget(slf);
    }
    outcome
}
