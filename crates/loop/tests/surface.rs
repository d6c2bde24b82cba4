//! Numbers, names and small calls that a face of the loop shows to its users.

mod common;

use std::os::fd::AsRawFd;

use common::{line, run, trace};
use verdigris_loop::{
    Error, Events, Flags, Loop, Mode, Spec, embeddable_backends, recommended_backends, supported_backends,
    wall_clock_ns,
};

fn make() -> Loop<u32> {
    Loop::new(Flags::NO_ENV).expect("the backend works here")
}

/// LV-C02: libev's event bits.
#[test]
fn event_bits() {
    let bits = [
        (Events::NONE, 0),
        (Events::READ, 0x1),
        (Events::WRITE, 0x2),
        (Events::IOFDSET, 0x80),
        (Events::TIMER, 0x100),
        (Events::PERIODIC, 0x200),
        (Events::SIGNAL, 0x400),
        (Events::CHILD, 0x800),
        (Events::STAT, 0x1000),
        (Events::IDLE, 0x2000),
        (Events::PREPARE, 0x4000),
        (Events::CHECK, 0x8000),
        (Events::EMBED, 0x1_0000),
        (Events::FORK, 0x2_0000),
        (Events::CLEANUP, 0x4_0000),
        (Events::ASYNC, 0x8_0000),
        (Events::CUSTOM, 0x100_0000),
        (Events::ERROR, 0x8000_0000),
    ];
    for (events, number) in bits {
        assert_eq!(events.bits(), number);
    }
    assert_eq!(format!("{:?}", Events::READ | Events::from_bits(0x10)), "READ|0x10");
}

/// LV-C03, LV-C04: libev's flags and backend bits.
#[test]
fn flag_bits() {
    let bits = [
        (Flags::AUTO, 0),
        (Flags::SELECT, 1),
        (Flags::POLL, 2),
        (Flags::EPOLL, 4),
        (Flags::KQUEUE, 8),
        (Flags::NO_INOTIFY, 0x0010_0000),
        (Flags::SIGNALFD, 0x0020_0000),
        (Flags::NO_SIGMASK, 0x0040_0000),
        (Flags::NO_TIMERFD, 0x0080_0000),
        (Flags::NO_ENV, 0x0100_0000),
        (Flags::FORK_CHECK, 0x0200_0000),
    ];
    for (flags, number) in bits {
        assert_eq!(flags.0, number);
    }
}

/// LV-C01, LV-R14, LV-R32: the wall clock, cached and live.
#[test]
fn clocks() {
    let before = wall_clock_ns();
    let mut event_loop = make();
    event_loop.update_now();
    let after = wall_clock_ns();
    // A reading may be interpolated from one that is half a second old.
    let slack = 50_000_000;
    assert!(before - slack <= event_loop.now() && event_loop.now() <= after + slack);
}

/// LV-L05, LV-L06, LV-L07: every supported backend can be had; the recommended ones are among them.
#[test]
fn backends() {
    for bit in (0..32).map(|shift| 1 << shift) {
        let made = Loop::<u32>::new(Flags(bit) | Flags::NO_ENV);
        if bit & Flags::BACKENDS != 0 {
            assert_eq!(made.is_ok(), supported_backends() & bit != 0, "{bit:#x}");
        }
        if let Ok(event_loop) = made
            && bit & Flags::BACKENDS != 0
        {
            assert_eq!(event_loop.backend(), bit);
            assert_eq!(event_loop.fileno().is_some(), embeddable_backends() & bit != 0);
        }
    }
    assert_eq!(recommended_backends() & !supported_backends(), 0);
}

/// LV-L17: an iteration is counted before its poll, a run by its nesting.
#[test]
fn counters() {
    let mut event_loop = make();
    assert_eq!((event_loop.iteration(), event_loop.depth()), (0, 0));
    event_loop.call_soon(1);
    run(&mut event_loop, Mode::NoWait, |event_loop, _| {
        assert_eq!((event_loop.iteration(), event_loop.depth()), (0, 1));
        run(event_loop, Mode::NoWait, |_, _| {});
        assert_eq!((event_loop.iteration(), event_loop.depth()), (1, 1));
    });
    assert_eq!((event_loop.iteration(), event_loop.depth()), (2, 0));
}

/// LV-W03, LV-W07, LV-IO1, LV-T1: what may be changed when; what is refused, with a message that says the way out.
#[test]
fn changing_watchers() {
    let mut event_loop = make();
    let (left, _right) = std::os::unix::net::UnixStream::pair().unwrap();
    let spec = Spec::Io {
        fd: left.as_raw_fd(),
        events: Events::WRITE,
    };
    let key = event_loop.insert(spec.clone(), 1).unwrap();
    event_loop.start(key).unwrap();
    assert_eq!(event_loop.set(key, spec.clone()), Err(Error::Active));
    event_loop.set_data(key, 2).unwrap();
    let mut lines = Vec::new();
    run(&mut event_loop, Mode::Once, |event_loop, ready| {
        lines.push(line(ready));
        event_loop.stop(key).unwrap();
    });
    assert_eq!(lines, ["2 WRITE"]);
    assert_eq!(event_loop.set(key, Spec::Idle), Err(Error::WrongKind));
    event_loop
        .set(
            key,
            Spec::Io {
                fd: left.as_raw_fd(),
                events: Events::NONE,
            },
        )
        .unwrap();
    event_loop.start(key).unwrap();
    assert!(
        trace(&mut event_loop, Mode::NoWait).is_empty(),
        "no events wanted: allowed, and none told"
    );
    let check = event_loop.insert(Spec::Check, 3).unwrap();
    assert_eq!(event_loop.set(check, Spec::Prepare), Err(Error::WrongKind));
    let refused = [
        (
            Spec::Io {
                fd: -1,
                events: Events::READ,
            },
            "fd must be non-negative: -1",
        ),
        (
            Spec::Io {
                fd: 0,
                events: Events::from_bits(8),
            },
            "illegal event mask: 8",
        ),
        (
            Spec::Timer {
                after_ns: 0,
                repeat_ns: -1,
            },
            "repeat must be positive or zero: -1",
        ),
        (Spec::Signal { signum: 0 }, "illegal signal number: 0"),
    ];
    for (spec, message) in refused {
        let error = event_loop.insert(spec, 4).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
    event_loop
        .insert(
            Spec::Timer {
                after_ns: -7,
                repeat_ns: 0,
            },
            5,
        )
        .expect("a time in the past is allowed");
}

/// LV-B01: select with an fd beyond FD_SETSIZE.
#[test]
fn select_beyond_its_size() {
    let mut event_loop: Loop<u32> = Loop::new(Flags::SELECT | Flags::NO_ENV).unwrap();
    let (left, mut right) = std::os::unix::net::UnixStream::pair().unwrap();
    let Ok(high) = rustix::io::fcntl_dupfd_cloexec(&left, 2000) else {
        return;
    };
    assert!(high.as_raw_fd() >= 2000);
    event_loop.wait_io(high.as_raw_fd(), Events::READ, 1).unwrap();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    std::io::Write::write_all(&mut right, b"x").unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ"]);
}

/// An fd that cannot be open takes no memory and makes no noise.
#[test]
fn an_absurd_number() {
    let mut event_loop = make();
    let key = event_loop
        .insert(
            Spec::Io {
                fd: i32::MAX,
                events: Events::READ,
            },
            1,
        )
        .unwrap();
    assert_eq!(event_loop.start(key), Err(Error::System(libc::EBADF)));
    assert_eq!(
        event_loop.wait_io(i32::MAX, Events::READ, 1),
        Err(Error::System(libc::EBADF))
    );
    assert_eq!(event_loop.adopt(i32::MAX), Err(Error::System(libc::EBADF)));
    assert!(event_loop.forget(i32::MAX).is_empty() && event_loop.forget(-1).is_empty());
    event_loop.mark_unready(i32::MIN, Events::READ);
    assert_eq!(event_loop.readiness(-5), Events::READ_WRITE);
    event_loop.feed_fd(i32::MAX, Events::READ);
    assert_eq!(event_loop.active_count(), 0);
}

/// The things that go to other threads may go there.
#[test]
fn what_can_be_sent() {
    fn sendable<V: Send>() {}
    fn shared<V: Send + Sync>() {}
    sendable::<verdigris_loop::Wait>();
    sendable::<verdigris_loop::Woken>();
    shared::<verdigris_loop::Remote<u32>>();
    shared::<verdigris_loop::AsyncSender>();
}
