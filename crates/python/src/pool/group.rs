//! The groups' own part: members come and go.
//!
//! ```text
//!   spawn ──► start ──► add: a place of the pool, a link, into the set ──► greenlet.start()
//!   the greenlet ends ──► the link: out of the set, the place is free, the last one sets the event
//! ```
//!
//! `start`, `add` and `_discard` may be overridden, and are then called; whether they are is found out once per class.

use std::cell::{Cell, UnsafeCell};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyTuple};

use crate::hub::{self, GreenletObject, Link, Notice, Place};
use crate::names;
use crate::primitives::{EventObject, SemaphoreObject};

/// The base class of `verdigris.pool.Group`.
#[pyclass(name = "GroupBase", module = "verdigris._core", subclass, frozen)]
pub(crate) struct GroupObject {
    /// The members.
    greenlets: UnsafeCell<Py<PySet>>,
    /// Those that have been killed and have not ended.
    dying: UnsafeCell<Py<PySet>>,
    /// Set while there are no members.
    empty: UnsafeCell<Py<EventObject>>,
    /// A pool's places.
    places: UnsafeCell<Option<Py<PyAny>>>,
    /// Whether all members were Greenlets of no subclass: comparing those runs no Python code.
    plain_members: Cell<bool>,
    /// For which class, of which version, nothing is overridden.
    plain_class: Cell<(*mut ffi::PyTypeObject, u32)>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for GroupObject {}
// SAFETY: as above.
unsafe impl Sync for GroupObject {}

/// What has no Python code of its own when it is hashed and compared.
#[inline]
fn is_plain_greenlet(object: &Bound<'_, PyAny>) -> bool {
    std::ptr::eq(object.get_type_ptr(), hub::greenlet_type_pointer(object.py()))
}

impl GroupObject {
    fn cloned<'py, T>(py: Python<'py>, cell: &UnsafeCell<Py<T>>) -> Bound<'py, T> {
        // SAFETY: cloned in one step.
        unsafe { (*cell.get()).bind(py).clone() }
    }

    fn replace<T>(cell: &UnsafeCell<T>, value: T) {
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { std::mem::replace(&mut *cell.get(), value) };
        drop(old);
    }

    fn places<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: cloned in one step.
        unsafe { (*self.places.get()).as_ref().map(|places| places.bind(py).clone()) }
    }

    /// Whether `start`, `add` and `_discard` are those of this file.
    #[inline]
    pub(super) fn is_plain(slf: &Bound<'_, Self>) -> bool {
        let class = slf.get_type_ptr();
        // SAFETY: the type of a live object.
        let version = unsafe { (*class).tp_version_tag };
        (version != 0 && slf.get().plain_class.get() == (class, version)) || Self::look_whether_plain(slf)
    }

    #[cold]
    fn look_whether_plain(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let look = || -> PyResult<bool> {
            let class = slf.get_type();
            let own = if slf.is_instance_of::<PoolObject>() {
                py.get_type::<PoolObject>()
            } else {
                py.get_type::<GroupObject>()
            };
            for name in [intern!(py, "start"), intern!(py, "add"), intern!(py, "_discard")] {
                if !class.getattr(name)?.is(&own.getattr(name)?) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let plain = look().unwrap_or(false);
        let class = slf.get_type_ptr();
        // SAFETY: as in `is_plain`. A version is given when an attribute has been looked up, and set to 0 when one is changed. (There is
        // a flag besides, that it is valid; CPython 3.13 and later do not set it any more.)
        let version = unsafe { (*class).tp_version_tag };
        slf.get().plain_class.set(if plain {
            (class, version)
        } else {
            (std::ptr::null_mut(), 0)
        });
        plain
    }

    /// A new Greenlet for `function`, if that is what the group makes, and nobody wants to be asked.
    #[inline]
    pub(super) fn spawn_plain<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        arguments: Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, GreenletObject>>> {
        let py = slf.py();
        let class = slf.getattr(intern!(py, "greenlet_class"))?;
        if !Self::is_plain(slf) || !std::ptr::eq(class.as_ptr().cast(), hub::greenlet_type_pointer(py)) {
            return Ok(None);
        }
        let keywords = keywords
            .filter(|keywords| !keywords.is_empty())
            .map(|keywords| keywords.clone().unbind());
        let greenlet = GreenletObject::make(py, function.clone().unbind(), arguments.unbind(), keywords)?;
        Self::take_place(slf, None, None)?;
        Self::take_in(slf, greenlet.as_any())?;
        GreenletObject::start(&greenlet)?;
        Ok(Some(greenlet))
    }

    /// Takes a place of the pool.
    fn take_place(
        slf: &Bound<'_, Self>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(places) = slf.get().places(py) else {
            return Ok(());
        };
        let taken = match exact_semaphore(&places) {
            Some(semaphore) => {
                let blocking = blocking.map_or(Ok(true), |blocking| blocking.is_truthy())?;
                SemaphoreObject::acquire_within(semaphore, blocking, timeout)?
            }
            None => {
                let named = PyDict::new(py);
                if let Some(blocking) = blocking {
                    named.set_item("blocking", blocking)?;
                }
                named.set_item("timeout", timeout)?;
                places.call_method("acquire", (), Some(&named))?.is_truthy()?
            }
        };
        if taken {
            Ok(())
        } else {
            Err(names::pool_full(slf.as_any()))
        }
    }

    fn give_place_back(&self, py: Python<'_>) -> PyResult<()> {
        let Some(places) = self.places(py) else {
            return Ok(());
        };
        match exact_semaphore(&places) {
            Some(semaphore) => SemaphoreObject::release_native(semaphore).map(drop),
            None => places.call_method0("release").map(drop),
        }
    }

    /// Makes a member of a greenlet for which a place has been taken; gives that back if this fails.
    fn take_in(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let taken = || -> PyResult<()> {
            if is_plain_greenlet(greenlet) && Self::is_plain(slf) {
                // SAFETY: its class has just been looked at.
                let greenlet = unsafe { greenlet.cast_unchecked::<GreenletObject>() };
                GreenletObject::link_to(greenlet, Link::Notice(Self::notice(slf)));
            } else {
                this.plain_members.set(false);
                if let Some(rawlink) = greenlet.getattr_opt(intern!(py, "rawlink"))? {
                    rawlink.call1((slf.getattr(intern!(py, "_discard"))?,))?;
                }
            }
            Self::cloned(py, &this.greenlets).add(greenlet)?;
            EventObject::clear(&Self::cloned(py, &this.empty));
            Ok(())
        };
        taken().or_else(|error| {
            this.give_place_back(py)?;
            Err(error)
        })
    }

    /// The link by which a member leaves.
    fn notice(slf: &Bound<'_, Self>) -> Notice {
        Notice {
            receiver: slf.clone().into_any().unbind(),
            number: 0,
            tell: |receiver, _, source, place| {
                // SAFETY: only groups make this link.
                let slf = unsafe { receiver.cast_unchecked::<Self>() };
                if place == Place::Passing && !slf.get().leaves_silently(slf.py()) {
                    return Ok(false);
                }
                slf.get().let_go(source)?;
                Ok(true)
            },
        }
    }

    /// Whether a member can leave without any Python code.
    fn leaves_silently(&self, py: Python<'_>) -> bool {
        self.plain_members.get() && self.places(py).is_none_or(|places| exact_semaphore(&places).is_some())
    }

    /// A member leaves, and its place is free.
    fn let_go(&self, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = greenlet.py();
        let members = Self::cloned(py, &self.greenlets);
        members.discard(greenlet)?;
        Self::cloned(py, &self.dying).discard(greenlet)?;
        if members.is_empty() {
            EventObject::set(&Self::cloned(py, &self.empty))?;
        }
        self.give_place_back(py)
    }
}

fn exact_semaphore<'a, 'py>(places: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, SemaphoreObject>> {
    places.cast_exact::<SemaphoreObject>().ok()
}

#[pymethods]
impl GroupObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(Self {
            greenlets: UnsafeCell::new(PySet::empty(py)?.unbind()),
            dying: UnsafeCell::new(PySet::empty(py)?.unbind()),
            empty: UnsafeCell::new(EventObject::make(py, true)?),
            places: UnsafeCell::new(None),
            plain_members: Cell::new(true),
            plain_class: Cell::new((std::ptr::null_mut(), 0)),
        }))
    }

    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) {}

    /// The members.
    #[getter]
    fn greenlets<'py>(&self, py: Python<'py>) -> Bound<'py, PySet> {
        Self::cloned(py, &self.greenlets)
    }

    #[setter]
    fn set_greenlets(&self, value: Py<PySet>) {
        self.plain_members.set(false);
        Self::replace(&self.greenlets, value);
    }

    /// Those of the members that have been killed.
    #[getter]
    fn dying<'py>(&self, py: Python<'py>) -> Bound<'py, PySet> {
        Self::cloned(py, &self.dying)
    }

    #[setter]
    fn set_dying(&self, value: Py<PySet>) {
        self.plain_members.set(false);
        Self::replace(&self.dying, value);
    }

    /// Set while there are no members.
    #[getter]
    fn _empty_event<'py>(&self, py: Python<'py>) -> Bound<'py, EventObject> {
        Self::cloned(py, &self.empty)
    }

    #[setter(_empty_event)]
    fn set_empty_event(&self, value: Py<EventObject>) {
        Self::replace(&self.empty, value);
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        Self::cloned(py, &self.greenlets).len()
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::cloned(item.py(), &self.greenlets).contains(item)
    }

    /// Starts `function(*args, **kwargs)` in a greenlet of this group and returns it.
    #[pyo3(signature = (*args, **kwargs))]
    fn spawn<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Ok(function) = args.get_item(0)
            && let Some(made) = Self::spawn_plain(slf, &function, args.get_slice(1, args.len()), kwargs)?
        {
            return Ok(made.into_any());
        }
        let greenlet = slf.getattr(intern!(py, "greenlet_class"))?.call(args, kwargs)?;
        slf.call_method1(intern!(py, "start"), (&greenlet,))?;
        Ok(greenlet)
    }

    /// Takes in and starts a greenlet that was not started.
    pub(super) fn start(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "add"), (greenlet,))?;
        greenlet.call_method0(intern!(slf.py(), "start")).map(drop)
    }

    /// Takes a greenlet in; it leaves when it is done.
    fn add(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::take_in(slf, greenlet)
    }

    fn _discard(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().let_go(greenlet)
    }

    /// Lets a greenlet go before it is done.
    fn discard(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let leave = slf.getattr(intern!(py, "_discard"))?;
        leave.call1((greenlet,))?;
        if let Ok(own) = greenlet.cast::<GreenletObject>()
            && GreenletObject::unlink_notice(own, slf.as_any())
        {
            return Ok(());
        }
        match greenlet.getattr_opt(intern!(py, "unlink"))? {
            Some(unlink) => unlink.call1((leave,)).map(drop),
            None => Ok(()),
        }
    }

    /// A group with the same members: what `copy.copy` makes.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let class = slf.get_type();
        let made = class.call_method1("__new__", (&class,))?;
        let (this, copy) = (slf.get(), made.cast::<Self>()?.get());
        copy.plain_members.set(false);
        Self::replace(&copy.greenlets, Self::cloned(py, &this.greenlets).unbind());
        Self::replace(&copy.dying, Self::cloned(py, &this.dying).unbind());
        Self::replace(&copy.empty, Self::cloned(py, &this.empty).unbind());
        Self::replace(&copy.places, this.places(py).map(Bound::unbind));
        if let (Some(from), Some(to)) = (slf.getattr_opt("__dict__")?, made.getattr_opt("__dict__")?) {
            to.call_method1("update", (from,))?;
        }
        Ok(made)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.greenlets.get())?;
            visit.call(&*self.dying.get())?;
            visit.call(&*self.empty.get())?;
            visit.call(&*self.places.get())
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        // The set itself is the collector's to clear, which breaks every cycle through the members.
        Self::replace(&self.places, None);
        Self::cloned(py, &self.greenlets).clear();
    }
}

/// The base class of `verdigris.pool.Pool`: a group with so many places.
#[pyclass(name = "PoolBase", module = "verdigris._core", extends = GroupObject, subclass, frozen)]
pub(crate) struct PoolObject;

#[pymethods]
impl PoolObject {
    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn new(
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(GroupObject::new(py, args, kwargs)?.add_subclass(PoolObject))
    }

    /// The places: a semaphore, or what looks like one.
    #[getter]
    fn _semaphore(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        slf.as_super().get().places(slf.py()).map(Bound::unbind)
    }

    #[setter(_semaphore)]
    fn set_semaphore(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) {
        GroupObject::replace(&slf.as_super().get().places, value);
    }

    /// Takes in and starts a greenlet; waits for room as `add` does, with its arguments.
    #[pyo3(signature = (greenlet, *args, **kwargs))]
    fn start(
        slf: &Bound<'_, Self>,
        greenlet: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut all = vec![greenlet.clone()];
        all.extend(args.iter());
        slf.call_method(intern!(slf.py(), "add"), PyTuple::new(slf.py(), all)?, kwargs)?;
        greenlet.call_method0(intern!(slf.py(), "start")).map(drop)
    }

    /// Takes a greenlet in; waits for room, at most `timeout` seconds, or not at all if not `blocking`.
    ///
    /// Raises PoolFull if there is none.
    #[pyo3(signature = (greenlet, blocking=None, timeout=None))]
    fn add(
        slf: &Bound<'_, Self>,
        greenlet: &Bound<'_, PyAny>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let group = slf.as_super();
        GroupObject::take_place(group, blocking, timeout)?;
        GroupObject::take_in(group, greenlet)
    }

    fn _discard(slf: &Bound<'_, Self>, greenlet: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.as_super().get().let_go(greenlet)
    }
}
