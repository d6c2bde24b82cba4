//! The same behaviour on every backend: each test cites the row of the behaviour tables that it proves.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{MS, run, trace};
use verdigris_loop::{Break, Error, Events, Flags, Loop, Mode, Ready, Spec, Step};

fn make(flags: Flags) -> Loop<u32> {
    Loop::new(flags | Flags::NO_ENV).expect("the backend works here")
}

fn pair() -> (UnixStream, UnixStream) {
    let (left, right) = UnixStream::pair().expect("socketpair");
    left.set_nonblocking(true).expect("nonblocking");
    right.set_nonblocking(true).expect("nonblocking");
    (left, right)
}

/// LV-R01, LV-R03: a timer is waited for, and the run ends when nothing is active.
fn a_timer_ends_the_run(flags: Flags) {
    let mut event_loop = make(flags);
    let begun = Instant::now();
    event_loop.update_now();
    event_loop.wait_timer(20 * MS, 0, 7);
    assert_eq!(trace(&mut event_loop, Mode::Default), ["7 TIMER"]);
    assert!(begun.elapsed() >= Duration::from_millis(20), "never early");
    assert_eq!(event_loop.active_count(), 0);
}

/// LV-R02: one iteration, no wait.
fn nowait_does_not_wait(flags: Flags) {
    let mut event_loop = make(flags);
    event_loop.wait_timer(3_600_000 * MS, 0, 1);
    let before = event_loop.iteration();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    assert_eq!(event_loop.iteration(), before + 1);
    assert_eq!(event_loop.active_count(), 1);
}

/// LV-IO2: level-triggered.
fn unread_data_is_told_each_time(flags: Flags) {
    let mut event_loop = make(flags);
    let (mut left, mut right) = pair();
    let key = event_loop
        .insert(
            Spec::Io {
                fd: left.as_raw_fd(),
                events: Events::READ,
            },
            1,
        )
        .unwrap();
    event_loop.start(key).unwrap();
    right.write_all(b"x").unwrap();
    for _ in 0..3 {
        assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ"]);
    }
    left.read_exact(&mut [0]).unwrap();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    event_loop.stop(key).unwrap();
    assert_eq!(event_loop.active_count(), 0);
    event_loop.verify().unwrap();
}

/// LV-IO7, LV-Q07: several watchers on one fd, in the order they were started, each with its own events.
fn several_watchers_on_one_fd(flags: Flags) {
    let mut event_loop = make(flags);
    let (left, mut right) = pair();
    for (data, events) in [(1, Events::READ), (2, Events::WRITE), (3, Events::READ_WRITE)] {
        let key = event_loop
            .insert(
                Spec::Io {
                    fd: left.as_raw_fd(),
                    events,
                },
                data,
            )
            .unwrap();
        event_loop.start(key).unwrap();
    }
    right.write_all(b"x").unwrap();
    assert_eq!(
        trace(&mut event_loop, Mode::Once),
        ["1 READ", "2 WRITE", "3 READ|WRITE"]
    );
}

/// A wait is delivered once, several wait at once, and a peer that hangs up wakes them all (LV-IO2).
fn one_shot_waits(flags: Flags) {
    let mut event_loop = make(flags);
    let (left, mut right) = pair();
    let fd = left.as_raw_fd();
    let first = event_loop.wait_io(fd, Events::READ, 1).unwrap();
    event_loop.wait_io(fd, Events::READ, 2).unwrap();
    let cancelled = event_loop.wait_io(fd, Events::READ, 3).unwrap();
    assert_eq!(event_loop.cancel(cancelled), Some(3));
    assert_eq!(event_loop.cancel(cancelled), None);
    right.write_all(b"x").unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ", "2 READ"]);
    assert_eq!(event_loop.cancel(first), None);
    event_loop.wait_io(fd, Events::WRITE, 4).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["4 WRITE"]);
    event_loop.verify().unwrap();
    drop(right);
    event_loop.wait_io(fd, Events::READ, 5).unwrap();
    event_loop.wait_io(fd, Events::WRITE, 6).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["5 READ", "6 WRITE"]);
    assert_eq!(event_loop.active_count(), 0);
    event_loop.verify().unwrap();
}

/// LV-R28: a wait with a time limit is one event, and readiness wins.
fn waits_with_a_time_limit(flags: Flags) {
    let mut event_loop = make(flags);
    let (mut left, mut right) = pair();
    let fd = left.as_raw_fd();
    for adopted in [false, true] {
        if adopted {
            event_loop.adopt(fd).unwrap();
            event_loop.mark_unready(fd, Events::READ);
        }
        event_loop.update_now();
        event_loop.wait_io_for(fd, Events::READ, 5 * MS, 1).unwrap();
        assert_eq!(event_loop.active_count(), 1);
        assert_eq!(trace(&mut event_loop, Mode::Default), ["1 TIMER"]);
        event_loop.verify().unwrap();
        right.write_all(b"x").unwrap();
        event_loop.wait_io_for(fd, Events::READ, -1, 2).unwrap();
        assert_eq!(
            trace(&mut event_loop, Mode::Default),
            ["2 READ"],
            "both in one iteration"
        );
        let key = event_loop.wait_io_for(fd, Events::READ, 3_600_000 * MS, 3).unwrap();
        event_loop.verify().unwrap();
        assert_eq!(event_loop.cancel(key), Some(3));
        left.read_exact(&mut [0]).unwrap();
        event_loop.mark_unready(fd, Events::READ);
        event_loop.wait_io_for(fd, Events::READ, 3_600_000 * MS, 4).unwrap();
        assert_eq!(event_loop.forget(fd), [4]);
        assert_eq!(event_loop.active_count(), 0);
        assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
        event_loop.verify().unwrap();
    }
}

/// A socket that was adopted: its readiness is remembered, and no change is ever missed.
fn adopted_sockets(flags: Flags) {
    let mut event_loop = make(flags);
    let (mut left, mut right) = pair();
    let fd = left.as_raw_fd();
    event_loop.adopt(fd).unwrap();
    assert_eq!(event_loop.readiness(fd), Events::READ_WRITE);
    for round in 0..50u8 {
        assert!(left.read(&mut [0]).is_err(), "nothing to read");
        event_loop.mark_unready(fd, Events::READ);
        assert_eq!(event_loop.readiness(fd), Events::WRITE);
        event_loop.wait_io(fd, Events::READ, 1).unwrap();
        if round % 2 == 0 {
            assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
        }
        right.write_all(&[round]).unwrap();
        assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ"]);
        assert!(event_loop.readiness(fd).contains(Events::READ));
        let mut byte = [0];
        left.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [round]);
        event_loop.verify().unwrap();
    }
    event_loop.wait_io(fd, Events::WRITE, 2).unwrap();
    assert_eq!(
        trace(&mut event_loop, Mode::Default),
        ["2 WRITE"],
        "ready as far as is known"
    );
}

/// A short read means that nothing is left, but the end of the stream is not forgotten, whenever it came.
fn short_reads_and_the_end(flags: Flags) {
    for late in [false, true] {
        let mut event_loop = make(flags);
        let (mut left, mut right) = pair();
        let fd = left.as_raw_fd();
        event_loop.adopt(fd).unwrap();
        event_loop.mark_unready(fd, Events::READ);
        event_loop.wait_io(fd, Events::READ, 1).unwrap();
        trace(&mut event_loop, Mode::NoWait);
        right.write_all(b"x").unwrap();
        if !late {
            right.shutdown(std::net::Shutdown::Write).unwrap();
        }
        assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ"]);
        assert_eq!(left.read(&mut [0; 8]).unwrap(), 1);
        event_loop.mark_unready(fd, Events::READ);
        if late {
            assert_eq!(event_loop.readiness(fd), Events::WRITE);
            right.shutdown(std::net::Shutdown::Write).unwrap();
        }
        event_loop.wait_io(fd, Events::READ, 2).unwrap();
        assert_eq!(trace(&mut event_loop, Mode::Default), ["2 READ"]);
        assert_eq!(left.read(&mut [0; 8]).unwrap(), 0);
        // The next socket under this number has not ended.
        event_loop.forget(fd);
        event_loop.adopt(fd).unwrap();
        event_loop.mark_unready(fd, Events::READ_WRITE);
        assert_eq!(event_loop.readiness(fd), Events::NONE);
    }
}

/// Urgent data ends a read early: what comes after it is not lost.
fn short_reads_and_urgent_data(flags: Flags) {
    let mut event_loop = make(flags);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let right = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut left, _) = listener.accept().unwrap();
    let fd = left.as_raw_fd();
    event_loop.adopt(fd).unwrap();
    event_loop.mark_unready(fd, Events::READ);
    event_loop.wait_io(fd, Events::READ, 1).unwrap();
    trace(&mut event_loop, Mode::NoWait);
    rustix::net::send(&right, b"a", rustix::net::SendFlags::empty()).unwrap();
    rustix::net::send(&right, b"!", rustix::net::SendFlags::OOB).unwrap();
    rustix::net::send(&right, b"b", rustix::net::SendFlags::empty()).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ"]);
    for expected in [b"a", b"b"] {
        let mut buffer = [0; 8];
        assert_eq!(left.read(&mut buffer).unwrap(), 1);
        assert_eq!(&buffer[..1], expected);
        event_loop.mark_drained(fd);
        if expected == b"a" {
            event_loop.wait_io(fd, Events::READ, 2).unwrap();
            assert_eq!(trace(&mut event_loop, Mode::Default), ["2 READ"]);
        }
    }
}

/// A level-triggered watcher on an adopted socket works, and so do waits beside and after it.
fn a_watcher_on_an_adopted_socket(flags: Flags) {
    let mut event_loop = make(flags);
    let (mut left, mut right) = pair();
    let fd = left.as_raw_fd();
    event_loop.adopt(fd).unwrap();
    event_loop.mark_unready(fd, Events::READ);
    event_loop.wait_io(fd, Events::READ, 1).unwrap();
    right.write_all(b"a").unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ"]);
    let watcher = event_loop
        .insert(
            Spec::Io {
                fd,
                events: Events::READ,
            },
            2,
        )
        .unwrap();
    event_loop.start(watcher).unwrap();
    for _ in 0..3 {
        assert_eq!(trace(&mut event_loop, Mode::Once), ["2 READ"]);
    }
    left.read_exact(&mut [0]).unwrap();
    event_loop.mark_unready(fd, Events::READ_WRITE);
    event_loop.wait_io(fd, Events::READ, 3).unwrap();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    event_loop.wait_io(fd, Events::WRITE, 4).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["4 WRITE"]);
    right.write_all(b"b").unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["2 READ", "3 READ"]);
    left.read_exact(&mut [0]).unwrap();
    event_loop.mark_unready(fd, Events::READ);
    // Data that comes while the watcher stops and before the registration is edge-triggered again is not lost.
    event_loop.stop(watcher).unwrap();
    right.write_all(b"c").unwrap();
    event_loop.wait_io(fd, Events::READ, 5).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["5 READ"]);
    event_loop.verify().unwrap();
}

/// Before a close: the waits end, and the number can be used by another socket at once.
fn forget_and_reuse(flags: Flags) {
    let mut event_loop = make(flags);
    for round in 0..20 {
        let (left, mut right) = pair();
        let fd = left.as_raw_fd();
        event_loop.adopt(fd).unwrap();
        event_loop.mark_unready(fd, Events::READ_WRITE);
        event_loop.wait_io(fd, Events::READ, 1).unwrap();
        event_loop.wait_io(fd, Events::READ, 2).unwrap();
        trace(&mut event_loop, Mode::NoWait);
        right.write_all(b"x").unwrap();
        if round % 2 == 0 {
            let mut waited = event_loop.forget(fd);
            waited.sort_unstable();
            assert_eq!(waited, [1, 2]);
            assert_eq!(event_loop.active_count(), 0);
        } else {
            assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ", "2 READ"]);
            assert!(event_loop.forget(fd).is_empty());
        }
        event_loop.verify().unwrap();
    }
}

/// LV-B07, LV-IO8: closed behind our back, the number used again, with and without a duplicate that keeps the old
/// registration alive.
fn closed_behind_our_back(flags: Flags) {
    for duplicate in [false, true] {
        let mut event_loop = make(flags);
        let (left, mut right) = pair();
        let fd = left.as_raw_fd();
        event_loop.wait_io(fd, Events::READ, 1).unwrap();
        right.write_all(b"x").unwrap();
        assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ"]);
        let kept = duplicate.then(|| left.try_clone().unwrap());
        drop(left);
        let (again, mut peer) = pair();
        let (again, moved) = if again.as_raw_fd() == fd {
            (again, None)
        } else {
            (peer.try_clone().unwrap(), Some(again))
        };
        if again.as_raw_fd() == fd && moved.is_none() {
            event_loop.wait_io(fd, Events::READ, 2).unwrap();
            // The old file is readable (through the duplicate) and must not be taken for the new one.
            assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
            assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
            peer.write_all(b"y").unwrap();
            assert_eq!(trace(&mut event_loop, Mode::Default), ["2 READ"]);
        }
        event_loop.verify().unwrap();
        drop(kept);
    }
}

/// LV-IO9: a regular file is always ready.
fn regular_files(flags: Flags) {
    let mut event_loop = make(flags);
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let fd = file.as_raw_fd();
    let watcher = event_loop
        .insert(
            Spec::Io {
                fd,
                events: Events::READ_WRITE,
            },
            1,
        )
        .unwrap();
    event_loop.start(watcher).unwrap();
    for _ in 0..3 {
        assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ|WRITE"]);
    }
    event_loop.stop(watcher).unwrap();
    event_loop.wait_io(fd, Events::READ, 2).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["2 READ"]);
    event_loop.verify().unwrap();
}

/// LV-IO10, LV-W09: an fd that is not open stops its watchers and tells them; a wait on it fails at once.
fn bad_file_descriptors(flags: Flags) {
    let mut event_loop = make(flags);
    let watcher = event_loop
        .insert(
            Spec::Io {
                fd: 9999,
                events: Events::READ,
            },
            1,
        )
        .unwrap();
    event_loop.start(watcher).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["1 READ|WRITE|ERROR"]);
    assert!(!event_loop.is_active(watcher));
    assert_eq!(
        event_loop.wait_io(9999, Events::READ, 2),
        Err(Error::System(libc::EBADF))
    );
    assert_eq!(event_loop.wait_io(-1, Events::READ, 2), Err(Error::NegativeFd(-1)));
    assert_eq!(
        event_loop.wait_io(0, Events::from_bits(8), 2),
        Err(Error::IllegalEvents(8))
    );
    assert_eq!(event_loop.active_count(), 0);
    event_loop.verify().unwrap();
}

/// LV-IO4, LV-Q11: stopping in the same batch; what was stopped is not told.
fn stopped_in_the_same_batch(flags: Flags) {
    let mut event_loop = make(flags);
    let (left, mut right) = pair();
    let fd = left.as_raw_fd();
    let first = event_loop
        .insert(
            Spec::Io {
                fd,
                events: Events::READ,
            },
            1,
        )
        .unwrap();
    let second = event_loop
        .insert(
            Spec::Io {
                fd,
                events: Events::READ,
            },
            2,
        )
        .unwrap();
    event_loop.start(first).unwrap();
    event_loop.start(second).unwrap();
    right.write_all(b"x").unwrap();
    let mut told = Vec::new();
    run(&mut event_loop, Mode::Once, |event_loop, ready| {
        if let Ready::Event { data, .. } = ready {
            told.push(data);
            event_loop.stop(second).unwrap();
        }
    });
    assert_eq!(told, [1]);
}

/// LV-A1, LV-R36: other threads wake a blocked loop; nothing is lost.
fn other_threads(flags: Flags) {
    const THREADS: u32 = 4;
    const EACH: u32 = 2000;
    let mut event_loop = make(flags);
    let key = event_loop.insert(Spec::Async, u32::MAX).unwrap();
    event_loop.start(key).unwrap();
    let sender = event_loop.async_sender(key).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, sender) = (event_loop.remote(), sender.clone());
            std::thread::spawn(move || {
                for value in 0..EACH {
                    remote.call_soon_threadsafe(thread * EACH + value);
                    if value % 7 == 0 {
                        std::thread::yield_now();
                    }
                }
                sender.send();
            })
        })
        .collect();
    let (mut seen, mut asyncs) = (vec![Vec::new(); THREADS as usize], 0);
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        match ready {
            Ready::Soon(value) => seen[(value / EACH) as usize].push(value % EACH),
            Ready::Event { .. } => asyncs += 1,
        }
        if asyncs > 0 && seen.iter().map(Vec::len).sum::<usize>() == (THREADS * EACH) as usize {
            event_loop.break_(Break::One);
        }
    });
    for values in seen {
        assert!(values.iter().copied().eq(0..EACH), "in order, none lost");
    }
    assert!((1..=THREADS).contains(&asyncs));
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Many fds ready at once: more than one buffer of events (LV-B04), each told exactly once per look.
fn many_ready_at_once(flags: Flags) {
    let mut event_loop = make(flags);
    let pairs: Vec<_> = (0..300).map(|_| pair()).collect();
    for (number, (left, right)) in pairs.iter().enumerate() {
        event_loop
            .wait_io(left.as_raw_fd(), Events::READ, number as u32)
            .unwrap();
        (&*right).write_all(b"x").unwrap();
    }
    let mut seen = Vec::new();
    run(&mut event_loop, Mode::Default, |_, ready| {
        if let Ready::Event { data, .. } = ready {
            seen.push(data);
        }
    });
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..300));
}

/// A guarded wait comes in two stages, and the second lets the thread's signals in only while it waits.
fn guarded_waits(flags: Flags) {
    let mut event_loop = make(flags);
    event_loop.set_guard_signals(true);
    event_loop.wait_timer(60 * MS, 0, 1);
    event_loop.enter(Mode::Default);
    let mut stages = Vec::new();
    loop {
        match event_loop.next() {
            Step::Block(mut wait) => {
                stages.push(wait.masked);
                if wait.masked {
                    wait.mask_signals();
                    assert!(!event_loop.is_stale(&wait));
                }
                event_loop.absorb(wait.block());
            }
            Step::Done => break,
            _ => {}
        }
    }
    assert_eq!(event_loop.leave(), 0);
    assert_eq!(stages, [false, true]);
}

macro_rules! conformance {
    ($($test:ident)*) => {
        mod epoll {
            $(#[test] fn $test() { super::$test(verdigris_loop::Flags::EPOLL) })*
        }
        mod poll {
            $(#[test] fn $test() { super::$test(verdigris_loop::Flags::POLL) })*
        }
        mod select {
            $(#[test] fn $test() { super::$test(verdigris_loop::Flags::SELECT) })*
        }
    };
}

conformance! {
    a_timer_ends_the_run nowait_does_not_wait unread_data_is_told_each_time several_watchers_on_one_fd one_shot_waits
    adopted_sockets short_reads_and_the_end short_reads_and_urgent_data a_watcher_on_an_adopted_socket forget_and_reuse closed_behind_our_back regular_files
    waits_with_a_time_limit bad_file_descriptors stopped_in_the_same_batch other_threads many_ready_at_once guarded_waits
}
