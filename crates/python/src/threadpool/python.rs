//! The pool as Python sees it: `verdigris._core.ThreadPoolBase`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::pool::PoolObject;
use super::task::{Receiver, Task, Waiting};
use crate::forks;
use crate::hub::{self, HubObject};
use crate::primitives::ResultObject;

#[pymethods]
impl PoolObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize, hub, idle_task_timeout)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
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

impl PoolObject {
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
