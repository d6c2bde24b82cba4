//! The tasks of a thread pool, on their way to a worker and back.
//!
//! ```text
//!   hub's thread                                     worker's thread
//!   put() ── tasks ── wakes an idle worker ────────► work(): runs the function
//!   deliver() ◄── one entry in the hub's loop ◄───── done: outcomes
//!     room for one more, errors reported, results set
//! ```
//!
//! Everything is protected by the GIL, in single steps; an idle worker sleeps in the operating system. There is
//! nothing here that a fork could leave locked.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::hub::{HubObject, LoopObject, Outcome, Place, ThreadWait};
use crate::primitives::{EventObject, ResultObject, SemaphoreObject};

/// A call that somebody waits for.
struct Task {
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
    keywords: Option<Py<PyDict>>,
    result: Py<ResultObject>,
}

/// What became of a task.
struct Done {
    result: Py<ResultObject>,
    outcome: PyResult<Py<PyAny>>,
    /// Shown with an error: who ran what.
    context: Option<Py<PyAny>>,
}

/// The workers, by number, in the order in which they were started.
#[derive(Default)]
struct Crew {
    last: u64,
    /// Those that take tasks.
    workers: Vec<u64>,
    /// Those whose threads have not ended: workers, and those on their way out.
    threads: Vec<u64>,
    /// Those up to this number are to end.
    condemned: u64,
    /// How many of the others are to end, whichever.
    stopping: usize,
    /// Who waits until those up to a number have ended.
    mourners: Vec<(u64, Py<EventObject>)>,
}

impl Crew {
    /// How many will be left when all have ended that are to.
    fn size(&self) -> usize {
        let kept = self.workers.iter().filter(|number| **number > self.condemned).count();
        kept.saturating_sub(self.stopping)
    }

    /// Whether the worker is to end. Tasks are not left behind: the last worker does them first.
    fn dismisses(&mut self, number: u64, tasks_left: bool) -> bool {
        if tasks_left && self.size() == 0 {
            return false;
        }
        if number <= self.condemned {
            return true;
        }
        if self.stopping > 0 {
            self.stopping -= 1;
            return true;
        }
        false
    }

    fn lose(&mut self, number: u64) {
        self.workers.retain(|other| *other != number);
        let kept = self.workers.iter().filter(|number| **number > self.condemned).count();
        self.stopping = self.stopping.min(kept);
    }

    /// Those who have waited long enough.
    fn consoled(&mut self) -> Vec<Py<EventObject>> {
        let threads = &self.threads;
        let over = |limit: u64| !threads.iter().any(|number| *number <= limit);
        let (done, left) = std::mem::take(&mut self.mourners).into_iter().partition(|(limit, _)| over(*limit));
        self.mourners = left;
        let done: Vec<(u64, Py<EventObject>)> = done;
        done.into_iter().map(|(_, event)| event).collect()
    }
}

/// The tasks of one pool, and its workers.
#[pyclass(module = "verdigris._core", frozen, weakref)]
pub(super) struct TaskQueue {
    hub: Py<HubObject>,
    home: Py<LoopObject>,
    /// Taken before a task is put, given back when it is done.
    room: Py<SemaphoreObject>,
    tasks: UnsafeCell<VecDeque<Task>>,
    done: UnsafeCell<VecDeque<Done>>,
    /// Whether the entry that delivers is in the loop's queue.
    delivering: Cell<bool>,
    idle: UnsafeCell<VecDeque<Arc<ThreadWait>>>,
    /// Tasks that were put and whose results have not been delivered.
    unfinished: Cell<usize>,
    /// Tasks that workers are at.
    running: Cell<usize>,
    crew: UnsafeCell<Crew>,
    /// Set while nothing is unfinished.
    all_done: Py<EventObject>,
}

// SAFETY: touched with the GIL held only, in single steps that run no Python code.
unsafe impl Send for TaskQueue {}
// SAFETY: as above.
unsafe impl Sync for TaskQueue {}

impl TaskQueue {
    #[expect(clippy::mut_from_ref, reason = "single steps with the GIL held; nothing keeps it over Python code")]
    fn tasks(&self) -> &mut VecDeque<Task> {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.tasks.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn done(&self) -> &mut VecDeque<Done> {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.done.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn idle(&self) -> &mut VecDeque<Arc<ThreadWait>> {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.idle.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn crew(&self) -> &mut Crew {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.crew.get() }
    }

    fn wake_one(&self) {
        if let Some(idle) = self.idle().pop_front() {
            idle.wake();
        }
    }

    /// The next task of a worker; waits for one. None: the worker is to end.
    fn next(&self, py: Python<'_>, number: u64, idle_ns: Option<i64>) -> Option<Task> {
        loop {
            if self.crew().dismisses(number, !self.tasks().is_empty()) {
                return None;
            }
            if let Some(task) = self.tasks().pop_front() {
                return Some(task);
            }
            let wait = Arc::<ThreadWait>::default();
            self.idle().push_back(wait.clone());
            if wait.sleep(py, idle_ns) {
                continue;
            }
            // Idle for too long; but somebody may have counted on it in the last moment.
            let place = self.idle().iter().position(|other| Arc::ptr_eq(other, &wait));
            if let Some(place) = place {
                self.idle().remove(place);
                return None;
            }
        }
    }

    /// Runs a task, between the worker's two hooks.
    fn run(slf: &Bound<'_, Self>, worker: &Bound<'_, PyAny>, task: Task) {
        let py = slf.py();
        let this = slf.get();
        let hooked = (&task.function, &task.arguments, &task.keywords, &task.result)
            .into_pyobject(py)
            .expect("a tuple of objects can be made");
        let function = task.function.bind(py);
        let before = worker.getattr("_before_run_task").and_then(|hook| hook.call1(&hooked));
        let prepared = before.is_ok();
        let outcome = before.and_then(|_| {
            let keywords = task.keywords.as_ref().map(|keywords| keywords.bind(py));
            function.call(task.arguments.bind(py), keywords).map(Bound::unbind)
        });
        let context = match &outcome {
            Ok(_) => None,
            Err(_) => (worker, function).into_pyobject(py).map(|context| context.into_any().unbind()).ok(),
        };
        this.done().push_back(Done { result: task.result.clone_ref(py), outcome, context });
        drop(task);
        if let Err(error) = Self::send_done(slf) {
            error.write_unraisable(py, Some(worker));
        }
        if prepared {
            let after = worker.getattr("_after_run_task").and_then(|hook| hook.call1(&hooked));
            if let Err(error) = after {
                error.write_unraisable(py, Some(worker));
            }
        }
    }

    /// Has what is done delivered in the hub's loop.
    fn send_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        if this.delivering.replace(true) {
            return Ok(());
        }
        let sent = this.home.get().call_native_soon(deliver, slf.as_any());
        if sent.is_err() {
            this.delivering.set(false);
        }
        sent.map(drop)
    }

    /// Gives back what a task took up.
    fn count_done(&self, py: Python<'_>) -> PyResult<()> {
        if let Ok(engine) = self.home.get().engine() {
            engine.unref();
        }
        let unfinished = self.unfinished.get().saturating_sub(1);
        self.unfinished.set(unfinished);
        SemaphoreObject::release_native(self.room.bind(py))?;
        if unfinished == 0 { EventObject::set(self.all_done.bind(py)) } else { Ok(()) }
    }

    /// Delivers one outcome, in the hub's thread.
    fn deliver_one(slf: &Bound<'_, Self>, done: Done) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.count_done(py)?;
        let result = done.result.bind(py);
        match done.outcome {
            Ok(value) => ResultObject::set_value(result, value),
            Err(error) => {
                let info = (error.get_type(py), error.value(py).clone(), error.traceback(py));
                let context = done.context.unwrap_or_else(|| py.None());
                let reported = this.hub.bind(py).call_method1("handle_error", (context, &info.0, &info.1, &info.2));
                ResultObject::set_exception(result, &info.1.clone().into_any(), Some(info.into_pyobject(py)?.as_any()))?;
                reported.map(drop)
            }
        }
    }
}

/// The entry that delivers what is done.
unsafe fn deliver(object: NonNull<ffi::PyObject>, place: Place) -> Outcome {
    // SAFETY: entries run with the GIL held; only task queues are given to this function.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as above; the token's reference, which is kept if the entry comes again.
    let slf = unsafe { Bound::from_owned_ptr(py, object.as_ptr()).cast_into_unchecked::<TaskQueue>() };
    let this = slf.get();
    // An error is reported by Python code.
    if place == Place::Passing && this.done().iter().any(|done| done.outcome.is_err()) {
        std::mem::forget(slf);
        return Outcome::NeedsHub;
    }
    this.delivering.set(false);
    let number = this.done().len();
    for _ in 0..number {
        let Some(done) = this.done().pop_front() else { break };
        if let Err(error) = TaskQueue::deliver_one(&slf, done) {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }
    Outcome::Done
}

#[pymethods]
impl TaskQueue {
    /// `room` is the semaphore that a task takes up while it is not done.
    #[new]
    fn new(py: Python<'_>, hub: Bound<'_, HubObject>, room: Py<SemaphoreObject>) -> PyResult<Self> {
        Ok(Self {
            home: hub.get().native_loop(py)?,
            hub: hub.unbind(),
            room,
            tasks: UnsafeCell::default(),
            done: UnsafeCell::default(),
            delivering: Cell::new(false),
            idle: UnsafeCell::default(),
            unfinished: Cell::new(0),
            running: Cell::new(0),
            crew: UnsafeCell::default(),
            all_done: EventObject::shared(py, true)?,
        })
    }

    /// Adds a task; the caller has taken room for it. Returns its AsyncResult. In the hub's thread.
    fn put(&self, py: Python<'_>, function: Py<PyAny>, arguments: Py<PyTuple>, keywords: Option<Py<PyDict>>) -> PyResult<Py<ResultObject>> {
        let result = ResultObject::make(py)?;
        // Somebody will wait, and nothing in this loop shows it.
        self.home.get().engine()?.ref_();
        self.unfinished.set(self.unfinished.get() + 1);
        self.all_done.get().clear_flag();
        let task = Task { function, arguments, keywords, result: result.clone_ref(py) };
        self.tasks().push_back(task);
        self.wake_one();
        Ok(result)
    }

    /// A worker's life: runs tasks until it is told to end, or has been idle for so many seconds.
    #[pyo3(signature = (worker, number, idle_seconds=None))]
    fn work(slf: &Bound<'_, Self>, worker: &Bound<'_, PyAny>, number: u64, idle_seconds: Option<f64>) {
        let this = slf.get();
        let idle_ns = idle_seconds.map(|seconds| (seconds * 1e9) as i64);
        while let Some(task) = this.next(slf.py(), number, idle_ns) {
            this.running.set(this.running.get() + 1);
            Self::run(slf, worker, task);
            this.running.set(this.running.get().saturating_sub(1));
        }
        // In the same step as the decision to end: nobody shall count on a worker that takes no more.
        this.crew().lose(number);
    }

    /// Counts a worker that is being started; gives its number.
    fn worker_begins(&self) -> u64 {
        let crew = self.crew();
        crew.last += 1;
        crew.workers.push(crew.last);
        crew.threads.push(crew.last);
        crew.last
    }

    /// Counts the thread of a worker that is about to be gone.
    fn worker_ends(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        let crew = self.crew();
        crew.lose(number);
        crew.threads.retain(|other| *other != number);
        crew.consoled().into_iter().try_for_each(|event| EventObject::set(event.bind(py)))
    }

    /// Tells so many workers to end when they have nothing to do.
    fn stop(&self, number: usize) {
        let crew = self.crew();
        crew.stopping += number.min(crew.size());
        for _ in 0..number {
            self.wake_one();
        }
    }

    /// Tells all workers to end when they have nothing to do. Returns an event that is set when their threads have ended.
    fn stop_all(&self, py: Python<'_>) -> PyResult<Py<EventObject>> {
        let crew = self.crew();
        crew.condemned = crew.last;
        crew.stopping = 0;
        let ended = EventObject::shared(py, false)?;
        let crew = self.crew();
        crew.mourners.push((crew.condemned, ended.clone_ref(py)));
        while !self.idle().is_empty() {
            self.wake_one();
        }
        crew.consoled().into_iter().try_for_each(|event| EventObject::set(event.bind(py)))?;
        Ok(ended)
    }

    /// In the child of a fork: the workers are gone, and with them what they were at.
    fn after_fork(&self, py: Python<'_>) -> PyResult<()> {
        self.idle().clear();
        let crew = self.crew();
        crew.workers.clear();
        crew.threads.clear();
        crew.stopping = 0;
        let consoled = crew.consoled();
        for _ in 0..self.running.replace(0) {
            self.count_done(py)?;
        }
        consoled.into_iter().try_for_each(|event| EventObject::set(event.bind(py)))
    }

    /// How many workers there are, those not counted that have been told to end.
    #[getter]
    fn size(&self) -> usize {
        self.crew().size()
    }

    /// Tasks that were put and are not done.
    #[getter]
    fn unfinished_tasks(&self) -> usize {
        self.unfinished.get()
    }

    /// Tasks that no worker has taken.
    fn qsize(&self) -> usize {
        self.tasks().len()
    }

    fn __len__(&self) -> usize {
        self.tasks().len()
    }

    /// The event that is set while nothing is unfinished.
    #[getter]
    fn all_done(&self, py: Python<'_>) -> Py<EventObject> {
        self.all_done.clone_ref(py)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.hub)?;
        visit.call(&self.home)?;
        visit.call(&self.room)?;
        for task in self.tasks().iter() {
            visit.call(&task.function)?;
            visit.call(&task.arguments)?;
            visit.call(&task.keywords)?;
            visit.call(&task.result)?;
        }
        Ok(())
    }
}
