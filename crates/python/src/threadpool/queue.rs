//! The queue between the thread that owns a pool and its workers, and how many workers there are to be.
//!
//! Who decides anything about the number of workers does it under the mutex: a worker that ends because it was idle
//! cannot miss a task that is put in at the same moment. Nobody who holds the mutex runs Python code or waits for
//! the GIL, so it may be locked with the GIL held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::task::Task;
use crate::spin::Spin;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many tasks are there: to be looked at without the mutex.
    waiting: AtomicUsize,
    /// Where a worker that has nothing to do looks for a moment whether something comes.
    idling: Spin,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    /// How many there are, or are being started.
    workers: usize,
    /// How many there may be.
    limit: usize,
    /// How many have been told to end when no task is left.
    stops: usize,
    /// How many workers sleep.
    sleeping: usize,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        let queue = Self::default();
        queue.lock().limit = limit;
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, task: Task) {
        let mut state = self.lock();
        state.tasks.push_back(task);
        self.waiting.store(state.tasks.len(), Ordering::Release);
        let sleeping = state.sleeping > 0;
        drop(state);
        if sleeping {
            self.changed.notify_one();
        }
    }

    /// Takes the last task back, if it still is there.
    pub(super) fn take_back(&self) -> Option<Task> {
        let mut state = self.lock();
        let task = state.tasks.pop_back();
        self.waiting.store(state.tasks.len(), Ordering::Release);
        task
    }

    /// Takes the first task.
    fn pop(&self, state: &mut State) -> Option<Task> {
        let task = state.tasks.pop_front();
        self.waiting.store(state.tasks.len(), Ordering::Release);
        task
    }

    pub(super) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    pub(super) fn workers(&self) -> usize {
        self.lock().workers
    }

    /// Sets how many workers there may be; those that are too many end before they take another task.
    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
        self.changed.notify_all();
    }

    /// Counts one worker more, which the caller has to start: if fewer than `wanted` are there, and one more may be.
    pub(super) fn reserve_worker(&self, wanted: usize) -> bool {
        let mut state = self.lock();
        let free = state.workers < wanted.min(state.limit);
        if free {
            state.workers += 1;
        }
        free
    }

    /// One that was counted could not be started. How many are left.
    pub(super) fn worker_failed(&self) -> usize {
        let mut state = self.lock();
        state.workers -= 1;
        state.workers
    }

    /// Has so many workers end that `size` are left, each when no task is left.
    pub(super) fn shrink(&self, size: usize) {
        let mut state = self.lock();
        state.stops = state.workers.saturating_sub(size);
        drop(state);
        self.changed.notify_all();
    }

    /// The worker's next task; waits for it without the GIL. None: the worker is to end, and is not counted any more.
    pub(super) fn take(&self, idle_limit: Option<Duration>) -> Option<Task> {
        self.idling.until(|| self.waiting.load(Ordering::Acquire) > 0);
        let deadline = idle_limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock();
        loop {
            if state.workers > state.limit {
                state.workers -= 1;
                // It may have been one of those that were told to.
                state.stops = state.stops.saturating_sub(1);
                return None;
            }
            if let Some(task) = self.pop(&mut state) {
                return Some(task);
            }
            if state.stops > 0 {
                state.stops -= 1;
                state.workers -= 1;
                return None;
            }
            state.sleeping += 1;
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.sleeping -= 1;
                        state.workers -= 1;
                        return None;
                    }
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.sleeping -= 1;
        }
    }

    /// A task that is there already.
    pub(super) fn take_now(&self) -> Option<Task> {
        let mut state = self.lock();
        if state.workers > state.limit {
            None
        } else {
            self.pop(&mut state)
        }
    }
}
