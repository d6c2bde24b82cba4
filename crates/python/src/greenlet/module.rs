//! What `verdigris._core` offers of greenlets: the types, the functions of the module `greenlet`, and statistics.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{
    ERROR, EXIT, GREENLET, attributes, capsule, methods, names, object, pool, python, stacks, sweeper, thread, trace,
    way_back,
};
use crate::tstate;

type Object = *mut ffi::PyObject;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    if !tstate::is_supported() {
        return Err(PyImportError::new_err(
            "verdigris needs CPython 3.14.2 or newer of the 3.14 series: an older one cannot be told where a greenlet's \
             stack is (PyUnstable_ThreadState_SetStackProtection)",
        ));
    }
    // SAFETY: the GIL is held, and this runs once.
    unsafe {
        if !names::make() {
            return Err(PyErr::fetch(py));
        }
        let exit = exception(py, c"greenlet.GreenletExit", ffi::PyExc_BaseException)?;
        EXIT.store(exit.as_ptr().cast(), Ordering::Relaxed);
        let error = exception(py, c"greenlet.error", ffi::PyExc_Exception)?;
        ERROR.store(error.as_ptr().cast(), Ordering::Relaxed);
        let kind = make_type(py)?;
        GREENLET.store(kind.as_ptr().cast(), Ordering::Relaxed);
        let dict = Bound::from_borrowed_ptr(py, (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_dict);
        let dict = dict.cast_into::<PyDict>()?;
        for (name, value) in functions(py)? {
            module.add(name, &value)?;
            if matches!(name, "getcurrent" | "settrace" | "gettrace") {
                dict.set_item(name, value)?;
            }
        }
        dict.set_item("GreenletExit", &exit)?;
        dict.set_item("error", &error)?;
        ffi::PyType_Modified(kind.as_ptr().cast());
        module.add("_C_API", capsule::make(py)?)?;
        module.add("greenlet", kind)?;
        module.add("GreenletExit", exit)?;
        module.add("error", error)?;
    }
    Ok(())
}

unsafe fn exception<'py>(py: Python<'py>, name: &CStr, base: Object) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `base` is an exception type.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyErr_NewException(name.as_ptr(), base, null_mut())) }
}

const DOCUMENTATION: &CStr = c"greenlet(run=None, parent=None) -> greenlet\n\n\
    A thread of execution with a stack of its own, run by switching to it.\n\n\
    run is called by the first switch, with its arguments; parent gets what it returns or raises, and is the\n\
    current greenlet unless given.";

unsafe fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut slots: Vec<ffi::PyType_Slot> = Vec::new();
    let mut slot = |slot: c_int, value: *mut c_void| slots.push(ffi::PyType_Slot { slot, pfunc: value });
    slot(ffi::Py_tp_doc, DOCUMENTATION.as_ptr().cast_mut().cast());
    slot(ffi::Py_tp_new, attributes::new as *mut c_void);
    slot(ffi::Py_tp_init, attributes::init as *mut c_void);
    slot(ffi::Py_tp_dealloc, object::dealloc as *mut c_void);
    slot(ffi::Py_tp_traverse, object::traverse as *mut c_void);
    slot(ffi::Py_tp_clear, object::clear as *mut c_void);
    slot(ffi::Py_tp_finalize, object::finalize as *mut c_void);
    slot(ffi::Py_tp_repr, attributes::repr as *mut c_void);
    slot(ffi::Py_nb_bool, attributes::is_true as *mut c_void);
    slot(ffi::Py_tp_methods, type_methods().cast());
    slot(ffi::Py_tp_getset, type_attributes().cast());
    slot(ffi::Py_tp_members, type_members().cast());
    slot(0, null_mut());
    let flags =
        ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_IMMUTABLETYPE;
    let mut spec = ffi::PyType_Spec {
        name: c"greenlet.greenlet".as_ptr(),
        basicsize: size_of::<object::PyGreenlet>() as c_int,
        itemsize: 0,
        flags: flags as c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec is whole and ends with an empty slot; CPython copies it. Nobody has seen the type when it gets its constructor,
    // which subclasses do not inherit.
    unsafe {
        let kind = Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))?;
        (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_vectorcall = Some(transmute::<
            unsafe extern "C-unwind" fn(Object, *const Object, usize, Object) -> Object,
            ffi::vectorcallfunc,
        >(attributes::construct));
        Ok(kind)
    }
}

fn type_methods() -> *mut ffi::PyMethodDef {
    let fast = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    let define = |name: &'static CStr, function: *mut c_void, flags, doc: &'static CStr| ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        // SAFETY: the flags say which signature the function has.
        ml_meth: unsafe { transmute::<*mut c_void, ffi::PyMethodDefPointer>(function) },
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    };
    let methods = vec![
        define(c"switch", way_back::switch as *mut c_void, fast, SWITCH_DOC),
        define(c"throw", methods::throw_method as *mut c_void, fast, THROW_DOC),
        define(
            c"__getstate__",
            attributes::get_state as *mut c_void,
            ffi::METH_NOARGS,
            c"Refuses: a stack is no data.",
        ),
        ffi::PyMethodDef::zeroed(),
    ];
    methods.leak().as_mut_ptr()
}

const SWITCH_DOC: &CStr = c"switch(*args, **kwargs)\n\n\
    Run this greenlet until it, or another one, switches back here.\n\n\
    Its first switch calls run(*args, **kwargs). Later ones make its own pending switch() return the arguments:\n\
    () for none, the argument for one, a tuple for several, a dict for keywords, a pair for both.\n\
    A dead greenlet hands them to its parent.";

const THROW_DOC: &CStr = c"throw([type[, value[, traceback]]])\n\n\
    Like switch(), but raises an exception in this greenlet: GreenletExit unless given.";

fn type_attributes() -> *mut ffi::PyGetSetDef {
    let define = |name: &'static CStr, get: *mut c_void, set: *mut c_void| ffi::PyGetSetDef {
        name: name.as_ptr(),
        // SAFETY: both have the signature of their kind; NULL is None.
        get: unsafe { transmute::<*mut c_void, Option<ffi::getter>>(get) },
        // SAFETY: as above.
        set: unsafe { transmute::<*mut c_void, Option<ffi::setter>>(set) },
        doc: std::ptr::null(),
        closure: null_mut(),
    };
    let none = null_mut();
    let attributes = vec![
        define(
            c"__dict__",
            attributes::get_dict as *mut c_void,
            attributes::set_dict as *mut c_void,
        ),
        define(
            c"run",
            attributes::get_run as *mut c_void,
            attributes::set_run as *mut c_void,
        ),
        define(
            c"parent",
            attributes::get_parent as *mut c_void,
            attributes::set_parent as *mut c_void,
        ),
        define(c"gr_frame", attributes::get_frame as *mut c_void, none),
        define(
            c"gr_context",
            attributes::get_context as *mut c_void,
            attributes::set_context as *mut c_void,
        ),
        define(c"dead", attributes::get_dead as *mut c_void, none),
        define(c"_stack_saved", attributes::get_stack_saved as *mut c_void, none),
        // SAFETY: all zeroes ends the list.
        unsafe { std::mem::zeroed() },
    ];
    attributes.leak().as_mut_ptr()
}

fn type_members() -> *mut ffi::PyMemberDef {
    let offset = |name: &'static CStr, offset: usize| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    };
    let members = vec![
        offset(
            c"__weaklistoffset__",
            std::mem::offset_of!(object::PyGreenlet, weakreflist),
        ),
        offset(c"__dictoffset__", std::mem::offset_of!(object::PyGreenlet, dict)),
        // SAFETY: all zeroes ends the list.
        unsafe { std::mem::zeroed() },
    ];
    members.leak().as_mut_ptr()
}

/// The functions of the module, by name. They name the module that they are known from.
unsafe fn functions(py: Python<'_>) -> PyResult<Vec<(&'static str, Bound<'_, PyAny>)>> {
    let define = |name: &'static CStr, function: *mut c_void, flags, doc: &'static CStr| {
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            // SAFETY: the flags say which signature the function has.
            ml_meth: unsafe { transmute::<*mut c_void, ffi::PyMethodDefPointer>(function) },
            ml_flags: flags,
            ml_doc: doc.as_ptr(),
        }));
        // SAFETY: the GIL is held; the definition lives for ever.
        unsafe {
            let home = Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_FromString(c"greenlet._greenlet".as_ptr()))?;
            let function = ffi::PyCFunction_NewEx(definition, null_mut(), home.as_ptr());
            Ok::<_, PyErr>((
                name.to_str().expect("an ASCII name"),
                Bound::from_owned_ptr_or_err(py, function)?,
            ))
        }
    };
    let (none, varargs) = (ffi::METH_NOARGS, ffi::METH_VARARGS);
    Ok(vec![
        define(
            c"getcurrent",
            getcurrent as *mut c_void,
            none,
            c"getcurrent() -> greenlet\n\nThe greenlet that runs in this thread.",
        )?,
        define(
            c"settrace",
            trace::settrace as *mut c_void,
            varargs,
            c"settrace(callback) -> object\n\nCall callback(event, args) at each switch of this thread; None ends it. \
              Returns the one before.",
        )?,
        define(
            c"gettrace",
            trace::gettrace as *mut c_void,
            none,
            c"gettrace() -> object\n\nThe trace function of this thread, or None.",
        )?,
        define(
            c"set_thread_local",
            set_thread_local as *mut c_void,
            varargs,
            c"set_thread_local(key, value)\n\nStores a value in the dict of the thread state.",
        )?,
        define(
            c"enable_optional_cleanup",
            enable_optional_cleanup as *mut c_void,
            ffi::METH_O,
            c"enable_optional_cleanup(enabled)\n\nWhether what calls in ended threads' greenlets were about is dropped, where it can \
              be found (CPython 3.14 and later).",
        )?,
        define(
            c"get_total_main_greenlets",
            get_total_main_greenlets as *mut c_void,
            none,
            c"get_total_main_greenlets() -> int\n\nHow many threads have greenlets.",
        )?,
        define(
            c"get_tstate_trash_delete_nesting",
            get_trash_nesting as *mut c_void,
            none,
            c"get_tstate_trash_delete_nesting() -> int\n\nHow deep the trash can of this thread is nested.",
        )?,
        define(
            c"trim",
            trim as *mut c_void,
            ffi::METH_O,
            c"trim(greenlet) -> bool\n\nGive back the memory that a suspended greenlet's stack does not need at present.",
        )?,
        define(
            c"trim_free_stacks",
            trim_free_stacks as *mut c_void,
            none,
            c"trim_free_stacks() -> int\n\nGive back the memory of all stacks that no greenlet uses; how many had any.",
        )?,
        define(
            c"stack_resident_bytes",
            stack_resident_bytes as *mut c_void,
            ffi::METH_O,
            c"stack_resident_bytes(greenlet) -> int\n\nThe bytes of a greenlet's stack that are in memory now.",
        )?,
        define(
            c"statistics",
            statistics as *mut c_void,
            none,
            c"statistics() -> dict\n\nGreenlets and their stacks: numbers, bytes of address space (reserved), bytes in memory (resident). Looks at every\n\
              stack: takes 10 milliseconds for a thousand of them.\n\n\
              greenlets_alive, greenlets_suspended: started and not ended, the main greenlets of threads included; and those of\n\
              them that do not run now. greenlets_stranded: suspended when their thread ended, so that they never run again.\n\
              threads: threads that have greenlets. starts: greenlets that were ever started; reuses: those of them that got a used stack.\n\
              stacks_in_use, stacks_peak: stacks of greenlets, and the most there ever were. stacks_warm, stacks_cold: free ones\n\
              that keep their memory, and that do not. stacks_unguarded: without a guard page. stack_bytes: how large the\n\
              next one is. slabs: mappings they are in. reserved_bytes, resident_bytes: address space and memory they take.\n\
              emptied, swept: how many stacks gave memory back when they were free, and while their greenlets were suspended.",
        )?,
        define(
            c"set_stack_sweep_interval",
            set_stack_sweep_interval as *mut c_void,
            ffi::METH_O,
            c"set_stack_sweep_interval(seconds)\n\nHow long a greenlet is idle at least before the hub gives back the memory that its stack does not need;\n\
              None: never. `verdigris.config.stack_sweep_interval` sets it.",
        )?,
    ])
}

unsafe extern "C-unwind" fn getcurrent(_module: Object, _: Object) -> Object {
    // SAFETY: called by Python.
    unsafe {
        if python::is_finalizing() {
            python::set_error(ffi::PyExc_RuntimeError, c"greenlet is being finalized");
            return null_mut();
        }
        let current = thread::current();
        ffi::Py_XINCREF(current.cast());
        current.cast()
    }
}

/// `set_thread_local(key, value)`: a value that lives as long as the thread state.
unsafe extern "C-unwind" fn set_thread_local(_module: Object, arguments: Object) -> Object {
    // SAFETY: called by Python with a tuple.
    unsafe {
        let (mut key, mut value): (Object, Object) = (null_mut(), null_mut());
        let format = c"OO:set_thread_local";
        if ffi::PyArg_ParseTuple(arguments, format.as_ptr(), &raw mut key, &raw mut value) == 0 {
            return null_mut();
        }
        let dict = ffi::PyThreadState_GetDict();
        if dict.is_null() || ffi::PyDict_SetItem(dict, key, value) != 0 {
            return null_mut();
        }
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

unsafe extern "C-unwind" fn enable_optional_cleanup(_module: Object, enabled: Object) -> Object {
    // SAFETY: called by Python with an object.
    unsafe {
        let enabled = ffi::PyObject_IsTrue(enabled);
        if enabled < 0 {
            return null_mut();
        }
        object::OPTIONAL_CLEANUP.store(enabled != 0, Ordering::Relaxed);
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

unsafe extern "C-unwind" fn get_total_main_greenlets(_module: Object, _: Object) -> Object {
    // SAFETY: makes a number.
    unsafe { ffi::PyLong_FromSize_t(thread::total_main_greenlets()) }
}

unsafe extern "C-unwind" fn get_trash_nesting(_module: Object, _: Object) -> Object {
    // SAFETY: the GIL is held.
    unsafe { ffi::PyLong_FromLong(tstate::trash_nesting(ffi::PyThreadState_Get()).into()) }
}

unsafe fn check(object: Object) -> bool {
    // SAFETY: called by Python with an object.
    unsafe {
        let is_greenlet = super::is_greenlet(object);
        if !is_greenlet {
            let text = c"expected a greenlet, not %s";
            ffi::PyErr_Format(ffi::PyExc_TypeError, text.as_ptr(), (*ffi::Py_TYPE(object)).tp_name);
        }
        is_greenlet
    }
}

unsafe extern "C-unwind" fn trim(_module: Object, greenlet: Object) -> Object {
    // SAFETY: called by Python; the type is checked.
    unsafe {
        if check(greenlet) {
            ffi::PyBool_FromLong(stacks::trim(greenlet.cast()).into())
        } else {
            null_mut()
        }
    }
}

unsafe extern "C-unwind" fn trim_free_stacks(_module: Object, _: Object) -> Object {
    // SAFETY: makes a number.
    unsafe { ffi::PyLong_FromSize_t(pool().trim(0)) }
}

unsafe extern "C-unwind" fn stack_resident_bytes(_module: Object, greenlet: Object) -> Object {
    // SAFETY: called by Python; the type is checked.
    unsafe {
        if check(greenlet) {
            ffi::PyLong_FromSize_t(stacks::resident_bytes(greenlet.cast()))
        } else {
            null_mut()
        }
    }
}

unsafe extern "C-unwind" fn set_stack_sweep_interval(_module: Object, seconds: Object) -> Object {
    // SAFETY: called by Python with an object.
    unsafe {
        let none = ffi::Py_None();
        let seconds = if seconds == none {
            0.0
        } else {
            ffi::PyFloat_AsDouble(seconds)
        };
        if seconds == -1.0 && !ffi::PyErr_Occurred().is_null() {
            return null_mut();
        }
        sweeper::set_interval_ns((seconds * 1e9) as i64);
        ffi::Py_INCREF(none);
        none
    }
}

unsafe extern "C-unwind" fn statistics(_module: Object, _: Object) -> Object {
    let numbers = pool().statistics();
    let size = pool().size();
    let threads = thread::total_main_greenlets();
    // SAFETY: the GIL is held.
    let [active, stranded] = unsafe { stacks::count() };
    // SAFETY: called by Python; makes a dict of numbers.
    unsafe {
        let dict = ffi::PyDict_New();
        for (name, value) in [
            (c"threads", threads as u64),
            // Each thread runs one of its greenlets, and the others are suspended: as many as have a stack of their own.
            (c"greenlets_alive", (active + threads) as u64),
            (c"greenlets_suspended", active as u64),
            (c"greenlets_stranded", stranded as u64),
            (c"stacks_in_use", numbers.in_use as u64),
            (c"stacks_peak", numbers.peak_in_use as u64),
            (c"stacks_warm", numbers.warm as u64),
            (c"stacks_cold", numbers.cold as u64),
            (c"stacks_unguarded", numbers.unguarded as u64),
            (c"stack_bytes", size.stack as u64),
            (c"slabs", numbers.slabs as u64),
            (c"reserved_bytes", numbers.reserved_bytes as u64),
            (c"resident_bytes", pool().resident_bytes() as u64),
            (c"starts", numbers.allocations),
            (c"reuses", numbers.reuses),
            (c"emptied", numbers.emptied),
            (c"swept", sweeper::swept()),
        ] {
            let number = ffi::PyLong_FromUnsignedLongLong(value);
            if dict.is_null() || number.is_null() || ffi::PyDict_SetItemString(dict, name.as_ptr(), number) != 0 {
                ffi::Py_XDECREF(number);
                ffi::Py_XDECREF(dict);
                return null_mut();
            }
            ffi::Py_DECREF(number);
        }
        dict
    }
}
