//! Where a greenlet was spawned: by whom, from which lines, and the dictionary its family shares.
//!
//! This is written at every spawn, so it is light: code objects with instruction offsets, turned into
//! frames only when somebody looks. `config.track_greenlet_tree` turns it off.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::greenlet::GreenletObject;
use crate::greenlet;

/// Whether sites are recorded at all.
static TRACKED: AtomicBool = AtomicBool::new(true);
/// How many frames are recorded at most.
static LIMIT: AtomicUsize = AtomicUsize::new(10);

/// One frame of the spawning stack.
type Place = (Py<PyAny>, i32);

/// As many frames as a site holds without memory of its own (350 instructions): most programs spawn from a few calls deep.
const FEW: usize = 8;

/// The frames of a spawn, innermost first. The code objects are owned; they are dropped with the GIL held.
enum Places {
    Few {
        codes: [MaybeUninit<*mut ffi::PyObject>; FEW],
        offsets: [c_int; FEW],
        count: usize,
    },
    Many(Box<[(*mut ffi::PyObject, c_int)]>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Few {
            codes: [const { MaybeUninit::uninit() }; FEW],
            offsets: [0; FEW],
            count: 0,
        }
    }
}

impl Places {
    /// # Safety
    ///
    /// All of `codes` are owned references.
    unsafe fn of(codes: &[MaybeUninit<*mut ffi::PyObject>], offsets: &[c_int]) -> Self {
        let count = codes.len();
        if count <= FEW {
            let (mut few, mut few_offsets) = ([const { MaybeUninit::uninit() }; FEW], [0; FEW]);
            few[..count].copy_from_slice(codes);
            few_offsets[..count].copy_from_slice(&offsets[..count]);
            return Self::Few {
                codes: few,
                offsets: few_offsets,
                count,
            };
        }
        // SAFETY: the caller's promise.
        Self::Many(
            codes
                .iter()
                .zip(offsets)
                .map(|(code, offset)| (unsafe { code.assume_init() }, *offset))
                .collect(),
        )
    }

    fn each(&self, mut with: impl FnMut(*mut ffi::PyObject, c_int)) {
        match self {
            Self::Few { codes, offsets, count } => {
                for (code, offset) in codes[..*count].iter().zip(offsets) {
                    // SAFETY: the first `count` are set.
                    with(unsafe { code.assume_init() }, *offset);
                }
            }
            Self::Many(all) => all.iter().for_each(|&(code, offset)| with(code, offset)),
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // SAFETY: the references are its own, and greenlets are deallocated with the GIL held.
        self.each(|code, _| unsafe { ffi::Py_DECREF(code) });
    }
}

/// The circumstances of a spawn.
#[derive(Default)]
pub(super) struct SpawnSite {
    /// A weak reference to the greenlet that spawned.
    greenlet: Option<Py<PyAny>>,
    locals: Option<Py<PyDict>>,
    tracked: bool,
    stack: Places,
}

impl SpawnSite {
    /// The place from which this is called.
    pub(super) fn here(py: Python<'_>) -> Self {
        if !TRACKED.load(Ordering::Relaxed) {
            return Self::default();
        }
        let Ok(current) = greenlet::current_bound(py) else {
            return Self::default();
        };
        // SAFETY: greenlets can be weakly referenced; a failure (no memory) is left for the next allocation to report.
        let reference = unsafe {
            let reference = ffi::PyWeakref_NewRef(current.as_ptr(), std::ptr::null_mut());
            if reference.is_null() {
                ffi::PyErr_Clear();
            }
            Bound::from_owned_ptr_or_opt(py, reference).map(Bound::unbind)
        };
        Self {
            greenlet: reference,
            locals: inherited_locals(&current),
            tracked: true,
            stack: capture(),
        }
    }

    pub(super) fn greenlet(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.greenlet.as_ref().map(|reference| reference.clone_ref(py))
    }

    pub(super) fn replace_greenlet(&mut self, value: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.greenlet, value)
    }

    /// The family's dictionary, made when it is first wanted.
    pub(super) fn locals(&mut self, py: Python<'_>) -> Option<Py<PyDict>> {
        if self.locals.is_none() && self.tracked {
            self.locals = Some(PyDict::new(py).unbind());
        }
        self.locals.as_ref().map(|locals| locals.clone_ref(py))
    }

    pub(super) fn replace_locals(&mut self, value: Option<Py<PyDict>>) -> Option<Py<PyDict>> {
        std::mem::replace(&mut self.locals, value)
    }

    /// The recorded frames, innermost first; None when nothing was recorded.
    pub(super) fn stack(&self, py: Python<'_>) -> Option<Vec<Place>> {
        self.tracked.then(|| {
            let mut all = Vec::new();
            // SAFETY: the references are kept by `self`.
            self.stack
                .each(|code, offset| all.push((unsafe { Bound::from_borrowed_ptr(py, code) }.unbind(), offset)));
            all
        })
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.greenlet)?;
        visit.call(&self.locals)
    }
}

/// The dictionary that a child of `current` shares; none for a child of the main greenlet, which starts a family.
fn inherited_locals(current: &Bound<'_, PyAny>) -> Option<Py<PyDict>> {
    if let Ok(parent) = current.cast::<GreenletObject>() {
        return parent.get().family_locals(current.py());
    }
    // SAFETY: the running greenlet is alive.
    if unsafe { greenlet::parent(current.as_ptr().cast()) }.is_null() {
        return None;
    }
    let locals = current
        .getattr_opt(pyo3::intern!(current.py(), "spawn_tree_locals"))
        .ok()
        .flatten()?;
    locals.cast_into::<PyDict>().ok().map(Bound::unbind)
}

/// Records the running Python frames, innermost first.
fn capture() -> Places {
    const SOME: usize = 16;
    let limit = LIMIT.load(Ordering::Relaxed);
    if limit <= SOME {
        return capture_into(&mut [const { MaybeUninit::uninit() }; SOME][..limit], &mut [0; SOME]);
    }
    let limit = limit.min(1 << 16);
    let mut codes = Box::new_uninit_slice(limit);
    capture_into(&mut codes, &mut vec![0; limit])
}

/// The same, by way of a scratch pad of as many as are wanted at most.
#[inline]
fn capture_into(codes: &mut [MaybeUninit<*mut ffi::PyObject>], offsets: &mut [c_int]) -> Places {
    let limit = codes.len() as c_int;
    // SAFETY: the GIL is held, and there is room for `limit` of both; what is written are owned references.
    unsafe {
        let count = note_frames(
            ffi::PyThreadState_Get(),
            codes.as_mut_ptr().cast(),
            offsets.as_mut_ptr(),
            limit,
        );
        Places::of(&codes[..count as usize], offsets)
    }
}

unsafe extern "C" {
    #[link_name = "verdigris_frames_note"]
    fn note_frames(
        tstate: *mut ffi::PyThreadState,
        codes: *mut *mut ffi::PyObject,
        offsets: *mut c_int,
        limit: c_int,
    ) -> c_int;
}

/// A light frame: enough for `traceback.print_stack`.
#[pyclass(name = "_frame", module = "verdigris.greenlet", frozen)]
pub(super) struct LightFrame {
    #[pyo3(get)]
    f_code: Py<PyAny>,
    #[pyo3(get)]
    f_lineno: i32,
    #[pyo3(get)]
    f_lasti: i32,
    #[pyo3(get)]
    f_back: Option<Py<LightFrame>>,
}

#[pymethods]
impl LightFrame {
    /// Empty: the recorded frame is gone.
    #[getter]
    fn f_globals<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        PyDict::new(py)
    }

    /// Empty: the recorded frame is gone.
    #[getter]
    fn f_locals<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        PyDict::new(py)
    }
}

/// Turns recorded places into linked frames.
pub(super) fn frames(py: Python<'_>, places: Option<Vec<Place>>) -> PyResult<Option<Py<PyAny>>> {
    let Some(places) = places else {
        return Ok(None);
    };
    let mut outer: Option<Py<LightFrame>> = None;
    for (code, offset) in places.into_iter().rev() {
        // SAFETY: `code` is a code object, its offset was read from a frame of it.
        let line = unsafe { ffi::PyCode_Addr2Line(code.as_ptr().cast(), offset) };
        outer = Some(Py::new(
            py,
            LightFrame {
                f_code: code,
                f_lineno: line,
                f_lasti: offset,
                f_back: outer,
            },
        )?);
    }
    Ok(outer.map(Py::into_any))
}

/// What `config.track_greenlet_tree` and `Greenlet.spawning_stack_limit` say.
#[pyfunction]
#[pyo3(signature = (tracked=None, limit=None))]
pub(super) fn configure_spawn_sites(
    py: Python<'_>,
    tracked: Option<bool>,
    limit: Option<usize>,
) -> PyResult<Py<PyTuple>> {
    if let Some(tracked) = tracked {
        TRACKED.store(tracked, Ordering::Relaxed);
    }
    if let Some(limit) = limit {
        LIMIT.store(limit, Ordering::Relaxed);
    }
    Ok((TRACKED.load(Ordering::Relaxed), LIMIT.load(Ordering::Relaxed))
        .into_pyobject(py)?
        .unbind())
}
