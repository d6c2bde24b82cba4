//! The pool as the thread that owns it sees it: tasks go in, outcomes come back through the loop.
//!
//! `maxsize + 1` tasks may be out at a time, so that there is always one that the next free worker finds; who wants to
//! put in more waits for one to come back, in the order they came.
//!
//! A task that is out keeps the loop running. Its outcome is delivered by an entry of the loop, in the thread of the
//! pool's hub, whichever thread the task ran in: only there is anything here but the queue touched.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};
use verdigris_loop::Remote;

use super::queue::Queue;
use super::task::{Completion, Receiver, Task, Waiting};
use super::worker;
use crate::forks;
use crate::hub::{self, HubObject, LoopObject, Outcome, Place, Ticket, Token};
use crate::names;
use crate::primitives::ResultObject;

/// The base class of `verdigris.threadpool.ThreadPool`.
#[pyclass(name = "ThreadPoolBase", module = "verdigris._core", subclass, frozen, weakref)]
pub(crate) struct PoolObject {
    inner: UnsafeCell<Inner>,
    /// What the workers have done, on the way to the loop. Not locked while Python code runs.
    completions: Mutex<Completions>,
}

struct Inner {
    hub: Option<Py<HubObject>>,
    queue: Arc<Queue>,
    /// The process that `queue`'s workers are in.
    generation: u32,
    idle_limit: Option<Duration>,
    maxsize: usize,
    /// Tasks that are out.
    unfinished: usize,
    /// Places that are taken, or given to one who has not come for it yet.
    held: usize,
    /// Those who wait for a place.
    waiting: VecDeque<Ticket>,
    /// Those who wait for the pool to have nothing to do, or for workers to end.
    watching: Vec<Ticket>,
    /// Worker threads that have not ended.
    alive: usize,
}

#[derive(Default)]
struct Completions {
    done: VecDeque<Completion>,
    /// Whether the entry that delivers them is in the loop.
    posted: bool,
}

impl Drop for PoolObject {
    /// Nobody can put tasks in any more: the workers that wait for one end.
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        if inner.generation == forks::generation() {
            inner.queue.shrink(0);
        }
    }
}

// SAFETY: `inner` is touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for PoolObject {}
// SAFETY: as above.
unsafe impl Sync for PoolObject {}

impl PoolObject {
    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    fn inner(&self) -> &mut Inner {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.inner.get() }
    }

    fn completions(&self) -> std::sync::MutexGuard<'_, Completions> {
        self.completions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.inner().queue.clone()
    }

    pub(super) fn idle_limit(&self) -> Option<Duration> {
        self.inner().idle_limit
    }

    pub(super) fn hub_of(&self, py: Python<'_>) -> PyResult<Py<HubObject>> {
        self.inner()
            .hub
            .as_ref()
            .map(|hub| hub.clone_ref(py))
            .ok_or_else(|| PyValueError::new_err("ThreadPool.__init__() was not called"))
    }

    /// Whether the thread of the pool's hub has released the GIL to sleep.
    pub(super) fn owner_gave_way(&self, py: Python<'_>) -> Option<Arc<AtomicBool>> {
        Some(self.home(py).ok()?.get().gave_way())
    }

    fn home(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
        self.hub_of(py)?.get().native_loop(py)
    }

    /// The pool's loop, if the running code may use the pool: it is in the thread of the pool's hub.
    fn home_here(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
        let hub = self.hub_of(py)?;
        if !hub::current(py)?.is(&hub) {
            let class = names::exception(py, "InvalidThreadUseError")?;
            return Err(PyErr::from_value(class.call0()?));
        }
        if self.inner().generation != forks::generation() {
            self.forget_threads(py);
        }
        hub.get().native_loop(py)
    }

    /// In a forked child: the workers are gone, and with them what they were doing.
    fn forget_threads(&self, py: Python<'_>) {
        let inner = self.inner();
        inner.generation = forks::generation();
        // The old one's mutex may be locked for ever, and its tasks cannot be dropped for it.
        std::mem::forget(std::mem::replace(&mut inner.queue, Arc::new(Queue::new(inner.maxsize))));
        inner.alive = 0;
        inner.held = 0;
        let lost = std::mem::take(&mut inner.unfinished);
        if let Ok(home) = self.home(py)
            && let Ok(engine) = home.get().engine()
        {
            for _ in 0..lost {
                engine.unref();
            }
            home.get().count_answers(false, lost);
        }
        // Those who wait for a place find one; those who wait for the end find it has come.
        self.give_places(py);
        self.tell_watching(py);
    }

    // ---- places

    /// Takes a place for a task, waiting for it.
    fn take_place(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner();
        if inner.held <= inner.maxsize && inner.waiting.is_empty() {
            inner.held += 1;
            return Ok(());
        }
        let ticket = hub::arm(py)?;
        self.inner().waiting.push_back(ticket.clone_ref(py));
        let woken = hub::park(py, &ticket, None);
        if let Err(error) = woken {
            let waiting = &mut self.inner().waiting;
            let place = waiting.iter().position(|other| other.same(&ticket));
            let removed = place.and_then(|place| waiting.remove(place));
            if removed.is_none() {
                // It was given one, and does not come for it.
                self.release_place(py);
            }
            return Err(error);
        }
        Ok(())
    }

    fn release_place(&self, py: Python<'_>) {
        let inner = self.inner();
        inner.held = inner.held.saturating_sub(1);
        self.give_places(py);
    }

    /// Gives the free places to those who wait.
    fn give_places(&self, py: Python<'_>) {
        loop {
            let inner = self.inner();
            if inner.held > inner.maxsize {
                return;
            }
            let Some(ticket) = inner.waiting.pop_front() else {
                return;
            };
            inner.held += 1;
            if let Err(error) = ticket.wake(py) {
                error.write_unraisable(py, None);
            }
        }
    }

    fn tell_watching(&self, py: Python<'_>) {
        for ticket in std::mem::take(&mut self.inner().watching) {
            if let Err(error) = ticket.wake(py) {
                error.write_unraisable(py, None);
            }
        }
    }

    /// Waits until `over` is true; it is asked whenever a task or a worker ends.
    fn wait_until(&self, py: Python<'_>, over: impl Fn(&Self) -> bool) -> PyResult<()> {
        while !over(self) {
            let ticket = hub::arm(py)?;
            let home = ticket.home().clone_ref(py);
            self.inner().watching.push(ticket.clone_ref(py));
            home.get().engine()?.ref_();
            let woken = hub::park(py, &ticket, None);
            if let Ok(engine) = home.get().engine() {
                engine.unref();
            }
            if let Err(error) = woken {
                self.inner().watching.retain(|other| !other.same(&ticket));
                return Err(error);
            }
        }
        Ok(())
    }

    // ---- workers

    /// Starts workers as long as there are fewer than tasks.
    fn start_workers(slf: &Bound<'_, Self>) -> PyResult<()> {
        while slf.get().inner().queue.reserve_worker(slf.get().inner().unfinished) {
            Self::start_worker(slf)?;
        }
        Ok(())
    }

    /// Starts a worker that has been counted.
    fn start_worker(slf: &Bound<'_, Self>) -> PyResult<()> {
        let queue = slf.get().queue();
        slf.get().inner().alive += 1;
        worker::start(slf).inspect_err(|_| {
            slf.get().inner().alive -= 1;
            queue.worker_failed();
        })
    }

    /// A worker thread is about to end.
    pub(super) fn worker_ended(&self, py: Python<'_>) {
        let inner = self.inner();
        inner.alive = inner.alive.saturating_sub(1);
        self.tell_watching(py);
    }

    // ---- tasks

    /// Puts a task in, for which a place has been taken.
    fn put(slf: &Bound<'_, Self>, home: &Py<LoopObject>, task: Task) -> PyResult<()> {
        let this = slf.get();
        home.get().engine()?.ref_();
        home.get().count_answers(true, 1);
        this.inner().unfinished += 1;
        this.inner().queue.put(task);
        let Err(error) = Self::start_workers(slf) else {
            return Ok(());
        };
        // Whoever is there will come to it.
        if this.inner().queue.workers() > 0 {
            return Ok(());
        }
        let task = this.inner().queue.take_back();
        if task.is_none() {
            return Ok(());
        }
        this.account(slf.py());
        Err(error)
    }

    /// A task has come back.
    fn account(&self, py: Python<'_>) {
        let inner = self.inner();
        inner.unfinished = inner.unfinished.saturating_sub(1);
        if let Ok(home) = self.home(py)
            && let Ok(engine) = home.get().engine()
        {
            engine.unref();
            home.get().count_answers(false, 1);
        }
        self.release_place(py);
        if self.inner().unfinished == 0 {
            self.tell_watching(py);
        }
    }

    /// Takes over what a worker has done, in the worker's thread. Gives the message that is to be sent to the loop, if one is: best when
    /// the GIL has been released, which the one who gets it needs first of all.
    pub(super) fn complete(slf: &Bound<'_, Self>, completion: Completion) -> Option<Message> {
        let this = slf.get();
        let first = {
            let mut completions = this.completions();
            completions.done.push_back(completion);
            !std::mem::replace(&mut completions.posted, true)
        };
        // Without a loop nobody is left who could be told.
        let remote = first.then(|| this.home(slf.py()).ok()?.get().remote())??;
        let object = NonNull::new(slf.clone().into_any().into_ptr()).expect("a Bound is never null");
        Some(Message {
            remote,
            token: Token::Native { run: deliver, object },
        })
    }

    /// Calls the function through `spawn` of a subclass.
    fn apply_by_spawn(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwds: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let mut all = vec![func.clone()];
        all.extend(args.iter());
        let result = slf.getattr("spawn")?.call(PyTuple::new(slf.py(), all)?, kwds)?;
        result.call_method0("get").map(Bound::unbind)
    }

    fn spawn_is_overridden(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        Ok(!slf
            .get_type()
            .getattr("spawn")?
            .is(&py.get_type::<Self>().getattr("spawn")?))
    }

    /// Delivers what has been done, as far as that is possible at `place`.
    fn deliver(slf: &Bound<'_, Self>, place: Place) -> Outcome {
        let py = slf.py();
        let this = slf.get();
        loop {
            let completion = {
                let mut completions = this.completions();
                match completions.done.pop_front() {
                    Some(completion) if place == Place::Passing && needs_hub(&completion) => {
                        completions.done.push_front(completion);
                        return Outcome::NeedsHub;
                    }
                    Some(completion) => completion,
                    None => {
                        completions.posted = false;
                        return Outcome::Done;
                    }
                }
            };
            this.account(py);
            if let Some(greenlet) = this.hand_over(py, completion) {
                return Outcome::Wake { greenlet, again: true };
            }
        }
    }

    /// Gives an outcome to who waits for it. The greenlet that is to be resumed, if one is.
    fn hand_over(&self, py: Python<'_>, completion: Completion) -> Option<NonNull<crate::greenlet::PyGreenlet>> {
        let Completion {
            receiver,
            outcome,
            context,
        } = completion;
        if let (Err(error), Some(context)) = (&outcome, &context) {
            self.report(py, error, context);
        }
        drop(context);
        match receiver {
            Receiver::Waiting(waiting) => waiting.deliver(outcome).and_then(|ticket| ticket.claim(py)),
            Receiver::Result(result) => {
                let set = match outcome {
                    Ok(value) => ResultObject::set_value(result.bind(py), value),
                    Err(error) => {
                        let info = (error.get_type(py), error.value(py), error.traceback(py));
                        result
                            .bind(py)
                            .call_method1("set_exception", (error.value(py), info))
                            .map(drop)
                    }
                };
                if let Err(error) = set {
                    error.write_unraisable(py, Some(result.bind(py)));
                }
                None
            }
        }
    }

    /// Shows an error of a task, as those of greenlets are shown.
    fn report(&self, py: Python<'_>, error: &PyErr, context: &(Py<PyAny>, Py<PyAny>)) {
        let arguments = (context, error.get_type(py), error.value(py), error.traceback(py));
        let told = self
            .hub_of(py)
            .and_then(|hub| hub.call_method1(py, "handle_error", arguments));
        if let Err(second) = told {
            second.write_unraisable(py, None);
        }
    }
}

/// Says to a pool's loop that something has been done.
pub(super) struct Message {
    remote: Remote<Token>,
    token: Token,
}

impl Message {
    /// Needs no GIL.
    pub(super) fn send(self) {
        self.remote.call_soon_threadsafe(self.token);
    }
}

/// Whether handing an outcome over may run Python code.
fn needs_hub(completion: &Completion) -> bool {
    completion.outcome.is_err()
        || match &completion.receiver {
            Receiver::Result(result) => {
                // SAFETY: a live object, with the GIL held.
                let references = unsafe { ffi::Py_REFCNT(result.as_ptr()) };
                references == 1
            }
            Receiver::Waiting(waiting) => waiting.is_abandoned(),
        }
}

/// The entry of the loop that delivers.
unsafe fn deliver(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only pools are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<PoolObject>() };
    let outcome = PoolObject::deliver(&slf, place);
    if !matches!(outcome, Outcome::Done) {
        std::mem::forget(slf);
    }
    outcome
}

#[pymethods]
impl PoolObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            inner: UnsafeCell::new(Inner {
                hub: None,
                queue: Arc::new(Queue::new(0)),
                generation: forks::generation(),
                idle_limit: None,
                maxsize: 0,
                unfinished: 0,
                held: 0,
                waiting: VecDeque::new(),
                watching: Vec::new(),
                alive: 0,
            }),
            completions: Mutex::new(Completions::default()),
        }
    }

    /// At most `maxsize` threads, which end when they have had nothing to do for `idle_task_timeout` seconds (negative:
    /// never). The pool belongs to `hub`, and may be used in that one's thread only.
    #[pyo3(signature = (maxsize, hub, idle_task_timeout))]
    fn __init__(&self, maxsize: &Bound<'_, PyAny>, hub: Py<HubObject>, idle_task_timeout: f64) -> PyResult<()> {
        let maxsize = checked_maxsize(maxsize)?;
        let idle_limit = (idle_task_timeout >= 0.0)
            .then(|| Duration::try_from_secs_f64(idle_task_timeout).ok())
            .flatten();
        let inner = self.inner();
        let old = inner.hub.replace(hub);
        inner.idle_limit = idle_limit;
        inner.maxsize = maxsize;
        inner.queue.set_limit(maxsize);
        drop(old);
        Ok(())
    }

    /// The hub that the pool belongs to.
    #[getter]
    fn hub(&self, py: Python<'_>) -> Option<Py<HubObject>> {
        self.inner().hub.as_ref().map(|hub| hub.clone_ref(py))
    }

    /// How many threads there may be. Those that are too many end when their task is done.
    #[getter]
    fn maxsize(&self) -> usize {
        self.inner().maxsize
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let maxsize = checked_maxsize(maxsize)?;
        let this = slf.get();
        this.inner().maxsize = maxsize;
        this.inner().queue.set_limit(maxsize);
        this.give_places(slf.py());
        Self::start_workers(slf)
    }

    /// How many threads there are. Setting it starts threads, or ends some: after the tasks that are there, which it waits for.
    #[getter]
    fn size(&self) -> usize {
        self.inner().queue.workers()
    }

    #[setter]
    fn set_size(slf: &Bound<'_, Self>, size: i64) -> PyResult<()> {
        let this = slf.get();
        let maxsize = this.inner().maxsize;
        let size = match usize::try_from(size) {
            Err(_) => {
                return Err(PyValueError::new_err(format!(
                    "Size of the pool cannot be negative: {size}"
                )));
            }
            Ok(size) if size > maxsize => {
                return Err(PyValueError::new_err(format!(
                    "Size of the pool cannot be bigger than maxsize: {size} > {maxsize}"
                )));
            }
            Ok(size) => size,
        };
        if this.inner().generation != forks::generation() {
            this.forget_threads(slf.py());
        }
        while this.inner().queue.reserve_worker(size) {
            Self::start_worker(slf)?;
        }
        // Told again each time: tasks that are put in meanwhile start workers anew.
        this.wait_until(slf.py(), |this| {
            this.inner().queue.shrink(size);
            this.inner().alive <= size
        })
    }

    /// Starts the threads that are missing for the tasks that wait.
    fn adjust(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::start_workers(slf)
    }

    /// How many tasks are not finished.
    fn __len__(&self) -> usize {
        self.inner().unfinished
    }

    /// How many tasks wait for a thread.
    #[getter]
    fn _queued(&self) -> usize {
        self.inner().queue.len()
    }

    /// Has a thread call func(*args, **kwargs). Returns an AsyncResult; waits while too much is in the pool already.
    #[pyo3(signature = (func, *args, **kwargs))]
    fn spawn(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<ResultObject>> {
        let py = slf.py();
        let home = slf.get().home_here(py)?;
        slf.get().take_place(py)?;
        let result = ResultObject::make(py)?;
        let task = Task {
            pool: slf.clone().unbind(),
            function: func.clone().unbind(),
            arguments: args.clone().unbind(),
            keywords: kwargs.map(|kwargs| kwargs.clone().unbind()),
            receiver: Receiver::Result(result.clone_ref(py)),
        };
        Self::put(slf, &home, task)?;
        Ok(result)
    }

    /// The result of func(*args, **kwds), called by a thread; waits for it. In another thread than the pool's: calls it here.
    #[pyo3(signature = (func, args=None, kwds=None))]
    fn apply(
        slf: &Bound<'_, Self>,
        func: &Bound<'_, PyAny>,
        args: Option<&Bound<'_, PyAny>>,
        kwds: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let args = positional(py, args)?;
        let kwds = keywords(py, kwds)?;
        if !hub::current(py)?.is(&this.hub_of(py)?) {
            return func.call(&args, kwds.as_ref()).map(Bound::unbind);
        }
        if Self::spawn_is_overridden(slf)? {
            return Self::apply_by_spawn(slf, func, &args, kwds.as_ref());
        }
        let home = this.home_here(py)?;
        this.take_place(py)?;
        let waiting = Arc::new(Waiting::default());
        let task = Task {
            pool: slf.clone().unbind(),
            function: func.clone().unbind(),
            arguments: args.unbind(),
            keywords: kwds.map(Bound::unbind),
            receiver: Receiver::Waiting(waiting.clone()),
        };
        Self::put(slf, &home, task)?;
        loop {
            if let Some(outcome) = waiting.take() {
                return outcome;
            }
            let ticket = hub::arm(py)?;
            waiting.set_ticket(Some(ticket.clone_ref(py)));
            let woken = hub::park(py, &ticket, None);
            waiting.set_ticket(None);
            woken?;
        }
    }

    /// Waits until no task is left.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        self.wait_until(py, |this| this.inner().unfinished == 0)
    }

    /// Ends the threads, after the tasks that are there; waits for that. New tasks start new threads.
    fn kill(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::set_size(slf, 0)
    }

    /// To be called in the child after a fork: the threads are gone.
    fn _on_fork(&self, py: Python<'_>) {
        if self.inner().generation != forks::generation() {
            self.forget_threads(py);
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let inner = self.inner();
        visit.call(&inner.hub)?;
        for ticket in inner.waiting.iter().chain(&inner.watching) {
            ticket.traverse(&visit)?;
        }
        Ok(())
    }
}

fn checked_maxsize(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let Ok(number) = value.cast::<PyInt>() else {
        return Err(PyTypeError::new_err(format!(
            "maxsize must be integer: {}",
            value.repr()?
        )));
    };
    let number: i64 = number.extract()?;
    usize::try_from(number).map_err(|_| PyValueError::new_err(format!("maxsize must not be negative: {number}")))
}

fn positional<'py>(py: Python<'py>, args: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyTuple>> {
    let Some(args) = args else {
        return Ok(PyTuple::empty(py));
    };
    match args.cast::<PyTuple>() {
        Ok(tuple) => Ok(tuple.clone()),
        Err(_) if !args.is_truthy()? => Ok(PyTuple::empty(py)),
        Err(_) => PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?),
    }
}

fn keywords<'py>(py: Python<'py>, kwds: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(kwds) = kwds else { return Ok(None) };
    match kwds.cast::<PyDict>() {
        Ok(dict) if dict.is_empty() => Ok(None),
        Ok(dict) => Ok(Some(dict.clone())),
        Err(_) if !kwds.is_truthy()? => Ok(None),
        Err(_) => {
            let dict = PyDict::new(py);
            dict.update(kwds.cast()?)?;
            Ok(Some(dict))
        }
    }
}
