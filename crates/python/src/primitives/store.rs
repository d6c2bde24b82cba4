//! What a queue keeps its items in.
//!
//! As long as nobody looks inside, that is a ring in Rust. When a program asks for the attribute `queue`, or
//! puts something of its own there, the items move into a Python object for good: a deque, or a list for the
//! queues whose last or least item goes first.

use std::cell::UnsafeCell;
use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyList;

/// Which item goes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The one that has been there longest.
    Oldest,
    /// The one that came last.
    Newest,
    /// The least.
    Least,
}

/// The items of a queue.
pub(super) struct Store {
    order: Order,
    items: UnsafeCell<Items>,
}

enum Items {
    Inside(VecDeque<Py<PyAny>>),
    Object(Py<PyAny>),
}

// SAFETY: touched with the GIL held only; what calls Python works on a reference of its own.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            items: UnsafeCell::new(Items::Inside(VecDeque::new())),
        }
    }

    /// The ring, for one step that runs no Python code.
    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    #[inline]
    fn inside(&self) -> Option<&mut VecDeque<Py<PyAny>>> {
        // SAFETY: see the `Sync` above.
        match unsafe { &mut *self.items.get() } {
            Items::Inside(items) if self.order != Order::Least => Some(items),
            _ => None,
        }
    }

    /// Whether asking and changing it runs no Python code.
    pub(super) fn is_inside(&self) -> bool {
        self.inside().is_some()
    }

    /// How many there are, if asking runs no Python code.
    #[inline]
    pub(super) fn len_inside(&self) -> Option<usize> {
        self.inside().map(|items| items.len())
    }

    /// Takes one out, if there is one and that runs no Python code.
    #[inline]
    pub(super) fn take_inside(&self) -> Option<Py<PyAny>> {
        let items = self.inside()?;
        match self.order {
            Order::Newest => items.pop_back(),
            _ => items.pop_front(),
        }
    }

    /// What `queue` shows: the items as a Python object, which they live in from now on.
    pub(super) fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: cloned in one step.
        let present: Vec<Py<PyAny>> = match unsafe { &*self.items.get() } {
            Items::Object(object) => return Ok(object.bind(py).clone()),
            Items::Inside(items) => items.iter().map(|item| item.clone_ref(py)).collect(),
        };
        let object = self.create(py, PyList::new(py, present)?.as_any())?;
        self.set_object(object.clone().unbind());
        Ok(object)
    }

    /// Keeps the items in `object` from now on.
    pub(super) fn set_object(&self, object: Py<PyAny>) {
        // SAFETY: one step; the old items are dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.items.get(), Items::Object(object)) };
        drop(old);
    }

    /// A new object to keep `items` in.
    pub(super) fn create<'py>(&self, py: Python<'py>, items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.order {
            Order::Oldest => py.import("collections")?.getattr("deque")?.call1((items,)),
            Order::Newest => Ok(PyList::new(py, items.try_iter()?.collect::<PyResult<Vec<_>>>()?)?.into_any()),
            Order::Least => {
                let list = PyList::new(py, items.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
                py.import("_heapq")?.call_method1("heapify", (&list,))?;
                Ok(list.into_any())
            }
        }
    }

    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.inside() {
            Some(items) => Ok(items.len()),
            None => self.object(py)?.len(),
        }
    }

    #[inline]
    pub(super) fn put(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        if let Some(items) = self.inside() {
            items.push_back(item);
            return Ok(());
        }
        let object = self.object(py)?;
        match self.order {
            Order::Oldest | Order::Newest => object.call_method1("append", (item,)).map(drop),
            Order::Least => py.import("_heapq")?.call_method1("heappush", (object, item)).map(drop),
        }
    }

    #[inline]
    pub(super) fn get(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(items) = self.inside() {
            let item = if self.order == Order::Oldest {
                items.pop_front()
            } else {
                items.pop_back()
            };
            return item.ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("get from an empty queue"));
        }
        let object = self.object(py)?;
        match self.order {
            Order::Oldest => object.call_method0("popleft"),
            Order::Newest => object.call_method0("pop"),
            Order::Least => py.import("_heapq")?.call_method1("heappop", (object,)),
        }
        .map(Bound::unbind)
    }

    /// The item that `get` would take.
    pub(super) fn peek(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(items) = self.inside() {
            let item = if self.order == Order::Oldest {
                items.front()
            } else {
                items.back()
            };
            return item
                .map(|item| item.clone_ref(py))
                .ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("peek into an empty queue"));
        }
        let place = if self.order == Order::Newest { -1 } else { 0 };
        self.object(py)?.get_item(place).map(Bound::unbind)
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        match unsafe { &*self.items.get() } {
            Items::Inside(items) => items.iter().try_for_each(|item| visit.call(item)),
            Items::Object(object) => visit.call(object),
        }
    }

    /// Drops the items, for the collector.
    pub(super) fn clear(&self) {
        // SAFETY: one step; the old items are dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *self.items.get(), Items::Inside(VecDeque::new())) };
        drop(old);
    }
}
