//! What Python sees of a queue.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::{SimpleQueueObject, end_of_iteration};
use crate::hub::{self, HubObject};
use crate::primitives::store::Order;
use crate::primitives::waits;

#[pymethods]
impl SimpleQueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=None, items=None, _warn_depth=2)")]
    fn new(cls: &Bound<'_, PyType>, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Self::create(cls, Order::Oldest, false)
    }

    #[pyo3(signature = (maxsize=None, items=None, _warn_depth=2))]
    fn __init__(
        slf: &Bound<'_, Self>,
        maxsize: Option<&Bound<'_, PyAny>>,
        items: Option<&Bound<'_, PyAny>>,
        _warn_depth: i32,
    ) -> PyResult<()> {
        Self::initialise(slf, maxsize, items, None)
    }

    /// How many items it holds at most; None: any number.
    #[getter]
    fn maxsize(&self) -> Option<usize> {
        self.maxsize.get()
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, value: Option<usize>) -> PyResult<()> {
        slf.get().maxsize.set(value.filter(|value| *value > 0));
        Self::tell_next(slf)
    }

    /// The items: a deque, or a list.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.store.object(py)
    }

    #[setter]
    fn set_queue(&self, value: Py<PyAny>) {
        self.store.set_object(value);
    }

    /// The hub of the thread that was the first to wait, else of this one.
    #[getter]
    fn hub(&self, py: Python<'_>) -> PyResult<Py<HubObject>> {
        match self.notifier.hub(py) {
            Some(hub) => Ok(hub),
            None => hub::current(py).map(Bound::unbind),
        }
    }

    /// Whether `shutdown` was called.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.shut_down.get()
    }

    /// For subclasses: called with the maximal size, to prepare what `_put` and `_get` use.
    #[pyo3(signature = (maxsize=None))]
    fn _init(&self, maxsize: Option<&Bound<'_, PyAny>>) {
        let _ = maxsize;
    }

    /// For subclasses: what `queue` is to be, filled with `items`.
    #[pyo3(signature = (items=None))]
    fn _create_queue<'py>(&self, py: Python<'py>, items: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        match items {
            Some(items) => self.store.create(py, items),
            None => self.store.create(py, PyTuple::empty(py).as_any()),
        }
    }

    /// For subclasses: stores an item.
    fn _put(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        self.put_native(py, item)
    }

    /// For subclasses: takes an item out.
    fn _get(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.store.get(py)
    }

    /// For subclasses: the item that `_get` would take.
    fn _peek(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.store.peek(py)
    }

    /// For subclasses: how many items are stored.
    fn _qsize(&self, py: Python<'_>) -> PyResult<usize> {
        self.store.len(py)
    }

    /// A queue of the same class and size, with the same items.
    fn copy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let items = slf.getattr("queue")?;
        match this.unfinished.get() {
            Some(unfinished) => slf.get_type().call1((this.maxsize.get(), items, unfinished)),
            None => slf.get_type().call1((this.maxsize.get(), items)),
        }
    }

    /// How many items are in it.
    fn qsize(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Self::size(slf)
    }

    fn __len__(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Self::size(slf)
    }

    /// Always true: it is there, full or empty.
    fn __bool__(&self) -> bool {
        true
    }

    /// Whether no item is in it.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(Self::size(slf)? == 0)
    }

    /// Whether it holds as many items as it may.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(Self::room(slf)? == 0)
    }

    /// Puts an item in. Waits for room unless `block` is false, for at most `timeout` seconds; else raises Full.
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

    /// Takes an item out. Waits for one unless `block` is false, for at most `timeout` seconds; else raises Empty.
    #[pyo3(signature = (block=None, timeout=None))]
    fn get(
        slf: &Bound<'_, Self>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, false, waits(block)?, timeout)
    }

    /// `get(block=False)`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, false, false, None)
    }

    /// `get`, but the item stays in.
    #[pyo3(signature = (block=None, timeout=None))]
    fn peek(
        slf: &Bound<'_, Self>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, true, waits(block)?, timeout)
    }

    /// `peek(block=False)`.
    fn peek_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get_item(slf, true, false, None)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The next item; the class StopIteration as an item ends the iteration.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let item = slf.call_method0("get")?.unbind();
        end_of_iteration(slf.py(), item)
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
        self.store.traverse(&visit)?;
        self.getters.links.traverse(&visit)?;
        self.putters.links.traverse(&visit)?;
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe { visit.call(&*self.finished.get()) }?;
        self.notifier.traverse(&visit)
    }

    fn __clear__(&self) {
        let links = (self.getters.links.take_all(), self.putters.links.take_all());
        self.store.clear();
        self.notifier.set_hub(None);
        drop(links);
    }
}
