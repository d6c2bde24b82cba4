/* libev.rs writes libev's structures by hand: this stops the build where they differ from ev.h. */
#include <ev.h>
#include <stddef.h>

_Static_assert(EV_VERSION_MAJOR == 4, "libev 4");
_Static_assert(EV__IOFDSET == 0x80 && EV_READ == 1 && EVRUN_NOWAIT == 1 && EVBREAK_ONE == 1, "numbers");
_Static_assert(offsetof(ev_io, data) == 16 && offsetof(ev_io, cb) == 24 && offsetof(ev_io, fd) == 40, "ev_io");
_Static_assert(offsetof(ev_io, events) == 44 && sizeof(ev_io) == 48, "ev_io");
_Static_assert(offsetof(ev_timer, at) == 32 && offsetof(ev_timer, repeat) == 40 && sizeof(ev_timer) == 48, "ev_timer");
_Static_assert(offsetof(ev_async, sent) == 32 && sizeof(ev_async) == 40, "ev_async");
