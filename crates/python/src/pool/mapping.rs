//! What `imap` and `imap_unordered` return: iterators that are greenlets.
//!
//! ```text
//!   the greenlet:  takes items, spawns func(item) for each ──► link: result into the queue, the consumer is woken
//!   the consumer:  __next__ takes from the queue           (in order of the items: results that are early wait)
//! ```
//!
//! With `maxsize`, at most so many items are in the works or waiting to be fetched.

use std::cell::{Cell, UnsafeCell};
use std::collections::{HashMap, VecDeque};

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyCFunction, PyDict, PyTuple};

use super::group::GroupObject;
use crate::greenlet_base;
use crate::hub::{GreenletObject, Link, Notice};
use crate::primitives::SemaphoreObject;

/// The class `IMapUnordered`; in order of the items when a subclass says so (`_ordered`).
#[pyclass(name = "IMapUnordered", module = "gevent.pool", extends = GreenletObject, subclass, frozen)]
pub(crate) struct MappingObject {
    work: UnsafeCell<Option<Work>>,
    results: UnsafeCell<VecDeque<Item>>,
    /// Of an ordered one: results that came before their turn, and whose turn it is.
    early: UnsafeCell<HashMap<usize, Item>>,
    turn: Cell<usize>,
    /// How many items are in the works.
    working: Cell<usize>,
    /// Whether no item will come any more.
    exhausted: Cell<bool>,
    /// Whether everything has been fetched.
    finished: Cell<bool>,
}

struct Work {
    function: Py<PyAny>,
    iterable: Py<PyAny>,
    spawn: Py<PyAny>,
    /// `spawn` is this group's.
    group: Option<Py<GroupObject>>,
    /// The items are tuples of arguments.
    zipped: bool,
    ordered: bool,
    maxsize: Py<PyAny>,
    room: Option<Py<SemaphoreObject>>,
    /// Counts the results that can be fetched.
    available: Py<SemaphoreObject>,
}

enum Item {
    Value(Py<PyAny>),
    Failure(PyErr),
    /// Nothing more comes, because of an error if there is one.
    End(Option<PyErr>),
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for MappingObject {}
// SAFETY: as above.
unsafe impl Sync for MappingObject {}

impl Work {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            function: self.function.clone_ref(py),
            iterable: self.iterable.clone_ref(py),
            spawn: self.spawn.clone_ref(py),
            group: self.group.as_ref().map(|group| group.clone_ref(py)),
            maxsize: self.maxsize.clone_ref(py),
            room: self.room.as_ref().map(|room| room.clone_ref(py)),
            available: self.available.clone_ref(py),
            ..*self
        }
    }
}

impl MappingObject {
    fn work(&self, py: Python<'_>) -> PyResult<Work> {
        // SAFETY: cloned in one step.
        unsafe { (*self.work.get()).as_ref().map(|work| work.clone_ref(py)) }
            .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("IMapUnordered.__init__() was not called"))
    }

    fn available<'py>(&self, py: Python<'py>) -> Option<Bound<'py, SemaphoreObject>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.work.get()).as_ref().map(|work| work.available.bind(py).clone()) }
    }

    /// Takes the items, and has something done with each.
    fn take_items(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let work = slf.get().work(py)?;
        for (number, item) in work.iterable.bind(py).try_iter()?.enumerate() {
            let item = item?;
            if let Some(room) = &work.room {
                SemaphoreObject::acquire_native(room.bind(py))?;
            }
            let this = slf.get();
            this.working.set(this.working.get() + 1);
            let arguments = match work.zipped {
                false => PyTuple::new(py, [item])?,
                true => match item.cast_into_exact::<PyTuple>() {
                    Ok(tuple) => tuple,
                    Err(error) => {
                        let several = error.into_inner().try_iter()?.collect::<PyResult<Vec<_>>>()?;
                        PyTuple::new(py, several)?
                    }
                },
            };
            Self::spawn_one(slf, &work, number, arguments)?;
        }
        Ok(())
    }

    fn spawn_one<'py>(
        slf: &Bound<'py, Self>,
        work: &Work,
        number: usize,
        arguments: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        let function = work.function.bind(py);
        if let Some(group) = &work.group
            && let Some(greenlet) = GroupObject::spawn_plain(group.bind(py), function, arguments.clone(), None)?
        {
            GreenletObject::link_to(&greenlet, Link::Notice(Self::notice(slf, number)));
            return Ok(());
        }
        let mut all = vec![function.clone()];
        all.extend(arguments.iter());
        let spawned = work.spawn.bind(py).call1(PyTuple::new(py, all)?)?;
        let link = MappingLink {
            mapping: slf.clone().unbind(),
            number,
        };
        spawned.call_method1(intern!(py, "rawlink"), (link,)).map(drop)
    }

    /// The link by which a greenlet brings its result.
    fn notice(slf: &Bound<'_, Self>, number: usize) -> Notice {
        Notice {
            receiver: slf.clone().into_any().unbind(),
            number,
            tell: |receiver, number, source, _| {
                // SAFETY: only mappings make this link, and put it on Greenlets.
                let (slf, source) = unsafe {
                    (
                        receiver.cast_unchecked::<Self>(),
                        source.cast_unchecked::<GreenletObject>(),
                    )
                };
                let py = slf.py();
                let item = match (source.get().value(py), source.get().error(py)) {
                    (Some(value), _) => Item::Value(value),
                    (None, Some(error)) => Item::Failure(error),
                    (None, None) => Item::Value(py.None()),
                };
                Self::arrive(slf, number, item)?;
                Ok(true)
            },
        }
    }

    /// The result of an item is there.
    fn arrive(slf: &Bound<'_, Self>, number: usize, item: Item) -> PyResult<()> {
        let this = slf.get();
        this.working.set(this.working.get().saturating_sub(1));
        // SAFETY: read in one step.
        let ordered = unsafe { (*this.work.get()).as_ref().is_some_and(|work| work.ordered) };
        if ordered {
            // SAFETY: one step; a number comes once, so nothing is dropped.
            unsafe { (*this.early.get()).insert(number, item) };
            // SAFETY: one step each time.
            while let Some(next) = unsafe { (*this.early.get()).remove(&this.turn.get()) } {
                this.turn.set(this.turn.get() + 1);
                Self::deliver(slf, next)?;
            }
        } else {
            Self::deliver(slf, item)?;
        }
        Self::maybe_end(slf)
    }

    fn deliver(slf: &Bound<'_, Self>, item: Item) -> PyResult<()> {
        // SAFETY: one step.
        unsafe { (*slf.get().results.get()).push_back(item) };
        match slf.get().available(slf.py()) {
            Some(available) => SemaphoreObject::release_native(&available).map(drop),
            None => Ok(()),
        }
    }

    fn maybe_end(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().exhausted.get() && slf.get().working.get() == 0 {
            return Self::deliver(slf, Item::End(None));
        }
        Ok(())
    }

    /// The next result; waits for it.
    fn fetch(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if this.finished.get() {
            return Ok(None);
        }
        let Some(available) = this.available(py) else {
            return this.work(py).map(|_| None);
        };
        SemaphoreObject::acquire_native(&available)?;
        // SAFETY: one step.
        let item = unsafe { (*this.results.get()).pop_front() };
        if let Some(Item::Value(_) | Item::Failure(_)) = &item
            // SAFETY: cloned in one step.
            && let Some(room) = unsafe {
                (*this.work.get())
                    .as_ref()
                    .and_then(|work| work.room.as_ref().map(|room| room.bind(py).clone()))
            }
        {
            SemaphoreObject::release_native(&room)?;
        }
        match item {
            Some(Item::Value(value)) => Ok(Some(value)),
            Some(Item::Failure(error)) => Err(error),
            Some(Item::End(error)) => {
                this.finished.set(true);
                error.map_or(Ok(None), Err)
            }
            None => Ok(None),
        }
    }
}

#[pymethods]
impl MappingObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(func, iterable, spawn, maxsize=None, _zipped=False)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        greenlet_base::initializer(GreenletObject::empty()).add_subclass(Self {
            work: UnsafeCell::new(None),
            results: UnsafeCell::default(),
            early: UnsafeCell::default(),
            turn: Cell::new(0),
            working: Cell::new(0),
            exhausted: Cell::new(false),
            finished: Cell::new(false),
        })
    }

    #[pyo3(signature = (func, iterable, spawn, maxsize=None, _zipped=false))]
    fn __init__(
        slf: &Bound<'_, Self>,
        func: Py<PyAny>,
        iterable: Py<PyAny>,
        spawn: Py<PyAny>,
        maxsize: Option<&Bound<'_, PyAny>>,
        _zipped: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        GreenletObject::initialise(slf.as_super(), None, PyTuple::empty(py).unbind(), None)?;
        let room = match maxsize.filter(|maxsize| maxsize.is_truthy().unwrap_or(true)) {
            Some(maxsize) => Some(SemaphoreObject::make(py, maxsize.extract()?)?),
            None => None,
        };
        let work = Work {
            group: group_of(spawn.bind(py)),
            function: func,
            iterable,
            spawn,
            zipped: _zipped,
            ordered: slf.getattr(intern!(py, "_ordered"))?.is_truthy()?,
            maxsize: maxsize.map_or_else(|| py.None(), |maxsize| maxsize.clone().unbind()),
            room,
            available: SemaphoreObject::make(py, 0)?,
        };
        // SAFETY: one step; dropped afterwards.
        let old = unsafe { (*slf.get().work.get()).replace(work) };
        drop(old);
        Ok(())
    }

    /// Whether the results come in the order of the items.
    #[classattr]
    fn _ordered(py: Python<'_>) -> Py<PyAny> {
        PyBool::new(py, false).to_owned().into_any().unbind()
    }

    /// Whether everything has been fetched.
    #[getter]
    fn finished(&self) -> bool {
        self.finished.get()
    }

    /// What came and was not fetched yet: results, and exceptions in place of those that failed.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        // SAFETY: copied in one step; what runs Python code is done with the copy.
        // (A failure is an exception that a greenlet has kept, so it is an object already.)
        let waiting = unsafe { &*self.results.get() };
        let copied: Vec<Py<PyAny>> = waiting
            .iter()
            .filter_map(|item| match item {
                Item::Value(value) => Some(value.clone_ref(py)),
                Item::Failure(error) => Some(error.value(py).clone().into_any().unbind()),
                Item::End(_) => None,
            })
            .collect();
        PyTuple::new(py, copied)
    }

    /// How many items may be in the works or wait to be fetched; None: any number.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.work(py)?.maxsize)
    }

    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let taken = Self::take_items(slf);
        slf.get().exhausted.set(true);
        match taken {
            Ok(()) => Self::maybe_end(slf),
            Err(error) => {
                Self::deliver(slf, Item::End(Some(error.clone_ref(py))))?;
                Err(error)
            }
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Self::fetch(slf)
    }

    /// The next result; waits for it.
    fn next(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::fetch(slf)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            if let Some(work) = &*self.work.get() {
                visit.call(&work.function)?;
                visit.call(&work.iterable)?;
                visit.call(&work.spawn)?;
                visit.call(&work.group)?;
                visit.call(&work.room)?;
                visit.call(&work.available)?;
            }
            for item in (*self.results.get()).iter().chain((*self.early.get()).values()) {
                if let Item::Value(value) = item {
                    visit.call(value)?;
                }
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        // SAFETY: single steps; dropped afterwards.
        let old = unsafe {
            (
                (*self.work.get()).take(),
                std::mem::take(&mut *self.results.get()),
                std::mem::take(&mut *self.early.get()),
            )
        };
        drop(old);
    }
}

/// The group whose method `spawn` is.
fn group_of(spawn: &Bound<'_, PyAny>) -> Option<Py<GroupObject>> {
    let method = spawn.cast::<PyCFunction>().ok()?;
    let group = method.getattr("__self__").ok()?.cast_into::<GroupObject>().ok()?;
    let name = method.getattr("__name__").ok()?;
    (name.extract::<&str>().ok()? == "spawn").then(|| group.unbind())
}

/// The link of what is no Greenlet.
#[pyclass(module = "verdigris._core", frozen)]
struct MappingLink {
    mapping: Py<MappingObject>,
    number: usize,
}

#[pymethods]
impl MappingLink {
    fn __call__(&self, source: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = source.py();
        let item = if source.call_method0(intern!(py, "successful"))?.is_truthy()? {
            Item::Value(source.getattr(intern!(py, "value"))?.unbind())
        } else {
            Item::Failure(PyErr::from_value(source.getattr(intern!(py, "exception"))?))
        };
        MappingObject::arrive(self.mapping.bind(py), self.number, item)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.mapping)
    }
}
