//! `AbstractLinkable`: the base of what has links, that is of events, results and semaphores.
//!
//! It keeps the links and the notifier; what differs from one class to the next is a table of functions
//! (`Kind`), so that the base can be asked and told without a detour through Python attributes.

use std::cell::Cell;
use std::ptr::NonNull;

use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::notifier::{End, Ended, Notifier};
use crate::hub::{self, Collector, HubObject, Link, Links, LoopObject, Outcome, Place, Ticket, Told};

/// What a class does its own way.
pub(super) struct Kind {
    /// Whether a wait would be over at once.
    ready: fn(&Bound<'_, Linkable>) -> bool,
    /// Tells the links, as far as it goes: the body of the notifier's entry.
    notify: fn(&Bound<'_, Linkable>, &Py<LoopObject>, Place) -> Outcome,
    /// Somebody has linked to it when it was ready.
    linked: fn(&Bound<'_, Linkable>) -> PyResult<()>,
}

impl Kind {
    pub(super) const fn new(
        ready: fn(&Bound<'_, Linkable>) -> bool,
        notify: fn(&Bound<'_, Linkable>, &Py<LoopObject>, Place) -> Outcome,
        linked: fn(&Bound<'_, Linkable>) -> PyResult<()>,
    ) -> Self {
        Self { ready, notify, linked }
    }
}

/// What others can be linked to, to be told when it is ready.
#[pyclass(name = "AbstractLinkable", module = "verdigris.event", subclass, frozen, weakref)]
pub(crate) struct Linkable {
    kind: &'static Kind,
    pub(super) links: Links,
    /// Those of the links that are to be told now, whatever becomes of the object meanwhile.
    pub(super) due: Links,
    /// Whether a notification has begun and is not over.
    telling: Cell<bool>,
    /// Whether those who are linked now are to be told by a notification that has not begun.
    told_anew: Cell<bool>,
    pub(super) notifier: Notifier,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Sync for Linkable {}

impl Linkable {
    #[inline]
    pub(super) fn of(kind: &'static Kind) -> Self {
        Self {
            kind,
            links: Links::default(),
            due: Links::default(),
            telling: Cell::new(false),
            told_anew: Cell::new(false),
            notifier: Notifier::new(run_notifier),
        }
    }

    fn count(&self) -> usize {
        self.links.len() + self.due.len()
    }

    /// What ends the text of every linkable.
    pub(super) fn tail(&self) -> String {
        format!("_links[{}]", self.count())
    }

    /// Posts the notification to the loop of the hub that waited or linked first.
    pub(super) fn post_to_captured(slf: &Bound<'_, Self>) -> PyResult<()> {
        let notifier = &slf.get().notifier;
        if notifier.is_posted() {
            return Ok(());
        }
        // One that was under way in a loop that has been destroyed begins anew.
        slf.get().telling.set(false);
        let home = notifier.capture(slf.py())?;
        notifier.post(slf.as_any(), &home)
    }

    /// Has everybody told who is linked: the way of events, which let all go at once.
    ///
    /// Who links before the notification begins is told, too, whatever has become of the object by then.
    pub(super) fn tell_everybody(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        if this.links.is_empty() {
            return Ok(());
        }
        let py = slf.py();
        let home = this.notifier.native_loop(py);
        let is_ours = |ticket: &Ticket| home.as_ref().is_some_and(|home| ticket.home().is(home));
        let waits = |link: &Link| match link {
            Link::Thread(_) => false,
            Link::Wake(ticket) => is_ours(ticket),
            _ => true,
        };
        if !this.links.all(waits) {
            for link in this.links.take_all() {
                match link {
                    Link::Thread(thread) => thread.wake(),
                    // Another thread's greenlet is its own loop's affair: it need not wait for ours.
                    Link::Wake(ticket) if !is_ours(&ticket) => ticket.wake(py)?,
                    _ => this.links.push(link),
                }
            }
        }
        if this.links.is_empty() {
            return Ok(());
        }
        this.told_anew.set(true);
        Self::post_to_captured(slf)
    }

    /// Tells those who were there when it began: the notification of events.
    pub(super) fn tell_due(slf: &Bound<'_, Self>, home: &Py<LoopObject>, place: Place) -> Outcome {
        let this = slf.get();
        if !this.telling.replace(true) {
            this.told_anew.set(false);
            // Who waited since it was set, although it was, comes after those who were linked.
            this.due.prepend(&this.links);
        }
        while let Some(link) = this.due.pop() {
            match this.due.tell(home.get(), slf.as_any(), link, place) {
                Told::Done => {}
                Told::NeedsHub => return Outcome::NeedsHub,
                // Once more, even if nobody is left: who asks meanwhile queues up behind.
                Told::Resume(greenlet) => return Outcome::Wake { greenlet, again: true },
            }
        }
        this.telling.set(false);
        this.notifier.finished(slf.py());
        // It was set again meanwhile, or somebody linked to it while it was set: their turn is the next.
        if this.told_anew.replace(false)
            && !this.links.is_empty()
            && let Err(error) = Self::post_to_captured(slf)
        {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
        Outcome::Done
    }

    /// Whether a wait that could be over at once has to queue up all the same, because others are being told
    /// and came before it. Only those can that run in the hub's own thread, and not in the hub.
    pub(super) fn must_queue(&self, py: Python<'_>) -> bool {
        self.notifier.is_posted() && self.is_home(py)
    }

    fn is_home(&self, py: Python<'_>) -> bool {
        let Some(home) = self.notifier.home(py) else {
            return false;
        };
        home.get().is_home() && !in_hub(py)
    }

    /// Waits to be told: the wait of events. One that is `ready` already waits behind those who are being told.
    pub(super) fn park(&self, py: Python<'_>, ready: bool, timeout_ns: Option<i64>) -> PyResult<Ended> {
        let places = if ready {
            [&self.due, &self.links]
        } else {
            [&self.links, &self.due]
        };
        self.notifier.park(py, &places, End::Back, timeout_ns)
    }
}

/// Whether the running greenlet is the thread's hub.
pub(super) fn in_hub(py: Python<'_>) -> bool {
    match (hub::current_if_exists(py), crate::greenlet::current_bound(py)) {
        (Some(hub), Ok(current)) => current.is(&hub),
        _ => false,
    }
}

/// The notifier's entry.
unsafe fn run_notifier(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only linkables are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<Linkable>() };
    let Some(home) = slf.get().notifier.home(py) else {
        return Outcome::Done;
    };
    let outcome = (slf.get().kind.notify)(&slf, &home, place);
    drop(home.into_bound(py));
    if matches!(outcome, Outcome::NeedsHub | Outcome::Wake { again: true, .. }) {
        std::mem::forget(slf);
    }
    outcome
}

fn is_ready(slf: &Bound<'_, Linkable>) -> bool {
    (slf.get().kind.ready)(slf)
}

static PLAIN: Kind = Kind::new(|_| false, Linkable::tell_due, |_| Ok(()));

#[pymethods]
impl Linkable {
    #[new]
    #[pyo3(signature = (hub=None))]
    fn new(hub: Option<Py<HubObject>>) -> Self {
        let this = Self::of(&PLAIN);
        this.notifier.set_hub(hub);
        this
    }

    /// The hub of the thread that was the first to wait for it or to link to it, or None.
    #[getter]
    fn hub(&self, py: Python<'_>) -> Option<Py<HubObject>> {
        self.notifier.hub(py)
    }

    /// How many are linked to it, greenlets that wait included.
    fn linkcount(&self) -> usize {
        self.count()
    }

    #[getter]
    fn _links(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let mut all = self.due.callables(py);
        all.extend(self.links.callables(py));
        all
    }

    /// Whether a wait for it would be over at once. A subclass says so.
    fn ready(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Calls `callback(self)` in the hub when it is ready, once; it must not block.
    fn rawlink(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let link = match callback.cast::<Collector>() {
            Ok(collector) => Link::Collect(collector.clone().unbind()),
            Err(_) if callback.is_callable() => Link::Call(callback.clone().unbind()),
            Err(_) => return Err(PyTypeError::new_err(format!("Expected callable: {}", callback.repr()?))),
        };
        let this = slf.get();
        this.notifier.touch();
        this.notifier.capture(slf.py())?;
        this.links.push(link);
        if is_ready(slf) { (this.kind.linked)(slf) } else { Ok(()) }
    }

    /// Takes a link back; nothing if there is none.
    fn unlink(&self, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(collector) = callback.cast::<Collector>() {
            let collector = collector.clone().unbind();
            self.links.remove_collector(&collector);
            self.due.remove_collector(&collector);
            return Ok(());
        }
        if !self.links.remove_callable(callback)? {
            self.due.remove_callable(callback)?;
        }
        Ok(())
    }

    /// Tells the links: what a program sees scheduled that has put something in the place of `hub.loop`.
    fn _notify_links(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().notifier.forward(slf.as_any())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.notifier.traverse(&visit)?;
        self.links.traverse(&visit)?;
        self.due.traverse(&visit)
    }

    fn __clear__(&self) {
        let links = (self.links.take_all(), self.due.take_all());
        self.notifier.set_hub(None);
        drop(links);
    }
}
