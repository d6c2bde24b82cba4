//! The attributes of a greenlet, its constructor and its repr: genuine greenlet's, texts included.

use std::ffi::{c_int, c_void};
use std::ptr::{self, null_mut};

use pyo3::ffi;

use super::object::{self, PyGreenlet, State, state};
use super::python::{self, set_error};
use super::{stacks, switch, thread};
use crate::{pack, tstate};

type Object = *mut ffi::PyObject;

fn attribute_error() -> Object {
    // SAFETY: a static of CPython's.
    unsafe { ffi::PyExc_AttributeError }
}

unsafe fn of<'a>(object: Object) -> &'a State {
    // SAFETY: called by descriptors, which have checked the type.
    unsafe { state(object.cast()) }
}

unsafe fn new_reference(object: Object) -> Object {
    // SAFETY: `object` is alive or NULL; NULL becomes None.
    unsafe {
        let object = if object.is_null() { ffi::Py_None() } else { object };
        ffi::Py_INCREF(object);
        object
    }
}

unsafe fn boolean(value: bool) -> Object {
    // SAFETY: True and False are always there.
    unsafe { ffi::PyBool_FromLong(value.into()) }
}

/// `tp_new`: takes anything, `__init__` looks at it.
pub(super) unsafe extern "C-unwind" fn new(kind: *mut ffi::PyTypeObject, _args: Object, _kwargs: Object) -> Object {
    // SAFETY: called by Python with a subtype.
    unsafe { object::allocate(kind) }
}

/// `greenlet(run=None, parent=None)`.
pub(super) unsafe extern "C-unwind" fn init(greenlet: Object, args: Object, kwargs: Object) -> c_int {
    // SAFETY: called by Python with a tuple and a dict or NULL.
    unsafe {
        let mut names = [c"run".as_ptr().cast_mut(), c"parent".as_ptr().cast_mut(), null_mut()];
        let (mut run, mut parent): (Object, Object) = (null_mut(), null_mut());
        if ffi::PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            c"|OO:green".as_ptr(),
            names.as_mut_ptr().cast(),
            &raw mut run,
            &raw mut parent,
        ) == 0
        {
            return -1;
        }
        if !run.is_null() && set_run(greenlet, run, null_mut()) != 0 {
            return -1;
        }
        if !parent.is_null() && parent != ffi::Py_None() {
            return set_parent(greenlet, parent, null_mut());
        }
        0
    }
}

/// What a call of the type itself does, in one step: `new` and `init` without the tuple between them.
pub(super) unsafe extern "C-unwind" fn construct(
    kind: Object,
    args: *const Object,
    count: usize,
    names: Object,
) -> Object {
    // SAFETY: called by Python with the type, and `count` objects that the caller keeps, and one more for each name.
    unsafe {
        let count = ffi::PyVectorcall_NARGS(count);
        let greenlet = object::allocate(kind.cast());
        if greenlet.is_null() {
            return null_mut();
        }
        let done = if names.is_null() && count == 1 {
            set_run(greenlet, *args, null_mut())
        } else {
            init_from_vector(greenlet, args, count, names)
        };
        if done != 0 {
            ffi::Py_DECREF(greenlet);
            return null_mut();
        }
        greenlet
    }
}

unsafe fn init_from_vector(greenlet: Object, args: *const Object, count: ffi::Py_ssize_t, names: Object) -> c_int {
    // SAFETY: as in `construct`.
    unsafe {
        let Some((arguments, keywords)) = pack::arguments(args, count, names) else {
            return -1;
        };
        let done = init(greenlet, arguments, keywords);
        ffi::Py_DECREF(arguments);
        ffi::Py_XDECREF(keywords);
        done
    }
}

pub(super) unsafe extern "C-unwind" fn is_true(greenlet: Object) -> c_int {
    // SAFETY: see `of`.
    unsafe { of(greenlet).is_active().into() }
}

pub(super) unsafe extern "C-unwind" fn get_dead(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`.
    unsafe { boolean(of(greenlet).is_dead()) }
}

/// How much C stack a suspended greenlet holds, in bytes; 0 for one that is not suspended. Nothing of it is copied anywhere: the
/// number answers what users of the attribute ask, which greenlets have stack that is kept for them.
pub(super) unsafe extern "C-unwind" fn get_stack_saved(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`.
    unsafe { ffi::PyLong_FromSize_t(stacks::held_bytes(greenlet.cast())) }
}

pub(super) unsafe extern "C-unwind" fn get_dict(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: the dict slot is the object's own.
    unsafe { ffi::PyObject_GenericGetDict(greenlet, null_mut()) }
}

pub(super) unsafe extern "C-unwind" fn set_dict(greenlet: Object, value: Object, _: *mut c_void) -> c_int {
    // SAFETY: the dict slot is the object's own; what was in it is dropped last.
    unsafe {
        if value.is_null() {
            set_error(ffi::PyExc_TypeError, c"__dict__ may not be deleted");
            return -1;
        }
        if ffi::PyDict_Check(value) == 0 {
            set_error(ffi::PyExc_TypeError, c"__dict__ must be a dictionary");
            return -1;
        }
        ffi::Py_INCREF(value);
        let slot = &raw mut (*greenlet.cast::<PyGreenlet>()).dict;
        let old = slot.replace(value);
        ffi::Py_XDECREF(old);
        0
    }
}

pub(super) unsafe extern "C-unwind" fn get_run(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`.
    unsafe {
        let own = of(greenlet);
        if own.is_main.get() {
            set_error(attribute_error(), c"Main greenlets do not have a run attribute.");
            return null_mut();
        }
        let run = own.run.get();
        if own.is_started() || run.is_null() {
            set_error(attribute_error(), c"run");
            return null_mut();
        }
        new_reference(run)
    }
}

pub(super) unsafe extern "C-unwind" fn set_run(greenlet: Object, value: Object, _: *mut c_void) -> c_int {
    // SAFETY: see `of`; the old value is dropped last.
    unsafe {
        let own = of(greenlet);
        if own.is_main.get() {
            set_error(attribute_error(), c"Main greenlets do not have a run attribute.");
            return -1;
        }
        if own.is_started() {
            set_error(attribute_error(), c"run cannot be set after the start of the greenlet");
            return -1;
        }
        ffi::Py_XINCREF(value);
        let old = own.run.replace(value);
        ffi::Py_XDECREF(old);
        0
    }
}

pub(super) unsafe extern "C-unwind" fn get_parent(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`.
    unsafe { new_reference(of(greenlet).parent.get().cast()) }
}

pub(super) unsafe extern "C-unwind" fn set_parent(greenlet: Object, value: Object, _: *mut c_void) -> c_int {
    // SAFETY: see `of`; each greenlet in the chain is kept by the one before it; the old parent is dropped last.
    unsafe {
        let own = of(greenlet);
        if value.is_null() {
            set_error(attribute_error(), c"can't delete attribute");
            return -1;
        }
        if own.is_main.get() {
            set_error(attribute_error(), c"cannot set the parent of a main greenlet");
            return -1;
        }
        if !super::is_greenlet(value) {
            ffi::PyErr_Format(
                ffi::PyExc_TypeError,
                c"GreenletChecker: Expected any type of greenlet, not %s".as_ptr(),
                (*ffi::Py_TYPE(value)).tp_name,
            );
            return -1;
        }
        let parent: *mut PyGreenlet = value.cast();
        // One that only its caller knows (it is being made) is nobody's ancestor: long chains are made in linear time. From CPython
        // 3.14 on what is on the interpreter's stack may be borrowed from a variable: both arguments can be that one reference.
        let known = python::reference_count(greenlet) > 1 || ptr::eq(greenlet, value);
        if known && is_ancestor(greenlet.cast(), parent) {
            set_error(ffi::PyExc_ValueError, c"cyclic parent chain");
            return -1;
        }
        if !state(parent).is_started() && state(parent).parent.get().is_null() {
            set_error(ffi::PyExc_ValueError, c"parent must not be garbage collected");
            return -1;
        }
        if own.is_started() && own.thread.get() != switch::home_of(parent) {
            set_error(ffi::PyExc_ValueError, c"parent cannot be on a different thread");
            return -1;
        }
        ffi::Py_INCREF(value);
        let old = own.parent.replace(parent);
        ffi::Py_XDECREF(old.cast());
        0
    }
}

/// Whether `greenlet` is `descendant` or among its parents.
unsafe fn is_ancestor(greenlet: *mut PyGreenlet, descendant: *mut PyGreenlet) -> bool {
    let mut each = descendant;
    while !each.is_null() && each != greenlet {
        // SAFETY: each greenlet in the chain is kept by the one before it.
        each = unsafe { state(each).parent.get() };
    }
    !each.is_null()
}

pub(super) unsafe extern "C-unwind" fn get_frame(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`; a suspended greenlet has its frames in place, even when its thread has ended.
    unsafe {
        let own = of(greenlet);
        if own.context.get().is_null() {
            return new_reference(null_mut());
        }
        let frame = tstate::saved_frame(ffi::PyThreadState_Get(), own.saved.get());
        if frame.is_null() && ffi::PyErr_Occurred().is_null() {
            new_reference(null_mut())
        } else {
            frame
        }
    }
}

pub(super) unsafe extern "C-unwind" fn get_context(greenlet: Object, _: *mut c_void) -> Object {
    // SAFETY: see `of`.
    unsafe {
        let own = of(greenlet);
        if own.is_running(greenlet.cast()) {
            let tstate = ffi::PyThreadState_Get();
            if (*own.thread.get()).tstate() != tstate {
                let text = c"cannot get context of a greenlet that is running in a different thread";
                set_error(ffi::PyExc_ValueError, text);
                return null_mut();
            }
            return new_reference(tstate::context(tstate));
        }
        new_reference(*tstate::saved_context(own.saved.get()))
    }
}

pub(super) unsafe extern "C-unwind" fn set_context(greenlet: Object, value: Object, _: *mut c_void) -> c_int {
    // SAFETY: see `of`; the old context is dropped last.
    unsafe {
        if value.is_null() {
            set_error(attribute_error(), c"can't delete context attribute");
            return -1;
        }
        let context = if value == ffi::Py_None() { null_mut() } else { value };
        if !context.is_null() && ffi::PyContext_CheckExact(context) == 0 {
            let text = c"greenlet context must be a contextvars.Context or None";
            set_error(ffi::PyExc_TypeError, text);
            return -1;
        }
        let own = of(greenlet);
        let old = if own.is_running(greenlet.cast()) {
            let tstate = ffi::PyThreadState_Get();
            if (*own.thread.get()).tstate() != tstate {
                let text = c"cannot set context of a greenlet that is running in a different thread";
                set_error(ffi::PyExc_ValueError, text);
                return -1;
            }
            ffi::Py_XINCREF(context);
            tstate::swap_context(tstate, context)
        } else {
            ffi::Py_XINCREF(context);
            tstate::saved_context(own.saved.get()).replace(context)
        };
        ffi::Py_XDECREF(old);
        0
    }
}

/// `<greenlet.greenlet object at 0x... (otid=0x...) suspended active started>`.
pub(super) unsafe extern "C-unwind" fn repr(greenlet: Object) -> Object {
    // SAFETY: see `of`.
    unsafe {
        let own = of(greenlet);
        let name = (*ffi::Py_TYPE(greenlet)).tp_name;
        let home = switch::home_of(greenlet.cast());
        let alive = !home.is_null() && (*home).is_alive();
        if own.is_started() && !alive {
            return ffi::PyUnicode_FromFormat(
                c"<%s object at %p (otid=0x(nil)) (thread exited) dead>".as_ptr(),
                name,
                greenlet,
            );
        }
        let here = thread::present_if_any();
        let words = if !own.is_started() {
            c"pending"
        } else if own.is_dead() {
            c"dead"
        } else {
            // One that runs in another thread is suspended, as seen from here.
            match (home == here && own.is_running(greenlet.cast()), own.is_main.get()) {
                (true, true) => c"current active started main",
                (true, false) => c"current active started",
                (false, true) => c"suspended active started main",
                (false, false) => c"suspended active started",
            }
        };
        if own.is_started() {
            ffi::PyUnicode_FromFormat(
                c"<%s object at %p (otid=%p) %s>".as_ptr(),
                name,
                greenlet,
                home,
                words.as_ptr(),
            )
        } else {
            ffi::PyUnicode_FromFormat(
                c"<%s object at %p (otid=0x(nil)) %s>".as_ptr(),
                name,
                greenlet,
                words.as_ptr(),
            )
        }
    }
}

pub(super) unsafe extern "C-unwind" fn get_state(greenlet: Object, _: Object) -> Object {
    // SAFETY: the type's name is there as long as the object.
    unsafe {
        ffi::PyErr_Format(
            ffi::PyExc_TypeError,
            c"cannot serialize '%s' object".as_ptr(),
            (*ffi::Py_TYPE(greenlet)).tp_name,
        )
    }
}
