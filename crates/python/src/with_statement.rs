//! What a `with` statement calls, before CPython 3.14.
//!
//! There `with lock:` asks the class for `__enter__` and `__exit__` as attributes of the object, and gets two bound methods, which
//! are made, tracked by the collector and thrown away again: half of the time of an uncontended `with`. (Later versions call the
//! methods of the class.) So the class gets descriptors of ours in place of the two methods:
//!
//! ```text
//!   Semaphore.__enter__          the method, as ever
//!   semaphore.__enter__          a bound method, as ever
//!   with semaphore:              a `Call`: memory used again, not seen by the collector, gone when the statement is over
//! ```
//!
//! Nothing but the interpreter gets to see a `Call`: it is made only while the running instruction is the one that begins a `with`.

use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::usual::{Front, Object};

/// One method of one object, for one `with`.
#[repr(C)]
struct Call {
    base: ffi::PyObject,
    vectorcall: Option<ffi::vectorcallfunc>,
    /// Owned while it is in use.
    receiver: Object,
    front: Front,
}

/// What the class has in place of the method.
#[repr(C)]
struct Descriptor {
    base: ffi::PyObject,
    vectorcall: Option<ffi::vectorcallfunc>,
    /// Owned, for ever.
    method: *mut ffi::PyMethodDescrObject,
    front: Front,
}

static CALL: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
static DESCRIPTOR: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// Calls that are not in use, each with the next in `receiver`: as many as statements are usually nested. The GIL protects them: the
/// versions that this is for have one.
static SPARE: AtomicPtr<Call> = AtomicPtr::new(null_mut());
static SPARE_COUNT: AtomicUsize = AtomicUsize::new(0);
const SPARE_LIMIT: usize = 64;

unsafe extern "C" {
    #[link_name = "verdigris_frames_in_with"]
    fn in_with() -> c_int;
}

/// Puts a descriptor in the place of the method `name`, which behaves like `front`.
pub(crate) fn install(class: &Bound<'_, PyType>, name: &CStr, front: Front) -> PyResult<()> {
    let py = class.py();
    make_types(py)?;
    let name = name.to_str().expect("a method's name is ASCII");
    let method = class.getattr(name)?;
    // SAFETY: the type says what the object is.
    if unsafe { ffi::Py_TYPE(method.as_ptr()) != &raw mut ffi::PyMethodDescr_Type } {
        return Ok(());
    }
    let descriptor = Box::new(Descriptor {
        base: ffi::PyObject {
            ob_type: DESCRIPTOR.load(Ordering::Relaxed),
            ..ffi::PyObject_HEAD_INIT
        },
        vectorcall: Some(call_method),
        method: method.into_ptr().cast(),
        front,
    });
    // SAFETY: a whole object with one reference, which is never the last: it lives for ever.
    let descriptor = unsafe { Bound::from_borrowed_ptr(py, Box::into_raw(descriptor).cast()) };
    class.setattr(name, descriptor)
}

fn make_types(py: Python<'_>) -> PyResult<()> {
    if !CALL.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    let flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_HAVE_VECTORCALL
        | ffi::Py_TPFLAGS_IMMUTABLETYPE
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let place = |offset: usize| {
        let member = ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: std::ptr::null(),
        };
        // SAFETY: all zeroes ends the list.
        vec![member, unsafe { std::mem::zeroed() }]
            .leak()
            .as_mut_ptr()
            .cast::<c_void>()
    };
    let make = |name: &CStr, size: usize, flags, mut slots: Vec<ffi::PyType_Slot>| {
        slots.push(slot(0, null_mut()));
        let mut spec = ffi::PyType_Spec {
            name: name.as_ptr(),
            basicsize: size as c_int,
            itemsize: 0,
            flags: flags as std::ffi::c_uint,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the spec is whole and ends with an empty slot; CPython copies it.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec)) }
    };
    let call = vec![
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_members, place(offset_of!(Call, vectorcall))),
    ];
    let descriptor = vec![
        slot(ffi::Py_tp_descr_get, get as *mut c_void),
        slot(ffi::Py_tp_getattro, get_attribute as *mut c_void),
        slot(ffi::Py_tp_repr, repr as *mut c_void),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_members, place(offset_of!(Descriptor, vectorcall))),
    ];
    let call = make(c"verdigris._core.with_call", size_of::<Call>(), flags, call)?;
    let method_flags = flags | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
    let descriptor = make(
        c"verdigris._core.with_method",
        size_of::<Descriptor>(),
        method_flags,
        descriptor,
    )?;
    CALL.store(call.into_ptr().cast(), Ordering::Relaxed);
    DESCRIPTOR.store(descriptor.into_ptr().cast(), Ordering::Relaxed);
    Ok(())
}

fn slot(slot: c_int, pfunc: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc }
}

/// `tp_descr_get`.
unsafe extern "C" fn get(descriptor: Object, object: Object, _class: Object) -> Object {
    // SAFETY: called by Python with a descriptor, and an object or NULL; the method lives for ever.
    unsafe {
        let own = &*descriptor.cast::<Descriptor>();
        if object.is_null() {
            ffi::Py_INCREF(own.method.cast());
            return own.method.cast();
        }
        let class = (*own.method).d_common.d_type;
        if ffi::PyObject_TypeCheck(object, class) == 0 {
            ffi::PyErr_SetString(ffi::PyExc_TypeError, c"the method is of another class".as_ptr());
            return null_mut();
        }
        if in_with() == 0 {
            return ffi::PyCMethod_New((*own.method).d_method, object, null_mut(), null_mut());
        }
        ffi::Py_INCREF(object);
        let call = take_spare();
        call.write(Call {
            base: ffi::PyObject {
                ob_type: CALL.load(Ordering::Relaxed),
                ..ffi::PyObject_HEAD_INIT
            },
            vectorcall: Some(call_front),
            receiver: object,
            front: own.front,
        });
        call.cast()
    }
}

/// The end of a `Call`: its memory is kept for the next.
unsafe extern "C" fn dealloc(object: Object) {
    // SAFETY: called by Python for a call that nobody has any more. It is a spare one before anything else can run.
    unsafe {
        let call = object.cast::<Call>();
        let receiver = (*call).receiver;
        let count = SPARE_COUNT.load(Ordering::Relaxed);
        if count < SPARE_LIMIT {
            (*call).receiver = SPARE.load(Ordering::Relaxed).cast();
            SPARE.store(call, Ordering::Relaxed);
            SPARE_COUNT.store(count + 1, Ordering::Relaxed);
        } else {
            drop(Box::from_raw(call));
        }
        ffi::Py_DECREF(receiver);
    }
}

/// Memory for a call, not initialised.
#[inline]
fn take_spare() -> *mut Call {
    let spare = SPARE.load(Ordering::Relaxed);
    if spare.is_null() {
        return Box::into_raw(Box::<Call>::new_uninit()).cast();
    }
    // SAFETY: a spare call is whole, and `receiver` is the next.
    SPARE.store(unsafe { (*spare).receiver.cast() }, Ordering::Relaxed);
    SPARE_COUNT.store(SPARE_COUNT.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    spare
}

unsafe extern "C" fn call_front(call: Object, arguments: *const Object, count: usize, names: Object) -> Object {
    // SAFETY: called by Python with a call, `count` arguments and one more for each name.
    unsafe {
        let own = &*call.cast::<Call>();
        let count = ffi::PyVectorcall_NARGS(count);
        match own.front {
            Front::NoArguments(method) if count == 0 && names.is_null() => method(own.receiver, null_mut()),
            Front::NoArguments(_) => {
                ffi::PyErr_SetString(ffi::PyExc_TypeError, c"__enter__() takes no arguments".as_ptr());
                null_mut()
            }
            Front::Fast(method) => method(own.receiver, arguments, count, names),
        }
    }
}

/// A call of the descriptor itself, with the object as the first argument: what `lock.__enter__()` compiles to.
unsafe extern "C" fn call_method(descriptor: Object, arguments: *const Object, count: usize, names: Object) -> Object {
    // SAFETY: called by Python with a descriptor; the rest is passed on.
    unsafe {
        let own = &*descriptor.cast::<Descriptor>();
        ffi::PyObject_Vectorcall(own.method.cast(), arguments, count, names)
    }
}

/// Whoever looks at the descriptor sees the method.
unsafe extern "C" fn get_attribute(descriptor: Object, name: Object) -> Object {
    // SAFETY: called by Python with a descriptor and a string.
    unsafe { ffi::PyObject_GetAttr((*descriptor.cast::<Descriptor>()).method.cast(), name) }
}

unsafe extern "C" fn repr(descriptor: Object) -> Object {
    // SAFETY: called by Python with a descriptor.
    unsafe { ffi::PyObject_Repr((*descriptor.cast::<Descriptor>()).method.cast()) }
}
