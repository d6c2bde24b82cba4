//! Waiting allocates nothing once the tables have grown to their size.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use common::run;
use verdigris_loop::{Events, Flags, Loop, Mode, Spec};

/// Counts what it passes on to the system's allocator.
struct Counting;

thread_local! {
    /// Of this thread: the test harness has others.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn waiting_allocates_nothing() {
    for flags in [Flags::EPOLL, Flags::POLL, Flags::SELECT] {
        let mut event_loop: Loop<u32> = Loop::new(flags | Flags::NO_ENV).unwrap();
        let mut sockets: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
        let repeating = event_loop
            .insert(
                Spec::Timer {
                    after_ns: 0,
                    repeat_ns: 1,
                },
                0,
            )
            .unwrap();
        event_loop.start(repeating).unwrap();
        for (place, (left, _)) in sockets.iter().enumerate() {
            if place % 2 == 0 {
                event_loop.adopt(left.as_raw_fd()).unwrap();
            }
        }
        let mut before = 0;
        for round in 0..200 {
            if round == 20 {
                before = ALLOCATIONS.get();
            }
            for (left, right) in &mut sockets {
                let fd = left.as_raw_fd();
                event_loop.mark_unready(fd, Events::READ);
                event_loop.wait_io_for(fd, Events::READ, 3_600_000_000_000, 1).unwrap();
                right.write_all(b"x").unwrap();
                event_loop.wait_timer(-1, 0, 2);
                let key = event_loop.wait_timer(1_000_000, 0, 3);
                event_loop.call_soon(4);
                event_loop.cancel(key);
            }
            run(&mut event_loop, Mode::Once, |_, _| {});
            for (left, _) in &mut sockets {
                left.read_exact(&mut [0]).unwrap();
            }
        }
        let after = ALLOCATIONS.get();
        assert_eq!(after - before, 0, "on {}", event_loop.backend_name());
    }
}
