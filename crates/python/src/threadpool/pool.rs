//! The pool as the thread that owns it sees it: tasks go in, outcomes come back through the loop.
//!
//! A task that is out keeps the loop running. Its outcome is delivered by an entry of the loop, in the thread of the
//! pool's hub, whichever thread the task ran in: only there is anything here but the queue touched.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::completions::Completions;
use super::queue::Queue;
use super::task::Task;
use super::worker;
use crate::forks;
use crate::hub::{self, HubObject, LoopObject, Ticket};
use crate::names;

/// The base class of `verdigris.threadpool.ThreadPool`.
#[pyclass(name = "ThreadPoolBase", module = "verdigris._core", subclass, frozen, weakref)]
pub(crate) struct PoolObject {
    inner: UnsafeCell<Inner>,
    /// What the workers have done, on the way to the loop. Not locked while Python code runs.
    completions: Mutex<Completions>,
}

pub(super) struct Inner {
    pub(super) hub: Option<Py<HubObject>>,
    pub(super) queue: Arc<Queue>,
    /// The process that `queue`'s workers are in.
    pub(super) generation: u32,
    pub(super) idle_limit: Option<Duration>,
    pub(super) maxsize: usize,
    /// Tasks that are out.
    pub(super) unfinished: usize,
    /// Places that are taken, or given to one who has not come for it yet.
    pub(super) held: usize,
    /// Those who wait for a place.
    pub(super) waiting: VecDeque<Ticket>,
    /// Those who wait for the pool to have nothing to do, or for workers to end.
    pub(super) watching: Vec<Ticket>,
    /// Worker threads that have not ended.
    pub(super) alive: usize,
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
    /// A pool of no hub yet, in which nothing runs.
    pub(super) fn empty() -> Self {
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

    #[expect(
        clippy::mut_from_ref,
        reason = "single steps with the GIL held; nothing keeps it over Python code"
    )]
    pub(super) fn inner(&self) -> &mut Inner {
        // SAFETY: see the `Sync` above.
        unsafe { &mut *self.inner.get() }
    }

    pub(super) fn completions(&self) -> std::sync::MutexGuard<'_, Completions> {
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

    pub(super) fn home(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
        self.hub_of(py)?.get().native_loop(py)
    }

    /// The pool's loop, if the running code may use the pool: it is in the thread of the pool's hub.
    pub(super) fn home_here(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
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
    pub(super) fn forget_threads(&self, py: Python<'_>) {
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

    // ---- workers

    /// Starts workers as long as there are fewer than tasks.
    pub(super) fn start_workers(slf: &Bound<'_, Self>) -> PyResult<()> {
        while slf.get().inner().queue.reserve_worker(slf.get().inner().unfinished) {
            Self::start_worker(slf)?;
        }
        Ok(())
    }

    /// Starts a worker that has been counted.
    pub(super) fn start_worker(slf: &Bound<'_, Self>) -> PyResult<()> {
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
    pub(super) fn put(slf: &Bound<'_, Self>, home: &Py<LoopObject>, task: Task) -> PyResult<()> {
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
    pub(super) fn account(&self, py: Python<'_>) {
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
}
