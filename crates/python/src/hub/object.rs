//! The hub: the greenlet that runs the loop, one per thread, and the way to the current one.
//!
//! This is the base class of `verdigris.hub.Hub`; what is policy (how errors are reported, which
//! thread pool and resolver, `run` itself) is Python there. Here is what every wait needs.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::error;
use super::event_loop::LoopObject;
use super::waiter::WaiterObject;
use crate::greenlet::{self, PyGreenlet};
use crate::greenlet_base::RawGreenlet;
use crate::names;
use crate::threadpool;
use crate::tstate;

thread_local! {
    /// This thread's hub, borrowed: the reference is in the thread state's dictionary, so that it
    /// goes when the thread goes.
    static CURRENT: Cell<*mut ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// The base class of the hub.
#[pyclass(name = "HubBase", module = "verdigris._core", extends = RawGreenlet, subclass, frozen)]
pub(crate) struct HubObject {
    /// What `hub.loop` answers: the loop, or what a program has put in its place.
    attribute: UnsafeCell<Option<Py<PyAny>>>,
    /// The loop itself, when `attribute` is one of ours.
    native: UnsafeCell<Option<Py<LoopObject>>>,
    /// Its own address once it has been some thread's hub.
    own: Cell<*mut ffi::PyObject>,
}

impl Drop for HubObject {
    /// The thread state's dictionary goes before the thread is quite done: nobody may find a hub that is gone.
    fn drop(&mut self) {
        if !self.own.get().is_null() && CURRENT.get() == self.own.get() {
            CURRENT.set(std::ptr::null_mut());
        }
    }
}

// SAFETY: touched with the GIL held only, and the cells are read and written in single steps.
unsafe impl Send for HubObject {}
// SAFETY: as above.
unsafe impl Sync for HubObject {}

impl HubObject {
    /// The loop of this hub.
    #[inline]
    pub(crate) fn native_loop(&self, py: Python<'_>) -> PyResult<Py<LoopObject>> {
        // SAFETY: cloned in one step, with the GIL held.
        match unsafe { &*self.native.get() } {
            Some(native) => Ok(native.clone_ref(py)),
            None => Err(error::no_native_loop()),
        }
    }

    /// The same for a single step, in which the loop cannot be replaced: no Python code runs.
    #[inline]
    pub(crate) fn native_loop_for_a_step(&self) -> Option<&Py<LoopObject>> {
        // SAFETY: the caller keeps the reference for one step, with the GIL held.
        unsafe { (*self.native.get()).as_ref() }
    }

    /// What a program has put in the place of the loop `native`, as long as that is this hub's.
    pub(crate) fn loop_stand_in(&self, py: Python<'_>, native: &Py<LoopObject>) -> Option<Py<PyAny>> {
        // SAFETY: read and cloned in one step.
        let (attribute, own) = unsafe { ((*self.attribute.get()).as_ref()?, (*self.native.get()).as_ref()?) };
        (own.is(native) && !attribute.is(native)).then(|| attribute.clone_ref(py))
    }

    /// Leaves `current` until it is switched to again, in favour of the next that is ready or of the
    /// hub. Returns what the switch returns: owned, or null with an exception set.
    ///
    /// # Safety
    /// `current` is the running greenlet, on the hub's own thread, with the GIL held.
    #[inline]
    pub(crate) unsafe fn switch_away(slf: &Bound<'_, Self>, current: *mut PyGreenlet) -> *mut ffi::PyObject {
        let hub: *mut PyGreenlet = slf.as_ptr().cast();
        // SAFETY: read in one step; the loop lives as long as the hub, which is alive: it is the thread's.
        if let Some(native) = unsafe { &*slf.get().native.get() } {
            let native: &LoopObject = native.get();
            // A trace function is promised to see every switch through the hub, as with gevent.
            if native.is_home() && native.is_at_rest(hub) && !greenlet::is_traced() {
                // SAFETY: on the home thread with the GIL held.
                if let Some(target) = unsafe { native.next_runnable() } {
                    if std::ptr::eq(target.as_ptr(), current) {
                        // It has been woken already: nobody needs to be switched to.
                        // SAFETY: the token's reference, not the last one: the greenlet is running.
                        unsafe { ffi::Py_DECREF(target.as_ptr().cast()) };
                        return super::park::woken();
                    }
                    // SAFETY: the reference came with it.
                    return unsafe { native.resume(target) };
                }
            }
            // SAFETY: the hub is alive; None is passed as an owned reference.
            let result = unsafe {
                let none = ffi::Py_None();
                ffi::Py_INCREF(none);
                greenlet::switch(hub, none)
            };
            // SAFETY: whoever lands gives the last one's reference back.
            unsafe { native.release_deferred() };
            return result;
        }
        // SAFETY: as above.
        unsafe {
            let none = ffi::Py_None();
            ffi::Py_INCREF(none);
            greenlet::switch(hub, none)
        }
    }
}

/// Names the next greenlet that is ready as the one to hand over to when the running one ends, which would otherwise
/// go to the hub and no further than through it. False: the hub is wanted.
///
/// # Safety
/// `ending` is the running greenlet and about to end, with the GIL held.
#[inline]
pub(super) unsafe fn hand_over(py: Python<'_>, ending: *mut PyGreenlet) -> bool {
    let Some(hub) = current_if_exists(py) else {
        return false;
    };
    let hub_greenlet: *mut PyGreenlet = hub.as_ptr().cast();
    // SAFETY: the hub is alive, it is the thread's; the cell is read in one step, and the loop lives as long as the hub.
    unsafe {
        let Some(native) = &*hub.get().native.get() else {
            return false;
        };
        let native: &LoopObject = native.get();
        if greenlet::parent(ending) != hub_greenlet
            || !native.is_home()
            || !native.is_at_rest(hub_greenlet)
            || greenlet::is_traced()
        {
            return false;
        }
        let Some(target) = native.next_runnable() else {
            return false;
        };
        if std::ptr::eq(target.as_ptr(), ending) {
            // A wake-up for a wait that was given up before it began.
            ffi::Py_DECREF(target.as_ptr().cast());
            return false;
        }
        native.forget_resumed(py, ending);
        native.defer_release(target);
        greenlet::set_successor(target.as_ptr());
    }
    true
}

#[pymethods]
impl HubObject {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            attribute: UnsafeCell::new(None),
            native: UnsafeCell::new(None),
            own: Cell::new(std::ptr::null_mut()),
        }
    }

    /// The hub's parent is the thread's main greenlet, whoever makes the hub: errors that end the program go there.
    /// In a thread of a pool it is the worker, which is there in the main greenlet's place.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let main = match threadpool::root_of_this_thread(py) {
            Some(worker) => worker,
            None => greenlet::main_bound(py)?,
        };
        // SAFETY: the hub is new and not started; a main greenlet descends from nobody.
        unsafe {
            greenlet::set_initial_parent(slf.as_ptr().cast(), main.as_ptr().cast());
            greenlet::state(slf.as_ptr().cast()).native_run.set(Some(run_hub));
        }
        Ok(())
    }

    /// The event loop that this hub runs.
    #[getter(r#loop)]
    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        // SAFETY: cloned in one step.
        unsafe {
            (*self.attribute.get())
                .as_ref()
                .map_or_else(|| py.None(), |value| value.clone_ref(py))
        }
    }

    #[setter(r#loop)]
    fn set_loop(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let native = value.as_ref().and_then(|value| {
            value
                .bind(py)
                .cast::<LoopObject>()
                .ok()
                .map(|bound| bound.clone().unbind())
        });
        // The old values are dropped after the cells hold the new ones: dropping may run Python code.
        // SAFETY: single steps, with the GIL held.
        let old = unsafe {
            let old_native = match (&native, value.is_none()) {
                (None, false) => None, // a stand-in for the loop: the native one goes on underneath
                _ => std::mem::replace(&mut *self.native.get(), native),
            };
            (std::mem::replace(&mut *self.attribute.get(), value), old_native)
        };
        drop(old);
    }

    /// Switches to the hub and returns what somebody later switches back with.
    ///
    /// Calls the current greenlet's `switch_out` first, if it has one; in the hub itself this raises
    /// `BlockingSwitchOutError` (reference row GV-69).
    pub(super) fn switch(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let current = greenlet::current_bound(py)?;
        announce_switch_out(&current)?;
        // SAFETY: `current` runs this. A hub of another thread is refused by the switch itself.
        let value = unsafe { Self::switch_away(slf, current.as_ptr().cast()) };
        // SAFETY: an owned reference, or an exception is set.
        let value = gone_on(py, unsafe { Bound::from_owned_ptr_or_err(py, value) })?;
        if super::park::is_wake_up(&value) {
            return Ok(py.None());
        }
        Ok(value.unbind())
    }

    /// Refuses: the hub may not wait.
    fn switch_out(&self, py: Python<'_>) -> PyResult<()> {
        Err(error::blocking_switch_out(py))
    }

    /// Starts `watcher` and waits until its callback is called.
    fn wait(slf: &Bound<'_, Self>, watcher: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let waiter = Bound::new(py, WaiterObject::for_hub(slf.clone().into_any().unbind()))?;
        let switch = waiter.getattr("switch")?;
        watcher.call_method1("start", (switch, &waiter))?;
        let result = WaiterObject::get(&waiter);
        let stopped = watcher.call_method0("stop");
        let result = result?;
        stopped?;
        if !result.is(&waiter) {
            return Err(error::invalid_switch_expected(
                py,
                slf,
                result.bind(py),
                &waiter,
                watcher,
            ));
        }
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // SAFETY: the collector runs with the GIL held and no cell is being written.
        unsafe {
            visit.call(&*self.attribute.get())?;
            visit.call(&*self.native.get())
        }
    }
}

/// What the hub's first switch calls: `self.run()`, as often as needed.
///
/// An error that ends `run` goes to the main greenlet, and the hub lives on: it may be a KeyboardInterrupt, which comes
/// wherever Python code runs, and without a hub nobody could wait for anything any more.
unsafe extern "C-unwind" fn run_hub(object: *mut PyGreenlet, arguments: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `call_run`; the parent is looked up when it is switched to, and kept by this hub.
    unsafe {
        let mut result = call_run(object, arguments);
        loop {
            if !result.is_null() || ffi::PyErr_ExceptionMatches(greenlet::exit_type().cast()) != 0 {
                return result;
            }
            let parent = greenlet::parent(object);
            if parent.is_null() {
                return std::ptr::null_mut();
            }
            // What it is switched back with is nobody's; an exception that is thrown in goes to the main greenlet, too.
            result = greenlet::switch(parent, std::ptr::null_mut());
            if !result.is_null() {
                ffi::Py_DECREF(result);
                result = call_run(object, std::ptr::null_mut());
            }
        }
    }
}

/// What a greenlet's first switch calls on its stack in place of the attribute `run`: `self.run()`, whatever it was switched to with.
pub(super) unsafe extern "C-unwind" fn call_run(
    object: *mut PyGreenlet,
    arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called with the GIL held; the greenlet runs, hence is alive; the arguments are this function's.
    unsafe {
        ffi::Py_XDECREF(arguments);
        let name = ffi::PyUnicode_InternFromString(c"run".as_ptr());
        if name.is_null() {
            return std::ptr::null_mut();
        }
        let result = ffi::PyObject_CallMethodNoArgs(object.cast(), name);
        ffi::Py_DECREF(name);
        result
    }
}

/// In a greenlet that has just begun: gives back the reference of the entry that started it.
pub(super) fn release_deferred(py: Python<'_>) {
    if let Some(hub) = current_if_exists(py)
        && let Ok(home) = hub.get().native_loop(py)
    {
        // SAFETY: the current hub's loop is this thread's, the GIL is held.
        unsafe { home.get().release_deferred() };
        drop(home.into_bound(py));
    }
}

/// Gives a greenlet that wants to know it the notice that it is about to be left.
///
/// gevent calls `switch_out` on whatever has it; ours have it only in a subclass, so that the usual
/// case is two pointer comparisons.
#[inline]
pub(super) fn announce_switch_out(current: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = current.py();
    let kind = current.get_type_ptr();
    if std::ptr::eq(kind, greenlet::greenlet_type()) || std::ptr::eq(kind, super::greenlet::type_pointer(py)) {
        return Ok(());
    }
    // SAFETY: the running greenlet is alive, and so is its class.
    let plain = unsafe { greenlet::has_no_attributes(current.as_ptr().cast()) };
    // SAFETY: as above.
    if plain && QUIET.is(kind, unsafe { (*kind).tp_version_tag }) {
        return Ok(());
    }
    match current.getattr_opt(pyo3::intern!(py, "switch_out"))? {
        Some(switch_out) => switch_out.call0().map(drop),
        None => {
            // SAFETY: as above. No Python code has run since it was looked up, which gives the class a version.
            QUIET.remember(kind, unsafe { (*kind).tp_version_tag });
            Ok(())
        }
    }
}

/// The class, and its version, that was found to have no `switch_out` last: to look it up takes an AttributeError each time.
struct QuietClass {
    class: AtomicPtr<ffi::PyTypeObject>,
    version: AtomicU32,
}

static QUIET: QuietClass = QuietClass {
    class: AtomicPtr::new(std::ptr::null_mut()),
    version: AtomicU32::new(0),
};

impl QuietClass {
    fn is(&self, class: *mut ffi::PyTypeObject, version: u32) -> bool {
        version != 0 && self.class.load(Ordering::Relaxed) == class && self.version.load(Ordering::Relaxed) == version
    }

    fn remember(&self, class: *mut ffi::PyTypeObject, version: u32) {
        self.class.store(class, Ordering::Relaxed);
        self.version.store(version, Ordering::Relaxed);
    }
}

/// What a wait has brought, after a trace function of Python code has been given the chance to see that another greenlet runs.
#[inline]
pub(super) fn gone_on<'py>(py: Python<'py>, brought: PyResult<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    if tstate::is_traced(py) {
        let told = names::goes_on(py).and_then(|function| function.call0());
        // What the trace function raises comes out of the wait, unless that has failed by itself.
        return brought.and_then(|value| told.map(|_| value));
    }
    brought
}

/// Renews the time of this thread's loop `home` before a timer starts. A program that has put something in the
/// loop's place is asked, too: it may want to count.
#[inline]
pub(super) fn update_now(py: Python<'_>, home: &Py<LoopObject>) -> PyResult<()> {
    home.get().engine()?.update_now();
    match current(py)?.get().loop_stand_in(py, home) {
        Some(stand_in) => stand_in.call_method0(py, "update_now").map(drop),
        None => Ok(()),
    }
}

/// The key under which the thread state's dictionary keeps the thread's hub.
const THREAD_KEY: &str = "verdigris.hub";

/// This thread's hub; makes one if there is none.
#[inline]
pub(crate) fn current(py: Python<'_>) -> PyResult<Bound<'_, HubObject>> {
    match current_if_exists(py) {
        Some(hub) => Ok(hub),
        None => make_current(py),
    }
}

/// This thread's hub, if it has one.
#[inline]
pub(crate) fn current_if_exists(py: Python<'_>) -> Option<Bound<'_, HubObject>> {
    let pointer = CURRENT.get();
    if pointer.is_null() {
        return None;
    }
    // SAFETY: `set_current` stores only hubs, and keeps a reference in the thread state's dictionary
    // until it stores another.
    Some(unsafe { Bound::from_borrowed_ptr(py, pointer).cast_into_unchecked() })
}

/// Makes this thread's hub, of the class that `verdigris.hub` says.
#[cold]
fn make_current(py: Python<'_>) -> PyResult<Bound<'_, HubObject>> {
    let made = names::hub_class(py)?.call0()?;
    // Its construction may have switched, and somebody else may have been first.
    if let Some(hub) = current_if_exists(py) {
        return Ok(hub);
    }
    let hub = made.cast_into::<HubObject>().map_err(|error| {
        PyTypeError::new_err(format!(
            "the hub class must be a subclass of verdigris.hub.Hub, and made {}",
            error.into_inner()
        ))
    })?;
    set_current(py, Some(&hub))?;
    Ok(hub)
}

fn set_current(py: Python<'_>, hub: Option<&Bound<'_, HubObject>>) -> PyResult<()> {
    // SAFETY: the GIL is held; the dictionary is borrowed, made on demand.
    let dictionary = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyThreadState_GetDict()) };
    let Some(dictionary) = dictionary else {
        return Err(error::no_thread_state());
    };
    let dictionary = dictionary.cast_into::<PyDict>()?;
    let old = dictionary.get_item(THREAD_KEY)?;
    match hub {
        Some(hub) => {
            dictionary.set_item(THREAD_KEY, hub)?;
            hub.get().own.set(hub.as_ptr());
            CURRENT.set(hub.as_ptr());
        }
        None => {
            CURRENT.set(std::ptr::null_mut());
            if old.is_some() {
                dictionary.del_item(THREAD_KEY)?;
            }
        }
    }
    drop(old);
    Ok(())
}

/// `get_hub()`: this thread's hub, made on the first call.
#[pyfunction]
pub(super) fn get_hub(py: Python<'_>) -> PyResult<Bound<'_, HubObject>> {
    current(py)
}

/// `get_hub_if_exists()`: this thread's hub, or None.
#[pyfunction]
pub(super) fn get_hub_if_exists(py: Python<'_>) -> Option<Bound<'_, HubObject>> {
    current_if_exists(py)
}

/// `set_hub(hub)`: makes `hub` (or nothing, with None) this thread's hub.
#[pyfunction]
#[pyo3(signature = (hub=None))]
pub(super) fn set_hub(py: Python<'_>, hub: Option<Bound<'_, HubObject>>) -> PyResult<()> {
    set_current(py, hub.as_ref())
}
