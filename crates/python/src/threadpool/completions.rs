//! What the workers of a pool have done, on the way to those who wait for it: by an entry of the loop of the pool's hub.
//!
//! However many tasks are done before it runs, there is one entry. It resumes a waiting greenlet directly where that runs
//! no Python code, and asks for the hub where it does.

use std::collections::VecDeque;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use verdigris_loop::Remote;

use super::pool::PoolObject;
use super::task::{Completion, Receiver};
use crate::hub::{Outcome, Place, Token};
use crate::primitives::ResultObject;

#[derive(Default)]
pub(super) struct Completions {
    done: VecDeque<Completion>,
    /// Whether the entry that delivers them is in the loop.
    posted: bool,
}

impl PoolObject {
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
