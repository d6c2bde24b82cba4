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

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::time::Instant;

use pyo3::exceptions::{PyDeprecationWarning, PyStopIteration, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::event::EventObject;
use super::linkable::in_hub;
use super::notifier::{End, Ended, Notifier};
use super::store::{Order, Store};
use crate::hub::{self, HubObject, Limit, Link, Links, LoopObject, Outcome, Place, ThreadWait, Told};
use crate::names;

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

/// Those who wait on one side, and how many sleeping threads have been woken and have not looked yet.
#[derive(Default)]
struct Side {
    links: Links,
    summoned: Cell<usize>,
}

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
    fn create(class: &Bound<'_, PyType>, order: Order, counts: bool) -> PyResult<Self> {
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

    fn initialise(
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

    fn size(slf: Queue<'_, '_>) -> PyResult<usize> {
        let this = slf.get();
        if this.hooks.size {
            return slf.call_method0("_qsize")?.extract();
        }
        this.store.len(slf.py())
    }

    /// How many more fit in.
    fn room(slf: Queue<'_, '_>) -> PyResult<usize> {
        match slf.get().maxsize.get() {
            None => Ok(usize::MAX),
            Some(maxsize) => Ok(maxsize.saturating_sub(Self::size(slf)?)),
        }
    }

    fn store_item(slf: Queue<'_, '_>, item: Py<PyAny>) -> PyResult<()> {
        let this = slf.get();
        if this.hooks.put {
            return slf.call_method1("_put", (item,)).map(drop);
        }
        this.put_native(slf.py(), item)
    }

    fn put_native(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        self.store.put(py, item)?;
        if let Some(unfinished) = self.unfinished.get() {
            self.unfinished.set(Some(unfinished + 1));
            if unfinished == 0 {
                self.set_finished(false);
            }
        }
        Ok(())
    }

    fn take_item(slf: Queue<'_, '_>, keep: bool) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        match keep {
            false if this.hooks.get => slf.call_method0("_get").map(Bound::unbind),
            false => this.store.get(slf.py()),
            true if this.hooks.peek => slf.call_method0("_peek").map(Bound::unbind),
            true => this.store.peek(slf.py()),
        }
    }

    /// The event that is set while nothing is unfinished.
    fn finished(&self, py: Python<'_>) -> PyResult<Py<EventObject>> {
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
    fn set_finished(&self, _finished: bool) {
        // SAFETY: read in one step.
        if let Some(event) = unsafe { (*self.finished.get()).as_ref() } {
            event.get().clear_flag();
        }
    }

    /// Counts `number` items as done; lets those go who wait for all to be done if that was the last.
    fn count_done(&self, py: Python<'_>, number: usize) -> PyResult<()> {
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

    fn put_item(slf: Queue<'_, '_>, item: Py<PyAny>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
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
    fn check_timeout(block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match timeout.map(|timeout| timeout.extract::<f64>()) {
            Some(Ok(seconds)) if block && seconds < 0.0 => {
                Err(PyValueError::new_err("'timeout' must be a non-negative number"))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn wait_for_room(slf: Queue<'_, '_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let may = |slf: Queue<'_, '_>| Ok(Self::room(slf)? > 0);
        Self::wait(slf, &slf.get().putters, may, (block, timeout), "Full")
    }

    fn get_item(
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
    fn wait_for_item(slf: Queue<'_, '_>, block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().shut_down.get() {
            return Err(queue_error(py, "ShutDown"));
        }
        let may = |slf: Queue<'_, '_>| Ok(Self::size(slf)? > 0);
        Self::wait(slf, &slf.get().getters, may, (block, timeout), "Empty")
    }

    /// Waits on one side until `may` says yes. `error` is what it raises when that is not to be.
    fn wait(
        slf: Queue<'_, '_>,
        side: &Side,
        may: impl Fn(Queue<'_, '_>) -> PyResult<bool>,
        (block, timeout): (bool, Option<&Bound<'_, PyAny>>),
        error: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if in_hub(py) {
            // The hub cannot wait, but it can let those go ahead who do.
            Self::serve_now(slf)?;
            return if may(slf)? { Ok(()) } else { Err(queue_error(py, error)) };
        }
        if !block {
            return Err(queue_error(py, error));
        }
        let limit = Limit::begin(py, timeout)?;
        let timeout_ns = limit.nanoseconds();
        let began = timeout_ns.map(|_| Instant::now());
        let native = ThreadWait::of_this_thread(py).is_some();
        let mut end = End::Back;
        let result = loop {
            let left = match (timeout_ns, began) {
                (Some(timeout_ns), Some(began)) if end == End::Front => {
                    let passed = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
                    Some(timeout_ns.saturating_sub(passed).max(0))
                }
                _ => timeout_ns,
            };
            // What can be done at once is told from a loop, whichever thread or greenlet is first.
            let tell = Self::tell_next(slf);
            let ended = tell.and_then(|()| this.notifier.park(py, &[&side.links], end, left));
            match ended {
                Err(error) => break Err(error),
                Ok(Ended::TimedOut) => break Err(queue_error(py, error)),
                Ok(Ended::Told) => {}
            }
            if native {
                side.summoned.set(side.summoned.get().saturating_sub(1));
            }
            match may(slf) {
                Ok(true) => break Ok(()),
                Ok(false) if this.shut_down.get() => break Err(queue_error(py, "ShutDown")),
                Ok(false) => end = End::Front,
                Err(error) => break Err(error),
            }
        };
        limit.end();
        if result.is_ok() && this.shut_down.get() && std::ptr::eq(side, &raw const this.putters) {
            return Err(queue_error(py, "ShutDown"));
        }
        result
    }

    /// Whether the first who waits on each side can go on: (putters, getters).
    fn open(slf: Queue<'_, '_>) -> (bool, bool) {
        let this = slf.get();
        let shut_down = this.shut_down.get();
        let putters = !this.putters.links.is_empty()
            && (shut_down || Self::room(slf).is_ok_and(|room| room > this.putters.summoned.get()));
        let getters = !this.getters.links.is_empty()
            && (shut_down || Self::size(slf).is_ok_and(|size| size > this.getters.summoned.get()));
        (putters, getters)
    }

    /// Wakes the threads that sleep in front; gives the side whose first one a loop has to tell.
    fn next_side<'a>(slf: &'a Bound<'_, Self>) -> Option<&'a Side> {
        let this = slf.get();
        loop {
            let (putters, getters) = Self::open(slf);
            let side = match (putters, getters) {
                (true, _) => &this.putters,
                (false, true) => &this.getters,
                (false, false) => return None,
            };
            if !side.wake_thread() {
                return Some(side);
            }
        }
    }

    /// Sees to it that the one who waits longest is told, if it can go on.
    fn tell_next(slf: Queue<'_, '_>) -> PyResult<()> {
        let this = slf.get();
        if this.getters.links.is_empty() && this.putters.links.is_empty() || this.notifier.is_posted() {
            return Ok(());
        }
        while let Some(side) = Self::next_side(slf) {
            if let Some(home) = this.notifier.loop_of_front(slf.py(), &side.links)? {
                return this.notifier.post(slf.as_any(), &home);
            }
        }
        Ok(())
    }

    /// One step of the notifier's entry: tells the first that can go on and waits in the loop `home`.
    fn step(slf: Queue<'_, '_>, home: &Py<LoopObject>, place: Place) -> Option<Told> {
        let this = slf.get();
        if place == Place::Passing && (this.hooks.any() || !this.store.is_inside()) {
            return Some(Told::NeedsHub);
        }
        loop {
            let (putters, getters) = Self::open(slf);
            let side = [(putters, &this.putters), (getters, &this.getters)]
                .into_iter()
                .find(|(open, side)| *open && side.is_told_in(home))?
                .1;
            if side.wake_thread() {
                continue;
            }
            let link = side.links.pop()?;
            match side.links.tell(home.get(), slf.as_any(), link, place) {
                Told::Done => {}
                told => return Some(told),
            }
        }
    }

    fn notify(slf: Queue<'_, '_>, home: &Py<LoopObject>, place: Place) -> Outcome {
        match Self::step(slf, home, place) {
            Some(Told::Resume(greenlet)) => return Outcome::Wake { greenlet, again: true },
            Some(Told::NeedsHub) => return Outcome::NeedsHub,
            Some(Told::Done) | None => {}
        }
        slf.get().notifier.finished();
        if let Err(error) = Self::tell_next(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
        Outcome::Done
    }

    /// In the hub: lets all go ahead that can, now.
    fn serve_now(slf: Queue<'_, '_>) -> PyResult<()> {
        let py = slf.py();
        let home = hub::current(py)?.get().native_loop(py)?;
        while let Some(Told::Resume(greenlet)) = Self::step(slf, &home, Place::Hub) {
            // SAFETY: on the loop's own thread, with the GIL held; the reference is ours to give.
            unsafe { resume(py, home.get(), greenlet) };
        }
        Ok(())
    }

    fn text(slf: Queue<'_, '_>, address: bool) -> PyResult<String> {
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

impl Side {
    /// Wakes the thread that sleeps in front, if it is one.
    fn wake_thread(&self) -> bool {
        if !matches!(self.links.front(), Some(Link::Thread(_))) {
            return false;
        }
        if let Some(Link::Thread(thread)) = self.links.pop() {
            self.summoned.set(self.summoned.get() + 1);
            thread.wake();
        }
        true
    }

    fn is_told_in(&self, home: &Py<LoopObject>) -> bool {
        match self.links.front() {
            Some(Link::Wake(ticket)) => ticket.home().is(home),
            Some(_) => true,
            None => false,
        }
    }
}

/// Switches from the hub to a greenlet that is due.
///
/// # Safety
/// In the hub, on the loop's own thread, with the GIL held; the reference is the callee's.
pub(super) unsafe fn resume(py: Python<'_>, home: &LoopObject, greenlet: NonNull<crate::greenlet::PyGreenlet>) {
    // SAFETY: the caller's promise.
    let result = unsafe { home.resume(greenlet) };
    if result.is_null() {
        home.handle_error(py, None, PyErr::fetch(py));
    } else {
        // SAFETY: an owned reference that nobody wants.
        unsafe { ffi::Py_DECREF(result) };
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

/// The notifier's entry.
unsafe fn run_notifier(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only queues are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<SimpleQueueObject>() };
    let Some(home) = slf.get().notifier.home(py) else {
        return Outcome::Done;
    };
    let outcome = SimpleQueueObject::notify(&slf, &home, place);
    if matches!(outcome, Outcome::NeedsHub | Outcome::Wake { again: true, .. }) {
        std::mem::forget(slf);
    }
    outcome
}

fn truth(value: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    value.map_or(Ok(true), Bound::is_truthy)
}

#[pymethods]
impl SimpleQueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
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
        Self::put_item(slf, item, truth(block)?, timeout)
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
        Self::get_item(slf, false, truth(block)?, timeout)
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
        Self::get_item(slf, true, truth(block)?, timeout)
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

/// What iterating over a queue makes of an item.
pub(super) fn end_of_iteration(py: Python<'_>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
    if item.is(py.get_type::<PyStopIteration>()) {
        return Err(PyStopIteration::new_err(()));
    }
    Ok(item)
}

/// A queue that counts: `task_done` says that an item is done, `join` waits until all are.
#[pyclass(name = "Queue", module = "verdigris.queue", extends = SimpleQueueObject, subclass, frozen)]
pub(crate) struct QueueObject;

#[pymethods]
impl QueueObject {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
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
    #[pyo3(signature = (*_args, **_kwargs))]
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
    #[pyo3(signature = (*_args, **_kwargs))]
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
