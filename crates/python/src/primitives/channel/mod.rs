//! Channel: a queue without room, where a `put` and a `get` meet.
//!
//! ```text
//!   put waits as an offer ─┐
//!                          ├─ an entry in the getter's loop: the getter goes on with the item, then the putter
//!   get waits as a seeker ─┘
//! ```

mod meeting;
mod python;

use std::cell::UnsafeCell;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use self::meeting::{Meeting, Offer, Seeker};
use super::linkable::in_hub;
use super::notifier::{Ended, Notifier};
use super::queue::{queue_error, resume};
use crate::hub::{self, Limit, Link, Links, LoopObject, Outcome, Place, ThreadWait, Ticket, Told};

/// A queue without room: `put` waits until a `get` takes the item.
#[pyclass(name = "Channel", module = "verdigris.queue", subclass, frozen, weakref, generic)]
pub(crate) struct ChannelObject {
    meeting: UnsafeCell<Meeting>,
    /// Putters whose item has been taken, to be resumed after the getter.
    relieved: Links,
    notifier: Notifier,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for ChannelObject {}
// SAFETY: as above.
unsafe impl Sync for ChannelObject {}

/// How a wait is to be registered, and what it is for.
type Register<'a> = &'a mut dyn FnMut(u64, Link);

impl ChannelObject {
    fn create() -> Self {
        Self {
            meeting: UnsafeCell::new(Meeting::default()),
            relieved: Links::default(),
            notifier: Notifier::new(run_notifier),
        }
    }

    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    fn meeting(&self) -> &mut Meeting {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.meeting.get() }
    }

    /// Registers a wait and sleeps. What is left registered afterwards is the caller's to remove.
    fn park(slf: &Bound<'_, Self>, id: u64, register: Register<'_>, timeout_ns: Option<i64>) -> PyResult<Ended> {
        let py = slf.py();
        let this = slf.get();
        if let Some(thread) = ThreadWait::of_this_thread(py) {
            register(id, Link::Thread(thread.clone()));
            Self::tell_next(slf)?;
            return Ok(if thread.sleep(py, timeout_ns) {
                Ended::Told
            } else {
                Ended::TimedOut
            });
        }
        let ticket: Ticket = hub::arm(py)?;
        this.notifier.capture(py)?;
        register(id, Link::Wake(ticket.clone_ref(py)));
        Self::tell_next(slf)?;
        this.notifier.park_armed(py, &ticket, timeout_ns)
    }

    fn put_item(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.notifier.touch();
        if !block || in_hub(py) {
            let orphans = this.meeting().offers.len();
            if this.meeting().seekers.len() <= orphans {
                return Err(queue_error(py, "Full"));
            }
            let id = this.meeting().next_id();
            this.meeting().offers.push_back(Offer { id, putter: None, item });
            return if in_hub(py) {
                Self::serve_now(slf)
            } else {
                Self::tell_next(slf)
            };
        }
        let limit = Limit::begin(py, timeout)?;
        let id = this.meeting().next_id();
        let mut item = Some(item);
        let mut register = |id, putter| {
            if let Some(item) = item.take() {
                this.meeting().offers.push_back(Offer {
                    id,
                    putter: Some(putter),
                    item,
                });
            }
        };
        let ended = Self::park(slf, id, &mut register, limit.nanoseconds());
        limit.end();
        // An offer that is not there any more was taken.
        let left = this.meeting().remove_offer(id);
        match (ended, left) {
            (Err(error), _) => Err(error),
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(_)) => Err(queue_error(py, "Full")),
        }
    }

    fn get_item(slf: &Bound<'_, Self>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.notifier.touch();
        if !block || in_hub(py) {
            let Some(offer) = this.meeting().offers.pop_front() else {
                return Err(queue_error(py, "Empty"));
            };
            this.relieve(py, offer.putter, None)?;
            Self::tell_next(slf)?;
            return Ok(offer.item);
        }
        let limit = Limit::begin(py, timeout)?;
        let id = this.meeting().next_id();
        let mut register = |id, getter| this.meeting().seekers.push_back(Seeker { id, getter });
        let ended = Self::park(slf, id, &mut register, limit.nanoseconds());
        limit.end();
        let left = this.meeting().remove_seeker(id);
        drop(left);
        let item = this.meeting().take_delivered(id);
        match (ended, item) {
            (Ok(_), Some(item)) => Ok(item),
            (Ok(_), None) => Err(queue_error(py, "Empty")),
            (Err(error), None) => Err(error),
            (Err(error), Some(item)) => {
                // It was on its way: the next one gets it.
                let id = this.meeting().next_id();
                this.meeting().offers.push_front(Offer { id, putter: None, item });
                Self::tell_next(slf)?;
                Err(error)
            }
        }
    }

    /// Lets a putter go on whose item has been taken: later, if it is one of the loop `home`'s greenlets.
    fn relieve(&self, py: Python<'_>, putter: Option<Link>, home: Option<&Py<LoopObject>>) -> PyResult<()> {
        match putter {
            None => Ok(()),
            Some(Link::Thread(thread)) => {
                thread.wake();
                Ok(())
            }
            Some(Link::Wake(ticket)) if !home.is_some_and(|home| ticket.home().is(home)) => ticket.wake(py),
            Some(link) => {
                self.relieved.push(link);
                Ok(())
            }
        }
    }

    /// Makes the first offer the first seeker's; gives that one. The putter goes on after it.
    fn match_first(&self, py: Python<'_>, home: Option<&Py<LoopObject>>) -> PyResult<Option<(u64, Link)>> {
        let meeting = self.meeting();
        if meeting.offers.is_empty() {
            return Ok(None);
        }
        let Some(seeker) = meeting.seekers.pop_front() else {
            return Ok(None);
        };
        if let Some(offer) = meeting.offers.pop_front() {
            meeting.delivered.push((seeker.id, offer.item));
            self.relieve(py, offer.putter, home)?;
        }
        Ok(Some((seeker.id, seeker.getter)))
    }

    /// Sees to it that the next pair meets, in the getter's loop.
    fn tell_next(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let meeting = this.meeting();
            if meeting.offers.is_empty() || this.notifier.is_posted() {
                return Ok(());
            }
            match meeting.seekers.front().map(|seeker| &seeker.getter) {
                None => return Ok(()),
                Some(Link::Wake(ticket)) if ticket.is_abandoned() => {
                    let gone = meeting.seekers.pop_front();
                    drop(gone);
                }
                Some(Link::Wake(ticket)) => {
                    let home = ticket.home().clone_ref(py);
                    return this.notifier.post(slf.as_any(), &home);
                }
                Some(_) => {
                    if let Some((_, Link::Thread(thread))) = this.match_first(py, None)? {
                        thread.wake();
                    }
                }
            }
        }
    }

    /// One step of the notifier's entry, in the loop `home`.
    fn step(slf: &Bound<'_, Self>, home: &Py<LoopObject>, place: Place) -> PyResult<Option<Told>> {
        let py = slf.py();
        let this = slf.get();
        loop {
            if let Some(link) = this.relieved.pop() {
                match this.relieved.tell(home.get(), slf.as_any(), link, place) {
                    Told::Done => continue,
                    told => return Ok(Some(told)),
                }
            }
            match this.meeting().seekers.front().map(|seeker| &seeker.getter) {
                Some(Link::Wake(ticket)) if !ticket.home().is(home) => return Ok(None),
                Some(_) => {}
                None => return Ok(None),
            }
            let Some((id, getter)) = this.match_first(py, Some(home))? else {
                return Ok(None);
            };
            let sleeps = matches!(getter, Link::Thread(_));
            match this.relieved.tell(home.get(), slf.as_any(), getter, place) {
                Told::Done if sleeps => {}
                Told::Done => {
                    // That greenlet is gone: the item is the next one's.
                    if let Some(item) = this.meeting().take_delivered(id) {
                        this.meeting().offers.push_front(Offer { id, putter: None, item });
                    }
                }
                told => return Ok(Some(told)),
            }
        }
    }

    /// In the hub: lets all go ahead that can, now.
    fn serve_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let home = hub::current(py)?.get().native_loop(py)?;
        while let Some(Told::Resume(greenlet)) = Self::step(slf, &home, Place::Hub)? {
            // SAFETY: on the loop's own thread, with the GIL held; the reference is ours to give.
            unsafe { resume(py, home.get(), greenlet) };
        }
        Self::tell_next(slf)
    }
}

/// The notifier's entry.
unsafe fn run_notifier(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only channels are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<ChannelObject>() };
    let this = slf.get();
    let Some(home) = this.notifier.home(py) else {
        return Outcome::Done;
    };
    let next = match ChannelObject::step(&slf, &home, place) {
        Ok(Some(Told::Resume(greenlet))) => {
            std::mem::forget(slf);
            return Outcome::Wake { greenlet, again: true };
        }
        Ok(Some(Told::NeedsHub)) => {
            std::mem::forget(slf);
            return Outcome::NeedsHub;
        }
        Ok(_) => {
            this.notifier.finished(slf.py());
            ChannelObject::tell_next(&slf)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = next {
        error.write_unraisable(py, Some(slf.as_any()));
    }
    Outcome::Done
}
