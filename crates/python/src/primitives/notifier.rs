//! What every primitive that can be waited for has in common: who waits is told from an entry of a loop,
//! and this says of which loop, and when.
//!
//! ```text
//!   set, release, put ──► post(): one native entry in the loop of ...
//!                              the one who waits longest (semaphores, queues: they hand over one by one,
//!                                  and the entry travels on when the next one waits in another thread)
//!                              the first hub that waited or linked (events: everybody is told)
//!   the loop comes to it ──► the primitive tells its links in order, resuming each greenlet directly
//! ```
//!
//! A thread without a hub is told at once, by whoever sets or releases: it sleeps in the operating system.
//!
//! Everything here is protected by the GIL, in single steps that run no Python code.

use std::cell::{Cell, UnsafeCell};

use pyo3::prelude::*;

use crate::forks;
use crate::hub::{self, HubObject, Link, Links, LoopObject, NativeEntry, ThreadMark, ThreadWait, Ticket, Woken};

/// How a wait ended, when nothing was thrown into it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody told it. Whether there still is what it waited for, it has to look.
    Told,
    TimedOut,
}

/// Where to queue up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Back,
    /// In front of all: one that was told, and found that somebody else had been faster.
    Front,
}

/// Where and when those who wait for one object are told.
pub(super) struct Notifier {
    run: NativeEntry,
    /// The hub that waited or linked first.
    hub: UnsafeCell<Option<Py<HubObject>>>,
    /// The loop that has our entry, if one has, and the process in which it was put there.
    posted: UnsafeCell<Option<(Py<LoopObject>, u32)>>,
    seen_by: Cell<Option<ThreadMark>>,
    /// Whether several threads use the object: then a wait for it may end though this thread's loop has
    /// nothing to do any more.
    shared: Cell<bool>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for Notifier {}
// SAFETY: as above.
unsafe impl Sync for Notifier {}

impl Notifier {
    /// `run` is the entry that tells: it gets the object that the notifier is part of.
    #[inline]
    pub(super) fn new(run: NativeEntry) -> Self {
        Self {
            run,
            hub: UnsafeCell::new(None),
            posted: UnsafeCell::new(None),
            seen_by: Cell::new(None),
            shared: Cell::new(false),
        }
    }

    /// Notes which thread uses the object.
    #[inline]
    pub(super) fn touch(&self) {
        let here = ThreadMark::here();
        if self.seen_by.get() != Some(here) {
            self.touch_first_time(here);
        }
    }

    #[cold]
    fn touch_first_time(&self, here: ThreadMark) {
        if self.seen_by.replace(Some(here)).is_some() {
            self.shared.set(true);
        }
    }

    /// The hub that waited or linked first, if any did.
    pub(super) fn hub(&self, py: Python<'_>) -> Option<Py<HubObject>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.hub.get()).as_ref().map(|hub| hub.clone_ref(py)) }
    }

    pub(super) fn set_hub(&self, hub: Option<Py<HubObject>>) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.hub.get(), hub) };
        drop(old);
    }

    /// The hub's loop, if there is a hub.
    pub(super) fn native_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopObject>> {
        // SAFETY: looked at and cloned in one step.
        let home = unsafe { (*self.hub.get()).as_ref()? }.get().native_loop_for_a_step()?;
        Some(home.bind(py).clone())
    }

    /// The hub's loop, unless it has been destroyed.
    fn hub_loop(&self, py: Python<'_>) -> Option<Py<LoopObject>> {
        let home = self.native_loop(py)?;
        (!home.get().is_destroyed()).then(|| home.unbind())
    }

    /// Takes this thread's hub for the object's, if it has none that lives; gives its loop.
    pub(super) fn capture(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
        if let Some(home) = self.hub_loop(py) {
            return Ok(home);
        }
        let hub = hub::current(py)?;
        let home = hub.get().native_loop(py)?;
        self.set_hub(Some(hub.unbind()));
        Ok(home)
    }

    /// The loop that the notification is due in: that of the entry which is running.
    pub(super) fn home(&self, py: Python<'_>) -> Option<Py<LoopObject>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.posted.get()).as_ref().map(|(home, _)| home.clone_ref(py)) }
    }

    /// Whether a notification is under way.
    pub(super) fn is_posted(&self) -> bool {
        // SAFETY: read in one step.
        let Some((home, process)) = (unsafe { &*self.posted.get() }) else {
            return false;
        };
        // An entry in a loop that is gone will never run: it was destroyed, or a fork has left its thread behind.
        let home = home.get();
        !home.is_destroyed() && (home.is_home() || *process == forks::generation())
    }

    /// Says that the entry has run for the last time.
    pub(super) fn finished(&self, py: Python<'_>) {
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*self.posted.get()).take() };
        drop(old.map(|(home, _)| home.into_bound(py)));
    }

    /// Puts the entry into a loop, from any thread. `object` is what the notifier is part of.
    pub(super) fn post(&self, object: &Bound<'_, PyAny>, home: &Py<LoopObject>) -> PyResult<()> {
        let py = object.py();
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { (*self.posted.get()).replace((home.clone_ref(py), forks::generation())) };
        drop(old);
        // A program that has put something in the place of `hub.loop` wants to see what is scheduled.
        // SAFETY: looked at and cloned in one step.
        let stand_in = unsafe {
            (*self.hub.get())
                .as_ref()
                .and_then(|hub| hub.get().loop_stand_in(py, home))
        };
        if let Some(stand_in) = stand_in {
            let schedule = if home.get().is_home() {
                "run_callback"
            } else {
                "run_callback_threadsafe"
            };
            return stand_in
                .call_method1(py, schedule, (object.getattr("_notify_links")?,))
                .map(drop);
        }
        let posted = home.get().call_native_soon(self.run, object);
        if posted.is_err() {
            self.finished(py);
        }
        posted.map(drop)
    }

    /// Puts the entry into the loop that a stand-in for it was called back from.
    pub(super) fn forward(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.home(object.py()) {
            Some(home) => home.get().call_native_soon(self.run, object).map(drop),
            None => Ok(()),
        }
    }

    /// Whether `link` is to be told in the loop `home`.
    pub(super) fn is_told_in(&self, py: Python<'_>, link: &Link, home: &Py<LoopObject>) -> bool {
        match link {
            Link::Thread(_) => true,
            Link::Wake(ticket) => ticket.home().is(home),
            Link::Call(_) | Link::Collect(_) | Link::Notice(_) => self.hub_loop(py).is_none_or(|own| own.is(home)),
        }
    }

    /// The loop in which the first of `links` that is not a sleeping thread is to be told. Waits that nobody
    /// can end any more, because their thread has ended, are dropped on the way.
    pub(super) fn loop_of_front(&self, py: Python<'_>, links: &Links) -> PyResult<Option<Py<LoopObject>>> {
        loop {
            match links.front() {
                None | Some(Link::Thread(_)) => return Ok(None),
                Some(Link::Wake(ticket)) if ticket.is_abandoned() => drop(links.pop()),
                Some(Link::Wake(ticket)) => return Ok(Some(ticket.home().clone_ref(py))),
                Some(Link::Call(_) | Link::Collect(_) | Link::Notice(_)) => return self.capture(py).map(Some),
            }
        }
    }

    /// Waits in the first of `places` until told, or `timeout_ns` has passed. Who waits there may meanwhile be
    /// moved to another of them.
    pub(super) fn park(&self, py: Python<'_>, places: &[&Links], end: End, timeout_ns: Option<i64>) -> PyResult<Ended> {
        if let Some(thread) = ThreadWait::of_this_thread(py) {
            enqueue(places[0], end, Link::Thread(thread.clone()));
            if thread.sleep(py, timeout_ns) {
                return Ok(Ended::Told);
            }
            let removed = places.iter().any(|links| links.remove_thread(&thread));
            return Ok(if removed { Ended::TimedOut } else { Ended::Told });
        }
        let ticket = hub::arm(py)?;
        drop(self.capture(py)?.into_bound(py));
        enqueue(places[0], end, Link::Wake(ticket.clone_ref(py)));
        let ended = self.park_armed(py, &ticket, timeout_ns);
        if let Ok(Ended::Told) = ended {
            return ended;
        }
        let removed = places.iter().any(|links| links.remove_ticket(&ticket));
        // Told and timed out at once: told.
        if removed { ended } else { ended.map(|_| Ended::Told) }
    }

    /// Waits for a ticket that is where somebody will use it.
    pub(super) fn park_armed(&self, py: Python<'_>, ticket: &Ticket, timeout_ns: Option<i64>) -> PyResult<Ended> {
        // In the main thread, a wait for what no other thread has ever used is one that nobody will end, when
        // nothing else is left to do; any other thread is there for somebody.
        let elsewhere = self.shared.get() || !hub::is_main_thread(py);
        let kept = elsewhere.then(|| KeptRunning::new(py, ticket)).transpose()?;
        let woken = hub::park(py, ticket, timeout_ns);
        drop(kept);
        Ok(if woken? == Woken::Ready {
            Ended::Told
        } else {
            Ended::TimedOut
        })
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe { visit.call(&*self.hub.get()) }
    }
}

fn enqueue(links: &Links, end: End, link: Link) {
    match end {
        End::Back => links.push(link),
        End::Front => links.push_front(link),
    }
}

/// Keeps a loop from ending for lack of watchers while another thread may still wake what waits in it.
struct KeptRunning(Py<LoopObject>);

impl KeptRunning {
    fn new(py: Python<'_>, ticket: &Ticket) -> PyResult<Self> {
        let home = ticket.home().clone_ref(py);
        home.get().engine()?.ref_();
        Ok(Self(home))
    }
}

impl Drop for KeptRunning {
    fn drop(&mut self) {
        if let Ok(engine) = self.0.get().engine() {
            engine.unref();
        }
    }
}
