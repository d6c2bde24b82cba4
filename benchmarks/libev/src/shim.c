/* What of libev's interface is macros, as functions. */
#include <ev.h>

_Static_assert(sizeof(ev_io) == 48 && sizeof(ev_timer) == 48 && sizeof(ev_async) == 40, "sizes in libev.rs");
_Static_assert(EV_VERSION_MAJOR == 4, "libev 4");

typedef void (*callback)(struct ev_loop *, void *, int);

void shim_io_init(ev_io *watcher, callback function, int fd, int events) {
    ev_io_init(watcher, (void (*)(struct ev_loop *, ev_io *, int))function, fd, events);
}

void shim_timer_init(ev_timer *watcher, callback function, double after, double repeat) {
    ev_timer_init(watcher, (void (*)(struct ev_loop *, ev_timer *, int))function, after, repeat);
}

void shim_async_init(ev_async *watcher, callback function) {
    ev_async_init(watcher, (void (*)(struct ev_loop *, ev_async *, int))function);
}
