//! The queues that count what is done: Queue, LifoQueue, PriorityQueue.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::SimpleQueueObject;
use crate::primitives::event::EventObject;
use crate::primitives::store::Order;

/// A queue that counts: `task_done` says that an item is done, `join` waits until all are.
#[pyclass(name = "Queue", module = "verdigris.queue", extends = SimpleQueueObject, subclass, frozen)]
pub(crate) struct QueueObject;

#[pymethods]
impl QueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=None, items=None, unfinished_tasks=None)")]
    fn new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(SimpleQueueObject::create(cls, Order::Oldest, true)?).add_subclass(Self))
    }

    #[pyo3(signature = (maxsize=None, items=None, unfinished_tasks=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        maxsize: Option<&Bound<'_, PyAny>>,
        items: Option<&Bound<'_, PyAny>>,
        unfinished_tasks: Option<usize>,
    ) -> PyResult<()> {
        SimpleQueueObject::initialise(slf.as_super(), maxsize, items, unfinished_tasks)
    }

    /// How many items were put and not yet reported done.
    #[getter]
    fn unfinished_tasks(slf: &Bound<'_, Self>) -> usize {
        slf.as_super().get().unfinished.get().unwrap_or(0)
    }

    #[getter]
    fn _cond(slf: &Bound<'_, Self>) -> PyResult<Py<EventObject>> {
        slf.as_super().get().finished(slf.py())
    }

    /// Says that an item which `get` gave is done. Raises ValueError if that was said of all already.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().count_done(slf.py(), 1)
    }

    /// Waits until every item that was put is done, for at most `timeout` seconds. Whether all are.
    #[pyo3(signature = (timeout=None))]
    fn join(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.as_super().get();
        if this.unfinished.get().unwrap_or(0) == 0 {
            return Ok(true);
        }
        EventObject::wait(this.finished(py)?.bind(py), timeout)
    }

    /// Ends it: `put` raises ShutDown, `get` too once it is empty, and so does who waits. With `immediate` it is
    /// emptied, and the items count as done.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(slf: &Bound<'_, Self>, immediate: bool) -> PyResult<()> {
        let py = slf.py();
        let base = slf.as_super();
        let this = base.get();
        this.notifier.touch();
        this.shut_down.set(true);
        if immediate {
            let mut number = 0;
            while SimpleQueueObject::size(base)? > 0 {
                SimpleQueueObject::take_item(base, false)?;
                number += 1;
            }
            let unfinished = this.unfinished.get().unwrap_or(0);
            this.count_done(py, number.min(unfinished))?;
        }
        SimpleQueueObject::tell_next(base)
    }
}

/// A queue whose last item goes first.
#[pyclass(name = "LifoQueue", module = "verdigris.queue", extends = QueueObject, subclass, frozen)]
pub(crate) struct LifoQueueObject;

#[pymethods]
impl LifoQueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=None, items=None, unfinished_tasks=None)")]
    fn new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = SimpleQueueObject::create(cls, Order::Newest, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(QueueObject)
            .add_subclass(Self))
    }
}

/// A queue whose least item goes first.
#[pyclass(name = "PriorityQueue", module = "verdigris.queue", extends = QueueObject, subclass, frozen)]
pub(crate) struct PriorityQueueObject;

#[pymethods]
impl PriorityQueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=None, items=None, unfinished_tasks=None)")]
    fn new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = SimpleQueueObject::create(cls, Order::Least, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(QueueObject)
            .add_subclass(Self))
    }
}
