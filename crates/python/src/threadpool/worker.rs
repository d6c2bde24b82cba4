//! A worker: a native thread whose tasks run in a greenlet of its own, an instance of the pool's `_WorkerGreenlet`.
//!
//! ```text
//!   _thread.start_new_thread(body, (worker, pool))
//!     the thread's main greenlet ── switches once to ──► worker._work(perform_tasks): take, call, complete, take, ...
//! ```
//!
//! `_work` is Python, once for each thread, so that the thread has a frame by which lists of threads know an idle worker.
//!
//! A task may use everything that greenlets use: the thread then gets a hub, whose parent is the worker, and which is
//! destroyed at the end of the thread.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use super::completions::Message;
use super::pool::PoolObject;
use super::task::{Completion, Receiver, Task};
use crate::greenlet::{self, PyGreenlet};
use crate::hub;
use crate::names;
use crate::spin::Spin;
use crate::tstate;

thread_local! {
    /// The worker that runs in this thread; borrowed, the thread's body keeps it.
    static WORKER: Cell<*mut PyGreenlet> = const { Cell::new(null_mut()) };
}

/// The greenlet under which the hub of a worker thread is to be made.
pub(crate) fn root_of_this_thread(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let worker = WORKER.get();
    // SAFETY: the thread's body holds a reference for as long as the pointer is set.
    (!worker.is_null()).then(|| unsafe { Bound::from_borrowed_ptr(py, worker.cast()) })
}

/// Starts the thread of one more worker.
pub(super) fn start(pool: &Bound<'_, PoolObject>) -> PyResult<()> {
    let py = pool.py();
    let worker = pool.getattr("_WorkerGreenlet")?.call1((pool,))?;
    let pool = PyWeakrefReference::new(pool)?;
    names::start_new_thread(py)?
        .call1((body(py)?, (worker, pool)))
        .map(drop)
}

/// The function that a worker's thread runs, made once.
fn body(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static BODY: AtomicPtr<ffi::PyObject> = AtomicPtr::new(null_mut());
    let made = BODY.load(Ordering::Relaxed);
    if made.is_null() {
        let definition = definition(c"threadpool_worker", run_thread as *mut c_void, ffi::METH_VARARGS);
        let function = function(py, definition, None)?;
        BODY.store(function.clone().into_ptr(), Ordering::Relaxed);
        return Ok(function);
    }
    // SAFETY: made above, and kept for ever.
    Ok(unsafe { Bound::from_borrowed_ptr(py, made) })
}

/// The function that performs the tasks of a worker, for the worker's method `_work`.
fn perform_tasks<'py>(py: Python<'py>, worker_and_pool: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    static DEFINITION: AtomicPtr<ffi::PyMethodDef> = AtomicPtr::new(null_mut());
    if DEFINITION.load(Ordering::Relaxed).is_null() {
        let made = definition(c"perform_tasks", run_tasks as *mut c_void, ffi::METH_NOARGS);
        DEFINITION.store(made, Ordering::Relaxed);
    }
    function(py, DEFINITION.load(Ordering::Relaxed), Some(worker_and_pool))
}

/// What CPython wants to know of a function, for ever.
fn definition(name: &'static CStr, entry: *mut c_void, flags: i32) -> *mut ffi::PyMethodDef {
    Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        // SAFETY: the flags say that it has this signature.
        ml_meth: unsafe { std::mem::transmute::<*mut c_void, ffi::PyMethodDefPointer>(entry) },
        ml_flags: flags,
        ml_doc: c"Runs in the threads of a thread pool.".as_ptr(),
    }))
}

fn function<'py>(
    py: Python<'py>,
    definition: *mut ffi::PyMethodDef,
    bound_to: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let bound_to = bound_to.map_or(null_mut(), |object| object.as_ptr());
    // SAFETY: the GIL is held, the definition is for ever.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCFunction_NewEx(definition, bound_to, null_mut())) }
}

/// The thread: runs the worker's greenlet to its end.
unsafe extern "C-unwind" fn run_thread(
    _module: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by `_thread` with the GIL held and the tuple that `start` has made; nothing here has a destructor.
    unsafe {
        let worker: *mut PyGreenlet = ffi::PyTuple_GET_ITEM(arguments, 0).cast();
        let main = greenlet::current();
        if main.is_null() || ffi::PyObject_TypeCheck(worker.cast(), greenlet::greenlet_type()) == 0 {
            return null_mut();
        }
        greenlet::set_initial_parent(worker, main);
        greenlet::state(worker).native_run.set(Some(run_worker));
        let pool = ffi::PyTuple_GET_ITEM(arguments, 1);
        ffi::Py_INCREF(pool);
        greenlet::switch(worker, pool)
    }
}

/// The worker's greenlet.
unsafe extern "C-unwind" fn run_worker(worker: *mut PyGreenlet, pool: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held in the worker's own thread, by `run_thread`: it comes with a weak reference to the
    // pool, which is ours.
    unsafe {
        let py = Python::assume_attached();
        WORKER.set(worker);
        {
            let pool = Bound::from_owned_ptr(py, pool);
            let worker = Bound::from_borrowed_ptr(py, worker.cast());
            Worker::new(worker, pool.cast_into_unchecked()).run();
        }
        WORKER.set(null_mut());
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

/// The tasks of the worker that the function is bound to, as long as there are any.
unsafe extern "C-unwind" fn run_tasks(
    worker_and_pool: *mut ffi::PyObject,
    _arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held, by the function made in `perform_tasks`, which keeps the tuple made in `run`.
    unsafe {
        let py = Python::assume_attached();
        {
            let bound_to = Bound::from_borrowed_ptr(py, worker_and_pool).cast_into_unchecked::<PyTuple>();
            let worker = bound_to.get_borrowed_item_unchecked(0).to_owned();
            let pool = bound_to.get_borrowed_item_unchecked(1).to_owned();
            Worker::new(worker, pool.cast_into_unchecked()).perform_all();
        }
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

struct Worker<'py> {
    worker: Bound<'py, PyAny>,
    pool: Bound<'py, PyWeakrefReference>,
    /// Whether the thread has a hub, and that its name.
    named: Cell<bool>,
}

impl<'py> Worker<'py> {
    fn new(worker: Bound<'py, PyAny>, pool: Bound<'py, PyWeakrefReference>) -> Self {
        let named = Cell::new(false);
        Self { worker, pool, named }
    }

    fn run(&self) {
        let py = self.worker.py();
        let work = || -> PyResult<()> {
            let bound_to = (&self.worker, &self.pool).into_pyobject(py)?;
            let arguments = PyTuple::new(py, [perform_tasks(py, &bound_to)?])?;
            self.worker.call_method1("_work", arguments).map(drop)
        };
        if let Err(error) = work() {
            error.write_unraisable(py, Some(&self.worker));
        }
        if let Some(pool) = self.pool() {
            pool.get().worker_ended(py);
        }
    }

    fn perform_all(&self) {
        let py = self.worker.py();
        let Some((queue, idle_limit)) = self.pool().map(|pool| (pool.get().queue(), pool.get().idle_limit())) else {
            return;
        };
        let hooked = self.is_hooked();
        let gave_way = self.pool().and_then(|pool| pool.get().owner_gave_way(py));
        let (mut message, owner) = (None::<Message>, Spin::default());
        loop {
            let task = queue.take_now().or_else(|| {
                let message = message.take();
                tstate::detached(py, || {
                    if let Some(message) = message {
                        message.send();
                    }
                    let task = queue.take(idle_limit)?;
                    // Who has put it in still has the GIL: not to queue up for that if it is released in a moment.
                    if let Some(gave_way) = &gave_way {
                        owner.until(|| gave_way.load(Ordering::Acquire));
                    }
                    Some(task)
                })
            });
            if let Some(message) = message.take() {
                message.send();
            }
            let Some(task) = task else { break };
            message = self.perform(task, hooked);
        }
    }

    /// The pool, if it still is there.
    fn pool(&self) -> Option<Bound<'py, PoolObject>> {
        self.pool.upgrade_as().ok().flatten()
    }

    /// Whether the class of the worker has hooks of its own round each task.
    fn is_hooked(&self) -> bool {
        let overrides = || -> PyResult<bool> {
            let base = names::worker_greenlet(self.worker.py())?;
            let class = self.worker.get_type();
            for name in ["_before_run_task", "_after_run_task"] {
                if !class.getattr(name)?.is(&base.getattr(name)?) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        overrides().unwrap_or(true)
    }

    /// Runs a task and keeps what has become of it for the pool's loop, which is to get the message.
    fn perform(&self, task: Task, hooked: bool) -> Option<Message> {
        let py = self.worker.py();
        let Task {
            pool,
            function,
            arguments,
            keywords,
            receiver,
        } = task;
        let hooked = hooked || self.is_observed(py);
        let outcome = if hooked {
            self.call_hooked("_call", &function, &arguments, keywords.as_ref(), &receiver)
        } else {
            let result = function
                .bind(py)
                .call(arguments.bind(py), keywords.as_ref().map(|keywords| keywords.bind(py)));
            if tstate::is_observed(py) {
                // The task has set a profile or trace function, which is not to outlive it.
                self.call_hooked("_after_run_task", &function, &arguments, keywords.as_ref(), &receiver)
                    .and(result)
            } else {
                result
            }
        };
        self.name_hub();
        let outcome = outcome.map(Bound::unbind);
        // Nothing of the task is left here when the one who waits goes on.
        drop((
            arguments.into_bound(py),
            keywords.map(|keywords| keywords.into_bound(py)),
        ));
        let context = if outcome.is_err() {
            Some((self.worker.clone().unbind(), function))
        } else {
            drop(function.into_bound(py));
            None
        };
        let completion = Completion {
            receiver,
            outcome,
            context,
        };
        let message = PoolObject::complete(pool.bind(py), completion);
        drop(pool.into_bound(py));
        message
    }

    /// Whether a profile or trace function is there, or is to be set for the task.
    fn is_observed(&self, py: Python<'_>) -> bool {
        tstate::is_observed(py) || names::has_threading_hooks(py)
    }

    /// A method of the worker that is told everything about the task.
    fn call_hooked(
        &self,
        method: &str,
        function: &Py<PyAny>,
        arguments: &Py<PyTuple>,
        keywords: Option<&Py<PyDict>>,
        receiver: &Receiver,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = self.worker.py();
        let keywords = keywords.map_or_else(|| PyDict::new(py), |keywords| keywords.bind(py).clone());
        let result = match receiver {
            Receiver::Result(result) => result.bind(py).clone().into_any(),
            Receiver::Waiting(_) => py.None().into_bound(py),
        };
        self.worker
            .call_method1(method, (function, arguments, keywords, result))
    }

    /// Says in the thread's hub, when a task has made it, whose it is.
    fn name_hub(&self) {
        let py = self.worker.py();
        if self.named.get() {
            return;
        }
        if let Some(hub) = hub::current_if_exists(py) {
            self.named.set(true);
            if let Err(error) = hub.setattr("name", "ThreadPool Worker Hub") {
                error.write_unraisable(py, Some(hub.as_any()));
            }
        }
    }
}
