//! Channel: a queue without room, where a `put` and a `get` meet.
//!
//! ```text
//!   put waits as an offer ─┐
//!                          ├─ an entry in the getter's loop: the getter goes on with the item, then the putter
//!   get waits as a seeker ─┘
//! ```

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::linkable::in_hub;
use super::notifier::{Ended, Notifier};
use super::queue::{end_of_iteration, queue_error, resume};
use crate::hub::{self, HubObject, Limit, Link, Links, LoopObject, Outcome, Place, ThreadWait, Ticket, Told};

/// An item, and who waits for it to be taken; nobody, if it was put without waiting.
struct Offer {
    id: u64,
    putter: Option<Link>,
    item: Py<PyAny>,
}

/// Who waits for an item.
struct Seeker {
    id: u64,
    getter: Link,
}

#[derive(Default)]
struct Meeting {
    offers: VecDeque<Offer>,
    seekers: VecDeque<Seeker>,
    /// Items that are a seeker's already, until that one has run.
    delivered: Vec<(u64, Py<PyAny>)>,
    last_id: u64,
}

impl Meeting {
    fn take_delivered(&mut self, id: u64) -> Option<Py<PyAny>> {
        let place = self.delivered.iter().position(|(seeker, _)| *seeker == id)?;
        Some(self.delivered.swap_remove(place).1)
    }

    fn remove_offer(&mut self, id: u64) -> Option<Offer> {
        let place = self.offers.iter().position(|offer| offer.id == id)?;
        self.offers.remove(place)
    }

    fn remove_seeker(&mut self, id: u64) -> Option<Seeker> {
        let place = self.seekers.iter().position(|seeker| seeker.id == id)?;
        self.seekers.remove(place)
    }
}

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
    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    fn meeting(&self) -> &mut Meeting {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.meeting.get() }
    }

    fn next_id(&self) -> u64 {
        let meeting = self.meeting();
        meeting.last_id += 1;
        meeting.last_id
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
            let id = this.next_id();
            this.meeting().offers.push_back(Offer { id, putter: None, item });
            return if in_hub(py) {
                Self::serve_now(slf)
            } else {
                Self::tell_next(slf)
            };
        }
        let limit = Limit::begin(py, timeout)?;
        let id = this.next_id();
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
        let id = this.next_id();
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
                let id = this.next_id();
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

    fn text(slf: &Bound<'_, Self>, address: bool) -> PyResult<String> {
        let meeting = slf.get().meeting();
        let mut text = format!("<{}", slf.get_type().name()?);
        if address {
            text.push_str(&format!(" at {:#x}", slf.as_ptr().addr()));
        }
        text.push(' ');
        for (name, number) in [("getters", meeting.seekers.len()), ("putters", meeting.offers.len())] {
            if number > 0 {
                text.push_str(&format!(" {name}[{number}]"));
            }
        }
        text.push('>');
        Ok(text)
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

fn truth(value: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    value.map_or(Ok(true), Bound::is_truthy)
}

#[pymethods]
impl ChannelObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            meeting: UnsafeCell::new(Meeting::default()),
            relieved: Links::default(),
            notifier: Notifier::new(run_notifier),
        }
    }

    #[pyo3(signature = (maxsize=1))]
    fn __init__(&self, maxsize: i64) -> PyResult<()> {
        if maxsize == 1 {
            Ok(())
        } else {
            Err(PyValueError::new_err("Channels have a maxsize of 1"))
        }
    }

    /// The hub of the thread that was the first to wait, else of this one.
    #[getter]
    fn hub(&self, py: Python<'_>) -> PyResult<Py<HubObject>> {
        match self.notifier.hub(py) {
            Some(hub) => Ok(hub),
            None => hub::current(py).map(Bound::unbind),
        }
    }

    /// How many putters wait, less how many getters do.
    #[getter]
    fn balance(&self) -> isize {
        let meeting = self.meeting();
        meeting.offers.len().cast_signed() - meeting.seekers.len().cast_signed()
    }

    /// Those who wait for an item.
    #[getter]
    fn getters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let all: Vec<_> = self
            .meeting()
            .seekers
            .iter()
            .map(|seeker| waiting(py, Some(&seeker.getter)))
            .collect();
        py.import("collections")?.getattr("deque")?.call1((all,))
    }

    /// Those who wait for their item to be taken: (item, who).
    #[getter]
    fn putters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let offers = self.meeting().offers.iter();
        let all: Vec<_> = offers
            .map(|offer| (offer.item.clone_ref(py), waiting(py, offer.putter.as_ref())))
            .collect();
        py.import("collections")?.getattr("deque")?.call1((all,))
    }

    /// Always 0.
    fn qsize(&self) -> usize {
        0
    }

    /// Always True.
    fn empty(&self) -> bool {
        true
    }

    /// Always True.
    fn full(&self) -> bool {
        true
    }

    /// Hands an item over. Waits for a `get` unless `block` is false, for at most `timeout` seconds; else raises Full.
    #[pyo3(signature = (item, block=None, timeout=None))]
    fn put(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::put_item(slf, item, truth(block)?, timeout)
    }

    /// `put(item, block=False)`.
    fn put_nowait(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        Self::put_item(slf, item, false, None)
    }

    /// Takes an item over. Waits for a `put` unless `block` is false, for at most `timeout` seconds; else raises Empty.
    #[pyo3(signature = (block=None, timeout=None))]
    fn get(
        slf: &Bound<'_, Self>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, truth(block)?, timeout)
    }

    /// `get(block=False)`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, false, None)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The next item; the class StopIteration as an item ends the iteration.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let item = slf.call_method0("get")?.unbind();
        end_of_iteration(slf.py(), item)
    }

    /// The old name of `__next__`.
    fn next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::__next__(slf)
    }

    /// Tells those who wait: what a program sees scheduled that has put something in the place of `hub.loop`.
    fn _notify_links(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().notifier.forward(slf.as_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Self::text(slf, true)
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Self::text(slf, false)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let meeting = self.meeting();
        for offer in &meeting.offers {
            visit.call(&offer.item)?;
            if let Some(Link::Wake(ticket)) = &offer.putter {
                ticket.traverse(&visit)?;
            }
        }
        for seeker in &meeting.seekers {
            if let Link::Wake(ticket) = &seeker.getter {
                ticket.traverse(&visit)?;
            }
        }
        meeting.delivered.iter().try_for_each(|(_, item)| visit.call(item))?;
        self.relieved.traverse(&visit)?;
        self.notifier.traverse(&visit)
    }

    fn __clear__(&self) {
        let old = (std::mem::take(self.meeting()), self.relieved.take_all());
        self.notifier.set_hub(None);
        drop(old);
    }
}

/// Who waits, for a look from Python.
fn waiting(py: Python<'_>, link: Option<&Link>) -> Py<PyAny> {
    match link {
        Some(Link::Wake(ticket)) => ticket.greenlet(py).clone().unbind(),
        _ => py.None(),
    }
}
