//! Links: who is told when a thing is done.
//!
//! A finished greenlet (a set event, a free semaphore ...) tells its links in the order they came,
//! from a native entry of the loop. A link that is a parked greenlet is resumed at once, without the
//! hub and before the next link is told, which is the order gevent's users see; a link that is a
//! Python callable is called in the hub.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::event_loop::LoopObject;
use super::line::Line;
use super::park::Ticket;
use super::thread_wait::ThreadWait;
use super::token::{Outcome, Place};
use super::wait::Collector;
use crate::greenlet::PyGreenlet;

/// One that wants to be told.
pub(crate) enum Link {
    /// A Python callable, called in the hub with the thing that is done.
    Call(Py<PyAny>),
    /// A greenlet parked on it.
    Wake(Ticket),
    /// A wait for several things (`wait`, `iwait`, `joinall`).
    Collect(Py<Collector>),
    /// A thread without a hub that sleeps on it.
    Thread(Arc<ThreadWait>),
    /// An object of ours that is told without a call into Python.
    Notice(Notice),
}

/// How an object of ours is told.
pub(crate) struct Notice {
    pub(crate) receiver: Py<PyAny>,
    /// Which of its links this is.
    pub(crate) number: usize,
    /// Tells the receiver, of the link of this number, what is done. False: that cannot be done at this place, come again in the hub.
    pub(crate) tell: fn(&Bound<'_, PyAny>, usize, &Bound<'_, PyAny>, Place) -> PyResult<bool>,
}

/// The links of one object, in the order they came.
#[derive(Default)]
pub(crate) struct Links {
    queue: UnsafeCell<Line<Link>>,
    /// Whether the entry that tells them is in the loop's queue.
    scheduled: Cell<bool>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for Links {}
// SAFETY: as above.
unsafe impl Sync for Links {}

/// What telling one link came to.
pub(crate) enum Told {
    /// It has been told.
    Done,
    /// This greenlet is to be resumed; the reference is the receiver's.
    Resume(NonNull<PyGreenlet>),
    /// It is a Python callable: come again in the hub. The link was put back.
    NeedsHub,
}

impl Links {
    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    fn queue(&self) -> &mut Line<Link> {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.queue.get() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue().len()
    }

    pub(crate) fn push(&self, link: Link) {
        self.queue().push_back(link);
    }

    pub(crate) fn push_front(&self, link: Link) {
        self.queue().push_front(link);
    }

    pub(crate) fn pop(&self) -> Option<Link> {
        self.queue().pop_front()
    }

    /// Puts those of `other` in front of all that are here.
    pub(crate) fn prepend(&self, other: &Links) {
        let (here, there) = (self.queue(), other.queue());
        if here.is_empty() {
            std::mem::swap(here, there);
        } else {
            here.prepend(there);
        }
    }

    /// Whether all links are so.
    pub(crate) fn all(&self, so: impl FnMut(&Link) -> bool) -> bool {
        self.queue().iter().all(so)
    }

    /// Takes every link out.
    pub(crate) fn take_all(&self) -> Line<Link> {
        std::mem::take(self.queue())
    }

    /// The link that is told next, for one look.
    pub(crate) fn front(&self) -> Option<&Link> {
        self.queue().front()
    }

    /// Takes back the link of a thread that sleeps. False if it was told already.
    pub(crate) fn remove_thread(&self, thread: &Arc<ThreadWait>) -> bool {
        self.queue()
            .remove(|link| matches!(link, Link::Thread(other) if Arc::ptr_eq(other, thread)))
            .is_some()
    }

    /// Takes back the link of a wait. False if it was told already.
    pub(crate) fn remove_ticket(&self, ticket: &Ticket) -> bool {
        // Dropped here, when the queue is whole again.
        self.queue()
            .remove(|link| matches!(link, Link::Wake(other) if other.same(ticket)))
            .is_some()
    }

    /// Takes back a collector's link.
    pub(crate) fn remove_collector(&self, collector: &Py<Collector>) {
        let link = self
            .queue()
            .remove(|link| matches!(link, Link::Collect(other) if other.is(collector)));
        drop(link);
    }

    /// Takes back the first link of ours that tells `receiver`. Whether there was one.
    pub(crate) fn remove_notice(&self, receiver: &Bound<'_, PyAny>) -> bool {
        self.queue()
            .remove(|link| matches!(link, Link::Notice(notice) if notice.receiver.is(receiver)))
            .is_some()
    }

    /// Takes back the first link that is equal to `callable` (by `==`). Tells whether there was one.
    pub(crate) fn remove_callable(&self, callable: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = callable.py();
        // `==` may run Python code that changes the queue: compare over a copy, then look for identity.
        let candidates: Vec<Py<PyAny>> = self
            .queue()
            .iter()
            .filter_map(|link| match link {
                Link::Call(candidate) => Some(candidate.clone_ref(py)),
                _ => None,
            })
            .collect();
        for candidate in candidates {
            if candidate.bind(py).eq(callable)? {
                let link = self
                    .queue()
                    .remove(|link| matches!(link, Link::Call(other) if other.is(&candidate)));
                if link.is_some() {
                    drop(link);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The Python callables among the links, for gevent's `_links`.
    pub(crate) fn callables(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.queue()
            .iter()
            .map(|link| match link {
                Link::Call(callable) => callable.clone_ref(py),
                Link::Wake(ticket) => ticket.greenlet(py).clone().unbind(),
                Link::Collect(collector) => collector.clone_ref(py).into_any(),
                Link::Thread(_) => py.None(),
                Link::Notice(notice) => notice.receiver.clone_ref(py),
            })
            .collect()
    }

    /// Remembers that the telling entry is queued; false if it already was.
    pub(crate) fn schedule(&self) -> bool {
        !self.scheduled.replace(true)
    }

    pub(crate) fn unschedule(&self) {
        self.scheduled.set(false);
    }

    /// Tells one link that `source` is done.
    pub(crate) fn tell(&self, home: &LoopObject, source: &Bound<'_, PyAny>, link: Link, place: Place) -> Told {
        let py = source.py();
        match link {
            Link::Wake(ticket) => {
                if ticket.is_home() {
                    return ticket.claim(py).map_or(Told::Done, Told::Resume);
                }
                if let Err(error) = ticket.wake(py) {
                    error.write_unraisable(py, Some(source));
                }
                Told::Done
            }
            Link::Collect(collector) => match collector.get().collect(source) {
                Some(ticket) => self.tell(home, source, Link::Wake(ticket), place),
                None => Told::Done,
            },
            Link::Thread(thread) => {
                thread.wake();
                Told::Done
            }
            Link::Notice(notice) => {
                match (notice.tell)(notice.receiver.bind(py), notice.number, source, place) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.push_front(Link::Notice(notice));
                        return Told::NeedsHub;
                    }
                    Err(error) => home.handle_error(py, Some(notice.receiver.bind(py)), error),
                }
                Told::Done
            }
            Link::Call(_) if place == Place::Passing => {
                self.push_front(link);
                Told::NeedsHub
            }
            Link::Call(callable) => {
                let called = PyTuple::new(py, [source]).and_then(|arguments| callable.bind(py).call1(&arguments));
                if let Err(error) = called {
                    match (callable.bind(py), source).into_pyobject(py) {
                        Ok(context) => home.handle_error(py, Some(context.as_any()), error),
                        Err(second) => second.write_unraisable(py, Some(source)),
                    }
                }
                Told::Done
            }
        }
    }

    /// Tells every link, as far as it goes at `place`: the body of a native entry whose object is
    /// `source`. Leaves `source`'s reference as `Outcome` says.
    pub(crate) fn tell_all(&self, home: &LoopObject, source: &Bound<'_, PyAny>, place: Place) -> Outcome {
        while let Some(link) = self.pop() {
            match self.tell(home, source, link, place) {
                Told::Done => {}
                Told::NeedsHub => return Outcome::NeedsHub,
                // Come again even if this was the last one: a link that is added while it runs is told next.
                Told::Resume(greenlet) => return Outcome::Wake { greenlet, again: true },
            }
        }
        self.unschedule();
        Outcome::Done
    }

    pub(crate) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        for link in self.queue().iter() {
            match link {
                Link::Call(callable) => visit.call(callable)?,
                Link::Wake(ticket) => ticket.traverse(visit)?,
                Link::Collect(collector) => visit.call(collector)?,
                Link::Thread(_) => {}
                Link::Notice(notice) => visit.call(&notice.receiver)?,
            }
        }
        Ok(())
    }
}
