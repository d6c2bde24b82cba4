/* The Python frames on a stack that will never run again, because the thread it belonged to has ended.
 *
 * The memory of such a stack can be used again, though what its frames refer to is lost (as with genuine greenlet), unless something
 * outside points at the frames: a frame object (from a traceback, or sys._getframe) reads its frame until that frame ends, which
 * this one never will. So the frames are looked at one by one, and a stack with a frame object on it is given up.
 *
 * A generator that was running there has its frame inside the generator object, with a pointer to its caller's frame: that is cut.
 *
 * This is the only file that needs CPython's internal headers, and it works without them: then every such stack is given up.
 */

#if defined(__has_include)
#  if __has_include(<internal/pycore_frame.h>)
#    define Py_BUILD_CORE 1
#    define HAS_FRAMES 1
#  endif
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef HAS_FRAMES
#  include <internal/pycore_frame.h>
#  if PY_VERSION_HEX >= 0x030E0000
#    include <internal/pycore_interpframe_structs.h>
#  endif

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
        if (is_python_frame(each) && each->owner != FRAME_OWNED_BY_GENERATOR && each->frame_obj != NULL) {
            return 0;
        }
    }
    for (each = frame; each != NULL; each = previous) {
        previous = each->previous;
        if (is_python_frame(each) && each->owner == FRAME_OWNED_BY_GENERATOR) {
            each->previous = NULL;
        }
    }
    return 1;
#else
    (void)frame;
    return 0;
#endif
}
