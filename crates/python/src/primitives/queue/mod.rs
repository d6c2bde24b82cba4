//! The queues: SimpleQueue, and Queue, LifoQueue and PriorityQueue, which count what is done.
//!
//! ```text
//!   put ──► store ──► get          nobody waits: neither hub nor loop is touched
//!   full:  putters wait            an entry in the loop of the one who waits longest resumes it, it puts or takes
//!   empty: getters wait            its item itself, and the next is told as long as there is something to do
//! ```
//!
//! Who does not have to wait may come before those who do: gevent's order. Subclasses may say how items are
//! kept (`_init`, `_put`, `_get`, `_peek`, `_qsize`), as with the standard library's queues; then these are
//! called, in the greenlet that puts or gets.

mod counting;
mod python;
mod waiting;

use std::cell::{Cell, UnsafeCell};

use pyo3::exceptions::{PyDeprecationWarning, PyStopIteration, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use super::event::EventObject;
use super::notifier::Notifier;
use super::store::{Order, Store};
use crate::names;

pub(crate) use counting::{LifoQueueObject, PriorityQueueObject, QueueObject};
pub(super) use waiting::resume;
use waiting::{Side, run_notifier};

/// A queue without a count of what is done.
#[pyclass(name = "SimpleQueue", module = "verdigris.queue", subclass, frozen, weakref, generic)]
pub(crate) struct SimpleQueueObject {
    store: Store,
    hooks: Hooks,
    maxsize: Cell<Option<usize>>,
    getters: Side,
    putters: Side,
    notifier: Notifier,
    shut_down: Cell<bool>,
    /// How many items were put and not reported done; None for a queue that does not count.
    unfinished: Cell<Option<usize>>,
    /// Set while nothing is unfinished; made when somebody asks.
    finished: UnsafeCell<Option<Py<EventObject>>>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for SimpleQueueObject {}
// SAFETY: as above.
unsafe impl Sync for SimpleQueueObject {}

type Queue<'a, 'py> = &'a Bound<'py, SimpleQueueObject>;

impl SimpleQueueObject {
    pub(super) fn create(class: &Bound<'_, PyType>, order: Order, counts: bool) -> PyResult<Self> {
        Ok(Self {
            store: Store::new(order),
            hooks: Hooks::of(class)?,
            maxsize: Cell::new(None),
            getters: Side::default(),
            putters: Side::default(),
            notifier: Notifier::new(run_notifier),
            shut_down: Cell::new(false),
            unfinished: Cell::new(counts.then_some(0)),
            finished: UnsafeCell::new(None),
        })
    }

    pub(super) fn initialise(
        slf: Queue<'_, '_>,
        maxsize: Option<&Bound<'_, PyAny>>,
        items: Option<&Bound<'_, PyAny>>,
        unfinished: Option<usize>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let maxsize = maxsize.filter(|maxsize| !maxsize.is_none());
        let size = maxsize.map(|maxsize| maxsize.extract::<i64>()).transpose()?;
        if size == Some(0) {
            let text = c"Queue(0) now equivalent to Queue(None); if you want a channel, use Channel";
            PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), text, 1)?;
        }
        this.maxsize.set(
            size.and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size > 0),
        );
        if this.hooks.init {
            slf.call_method1("_init", (this.maxsize.get(),))?;
        }
        let Some(items) = items.filter(|items| !items.is_none()) else {
            return Ok(());
        };
        let items = PyList::new(py, items.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        if items.is_empty() && unfinished.is_none() {
            return Ok(());
        }
        if this.store.is_inside() {
            for item in &items {
                this.store.put(py, item.unbind())?;
            }
        } else {
            this.store.set_object(this.store.create(py, items.as_any())?.unbind());
        }
        if this.unfinished.get().is_some() {
            this.unfinished.set(Some(unfinished.unwrap_or(items.len())));
        }
        Ok(())
    }

    pub(super) fn size(slf: Queue<'_, '_>) -> PyResult<usize> {
        let this = slf.get();
        if this.hooks.size {
            return slf.call_method0("_qsize")?.extract();
        }
        this.store.len(slf.py())
    }

    /// How many more fit in.
    pub(super) fn room(slf: Queue<'_, '_>) -> PyResult<usize> {
        match slf.get().maxsize.get() {
            None => Ok(usize::MAX),
            Some(maxsize) => Ok(maxsize.saturating_sub(Self::size(slf)?)),
        }
    }

    pub(super) fn store_item(slf: Queue<'_, '_>, item: Py<PyAny>) -> PyResult<()> {
        let this = slf.get();
        if this.hooks.put {
            return slf.call_method1("_put", (item,)).map(drop);
        }
        this.put_native(slf.py(), item)
    }

    pub(super) fn put_native(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        self.store.put(py, item)?;
        if let Some(unfinished) = self.unfinished.get() {
            self.unfinished.set(Some(unfinished + 1));
            if unfinished == 0 {
                self.clear_finished();
            }
        }
        Ok(())
    }

    pub(super) fn take_item(slf: Queue<'_, '_>, keep: bool) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        match keep {
            false if this.hooks.get => slf.call_method0("_get").map(Bound::unbind),
            false => this.store.get(slf.py()),
            true if this.hooks.peek => slf.call_method0("_peek").map(Bound::unbind),
            true => this.store.peek(slf.py()),
        }
    }

    /// The event that is set while nothing is unfinished.
    pub(super) fn finished(&self, py: Python<'_>) -> PyResult<Py<EventObject>> {
        // SAFETY: cloned in one step.
        if let Some(event) = unsafe { (*self.finished.get()).as_ref().map(|event| event.clone_ref(py)) } {
            return Ok(event);
        }
        let event = EventObject::make(py, self.unfinished.get().unwrap_or(0) == 0)?;
        // SAFETY: one step; the old one is dropped afterwards.
        let old = unsafe { (*self.finished.get()).replace(event.clone_ref(py)) };
        drop(old);
        Ok(event)
    }

    /// Clears the event, if there is one: something is unfinished.
    pub(super) fn clear_finished(&self) {
        // SAFETY: read in one step.
        if let Some(event) = unsafe { (*self.finished.get()).as_ref() } {
            event.get().clear_flag();
        }
    }

    /// Counts `number` items as done; lets those go who wait for all to be done if that was the last.
    pub(super) fn count_done(&self, py: Python<'_>, number: usize) -> PyResult<()> {
        let left = self.unfinished.get().unwrap_or(0).checked_sub(number);
        let Some(left) = left else {
            return Err(PyValueError::new_err("task_done() called too many times"));
        };
        self.unfinished.set(self.unfinished.get().map(|_| left));
        if left == 0 {
            // SAFETY: cloned in one step.
            let event = unsafe { (*self.finished.get()).as_ref().map(|event| event.clone_ref(py)) };
            if let Some(event) = event {
                EventObject::set(event.bind(py))?;
            }
        }
        Ok(())
    }

    pub(super) fn put_item(
        slf: Queue<'_, '_>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.notifier.touch();
        if this.shut_down.get() {
            return Err(queue_error(py, "ShutDown"));
        }
        if timeout.is_some() {
            Self::check_timeout(block, timeout)?;
        }
        if Self::room(slf)? == 0 {
            Self::wait_for_room(slf, block, timeout)?;
        }
        Self::store_item(slf, item)?;
        if this.getters.links.is_empty() {
            Ok(())
        } else {
            Self::tell_next(slf)
        }
    }

    /// A negative number of seconds is refused also when nobody has to wait, as by the standard library's queues.
    /// Puts an item (borrowed) in if there is room, nobody waits for one, and no Python code has to run for it. Whether it did.
    #[inline]
    pub(in crate::primitives) fn put_at_once(&self, item: *mut ffi::PyObject) -> bool {
        self.notifier.touch();
        if self.shut_down.get() || self.hooks.any() || !self.getters.links.is_empty() {
            return false;
        }
        // SAFETY: the GIL is held: a method of this object is being called.
        let py = unsafe { Python::assume_attached() };
        let Some(length) = self.store.len_inside() else {
            return false;
        };
        if self.maxsize.get().is_some_and(|maxsize| length >= maxsize) {
            return false;
        }
        // SAFETY: the caller keeps the item.
        let item = unsafe { Bound::from_borrowed_ptr(py, item) }.unbind();
        self.put_native(py, item).is_ok()
    }

    /// The next item (owned) if one is there, nobody waits for room, and no Python code has to run for it.
    #[inline]
    pub(in crate::primitives) fn get_at_once(&self) -> Option<*mut ffi::PyObject> {
        self.notifier.touch();
        if self.hooks.any() || !self.putters.links.is_empty() {
            return None;
        }
        self.store.take_inside().map(Py::into_ptr)
    }

    pub(super) fn check_timeout(block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match timeout.map(|timeout| timeout.extract::<f64>()) {
            Some(Ok(seconds)) if block && seconds < 0.0 => {
                Err(PyValueError::new_err("'timeout' must be a non-negative number"))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    pub(super) fn wait_for_room(slf: Queue<'_, '_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let may = |slf: Queue<'_, '_>| Ok(Self::room(slf)? > 0);
        Self::wait(slf, &slf.get().putters, may, (block, timeout), "Full")
    }

    pub(super) fn get_item(
        slf: Queue<'_, '_>,
        keep: bool,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        this.notifier.touch();
        if timeout.is_some() {
            Self::check_timeout(block, timeout)?;
        }
        if Self::size(slf)? == 0 {
            Self::wait_for_item(slf, block, timeout)?;
        }
        let item = Self::take_item(slf, keep)?;
        if !this.putters.links.is_empty() {
            Self::tell_next(slf)?;
        }
        Ok(item)
    }

    #[cold]
    pub(super) fn wait_for_item(slf: Queue<'_, '_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().shut_down.get() {
            return Err(queue_error(py, "ShutDown"));
        }
        let may = |slf: Queue<'_, '_>| Ok(Self::size(slf)? > 0);
        Self::wait(slf, &slf.get().getters, may, (block, timeout), "Empty")
    }

    pub(super) fn text(slf: Queue<'_, '_>, address: bool) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let mut text = format!("<{}", slf.get_type().name()?);
        if address {
            text.push_str(&format!(" at {:#x}", slf.as_ptr().addr()));
        }
        if let Some(maxsize) = this.maxsize.get() {
            text.push_str(&format!(" maxsize={maxsize}"));
        }
        if Self::size(slf)? > 0 {
            text.push_str(&format!(" queue={}", slf.getattr("queue")?.repr()?));
        }
        for (name, side) in [("getters", &this.getters), ("putters", &this.putters)] {
            if !side.links.is_empty() {
                text.push_str(&format!(" {name}[{}]", side.links.len()));
            }
        }
        if let Some(unfinished) = this.unfinished.get().filter(|unfinished| *unfinished > 0) {
            text.push_str(&format!(
                " tasks={unfinished} _cond={}",
                this.finished(py)?.bind(py).str()?
            ));
        }
        text.push('>');
        Ok(text)
    }
}

/// The methods of a subclass that say how items are kept.
#[derive(Clone, Copy, Default)]
struct Hooks {
    init: bool,
    put: bool,
    get: bool,
    peek: bool,
    size: bool,
}

impl Hooks {
    fn any(self) -> bool {
        self.put || self.get || self.peek || self.size
    }

    fn of(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let base = py.get_type::<SimpleQueueObject>();
        let ours = [
            base.as_type_ptr(),
            py.get_type::<QueueObject>().as_type_ptr(),
            py.get_type::<LifoQueueObject>().as_type_ptr(),
            py.get_type::<PriorityQueueObject>().as_type_ptr(),
        ];
        if ours.contains(&class.as_type_ptr()) {
            return Ok(Self::default());
        }
        let differs = |name: &str| -> PyResult<bool> { Ok(!class.getattr(name)?.is(&base.getattr(name)?)) };
        Ok(Self {
            init: differs("_init")?,
            put: differs("_put")?,
            get: differs("_get")?,
            peek: differs("_peek")?,
            size: differs("_qsize")?,
        })
    }
}

/// An instance of the class `name` of the module `verdigris.queue`.
#[cold]
pub(super) fn queue_error(py: Python<'_>, name: &str) -> PyErr {
    match names::queue_exception(py, name).and_then(|class| class.call0()) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// What iterating over a queue makes of an item.
pub(super) fn end_of_iteration(py: Python<'_>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
    if item.is(py.get_type::<PyStopIteration>()) {
        return Err(PyStopIteration::new_err(()));
    }
    Ok(item)
}
