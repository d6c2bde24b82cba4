//! The channel as Python sees it: `verdigris.queue.Channel`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::ChannelObject;
use crate::hub::{self, HubObject, Link};
use crate::primitives::queue::end_of_iteration;
use crate::primitives::waits;

#[pymethods]
impl ChannelObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=1)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::create()
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
        Self::put_item(slf, item, waits(block)?, timeout)
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
        Self::get_item(slf, waits(block)?, timeout)
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

impl ChannelObject {
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

/// Who waits, for a look from Python.
fn waiting(py: Python<'_>, link: Option<&Link>) -> Py<PyAny> {
    match link {
        Some(Link::Wake(ticket)) => ticket.greenlet(py).clone().unbind(),
        _ => py.None(),
    }
}
