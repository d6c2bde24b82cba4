//! The usual case of `Greenlet.spawn`, in front of the method (see `crate::usual`): a function and its arguments, given by place, in a
//! thread that has its hub, and nobody who wants to be told of it.

use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::{GreenletObject, type_pointer};
use crate::hub::{object, spawn_callbacks};
use crate::pack;
use crate::usual::{Object, Unusual};

static SPAWN: Unusual = Unusual::new();

pub(in crate::hub) fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    SPAWN.install_before_packed(class, c"spawn", spawn)
}

unsafe extern "C" fn spawn(class: Object, arguments: *const Object, count: ffi::Py_ssize_t, names: Object) -> Object {
    // SAFETY: called by Python, with the GIL held, as a class method with `count` arguments and one more for each name.
    unsafe {
        let py = Python::assume_attached();
        let usual = names.is_null()
            && count > 0
            && class == type_pointer(py).cast()
            && !spawn_callbacks::are_there()
            && object::current_if_exists(py).is_some()
            && ffi::PyCallable_Check(*arguments) != 0;
        if !usual {
            return SPAWN.call_packed(class, arguments, count, names);
        }
        let rest = pack::tuple(arguments.add(1), count - 1);
        if rest.is_null() {
            return null_mut();
        }
        let function = Bound::from_borrowed_ptr(py, *arguments).unbind();
        let rest = Bound::from_owned_ptr(py, rest)
            .cast_into_unchecked::<PyTuple>()
            .unbind();
        let made = GreenletObject::make(py, function, rest, None).and_then(|made| {
            GreenletObject::start(&made)?;
            Ok(made)
        });
        match made {
            Ok(made) => made.into_ptr(),
            Err(error) => {
                error.restore(py);
                null_mut()
            }
        }
    }
}
