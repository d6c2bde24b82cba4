//! The switch: from a call of `switch` in one greenlet to its return in another.
//!
//! ```text
//!   origin's stack                                     target's stack
//!   --------------                                     --------------
//!   switch(): may it? where to?  (the fast path: the target is suspended and of this thread)
//!   resume(): current = target; exchange CPython's part
//!       fiber::switch  - - - - - - - - - - - - - - ->  land(): stack of a dead origin to the pool, trace function
//!                                                      drop the reference to the origin (may run anything)
//!                                                      the value is what target's own switch() returns
//! ```
//!
//! A target that has not started gets a stack first and lands in `entry`, which calls `run`; what that returns is
//! switched to the parent, as the last thing of the stack (`depart`). A dead target passes what it was given to its parent.
//!
//! The value that crosses is one owned object. NULL means that an exception is set in the thread state (which is not exchanged)
//! and is to be raised in the target.
//!
//! Nothing on these paths has a destructor, because a thread that ends at exit (`pthread_exit`) unwinds through them, and no borrow
//! of anything is held when `fiber::switch`, a decref or a Python call is reached.

use std::ptr::{self, null_mut};
use std::sync::atomic::Ordering;

use pyo3::ffi;
use verdigris_fiber as fiber;

use super::object::{Phase, PyGreenlet, State, state};
use super::python::{self, Pending};
use super::thread::{self, Thread};
use super::{error_type, exit_type, pool, trace};
use crate::tstate;

/// Switches. `value` is owned, or NULL: an exception is set, raise it in the target. Returns an owned object, or NULL with
/// an exception set.
///
/// # Safety
///
/// The GIL is held, the caller keeps `target` alive, and nothing that Python code could need is locked or borrowed.
#[inline]
pub(crate) unsafe fn switch(target: *mut PyGreenlet, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let own = state(target);
        match own.ready_thread() {
            Some(thread) => resume(thread, target, own, value),
            None => switch_slowly(target, Payload::value(value)),
        }
    }
}

/// The same for a target that is known to be suspended in this thread.
///
/// # Safety
///
/// As [`switch`]; `thread` is what `ready_thread` of the target gave, and no Python code has run since.
#[inline(always)]
pub(super) unsafe fn switch_ready(
    thread: &Thread,
    target: *mut PyGreenlet,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe { resume(thread, target, state(target), value) }
}

/// The same with the arguments of a Python call: a tuple and a dict or NULL, both owned.
///
/// # Safety
///
/// As [`switch`].
pub(super) unsafe fn switch_with_arguments(
    target: *mut PyGreenlet,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        switch_slowly(
            target,
            Payload {
                value: null_mut(),
                arguments,
                keywords,
            },
        )
    }
}

impl State {
    /// The running thread's record, if the greenlet is suspended in this thread: then it can be resumed without a question.
    #[inline(always)]
    pub(super) unsafe fn ready_thread(&self) -> Option<&Thread> {
        if self.context.get().is_null() {
            return None;
        }
        // SAFETY: a greenlet with a context has started, so it has a thread.
        let thread = unsafe { &*self.thread.get() };
        // SAFETY: the GIL is held.
        (thread.tstate() == unsafe { ffi::PyThreadState_Get() }).then_some(thread)
    }
}

/// What is on its way to a greenlet: one value, or the arguments of a call; an exception if all are NULL. Owned.
#[derive(Clone, Copy)]
struct Payload {
    value: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
}

impl Payload {
    fn value(value: *mut ffi::PyObject) -> Payload {
        Payload {
            value,
            arguments: null_mut(),
            keywords: null_mut(),
        }
    }

    fn is_exception(self) -> bool {
        self.value.is_null() && self.arguments.is_null()
    }

    /// As the result of a `switch()` call: () for none, one argument as it is, several as a tuple, keywords as a dict, both as a pair.
    /// Runs no Python code.
    unsafe fn into_value(self) -> *mut ffi::PyObject {
        // SAFETY: the references are the payload's own.
        unsafe {
            if self.arguments.is_null() {
                return self.value;
            }
            let count = ffi::PyTuple_GET_SIZE(self.arguments);
            if !self.keywords.is_null() && ffi::PyDict_Size(self.keywords) > 0 {
                if count == 0 {
                    ffi::Py_DECREF(self.arguments);
                    return self.keywords;
                }
                let pair = python::uncollected(|| ffi::PyTuple_Pack(2, self.arguments, self.keywords));
                ffi::Py_DECREF(self.arguments);
                ffi::Py_DECREF(self.keywords);
                return pair;
            }
            ffi::Py_XDECREF(self.keywords);
            if count != 1 {
                return self.arguments;
            }
            let only = ffi::PyTuple_GET_ITEM(self.arguments, 0);
            ffi::Py_INCREF(only);
            ffi::Py_DECREF(self.arguments);
            only
        }
    }

    /// As the arguments of a call: a value becomes the only one. None with an exception set when there is no memory.
    ///
    /// A greenlet that starts because its child ended by GreenletExit is called without arguments: nobody gave any (the value stays, to
    /// be dropped). What is native gets a value as it is. Runs no Python code, unless it fails.
    unsafe fn into_call(self, native: bool) -> Option<Payload> {
        if self.value.is_null() {
            return Some(self);
        }
        if native {
            return Some(Payload {
                value: null_mut(),
                arguments: self.value,
                keywords: null_mut(),
            });
        }
        // SAFETY: the value is ours; it moves into the tuple, or is dropped while the payload is ours alone.
        unsafe {
            let is_exit = ffi::PyObject_TypeCheck(self.value, exit_type()) != 0;
            let arguments = python::uncollected(|| ffi::PyTuple_New(if is_exit { 0 } else { 1 }));
            if arguments.is_null() {
                ffi::Py_DECREF(self.value);
                return None;
            }
            if !is_exit {
                ffi::PyTuple_SET_ITEM(arguments, 0, self.value);
            }
            Some(Payload {
                value: if is_exit { self.value } else { null_mut() },
                arguments,
                keywords: null_mut(),
            })
        }
    }

    unsafe fn drop(self) {
        // SAFETY: the references are the payload's own.
        unsafe {
            ffi::Py_XDECREF(self.value);
            ffi::Py_XDECREF(self.arguments);
            ffi::Py_XDECREF(self.keywords);
        }
    }
}

/// The general case.
#[cold]
#[inline(never)]
unsafe fn switch_slowly(target: *mut PyGreenlet, payload: Payload) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise (see `switch`).
    unsafe {
        // To find the thread's record may run Python code, which must not see an exception that is on its way.
        let pending = payload.is_exception().then(|| Pending::take());
        let thread = thread::present();
        if thread.is_null() {
            if let Some(pending) = pending {
                pending.forget();
            }
            payload.drop();
            return null_mut();
        }
        if let Some(pending) = pending {
            pending.restore();
        }
        match find(&*thread, target, payload) {
            Way::Failed => null_mut(),
            Way::Here(value) => trace::announce(&*thread, (*thread).current.get(), value),
            Way::To(greenlet, value) => resume(&*thread, greenlet, state(greenlet), value),
        }
    }
}

/// Where a switch leads.
enum Way {
    /// Nowhere: an exception is set.
    Failed,
    /// To the greenlet that runs.
    Here(*mut ffi::PyObject),
    /// To one that has a context.
    To(*mut PyGreenlet, *mut ffi::PyObject),
}

/// Finds out where a switch to `target` leads; if that has not started, makes it ready. May run Python code. Takes the payload.
#[inline(never)]
unsafe fn find(thread: &Thread, target: *mut PyGreenlet, payload: Payload) -> Way {
    // SAFETY: the caller keeps the target; each greenlet in the chain of parents is kept by the one before it.
    unsafe {
        'again: loop {
            if !check_thread(thread, target) {
                payload.drop();
                return Way::Failed;
            }
            let mut greenlet = target;
            loop {
                let own = state(greenlet);
                match own.phase.get() {
                    Phase::Active => {
                        let exception = payload.is_exception();
                        let value = payload.into_value();
                        return if greenlet == thread.current.get() {
                            Way::Here(value)
                        } else if value.is_null() && !exception {
                            Way::Failed
                        } else {
                            Way::To(greenlet, value)
                        };
                    }
                    Phase::Unstarted => match start(thread, greenlet, own, payload) {
                        Started::Ready(start) => return Way::To(greenlet, start),
                        Started::Failed => return Way::Failed,
                        Started::Overtaken => continue 'again,
                    },
                    Phase::Dead => {
                        let parent = own.parent.get();
                        // The collector may have taken the parent of a dead greenlet.
                        greenlet = if parent.is_null() { thread.main.get() } else { parent };
                    }
                }
            }
        }
    }
}

/// Whether the greenlet belongs to the running thread: by its own, or while it is unstarted by that of its nearest
/// started ancestor. Sets the exception if not.
unsafe fn check_thread(thread: &Thread, target: *mut PyGreenlet) -> bool {
    // SAFETY: as in `switch_slowly`.
    unsafe {
        let home = home_of(target);
        if ptr::eq(home, thread) {
            return true;
        }
        let pending = Pending::take();
        if home.is_null() {
            python::set_error(error_type().cast(), c"cannot switch to a garbage collected greenlet");
        } else if !(*home).is_alive() {
            let text = c"cannot switch to a different thread (which happens to have exited)";
            python::set_error(error_type().cast(), text);
        } else {
            ffi::PyErr_Format(
                error_type().cast(),
                c"Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R".as_ptr(),
                thread.main.get(),
                (*home).main.get(),
            );
        }
        pending.forget();
        false
    }
}

/// The thread a greenlet belongs to; NULL if the collector cut its chain of parents.
pub(super) unsafe fn home_of(mut greenlet: *mut PyGreenlet) -> *const Thread {
    // SAFETY: each greenlet in the chain is kept by the one before it.
    unsafe {
        while !greenlet.is_null() {
            let own = state(greenlet);
            if own.is_started() {
                return own.thread.get();
            }
            greenlet = own.parent.get();
        }
    }
    ptr::null()
}

/// Leaves the current greenlet for `target`, which has a context. Returns when somebody switches back.
#[inline(always)]
unsafe fn resume(
    thread: &Thread,
    target: *mut PyGreenlet,
    own: &State,
    value: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the target is suspended in this thread; the origin is kept by `thread.origin` until the target has landed.
    unsafe {
        let left = state(thread.current.get());
        let to = hand_over(thread, target, own, left);
        let value = fiber::switch(left.context.as_ptr(), to, value as usize) as *mut ffi::PyObject;
        land(thread, value)
    }
}

/// The end of the current greenlet: it is dead from now on, and its stack free once it is left, by the way that this gives. Nothing
/// may run Python code any more.
unsafe fn depart(thread: &Thread, target: *mut PyGreenlet, value: *mut ffi::PyObject) -> fiber::Departure {
    // SAFETY: as in `resume`; only this thread uses `retired`.
    unsafe {
        let left = state(thread.current.get());
        left.phase.set(Phase::Dead);
        *thread.retired.get() = (*left.stack.get()).take();
        thread.attention.store(true, Ordering::Relaxed);
        fiber::Departure {
            to: hand_over(thread, target, state(target), left),
            value: value as usize,
        }
    }
}

/// Makes `target` the current greenlet, but for the stack: gives where that goes on.
#[inline(always)]
unsafe fn hand_over(thread: &Thread, target: *mut PyGreenlet, own: &State, left: &State) -> fiber::Context {
    // SAFETY: `own` is the target's state, `left` that of the current greenlet; both are alive.
    unsafe {
        ffi::Py_INCREF(target.cast());
        thread.origin.set(thread.current.replace(target));
        tstate::exchange(thread.tstate(), left.saved.get(), own.saved.get());
        own.context.replace(fiber::Context::NULL)
    }
}

/// What the target of a switch does first. Takes the value and gives it, or NULL if the trace function failed.
#[inline(always)]
unsafe fn land(thread: &Thread, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `origin` is owned by the record until it is taken here.
    unsafe {
        let origin = thread.origin.replace(null_mut());
        let value = if thread.attention.load(Ordering::Relaxed) {
            land_slowly(thread, origin, value)
        } else {
            value
        };
        ffi::Py_DECREF(origin.cast());
        value
    }
}

#[cold]
#[inline(never)]
unsafe fn land_slowly(thread: &Thread, origin: *mut PyGreenlet, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: only this thread uses `retired`; nobody is on that stack any more, we are on ours.
    unsafe {
        if let Some(stack) = (*thread.retired.get()).take() {
            pool().release(stack);
        }
        thread.update_attention();
        let farewell = thread.farewell.replace(null_mut());
        let value = trace::announce(thread, origin, value);
        ffi::Py_XDECREF(farewell.cast());
        if thread.has_condemned() {
            thread.finish_condemned();
        }
        value
    }
}

enum Started {
    /// It has a context: what is to be brought there.
    Ready(*mut ffi::PyObject),
    /// An exception is set.
    Failed,
    /// Looking up `run` started the greenlet: look again where to go.
    Overtaken,
}

/// What a new greenlet finds when it starts, in its thread's record.
#[derive(Clone, Copy)]
pub(super) struct Start {
    /// What was given as `run`, if the attribute is something else, and what came but is not an argument. Dropped on the new stack, because
    /// dropping may run anything.
    unwanted: [*mut ffi::PyObject; 2],
    /// An exception is set: `run` is not called.
    throws: bool,
}

impl Start {
    pub(super) const NONE: Start = Start {
        unwanted: [null_mut(); 2],
        throws: false,
    };
}

/// Gives a greenlet that has not started a stack and a context. What is to be brought there is the thread's record.
unsafe fn start(thread: &Thread, greenlet: *mut PyGreenlet, own: &State, payload: Payload) -> Started {
    // SAFETY: the greenlet is kept by the caller; its state is not borrowed when `run` is looked up, which may run anything.
    unsafe {
        let native_run = own.native_run.get();
        // What `run` is found to be; NULL if that is what the state has.
        let mut run = null_mut();
        if native_run.is_none() && !runs_as_given(greenlet, own) {
            let pending = Pending::take();
            run = ffi::PyObject_GetAttr(greenlet.cast(), super::names::run());
            if run.is_null() {
                pending.forget();
                payload.drop();
                return Started::Failed;
            }
            pending.restore();
        }
        if own.is_started() || !ptr::eq(home_of(greenlet), thread) {
            let pending = Pending::take();
            ffi::Py_XDECREF(run);
            pending.restore();
            return Started::Overtaken;
        }
        let stack = match pool().allocate_for(greenlet.expose_provenance()) {
            Ok(stack) => stack,
            Err(_) => {
                let pending = Pending::take();
                ffi::Py_XDECREF(run);
                payload.drop();
                pending.forget();
                ffi::PyErr_NoMemory();
                return Started::Failed;
            }
        };
        let throws = payload.is_exception();
        let Some(payload) = payload.into_call(native_run.is_some()) else {
            pool().release(stack);
            ffi::Py_XDECREF(run);
            return Started::Failed;
        };
        thread.retain();
        own.thread.set(thread);
        own.phase.set(Phase::Active);
        let (annex, annex_bytes) = stack.annex();
        tstate::begin(
            thread.tstate(),
            own.saved.get(),
            annex,
            annex_bytes,
            stack.lowest(),
            stack.len(),
        );
        own.context.set(fiber::prepare(&stack, entry));
        *own.stack.get() = Some(stack);
        let given = if run.is_null() {
            null_mut()
        } else {
            own.run.replace(run)
        };
        own.arguments.set(payload.arguments);
        own.keywords.set(payload.keywords);
        thread.starting.set(Start {
            unwanted: [given, payload.value],
            throws,
        });
        Started::Ready(ptr::from_ref(thread).cast_mut().cast())
    }
}

/// Whether the attribute `run` is what the greenlet was given: there is something, and the type is the exact one, for which nobody can
/// have overridden it.
unsafe fn runs_as_given(greenlet: *mut PyGreenlet, own: &State) -> bool {
    // SAFETY: the greenlet is kept by the caller.
    unsafe { !own.run.get().is_null() && ffi::Py_TYPE(greenlet.cast()) == super::greenlet_type() }
}

/// The first function on a greenlet's stack, and the last. It has no destructors: unwinding may pass through it.
unsafe extern "C-unwind" fn entry(thread: usize) -> fiber::Departure {
    // SAFETY: this is the address of the thread's record (see `start`), which outlives the greenlets that run.
    unsafe {
        let thread = &*(thread as *const Thread);
        let Start { unwanted, throws } = thread.starting.replace(Start::NONE);
        let greenlet = thread.current.get();
        let own = state(greenlet);
        // A token in place of the value, for the trace function's sake: NULL says "throw".
        let token = if throws { null_mut() } else { own.arguments.get() };
        ffi::Py_XINCREF(token);
        let token = land(thread, token);
        for object in unwanted {
            if !object.is_null() {
                let pending = Pending::take();
                ffi::Py_DECREF(object);
                pending.restore();
            }
        }
        let result = if token.is_null() {
            null_mut() // thrown in, or the trace function failed
        } else {
            ffi::Py_DECREF(token);
            call(greenlet, own)
        };
        finish(thread, own, result)
    }
}

unsafe fn call(greenlet: *mut PyGreenlet, own: &State) -> *mut ffi::PyObject {
    // SAFETY: the state keeps what is called and what with until the greenlet ends.
    unsafe {
        let arguments = own.arguments.get();
        match own.native_run.get() {
            None => ffi::PyObject_Call(own.run.get(), arguments, own.keywords.get()),
            Some(native_run) => {
                ffi::Py_INCREF(arguments);
                native_run(greenlet, arguments)
            }
        }
    }
}

/// The greenlet ends with `result`, or with the exception that is set.
unsafe fn finish(thread: &Thread, own: &State, result: *mut ffi::PyObject) -> fiber::Departure {
    // SAFETY: runs on the greenlet's own stack; `thread.current` keeps the greenlet until somebody has landed elsewhere.
    unsafe {
        let mut parent = thread.successor.replace(null_mut());
        ffi::Py_XINCREF(parent.cast());
        let mut result = result;
        if result.is_null() {
            result = exit_as_value();
        }
        let pending = result.is_null().then(|| Pending::take());
        own.drop_call();
        if let Some(pending) = pending {
            pending.restore();
        }
        if parent.is_null() {
            parent = parent_or_main(thread, own);
        }
        loop {
            // Until the way is found the greenlet is as alive as any, because what is asked for that may run Python code. Whoever
            // lands gives the reference back.
            match find(thread, parent, Payload::value(result)) {
                Way::To(target, value) => {
                    thread.farewell.set(parent);
                    return depart(thread, target, value);
                }
                Way::Here(value) => ffi::Py_XDECREF(value),
                Way::Failed => {}
            }
            // A parent that cannot start: its exception goes to the next.
            result = null_mut();
            let next = parent_or_main(thread, state(parent));
            let pending = Pending::take();
            ffi::Py_DECREF(parent.cast());
            pending.restore();
            parent = next;
        }
    }
}

/// To whom goes what the greenlet leaves; a new reference.
unsafe fn parent_or_main(thread: &Thread, own: &State) -> *mut PyGreenlet {
    // SAFETY: the caller keeps the greenlet, that keeps its parent, and the thread its main greenlet.
    unsafe {
        let parent = own.parent.get();
        let parent = if parent.is_null() { thread.main.get() } else { parent };
        ffi::Py_INCREF(parent.cast());
        parent
    }
}

/// GreenletExit is not an error but a way to end: it becomes the value. Other exceptions stay set.
pub(super) unsafe fn exit_as_value() -> *mut ffi::PyObject {
    // SAFETY: an exception is set; the GIL is held.
    unsafe {
        if ffi::PyErr_ExceptionMatches(exit_type().cast()) == 0 {
            return null_mut();
        }
        Pending::take().into_instance()
    }
}
