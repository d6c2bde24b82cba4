//! Waiting for several things at once: `wait`, `iwait`, `joinall` and `killall` stand on this.
//!
//! A collector is linked to every object; each one that becomes ready is put into its list, and the
//! greenlet that waits is woken for the first. Objects of ours (greenlets, events, semaphores) take
//! the collector itself as a link; any other object with `rawlink` gets its bound `switch`.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::greenlet::GreenletObject;
use super::limit;
use super::links::Link;
use super::object;
use super::park::{self, Ticket};

/// Gathers the objects that have become ready.
#[pyclass(name = "Collector", module = "verdigris._core", frozen, weakref)]
pub(crate) struct Collector {
    ready: UnsafeCell<VecDeque<Py<PyAny>>>,
    ticket: UnsafeCell<Option<Ticket>>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Send for Collector {}
// SAFETY: as above.
unsafe impl Sync for Collector {}

impl Collector {
    /// Takes a ready object in. Gives the ticket of the greenlet that waits for it, if one does.
    pub(crate) fn collect(&self, source: &Bound<'_, PyAny>) -> Option<Ticket> {
        let source = source.clone().unbind();
        // SAFETY: single steps.
        unsafe {
            (*self.ready.get()).push_back(source);
            (*self.ticket.get()).take()
        }
    }

    fn pop(&self) -> Option<Py<PyAny>> {
        // SAFETY: one step.
        unsafe { (*self.ready.get()).pop_front() }
    }

    fn next_ready(slf: &Bound<'_, Self>, limit_ns: Option<i64>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if let Some(object) = this.pop() {
            return Ok(Some(object));
        }
        let ticket = park::arm(py)?;
        this.set_ticket(Some(ticket.clone_ref(py)));
        let woken = park::park(py, &ticket, limit_ns);
        this.set_ticket(None);
        woken?;
        Ok(this.pop())
    }

    fn set_ticket(&self, ticket: Option<Ticket>) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.ticket.get(), ticket) };
        drop(old);
    }
}

#[pymethods]
impl Collector {
    #[new]
    fn new() -> Self {
        Self {
            ready: UnsafeCell::new(VecDeque::new()),
            ticket: UnsafeCell::new(None),
        }
    }

    /// The link: called with an object that has become ready.
    fn __call__(&self, py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.collect(source) {
            Some(ticket) => ticket.wake(py),
            None => Ok(()),
        }
    }

    /// The next ready object; waits for one for at most `seconds` (None: for ever). None when that has passed.
    #[pyo3(signature = (seconds=None))]
    fn get(slf: &Bound<'_, Self>, seconds: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        Self::next_ready(slf, seconds.map(limit::nanoseconds))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            for object in &*self.ready.get() {
                visit.call(object)?;
            }
            match &*self.ticket.get() {
                Some(ticket) => ticket.traverse(&visit),
                None => Ok(()),
            }
        }
    }

    fn __clear__(&self) {
        self.set_ticket(None);
        while let Some(object) = self.pop() {
            drop(object);
        }
    }
}

/// Yields the objects as they become ready, at most `count` of them, for at most `timeout` seconds in all.
///
/// An object is anything with `rawlink` and `unlink`: a greenlet, an event, a semaphore, an AsyncResult. With
/// None for `objects` this yields what `hub.join(timeout)` returns.
///
/// As a context manager it lets go of the objects at the end of the block, otherwise when it has yielded the last.
#[pyclass(name = "iwait", module = "verdigris.hub", frozen)]
pub(super) struct WaitIterator {
    state: UnsafeCell<State>,
    collector: Py<Collector>,
}

enum State {
    /// Nothing is linked yet: what to wait for, for how many, and how long. Without objects: for the hub.
    New(Option<Vec<Py<PyAny>>>, usize, Option<Py<PyAny>>),
    Waiting {
        objects: Vec<Py<PyAny>>,
        remaining: usize,
        deadline: Option<Instant>,
    },
    Over,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Send for WaitIterator {}
// SAFETY: as above.
unsafe impl Sync for WaitIterator {}

impl Drop for WaitIterator {
    fn drop(&mut self) {
        if let State::Waiting { objects, .. } = std::mem::replace(self.state.get_mut(), State::Over) {
            Python::attach(|py| unlink_all(py, &objects, &self.collector));
        }
    }
}

impl WaitIterator {
    fn replace(&self, state: State) -> State {
        // SAFETY: one step.
        unsafe { std::mem::replace(&mut *self.state.get(), state) }
    }

    /// Links to all objects.
    fn begin(&self, py: Python<'_>, objects: Vec<Py<PyAny>>, count: usize, timeout: Option<Py<PyAny>>) -> PyResult<()> {
        let timeout = timeout.map(|timeout| timeout.extract::<f64>(py)).transpose()?;
        let deadline = timeout.and_then(|seconds| {
            Instant::now().checked_add(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
        });
        for object in &objects {
            if let Err(error) = link(object.bind(py), &self.collector) {
                unlink_all(py, &objects, &self.collector);
                return Err(error);
            }
        }
        let old = self.replace(State::Waiting {
            remaining: count.min(objects.len()),
            objects,
            deadline,
        });
        drop(old);
        Ok(())
    }

    /// Takes one off what is still to come; until when to wait for it, if there is a limit.
    fn take_one(&self) -> Option<Option<Instant>> {
        // SAFETY: one step.
        match unsafe { &mut *self.state.get() } {
            State::Waiting {
                remaining, deadline, ..
            } if *remaining > 0 => {
                *remaining -= 1;
                Some(*deadline)
            }
            _ => None,
        }
    }

    fn close(&self, py: Python<'_>) {
        if let State::Waiting { objects, .. } = self.replace(State::Over) {
            unlink_all(py, &objects, &self.collector);
        }
    }

    fn advance(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        // SAFETY: read in one step.
        if let State::New(..) = unsafe { &*self.state.get() } {
            match self.replace(State::Over) {
                State::New(Some(objects), count, timeout) => self.begin(py, objects, count, timeout)?,
                State::New(None, _, timeout) => return join_hub(py, timeout.as_ref()).map(Some),
                _ => {}
            }
        }
        let Some(deadline) = self.take_one() else {
            self.close(py);
            return Ok(None);
        };
        let limit_ns = deadline.map(|deadline| {
            i64::try_from(deadline.saturating_duration_since(Instant::now()).as_nanos()).unwrap_or(i64::MAX)
        });
        let ready = Collector::next_ready(self.collector.bind(py), limit_ns);
        if !matches!(ready, Ok(Some(_))) {
            self.close(py);
        }
        ready
    }
}

fn link(object: &Bound<'_, PyAny>, collector: &Py<Collector>) -> PyResult<()> {
    let py = object.py();
    match object.cast_exact::<GreenletObject>() {
        Ok(greenlet) => GreenletObject::link_to(greenlet, Link::Collect(collector.clone_ref(py))),
        Err(_) => {
            object.call_method1(intern!(py, "rawlink"), (collector,))?;
        }
    }
    Ok(())
}

fn unlink_all(py: Python<'_>, objects: &[Py<PyAny>], collector: &Py<Collector>) {
    for object in objects {
        let object = object.bind(py);
        if let Ok(greenlet) = object.cast_exact::<GreenletObject>() {
            GreenletObject::unlink_collector(greenlet, collector);
            continue;
        }
        let unlinked = object
            .getattr_opt(intern!(py, "unlink"))
            .and_then(|unlink| match unlink {
                Some(unlink) => unlink.call1((collector,)).map(drop),
                None => Ok(()),
            });
        if let Err(error) = unlinked {
            error.write_unraisable(py, Some(object));
        }
    }
}

/// `hub.join(timeout=timeout)`
fn join_hub(py: Python<'_>, timeout: Option<&Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let named = PyDict::new(py);
    named.set_item("timeout", timeout)?;
    object::current(py)?
        .call_method("join", (), Some(&named))
        .map(Bound::unbind)
}

#[pymethods]
impl WaitIterator {
    #[new]
    #[pyo3(signature = (objects, timeout=None, count=None))]
    fn new(
        py: Python<'_>,
        objects: Option<&Bound<'_, PyAny>>,
        timeout: Option<Py<PyAny>>,
        count: Option<i64>,
    ) -> PyResult<Self> {
        let objects = match objects {
            Some(objects) => Some(
                objects
                    .try_iter()?
                    .map(|object| object.map(Bound::unbind))
                    .collect::<PyResult<Vec<_>>>()?,
            ),
            None => None,
        };
        Ok(Self {
            state: UnsafeCell::new(State::New(
                objects,
                count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(0)),
                timeout,
            )),
            collector: Py::new(py, Collector::new())?,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.advance(py)
    }

    /// The next object that is ready; waits for it.
    fn next(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.advance(py)?
            .ok_or_else(|| pyo3::exceptions::PyStopIteration::new_err(()))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exc_info))]
    fn __exit__(&self, py: Python<'_>, _exc_info: &Bound<'_, pyo3::types::PyTuple>) {
        self.close(py);
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.collector)?;
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        match unsafe { &*self.state.get() } {
            State::New(Some(objects), ..) | State::Waiting { objects, .. } => {
                objects.iter().try_for_each(|object| visit.call(object))
            }
            _ => Ok(()),
        }
    }
}

/// Waits until the objects (or `count` of them) are ready; returns the list of those that are.
///
/// With None for `objects`: waits until nothing is left to do in this thread, and tells whether that was so
/// (False: `timeout` seconds have passed).
#[pyfunction]
#[pyo3(signature = (objects=None, timeout=None, count=None))]
pub(super) fn wait(
    py: Python<'_>,
    objects: Option<&Bound<'_, PyAny>>,
    timeout: Option<Py<PyAny>>,
    count: Option<i64>,
) -> PyResult<Py<PyAny>> {
    if objects.is_none() {
        return join_hub(py, timeout.as_ref());
    }
    let waiting = WaitIterator::new(py, objects, timeout, count)?;
    let ready = PyList::empty(py);
    while let Some(object) = waiting.advance(py)? {
        ready.append(object)?;
    }
    Ok(ready.into_any().unbind())
}

/// Waits until the greenlets (or `count` of them) are done, for at most `timeout` seconds.
///
/// Returns those that are done, in the order in which they finished. With `raise_error` the first exception of
/// one of them is raised instead.
#[pyfunction]
#[pyo3(signature = (greenlets, timeout=None, raise_error=false, count=None))]
pub(super) fn joinall(
    py: Python<'_>,
    greenlets: Option<&Bound<'_, PyAny>>,
    timeout: Option<Py<PyAny>>,
    raise_error: bool,
    count: Option<i64>,
) -> PyResult<Py<PyAny>> {
    if !raise_error {
        return wait(py, greenlets, timeout, count);
    }
    let waiting = WaitIterator::new(py, greenlets, timeout, count)?;
    let done = PyList::empty(py);
    while let Some(greenlet) = waiting.advance(py)? {
        let greenlet = greenlet.bind(py);
        let failure = greenlet.getattr_opt(intern!(py, "exception"))?;
        if let Some(failure) = failure.filter(|failure| !failure.is_none()) {
            let traceback = greenlet.getattr(intern!(py, "exc_info"))?.get_item(2)?;
            return Err(PyErr::from_value(
                failure.call_method1(intern!(py, "with_traceback"), (traceback,))?,
            ));
        }
        done.append(greenlet)?;
    }
    Ok(done.into_any().unbind())
}
