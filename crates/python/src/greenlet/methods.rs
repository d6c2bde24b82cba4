//! `switch` and `throw` as Python calls them: raw vector calls, because a greenlet may stay suspended in them for ever and nothing
//! of the bindings' should be on its stack.

use std::ptr::null_mut;

use pyo3::ffi;

use super::exit_type;
use super::names;
use super::object::{PyGreenlet, state};
use super::python::set_error;
use super::switch;
use crate::pack;

type Object = *mut ffi::PyObject;

/// `switch(*args, **kwargs)`. Python calls it by way of `way_back`.
pub(super) unsafe extern "C-unwind" fn switch_method(
    greenlet: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by Python: `args` has `count` objects and one more for each name; the caller keeps them and the greenlet.
    unsafe {
        let target: *mut PyGreenlet = greenlet.cast();
        if names.is_null() && count < 2 {
            let ready = state(target).ready_thread();
            if count == 1 || ready.is_some() {
                let value = if count == 1 { *args } else { names::empty() };
                ffi::Py_INCREF(value);
                // A value and a call with this value as its only argument are the same to whoever gets it.
                return match ready {
                    Some(thread) => switch::switch_ready(thread, target, value),
                    None => switch::switch(target, value),
                };
            }
        }
        // Whether the target can be resumed at once is asked after the tuple is made: before 3.12 that may run the collector, and so
        // finalizers in which the target ends.
        let Some((arguments, keywords)) = pack::arguments(args, count, names) else {
            return null_mut();
        };
        match state(target).ready_thread() {
            // Several arguments are one value, the tuple of them.
            Some(thread) if count > 1 && keywords.is_null() => switch::switch_ready(thread, target, arguments),
            _ => switch::switch_with_arguments(target, arguments, keywords),
        }
    }
}

/// `throw([type [, value [, traceback]]])`.
pub(super) unsafe extern "C-unwind" fn throw_method(
    greenlet: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: as in `switch_method`.
    unsafe {
        if !names.is_null() && ffi::PyTuple_GET_SIZE(names) > 0 {
            set_error(ffi::PyExc_TypeError, c"greenlet.throw() takes no keyword arguments");
            return null_mut();
        }
        if count > 3 {
            let text = c"throw() takes at most 3 arguments (%zd given)";
            return ffi::PyErr_Format(ffi::PyExc_TypeError, text.as_ptr(), count);
        }
        let argument = |index: isize| if index < count { *args.offset(index) } else { null_mut() };
        let kind = if count == 0 { exit_type().cast() } else { argument(0) };
        throw(greenlet.cast(), kind, argument(1), argument(2))
    }
}

/// Raises an exception in the greenlet, by the rules of `raise`. The arguments are borrowed; value and traceback may be NULL or None.
///
/// # Safety
///
/// As `switch::switch`.
pub(super) unsafe fn throw(target: *mut PyGreenlet, kind: Object, value: Object, traceback: Object) -> Object {
    // SAFETY: the caller keeps the arguments; what is made here is given to PyErr_Restore.
    unsafe {
        let given = |object: Object| if object == ffi::Py_None() { null_mut() } else { object };
        let (mut value, mut traceback) = (given(value), given(traceback));
        if !traceback.is_null() && ffi::PyTraceBack_Check(traceback) == 0 {
            set_error(
                ffi::PyExc_TypeError,
                c"throw() third argument must be a traceback object",
            );
            return null_mut();
        }
        let mut kind = kind;
        if ffi::PyExceptionClass_Check(kind) != 0 {
            ffi::Py_INCREF(kind);
            ffi::Py_XINCREF(value);
            ffi::Py_XINCREF(traceback);
            ffi::PyErr_NormalizeException(&mut kind, &mut value, &mut traceback);
        } else if ffi::PyExceptionInstance_Check(kind) != 0 {
            if !value.is_null() {
                set_error(
                    ffi::PyExc_TypeError,
                    c"instance exception may not have a separate value",
                );
                return null_mut();
            }
            value = kind;
            kind = ffi::PyExceptionInstance_Class(value);
            ffi::Py_INCREF(value);
            ffi::Py_INCREF(kind);
            if traceback.is_null() {
                traceback = ffi::PyException_GetTraceback(value);
            } else {
                ffi::Py_INCREF(traceback);
            }
        } else {
            let text = c"exceptions must be classes, or instances, not %s";
            return ffi::PyErr_Format(ffi::PyExc_TypeError, text.as_ptr(), (*ffi::Py_TYPE(kind)).tp_name);
        }
        ffi::PyErr_Restore(kind, value, traceback);
        let own = state(target);
        if own.is_dead() {
            // A dead greenlet ends of GreenletExit as a living one does: it is what its parent gets.
            let exit = switch::exit_as_value();
            return switch::switch(target, exit);
        }
        switch::switch(target, null_mut())
    }
}
