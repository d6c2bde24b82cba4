//! The arguments of a vector call, packed into the tuple and the dict that other calls want.

use std::ptr::null_mut;

use pyo3::ffi;

type Object = *mut ffi::PyObject;

/// A tuple of `count` objects, which keep their references; NULL with an exception.
///
/// # Safety
/// The GIL is held, and so many objects are there.
pub(crate) unsafe fn tuple(objects: *const Object, count: ffi::Py_ssize_t) -> Object {
    // SAFETY: the caller's promise; the tuple is new and as large.
    unsafe {
        let tuple = ffi::PyTuple_New(count);
        if !tuple.is_null() {
            for index in 0..count {
                let object = *objects.offset(index);
                ffi::Py_INCREF(object);
                ffi::PyTuple_SET_ITEM(tuple, index, object);
            }
        }
        tuple
    }
}

/// All arguments of a call: the tuple, and the dict or NULL where none has a name. None with an exception.
///
/// # Safety
/// The GIL is held; there are `count` objects, and one more for each of `names`, a tuple of strings or NULL.
pub(crate) unsafe fn arguments(
    objects: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Option<(Object, Object)> {
    // SAFETY: the caller's promise.
    unsafe {
        let positional = tuple(objects, count);
        if positional.is_null() {
            return None;
        }
        if names.is_null() {
            return Some((positional, null_mut()));
        }
        let keywords = dict(objects.offset(count), names);
        if keywords.is_null() {
            ffi::Py_DECREF(positional);
            return None;
        }
        Some((positional, keywords))
    }
}

unsafe fn dict(values: *const Object, names: Object) -> Object {
    // SAFETY: as in `arguments`: one value for each name.
    unsafe {
        let dict = ffi::PyDict_New();
        if dict.is_null() {
            return null_mut();
        }
        for index in 0..ffi::PyTuple_GET_SIZE(names) {
            if ffi::PyDict_SetItem(dict, ffi::PyTuple_GET_ITEM(names, index), *values.offset(index)) != 0 {
                ffi::Py_DECREF(dict);
                return null_mut();
            }
        }
        dict
    }
}
