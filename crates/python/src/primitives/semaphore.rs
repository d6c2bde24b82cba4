//! Semaphore and BoundedSemaphore: a counter that greenlets and threads wait for to be above zero.
//!
//! ```text
//!   release: counter + 1 ──► an entry in the loop of the one who waits longest ──► it is resumed, takes one,
//!                                                                                  and the next is told if more is left
//! ```
//!
//! Between the release and the entry anybody may take it who does not have to wait: that is gevent's way, and
//! it is what makes a lock that is taken and given back by one greenlet cheap while others wait. The ones who
//! wait are served in the order they came; one that is told and finds nothing queues up in front again. A
//! thread without a hub gets it handed over by the release itself, and nobody can come between.

use std::cell::Cell;
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::linkable::{Kind, Linkable};
use super::notifier::{End, Ended};
use super::waits;
use crate::hub::{HubObject, Limit, Link, LoopObject, Outcome, Place, Told};

/// A counter: `acquire` takes one and waits while there is none, `release` gives one back.
#[pyclass(name = "Semaphore", module = "verdigris.lock", extends = Linkable, subclass, frozen)]
pub(crate) struct SemaphoreObject {
    counter: Cell<i64>,
    /// What a bounded one may not exceed.
    bound: Cell<Option<i64>>,
    initialised: Cell<bool>,
}

// SAFETY: touched with the GIL held only, in single steps.
unsafe impl Sync for SemaphoreObject {}

static KIND: Kind = Kind::new(|slf| of(slf).counter.get() > 0, notify, SemaphoreObject::tell_next);

fn of<'a>(slf: &'a Bound<'_, Linkable>) -> &'a SemaphoreObject {
    // SAFETY: only semaphores have this table of functions.
    unsafe { slf.cast_unchecked::<SemaphoreObject>() }.get()
}

/// The notifier's entry: tells those who wait while there is something for them.
fn notify(slf: &Bound<'_, Linkable>, home: &Py<LoopObject>, place: Place) -> Outcome {
    let py = slf.py();
    let base = slf.get();
    while of(slf).counter.get() > 0 {
        // When the next one waits in another thread, the entry goes there.
        let link = match base.links.front() {
            Some(link) if base.notifier.is_told_in(py, link, home) => base.links.pop(),
            _ => None,
        };
        let Some(link) = link else { break };
        if let Link::Thread(thread) = link {
            of(slf).counter.set(of(slf).counter.get() - 1);
            thread.wake();
            continue;
        }
        match base.links.tell(home.get(), slf.as_any(), link, place) {
            Told::Done => {}
            Told::NeedsHub => return Outcome::NeedsHub,
            Told::Resume(greenlet) => return Outcome::Wake { greenlet, again: true },
        }
    }
    base.notifier.finished(slf.py());
    if let Err(error) = SemaphoreObject::tell_next(slf) {
        error.write_unraisable(py, Some(slf.as_any()));
    }
    Outcome::Done
}

impl SemaphoreObject {
    fn initializer() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Linkable::of(&KIND)).add_subclass(Self {
            counter: Cell::new(1),
            bound: Cell::new(None),
            initialised: Cell::new(false),
        })
    }

    pub(crate) fn make(py: Python<'_>, value: i64) -> PyResult<Py<SemaphoreObject>> {
        let made = Py::new(py, Self::initializer())?;
        made.get().counter.set(value);
        Ok(made)
    }

    /// Sees to it that the one who waits longest is told, if there is something for it.
    fn tell_next(slf: &Bound<'_, Linkable>) -> PyResult<()> {
        let py = slf.py();
        let base = slf.get();
        let this = of(slf);
        loop {
            if this.counter.get() <= 0 || base.links.is_empty() || base.notifier.is_posted() {
                return Ok(());
            }
            if let Some(Link::Thread(_)) = base.links.front() {
                if let Some(Link::Thread(thread)) = base.links.pop() {
                    this.counter.set(this.counter.get() - 1);
                    thread.wake();
                }
                continue;
            }
            if let Some(home) = base.notifier.loop_of_front(py, &base.links)? {
                return base.notifier.post(slf.as_any(), &home);
            }
        }
    }

    /// Takes one if there is one.
    #[inline]
    pub(super) fn try_acquire(&self) -> bool {
        let counter = self.counter.get();
        if counter <= 0 {
            return false;
        }
        self.counter.set(counter - 1);
        true
    }

    /// Gives one back, without telling anybody; how many there are. None: that would be one too many.
    #[inline]
    pub(super) fn give_back(&self) -> Option<i64> {
        let counter = self.counter.get();
        if self.bound.get().is_some_and(|bound| counter >= bound) {
            return None;
        }
        self.counter.set(counter + 1);
        Some(counter + 1)
    }

    pub(super) fn is_locked(&self) -> bool {
        self.counter.get() <= 0
    }

    /// Takes one, waiting as long as `timeout` allows.
    #[cold]
    fn acquire_slowly(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let limit = Limit::begin(py, timeout)?;
        let result = Self::queue_up(slf, limit.nanoseconds());
        limit.end();
        match result {
            Err(error) if limit.is(py, &error) => Ok(false),
            other => other,
        }
    }

    fn queue_up(slf: &Bound<'_, Self>, timeout_ns: Option<i64>) -> PyResult<bool> {
        let py = slf.py();
        let base = slf.as_super().get();
        let native = crate::hub::ThreadWait::of_this_thread(py).is_some();
        let began = timeout_ns.map(|_| Instant::now());
        let mut end = End::Back;
        loop {
            let left = match (timeout_ns, began) {
                (Some(timeout_ns), Some(began)) if end == End::Front => {
                    let passed = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
                    Some(timeout_ns.saturating_sub(passed).max(0))
                }
                _ => timeout_ns,
            };
            match base.notifier.park(py, &[&base.links], end, left)? {
                // A permit that is there when the time is over is taken: whoever it was meant for asks again.
                Ended::TimedOut => return Ok(slf.get().try_acquire()),
                // It was handed over by the one who woke this thread.
                Ended::Told if native => return Ok(true),
                Ended::Told if slf.get().try_acquire() => return Ok(true),
                Ended::Told => end = End::Front,
            }
        }
    }

    #[inline]
    pub(crate) fn acquire_native(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().notifier.touch();
        if slf.get().try_acquire() {
            return Ok(true);
        }
        Self::acquire_slowly(slf, None)
    }

    pub(crate) fn acquire_within(
        slf: &Bound<'_, Self>,
        blocking: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        slf.as_super().get().notifier.touch();
        if slf.get().try_acquire() {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        Self::acquire_slowly(slf, timeout)
    }

    #[inline]
    pub(crate) fn release_native(slf: &Bound<'_, Self>) -> PyResult<i64> {
        let this = slf.get();
        let base = slf.as_super();
        base.get().notifier.touch();
        if this.give_back().is_none() {
            return Err(released_too_often(slf.as_any()));
        }
        if !base.get().links.is_empty() {
            Self::tell_next(base)?;
        }
        Ok(this.counter.get())
    }

    /// Whether `acquire` and `release` are what they are here: not a subclass's.
    #[inline]
    fn is_plain(slf: &Bound<'_, Self>) -> bool {
        let kind = slf.get_type_ptr();
        let py = slf.py();
        std::ptr::eq(kind, py.get_type::<SemaphoreObject>().as_type_ptr())
            || std::ptr::eq(kind, py.get_type::<BoundedSemaphoreObject>().as_type_ptr())
    }
}

#[cold]
fn released_too_often(slf: &Bound<'_, PyAny>) -> PyErr {
    const TEXT: &str = "Semaphore released too many times";
    match slf.getattr_opt("_OVER_RELEASE_ERROR") {
        Ok(Some(class)) => match class.call1((TEXT,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        },
        Ok(None) => PyValueError::new_err(TEXT),
        Err(error) => error,
    }
}

#[pymethods]
impl SemaphoreObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1, hub=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    #[pyo3(signature = (value=1, hub=None))]
    fn __init__(slf: &Bound<'_, Self>, value: i64, hub: Option<Py<HubObject>>) -> PyResult<()> {
        if value < 0 {
            return Err(PyValueError::new_err("semaphore initial value must be >= 0"));
        }
        let this = slf.get();
        this.counter.set(value);
        if this.bound.get().is_some() {
            this.bound.set(Some(value));
        }
        let base = slf.as_super().get();
        if this.initialised.replace(true) {
            // Made anew, after a fork: nobody waits.
            base.notifier.finished(slf.py());
            drop(base.links.take_all());
        }
        if hub.is_some() {
            base.notifier.set_hub(hub);
        }
        Ok(())
    }

    /// How many can be taken without waiting.
    #[getter]
    fn counter(&self) -> i64 {
        self.counter.get()
    }

    #[setter]
    fn set_counter(&self, value: i64) {
        self.counter.set(value);
    }

    /// Whether `acquire` would have to wait.
    fn locked(&self) -> bool {
        self.is_locked()
    }

    /// Whether `acquire` would not have to wait.
    fn ready(&self) -> bool {
        !self.is_locked()
    }

    /// Takes one. Waits for it unless `blocking` is false, for at most `timeout` (seconds, or a Timeout).
    /// Whether it did.
    #[pyo3(signature = (blocking=None, timeout=None))]
    fn acquire(
        slf: &Bound<'_, Self>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let blocking = waits(blocking)?;
        Self::acquire_within(slf, blocking, timeout)
    }

    /// Gives one back, and has the one told who waits longest. More may be given back than were taken.
    fn release(slf: &Bound<'_, Self>) -> PyResult<i64> {
        Self::release_native(slf)
    }

    /// Waits until one could be taken, and takes none; for at most `timeout` (seconds, or a Timeout). Returns
    /// how many there are.
    #[pyo3(signature = (timeout=None))]
    fn wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
        let py = slf.py();
        let this = slf.get();
        let base = slf.as_super().get();
        base.notifier.touch();
        if this.counter.get() > 0 {
            return Ok(this.counter.get());
        }
        let limit = Limit::begin(py, timeout)?;
        let native = crate::hub::ThreadWait::of_this_thread(py).is_some();
        let ended = base.notifier.park(py, &[&base.links], End::Back, limit.nanoseconds());
        limit.end();
        match ended {
            // What was handed over to this thread was not wanted: it goes to the next.
            Ok(Ended::Told) if native => Self::release_native(slf),
            Ok(_) => Ok(this.counter.get()),
            Err(error) if limit.is(py, &error) => Ok(this.counter.get()),
            Err(error) => Err(error),
        }
    }

    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_plain(slf) {
            return Self::acquire_native(slf).map(drop);
        }
        slf.call_method0("acquire").map(drop)
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        t: &Bound<'_, PyAny>,
        v: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (t, v, tb);
        if Self::is_plain(slf) {
            return Self::release_native(slf).map(drop);
        }
        slf.call_method0("release").map(drop)
    }

    /// For `threading`, after a fork: what waits in the parent does not wait here.
    fn _at_fork_reinit(slf: &Bound<'_, Self>) {
        let base = slf.as_super().get();
        base.notifier.finished(slf.py());
        drop(base.links.take_all());
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!(
            "<{} at {:#x} counter={} {}>",
            slf.get_type().name()?,
            slf.as_ptr().addr(),
            slf.get().counter.get(),
            slf.as_super().get().tail()
        ))
    }
}

/// A semaphore that may not be given back more often than it was taken.
#[pyclass(name = "BoundedSemaphore", module = "verdigris.lock", extends = SemaphoreObject, subclass, frozen)]
pub(crate) struct BoundedSemaphoreObject;

impl BoundedSemaphoreObject {
    pub(super) fn initializer() -> PyClassInitializer<Self> {
        let base = PyClassInitializer::from(Linkable::of(&KIND)).add_subclass(SemaphoreObject {
            counter: Cell::new(1),
            bound: Cell::new(Some(1)),
            initialised: Cell::new(false),
        });
        base.add_subclass(BoundedSemaphoreObject)
    }
}

#[pymethods]
impl BoundedSemaphoreObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1, hub=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    /// What releasing it too often raises.
    #[classattr]
    #[allow(non_snake_case)]
    fn _OVER_RELEASE_ERROR(py: Python<'_>) -> Py<PyAny> {
        // SAFETY: the class lives for ever.
        unsafe { Bound::from_borrowed_ptr(py, ffi::PyExc_ValueError) }.unbind()
    }
}
