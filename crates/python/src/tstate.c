/* What of CPython's thread state belongs to a greenlet, and how it is exchanged when greenlets switch.
 *
 * The interpreter believes that a thread has one C stack. Several fields of PyThreadState describe that stack (which frame is on
 * top, how deep it is, where its frames are allocated, which exception is being handled); when we exchange the stack, they have to
 * be exchanged with it. All are in the public header cpython/pystate.h, but their layout changes between minor
 * versions and grows in patch releases: so this is C, compiled against the headers of the Python it is built for, and Rust sees
 * an opaque block of words.
 *
 *                   3.11                     3.12                       3.13              3.14, 3.15
 *   top frame       cframe (+ use_tracing)   cframe                     current_frame     current_frame
 *   Python depth    recursion_remaining      py_recursion_remaining     same              same
 *   C depth         (the same counter)       c_recursion_remaining      same              SetStackProtection
 *   trashcan        trash_delete_nesting     trash.delete_nesting       -                 -
 *   JIT             -                        -                          previous_executor current_executor
 *   all             exc_info, context (+ context_ver), datastack_chunk, datastack_top, datastack_limit, recursion_headroom
 *
 * (The last is not 0 while an exception is made, which may call a class's __init__: then the interpreter does not raise RecursionError, but
 * ends the process 50 calls later.)
 *
 * When a tool or profiler begins to watch, CPython prepares the code of all frames that it finds in the threads. It does not find those
 * of suspended greenlets, and from 3.15 on it crashes when an exception leaves one (PY_UNWIND): so they are prepared when they go on.
 *
 * Not exchanged, because they belong to the thread: tracing, the trace and profile functions, the pending exception (a switch may
 * carry it over), async_exc, the dict, delete_later (a list of the whole thread).
 *
 * A new greenlet starts with bottom items of its own, kept in the block: an empty _PyErr_StackItem (a greenlet started inside an
 * `except` handles nothing) and on 3.11 and 3.12 a _PyCFrame. Its first chunk of Python frames is the annex of its C stack:
 *
 *       ... C stack <-- top | _PyStackChunk {previous = NULL, size, top = 0, data[0] unused, data[1] first frame --> ...}
 *
 * CPython frees a chunk when the frame at data[0] is popped. It leaves data[0] of a thread's first chunk unused for that reason, and so
 * do we: our chunk is never freed by CPython. Chunks that are added on top are CPython's own.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x03100000
#  error "verdigris knows CPython 3.11 to 3.15"
#endif
#ifdef Py_GIL_DISABLED
#  error "verdigris does not know free-threaded builds yet"
#endif

#if PY_VERSION_HEX < 0x030D0000
#  define HAS_CFRAME 1
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
#  define HAS_C_RECURSION 1
#  if PY_VERSION_HEX >= 0x030D0000
#    define C_LIMIT Py_C_RECURSION_LIMIT
#  else
#    define C_LIMIT C_RECURSION_LIMIT
#  endif
#endif
#if PY_VERSION_HEX >= 0x030E0000
#  define HAS_STACK_PROTECTION 1
/* In 3.14.2 and later. Weak, so that an older 3.14 gets an ImportError from us and not an undefined symbol from the linker. */
extern int PyUnstable_ThreadState_SetStackProtection(PyThreadState *, void *, size_t) __attribute__((weak));
extern void PyUnstable_ThreadState_ResetStackProtection(PyThreadState *) __attribute__((weak));
#endif

#if PY_VERSION_HEX >= 0x030F0000
#  define HAS_LOCAL_UNWIND 1
/* The bits below it are requests to the interpreter (pycore_ceval.h). */
#  define MONITORING_VERSION(tstate) ((uint32_t)((tstate)->eval_breaker >> 8))
#endif

typedef struct {
#ifdef HAS_CFRAME
    _PyCFrame *cframe;
#else
    struct _PyInterpreterFrame *frame;
#endif
    _PyErr_StackItem *exc_info;
    PyObject *context; /* owned while the greenlet is not running */
    _PyStackChunk *chunk;
    PyObject **chunk_top;
    PyObject **chunk_limit;
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *executor;
#endif
    void *stack_lowest; /* NULL: the thread's own stack */
    size_t stack_bytes;
    int depth;
    int headroom;
    int c_remaining;
    int trash_nesting;
#ifdef HAS_LOCAL_UNWIND
    uint32_t monitoring; /* the version of what is monitored in this interpreter */
#endif
    _PyErr_StackItem bottom_exc;
#ifdef HAS_CFRAME
    _PyCFrame bottom_cframe;
#endif
} Saved;

/* Rust reserves this much (tstate.rs). */
_Static_assert(sizeof(Saved) <= 18 * sizeof(void *), "tstate.rs reserves too little");

/* Whether this Python can be told where its stack is; 0 on 3.14.0 and 3.14.1. */
int
verdigris_tstate_supported(void)
{
#ifdef HAS_STACK_PROTECTION
    return PyUnstable_ThreadState_SetStackProtection != NULL && PyUnstable_ThreadState_ResetStackProtection != NULL;
#else
    return 1;
#endif
}

/* Fills `saved` (all zeroes but perhaps for `context`) with what a new greenlet starts from. */
void
verdigris_tstate_begin(PyThreadState *tstate, Saved *saved, char *annex, size_t annex_bytes, void *stack_lowest,
                       size_t stack_bytes)
{
    _PyStackChunk *chunk = (_PyStackChunk *)annex;
    chunk->previous = NULL;
    chunk->size = annex_bytes;
    chunk->top = 0;
    saved->chunk = chunk;
    saved->chunk_top = &chunk->data[1];
    saved->chunk_limit = (PyObject **)(annex + annex_bytes);
    saved->bottom_exc.exc_value = NULL;
    saved->bottom_exc.previous_item = NULL;
    saved->exc_info = &saved->bottom_exc;
#ifdef HAS_CFRAME
    memset(&saved->bottom_cframe, 0, sizeof(saved->bottom_cframe));
    saved->bottom_cframe.previous = &tstate->root_cframe;
    saved->cframe = &saved->bottom_cframe;
#else
    saved->frame = NULL;
#endif
#if PY_VERSION_HEX >= 0x030D0000
    saved->executor = NULL;
#endif
    saved->stack_lowest = stack_lowest;
    saved->stack_bytes = stack_bytes;
    saved->depth = 0;
    saved->headroom = 0;
    saved->trash_nesting = 0;
#ifdef HAS_LOCAL_UNWIND
    saved->monitoring = MONITORING_VERSION(tstate);
#endif
#ifdef HAS_C_RECURSION
    saved->c_remaining = (int)(stack_bytes / 1024 < C_LIMIT ? stack_bytes / 1024 : C_LIMIT);
#else
    (void)tstate;
#endif
}

static inline void
save(PyThreadState *tstate, Saved *saved)
{
#ifdef HAS_CFRAME
    saved->cframe = tstate->cframe;
#else
    saved->frame = tstate->current_frame;
#endif
    saved->exc_info = tstate->exc_info;
    saved->context = tstate->context;
    saved->chunk = tstate->datastack_chunk;
    saved->chunk_top = tstate->datastack_top;
    saved->chunk_limit = tstate->datastack_limit;
#if PY_VERSION_HEX < 0x030C0000
    saved->depth = tstate->recursion_limit - tstate->recursion_remaining;
    saved->trash_nesting = tstate->trash_delete_nesting;
#else
    saved->depth = tstate->py_recursion_limit - tstate->py_recursion_remaining;
#endif
    saved->headroom = tstate->recursion_headroom;
#ifdef HAS_C_RECURSION
    saved->c_remaining = tstate->c_recursion_remaining;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    saved->trash_nesting = tstate->trash.delete_nesting;
#endif
#ifdef HAS_LOCAL_UNWIND
    saved->monitoring = MONITORING_VERSION(tstate);
#endif
#if PY_VERSION_HEX >= 0x030E0000
    saved->executor = tstate->current_executor;
#elif PY_VERSION_HEX >= 0x030D0000
    saved->executor = tstate->previous_executor;
#endif
}

/* frames.c */
int verdigris_frames_forget(struct _PyInterpreterFrame *frame);
int verdigris_frames_visit(struct _PyInterpreterFrame *frame, visitproc visit, void *arg);
void verdigris_frames_clear(struct _PyInterpreterFrame *frame);
void verdigris_frames_print(struct _PyInterpreterFrame *frame, int descriptor);
void verdigris_frames_prepare(struct _PyInterpreterFrame *frame);

static inline void
load(PyThreadState *tstate, Saved *saved)
{
#ifdef HAS_LOCAL_UNWIND
    if (saved->monitoring != MONITORING_VERSION(tstate)) {
        verdigris_frames_prepare(saved->frame);
    }
#endif
#ifdef HAS_CFRAME
#  if PY_VERSION_HEX < 0x030C0000
    saved->cframe->use_tracing = tstate->cframe->use_tracing;
#  endif
    tstate->cframe = saved->cframe;
#else
    tstate->current_frame = saved->frame;
#endif
    tstate->exc_info = saved->exc_info;
    if (tstate->context != saved->context) {
        tstate->context = saved->context;
        tstate->context_ver++;
    }
    saved->context = NULL;
    tstate->datastack_chunk = saved->chunk;
    tstate->datastack_top = saved->chunk_top;
    tstate->datastack_limit = saved->chunk_limit;
#if PY_VERSION_HEX < 0x030C0000
    tstate->recursion_remaining = tstate->recursion_limit - saved->depth;
    tstate->trash_delete_nesting = saved->trash_nesting;
#else
    tstate->py_recursion_remaining = tstate->py_recursion_limit - saved->depth;
#endif
    tstate->recursion_headroom = saved->headroom;
#ifdef HAS_C_RECURSION
    tstate->c_recursion_remaining = saved->c_remaining;
#endif
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    tstate->trash.delete_nesting = saved->trash_nesting;
#endif
#if PY_VERSION_HEX >= 0x030E0000
    tstate->current_executor = saved->executor;
#elif PY_VERSION_HEX >= 0x030D0000
    tstate->previous_executor = saved->executor;
#endif
#ifdef HAS_STACK_PROTECTION
    if (saved->stack_lowest != NULL) {
        /* Fails only for a stack too small, which the pool does not make. */
        (void)PyUnstable_ThreadState_SetStackProtection(tstate, saved->stack_lowest, saved->stack_bytes);
    }
    else {
        PyUnstable_ThreadState_ResetStackProtection(tstate);
    }
#endif
}

/* Makes `tstate` describe the stack of `to`, after noting in `from` what it describes now. */
void
verdigris_tstate_exchange(PyThreadState *tstate, Saved *from, Saved *to)
{
    save(tstate, from);
    load(tstate, to);
}

/* The context of the running greenlet; borrowed, NULL for an empty one. */
PyObject *
verdigris_tstate_context(PyThreadState *tstate)
{
    return tstate->context;
}

/* Exchanges the context of the running greenlet; takes a reference, gives the old one. */
PyObject *
verdigris_tstate_swap_context(PyThreadState *tstate, PyObject *context)
{
    PyObject *old = tstate->context;
    tstate->context = context;
    tstate->context_ver++;
    return old;
}

/* The same for one that is not running. */
PyObject **
verdigris_saved_context(Saved *saved)
{
    return &saved->context;
}

/* The frame object on top of a suspended greenlet (a new reference), or NULL without an exception when it has none. */
PyObject *
verdigris_saved_frame(PyThreadState *tstate, Saved *saved)
{
    PyObject *frame;
    int collecting = PyGC_Disable(); /* making the object may not run anything while the top frame is a foreign one */
#ifdef HAS_CFRAME
    _PyCFrame *own = tstate->cframe;
    tstate->cframe = saved->cframe;
    frame = (PyObject *)PyThreadState_GetFrame(tstate);
    tstate->cframe = own;
#else
    struct _PyInterpreterFrame *own = tstate->current_frame;
    tstate->current_frame = saved->frame;
    frame = (PyObject *)PyThreadState_GetFrame(tstate);
    tstate->current_frame = own;
#endif
    if (collecting) {
        PyGC_Enable();
    }
    return frame;
}

/* Where the Python frames of a suspended greenlet end in the annex: everything from there to the annex's end is free. NULL when
 * they have outgrown it. */
char *
verdigris_saved_annex_used(Saved *saved)
{
    return saved->chunk != NULL && saved->chunk->previous == NULL ? (char *)saved->chunk_top : NULL;
}

static inline struct _PyInterpreterFrame *
top_frame(Saved *saved)
{
#ifdef HAS_CFRAME
    return saved->cframe->current_frame;
#else
    return saved->frame;
#endif
}

/* A number that is the same as long as a suspended greenlet is where it is in Python, and likely another one when it has gone on. */
size_t
verdigris_saved_place(Saved *saved)
{
    return (size_t)top_frame(saved) ^ ((size_t)saved->chunk_top << 16) ^ (size_t)saved->exc_info;
}

/* tp_traverse of what a suspended greenlet's frames hold, as far as the version can tell. */
int
verdigris_saved_visit(Saved *saved, visitproc visit, void *arg)
{
    return verdigris_frames_visit(top_frame(saved), visit, arg);
}

/* There under AddressSanitizer alone. Functions that never return leave what it knows of the stack behind them, for the next greenlet. */
extern void __asan_unpoison_memory_region(const volatile void *, size_t) __attribute__((weak));

/* For a greenlet that will never run again, its thread having ended: whether its stack and annex can be used by another. What its
 * calls that were under way refer to is dropped if `clear` says so, from 3.14 on; the rest is lost. Chunks of frames beyond the annex are freed. This may
 * run any Python code. */
int
verdigris_saved_forget(Saved *saved, int clear)
{
    if (!verdigris_frames_forget(top_frame(saved))) {
        return 0;
    }
    if (clear) {
        verdigris_frames_clear(top_frame(saved));
    }
    if (__asan_unpoison_memory_region != NULL) {
        __asan_unpoison_memory_region(saved->stack_lowest, saved->stack_bytes);
    }
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    _PyStackChunk *chunk = saved->chunk;
    while (chunk->previous != NULL) {
        _PyStackChunk *previous = chunk->previous;
        arenas.free(arenas.ctx, chunk, chunk->size);
        chunk = previous;
    }
    saved->chunk = chunk;
    return 1;
}

/* Where the running greenlet is in Python, for a signal handler. */
void
verdigris_tstate_print_frames(PyThreadState *tstate, int descriptor)
{
#ifdef HAS_CFRAME
    verdigris_frames_print(tstate->cframe->current_frame, descriptor);
#else
    verdigris_frames_print(tstate->current_frame, descriptor);
#endif
}

int
verdigris_tstate_trash_nesting(PyThreadState *tstate)
{
#if PY_VERSION_HEX < 0x030C0000
    return tstate->trash_delete_nesting;
#elif PY_VERSION_HEX < 0x030D0000
    return tstate->trash.delete_nesting;
#else
    (void)tstate;
    return 0;
#endif
}

/* For an object in its deallocator that has to live a little longer. */
void
verdigris_set_refcount(PyObject *object, Py_ssize_t count)
{
    Py_SET_REFCNT(object, count);
}

/* Whether it has a trace function for lines, calls and returns. */
int
verdigris_tstate_traced(PyThreadState *tstate)
{
    return tstate->c_tracefunc != NULL;
}

/* Whether it has a profile or a trace function (set by the C API or by sys). */
int
verdigris_tstate_observed(PyThreadState *tstate)
{
    return tstate->c_profilefunc != NULL || tstate->c_tracefunc != NULL;
}
