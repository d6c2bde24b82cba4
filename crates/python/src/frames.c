/* The Python frames on the stack of a suspended greenlet, seen from outside.
 *
 * The collector (`visit`). From 3.15 on the interpreter notes, before it calls anything, how far the stack of a frame is filled,
 * and offers to visit it: so what a suspended greenlet's frames hold is shown to the collector, and a cycle through them can be found.
 * Before that nobody can know, and such cycles stay (as with genuine greenlet).
 *
 * The end of a thread (`forget`). The frames of a greenlet that it leaves suspended will never run again. The memory of such a stack can
 * be used again, though most of what its frames refer to is lost (as with genuine greenlet), unless something
 * outside points at the frames: a frame object (from a traceback, or sys._getframe) reads its frame until that frame ends, which
 * this one never will. So the frames are looked at one by one, and a stack with a frame object that others have is given up.
 *
 * The overflow of a stack (`print`). The report of it says where in Python that was.
 *
 * A generator that was running there has its frame inside the generator object, with a pointer to its caller's frame: that is cut.
 * From 3.14 on it is known how far the stack of a frame is filled, and what is on it is dropped (`clear`): the objects of the calls that
 * were under way, so the greenlet that was being switched to; from 3.15 on the function, too. What the local variables hold is lost on
 * every version, as with genuine greenlet: to drop it would run finalizers in the middle of functions whose `finally` and `with` never run.
 *
 * A `with` (`in_with`). What begins it is asked for by the instruction alone (with_statement.rs).
 *
 * A spawn (`note`). Where a greenlet is made is written down as code objects and offsets, of the running thread's frames; a frame object
 * for each, which the public interface makes, would cost more than the spawn.
 *
 * A tool that begins to watch (`prepare`), from 3.15 on: see tstate.c.
 *
 * A collection that never ends (`collecting`): see collector.rs.
 *
 * This is the only file that needs CPython's internal headers, and it works without them: then every such stack is given up,
 * and frame objects are made.
 */

#if defined(__has_include)
#  if __has_include(<internal/pycore_frame.h>)
#    define Py_BUILD_CORE 1
#    define HAS_FRAMES 1
#  endif
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdio.h>
#include <unistd.h>

#ifdef HAS_FRAMES
#  include <internal/pycore_frame.h>
#  include <internal/pycore_interp.h>
#  include <opcode.h>
#  if PY_VERSION_HEX >= 0x030E0000
#    include <internal/pycore_interpframe_structs.h>
#    include <internal/pycore_interpframe.h>
#    define HAS_STACK_POINTERS 1
#    include <internal/pycore_stackref.h>
#  endif
#  if PY_VERSION_HEX >= 0x030F0000
#    define HAS_FRAME_VISITS 1
#    include <internal/pycore_gc.h>
#    include <internal/pycore_instruments.h>
#  endif

static struct _PyInterpreterFrame *
running_frame(PyThreadState *tstate)
{
#  if PY_VERSION_HEX < 0x030D0000
    return tstate->cframe->current_frame;
#  else
    return tstate->current_frame;
#  endif
}

static int
is_python_frame(struct _PyInterpreterFrame *frame)
{
#  if PY_VERSION_HEX >= 0x030C0000
    return frame->owner <= FRAME_OWNED_BY_FRAME_OBJECT;
#  else
    (void)frame;
    return 1;
#  endif
}
#endif

/* Whether nothing outside points at the frames from `frame` down to the first one; generators are cut off. */
int
verdigris_frames_forget(struct _PyInterpreterFrame *frame)
{
#ifdef HAS_FRAMES
    struct _PyInterpreterFrame *each, *previous;
    for (each = frame; each != NULL; each = each->previous) {
        if (is_python_frame(each) && each->owner != FRAME_OWNED_BY_GENERATOR && each->frame_obj != NULL
            && Py_REFCNT((PyObject *)each->frame_obj) > 1) {
            return 0;
        }
    }
    for (each = frame; each != NULL; each = previous) {
        previous = each->previous;
        if (!is_python_frame(each)) {
            continue;
        }
        if (each->owner == FRAME_OWNED_BY_GENERATOR) {
            each->previous = NULL;
        }
        else {
            Py_CLEAR(each->frame_obj);
        }
    }
    return 1;
#else
    (void)frame;
    return 0;
#endif
}

/* Where the interpreter notes that a collection is under way (collector.rs); NULL if that is not known. */
int *
verdigris_collecting(void)
{
#ifdef HAS_FRAMES
    return &PyThreadState_Get()->interp->gc.collecting;
#else
    return NULL;
#endif
}

#ifdef HAS_FRAME_VISITS
struct visitor {
    visitproc visit;
    void *arg;
};

/* Hides a generator or coroutine that is in the middle of running: the collector would close it, which it refuses while it runs, and
 * might do so before it finalizes the greenlet. Like this it counts as reachable, and ends when the greenlet is killed. */
static int
visit_unless_it_runs(PyObject *object, void *arg)
{
    struct visitor *visitor = arg;
    if ((PyGen_Check(object) || PyCoro_CheckExact(object) || PyAsyncGen_CheckExact(object))
        && ((PyGenObject *)object)->gi_frame_state == FRAME_EXECUTING) {
        return 0;
    }
    return visitor->visit(object, visitor->arg);
}
#endif

/* tp_traverse of a suspended greenlet's frames. Those of generators are theirs to visit. */
int
verdigris_frames_visit(struct _PyInterpreterFrame *frame, visitproc visit, void *arg)
{
#ifdef HAS_FRAME_VISITS
    struct visitor visitor = {visit, arg};
    for (; frame != NULL; frame = frame->previous) {
        if (!is_python_frame(frame) || frame->owner == FRAME_OWNED_BY_GENERATOR) {
            continue;
        }
        Py_VISIT(frame->frame_obj);
        Py_VISIT(frame->f_locals);
        _Py_VISIT_STACKREF(frame->f_funcobj);
        _Py_VISIT_STACKREF(frame->f_executable);
        int result = _PyGC_VisitFrameStack(frame, visit_unless_it_runs, &visitor);
        if (result != 0) {
            return result;
        }
    }
#else
    (void)frame;
    (void)visit;
    (void)arg;
#endif
    return 0;
}

/* For frames that were suspended when a tool began to watch. When an exception leaves a frame, the interpreter takes for granted that
 * its code has a record of who is to be told; this makes one where there is none, as it would itself (it is freed with the code), and
 * puts down who that is now. */
void
verdigris_frames_prepare(struct _PyInterpreterFrame *frame)
{
#if defined(HAS_FRAMES) && PY_VERSION_HEX >= 0x030F0000
    const int event = PY_MONITORING_EVENT_PY_UNWIND;
    uint8_t everywhere = PyInterpreterState_Get()->monitors.tools[event];
    for (; frame != NULL; frame = frame->previous) {
        if (!is_python_frame(frame) || _PyFrame_IsIncomplete(frame)) { /* what calls an __init__ has a constant for its code */
            continue;
        }
        PyCodeObject *code = _PyFrame_GetCode(frame);
        if (code->_co_monitoring == NULL) {
            code->_co_monitoring = PyMem_Calloc(1, sizeof(*code->_co_monitoring));
        }
        if (code->_co_monitoring != NULL) {
            code->_co_monitoring->active_monitors.tools[event] = everywhere | code->_co_monitoring->local_monitors.tools[event];
        }
    }
#else
    (void)frame;
#endif
}

/* Drops what is on the stacks of the frames, local variables apart. They will not run again, and nothing points at them; this may run any
 * Python code. */
void
verdigris_frames_clear(struct _PyInterpreterFrame *frame)
{
#ifdef HAS_STACK_POINTERS
    struct _PyInterpreterFrame *previous;
    for (; frame != NULL; frame = previous) {
        previous = frame->previous;
        if (!is_python_frame(frame) || frame->owner == FRAME_OWNED_BY_GENERATOR) {
            continue;
        }
        _PyStackRef *end = frame->stackpointer;
        _PyStackRef *begin = frame->localsplus + _PyFrame_GetCode(frame)->co_nlocalsplus;
        frame->stackpointer = begin;
        for (_PyStackRef *each = begin; each < end; each++) {
            PyStackRef_CLEAR(*each);
        }
#  ifdef HAS_FRAME_VISITS
        PyStackRef_CLEAR(frame->f_funcobj);
        PyStackRef_CLEAR(frame->f_executable);
#  endif
    }
#else
    (void)frame;
#endif
}

/* The code objects (owned) and instruction offsets of at most `limit` running frames, innermost first. How many. */
int
verdigris_frames_note(PyThreadState *tstate, PyObject **codes, int *offsets, int limit)
{
    int count = 0;
#ifdef HAS_FRAMES
    struct _PyInterpreterFrame *frame = running_frame(tstate);
    for (; frame != NULL && count < limit; frame = frame->previous) {
        if (!is_python_frame(frame) || _PyFrame_IsIncomplete(frame)) {
            continue;
        }
#  if PY_VERSION_HEX < 0x030C0000
        codes[count] = Py_NewRef((PyObject *)frame->f_code);
        offsets[count] = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
#  else
        codes[count] = PyUnstable_InterpreterFrame_GetCode(frame);
        offsets[count] = PyUnstable_InterpreterFrame_GetLasti(frame);
#  endif
        count++;
    }
#else
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    while (frame != NULL && count < limit) {
        codes[count] = (PyObject *)PyFrame_GetCode(frame);
        offsets[count] = PyFrame_GetLasti(frame);
        count++;
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
#endif
    return count;
}

/* Whether the running Python frame is at the instruction that begins a `with`. Before 3.14. */
int
verdigris_frames_in_with(void)
{
#if defined(HAS_FRAMES) && PY_VERSION_HEX < 0x030E0000
    struct _PyInterpreterFrame *frame = running_frame(PyThreadState_Get());
    if (frame == NULL || !is_python_frame(frame)) {
        return 0;
    }
#  if PY_VERSION_HEX < 0x030C0000
    return _Py_OPCODE(*frame->prev_instr) == BEFORE_WITH;
#  elif PY_VERSION_HEX < 0x030D0000
    return frame->prev_instr->op.code == BEFORE_WITH;
#  else
    return frame->instr_ptr->op.code == BEFORE_WITH;
#  endif
#else
    return 0;
#endif
}

/* Most frames that `print` shows, from the innermost and from the outermost. A recursion is the same in between. */
#define MOST_INNERMOST 30
#define MOST_OUTERMOST 10

#ifdef HAS_FRAMES
static PyCodeObject *
code_of(struct _PyInterpreterFrame *frame)
{
#  if PY_VERSION_HEX >= 0x030D0000
    return _PyFrame_GetCode(frame);
#  else
    return frame->f_code;
#  endif
}

static int
line_of(struct _PyInterpreterFrame *frame)
{
#  if PY_VERSION_HEX >= 0x030C0000
    return PyUnstable_InterpreterFrame_GetLine(frame);
#  else
    return PyCode_Addr2Line(frame->f_code, _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT));
#  endif
}

static void
put(int descriptor, const char *text, size_t length)
{
    if (write(descriptor, text, length) < 0) {
        return; /* there is nobody to tell */
    }
}

static void
put_string(int descriptor, PyObject *string)
{
    char text[512], *end = text;
    if (string == NULL || !PyUnicode_Check(string)) {
        put(descriptor, "?", 1);
        return;
    }
    for (Py_ssize_t index = 0; index < PyUnicode_GET_LENGTH(string) && end < text + sizeof(text) - 16; index++) {
        Py_UCS4 character = PyUnicode_READ_CHAR(string, index);
        if (character >= ' ' && character < 127) {
            *end++ = (char)character;
        }
        else {
            end += snprintf(end, 16, "\\U%08x", (unsigned)character);
        }
    }
    put(descriptor, text, end - text);
}

static void
put_frame(int descriptor, struct _PyInterpreterFrame *frame)
{
    char number[32];
    PyCodeObject *code = code_of(frame);
    put(descriptor, "  File \"", 8);
    put_string(descriptor, code->co_filename);
    put(descriptor, number, snprintf(number, sizeof(number), "\", line %d in ", line_of(frame)));
    put_string(descriptor, code->co_qualname);
    put(descriptor, "\n", 1);
}
#endif

/* Writes the frames of the running greenlet, the innermost first. For a signal handler: nothing is allocated, locked or counted. */
void
verdigris_frames_print(struct _PyInterpreterFrame *frame, int descriptor)
{
#ifdef HAS_FRAMES
    static const char title[] = "Greenlet's stack (most recent call first):\n", run[] = "It runs ";
    struct _PyInterpreterFrame *each, *outermost = NULL;
    char text[64];
    int count = 0, position = 0;
    for (each = frame; each != NULL; each = each->previous) {
        if (is_python_frame(each)) {
            outermost = each;
            count++;
        }
    }
    if (outermost != NULL) {
        put(descriptor, run, sizeof(run) - 1);
        put_string(descriptor, code_of(outermost)->co_qualname);
        put(descriptor, text, snprintf(text, sizeof(text), "(), %d Python frames deep.\n", count));
    }
    put(descriptor, title, sizeof(title) - 1);
    for (each = frame; each != NULL; each = each->previous) {
        if (!is_python_frame(each)) {
            continue;
        }
        if (position < MOST_INNERMOST || position >= count - MOST_OUTERMOST) {
            put_frame(descriptor, each);
        }
        else if (position == MOST_INNERMOST) {
            int hidden = count - MOST_INNERMOST - MOST_OUTERMOST;
            put(descriptor, text, snprintf(text, sizeof(text), "  ... %d more ...\n", hidden));
        }
        position++;
    }
#else
    static const char text[] = "python -X faulthandler shows where it was.\n";
    (void)frame;
    if (write(descriptor, text, sizeof(text) - 1) < 0) {
        return;
    }
#endif
}
