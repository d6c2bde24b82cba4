//! What needs the real system: signals, children, paths, forks, loops in loops.
#![allow(clippy::zombie_processes, reason = "the loop waits for them")]

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{MS, run, trace};
use rustix::process::{Pid, Signal, kill_process};
use verdigris_loop::{Break, Error, Events, Flags, Key, Loop, Mode, Ready, Spec, Step};

/// Signals and children belong to the process: one test at a time.
static PROCESS: Mutex<()> = Mutex::new(());

fn exclusive() -> std::sync::MutexGuard<'static, ()> {
    PROCESS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn make() -> Loop<u32> {
    Loop::new(Flags::NO_ENV).expect("the backend works here")
}

fn started(event_loop: &mut Loop<u32>, spec: Spec, data: u32) -> Key {
    let key = event_loop.insert(spec, data).unwrap();
    event_loop.start(key).unwrap();
    key
}

fn signal(event_loop: &mut Loop<u32>, signum: i32, data: u32) -> Key {
    started(event_loop, Spec::Signal { signum }, data)
}

/// To the calling thread, so that the handler has run when this returns.
fn raise(signum: i32) {
    // SAFETY: a watcher has installed a handler for it.
    unsafe { libc::raise(signum) };
}

/// LV-S1: a signal belongs to one loop; any number of watchers there.
#[test]
fn one_loop_per_signal() {
    let _guard = exclusive();
    let (mut first, mut second) = (make(), make());
    let key = signal(&mut first, 10, 1);
    signal(&mut first, 10, 2);
    let other = second.insert(Spec::Signal { signum: 10 }, 3).unwrap();
    assert_eq!(second.start(other), Err(Error::SignalTaken(10)));
    assert_eq!(second.active_count(), 0);
    first.stop(key).unwrap();
    assert_eq!(second.start(other), Err(Error::SignalTaken(10)));
    drop(first);
    second.start(other).unwrap();
    for signum in [0, -1, 65, 1000] {
        assert_eq!(
            second.insert(Spec::Signal { signum }, 4),
            Err(Error::IllegalSignal(signum))
        );
    }
    let key = second.insert(Spec::Signal { signum: libc::SIGKILL }, 5).unwrap();
    assert_eq!(second.start(key), Err(Error::IllegalSignal(libc::SIGKILL)));
}

/// LV-S3, LV-Q08: raised several times is told once; the lowest number first, watchers in the order of their start.
#[test]
fn signals_are_told_in_order() {
    let _guard = exclusive();
    let mut event_loop = make();
    signal(&mut event_loop, 12, 12);
    signal(&mut event_loop, 10, 100);
    signal(&mut event_loop, 10, 101);
    for raised in [12, 10, 12, 10] {
        raise(raised);
    }
    assert_eq!(
        trace(&mut event_loop, Mode::Once),
        ["100 SIGNAL", "101 SIGNAL", "12 SIGNAL"]
    );
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    event_loop.feed_signal(12);
    event_loop.remote().feed_signal(10);
    assert_eq!(
        trace(&mut event_loop, Mode::NoWait),
        ["12 SIGNAL", "100 SIGNAL", "101 SIGNAL"]
    );
}

/// LV-S4: a signal that another thread receives wakes a loop that blocks.
#[test]
fn a_signal_wakes_the_loop() {
    let _guard = exclusive();
    let mut event_loop = make();
    signal(&mut event_loop, 12, 1);
    let thread = std::thread::spawn(|| {
        for _ in 0..100 {
            raise(12);
            std::thread::yield_now();
        }
    });
    let mut told = 0;
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        told += 1;
        event_loop.break_(Break::One);
    });
    assert_eq!(told, 1);
    thread.join().unwrap();
}

/// DD-08: when the last watcher of a signal stops, the handler that was there before is put back.
#[test]
fn the_previous_handler_is_restored() {
    let _guard = exclusive();
    let ignored = || {
        // SAFETY: a zeroed sigaction is valid, and the call fills it.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action);
            action.sa_sigaction == libc::SIG_IGN
        }
    };
    // SAFETY: sets a disposition that needs no handler.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let mut event_loop = make();
    let key = signal(&mut event_loop, libc::SIGHUP, 1);
    assert!(!ignored());
    event_loop.stop(key).unwrap();
    assert!(ignored());
}

/// A signal that comes between the check and the wait of a masked wait ends the wait at once.
#[test]
fn no_signal_is_slept_through() {
    let _guard = exclusive();
    let mut event_loop = make();
    event_loop.set_guard_signals(true);
    // The handler is that of another loop, which stands for a program's own: ours is not told of it.
    let mut other = make();
    signal(&mut other, 12, 1);
    event_loop.wait_timer(10_000 * MS, 0, 1);
    event_loop.enter(Mode::Default);
    let begun = Instant::now();
    let mut interrupted = false;
    loop {
        match event_loop.next() {
            Step::Block(mut wait) if wait.masked => {
                wait.mask_signals();
                assert!(trace(&mut other, Mode::NoWait).is_empty(), "the check: nothing yet");
                // SAFETY: to this very thread, whose mask holds it back.
                unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
                let woken = wait.block();
                interrupted = woken.interrupted();
                event_loop.absorb(woken);
                break;
            }
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
            _ => {}
        }
    }
    event_loop.leave();
    assert!(interrupted);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(trace(&mut other, Mode::NoWait), ["1 SIGNAL"]);
}

fn child(script: &str) -> std::process::Child {
    Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn pid_of(child: &std::process::Child) -> i32 {
    child.id() as i32
}

/// LV-CH2, LV-CH6, DD-07: by pidfd; a child that nobody watches stays waitable, and SIGCHLD is left alone.
#[test]
fn a_watched_child() {
    let _guard = exclusive();
    let mut event_loop = make();
    let mut unwatched = child("exit 3");
    let watched = child("exit 7");
    let key = started(
        &mut event_loop,
        Spec::Child {
            pid: pid_of(&watched),
            trace: false,
        },
        1,
    );
    let second = started(
        &mut event_loop,
        Spec::Child {
            pid: pid_of(&watched),
            trace: false,
        },
        2,
    );
    let mut told = Vec::new();
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        let Ready::Event { key, data, revents } = ready else {
            panic!("an event")
        };
        assert_eq!(revents, Events::CHILD);
        assert!(event_loop.is_active(key), "LV-CH5: not stopped by itself");
        assert_eq!(event_loop.priority(key), Ok(2), "LV-CH4");
        let (pid, status) = event_loop.child_status(key).unwrap();
        assert_eq!(pid, pid_of(&watched));
        assert_eq!(std::process::ExitStatus::from_raw(status).code(), Some(7));
        event_loop.stop(key).unwrap();
        told.push(data);
    });
    assert_eq!(told, [1, 2]);
    assert_eq!(unwatched.wait().unwrap().code(), Some(3));
    event_loop.remove(key);
    event_loop.remove(second);
    event_loop.verify().unwrap();
}

/// A child that somebody else has waited for: told, with an error, rather than waited for in vain.
#[test]
fn a_child_that_was_waited_for() {
    let _guard = exclusive();
    let mut event_loop = make();
    let mut watched = child("exit 7");
    started(
        &mut event_loop,
        Spec::Child {
            pid: pid_of(&watched),
            trace: false,
        },
        1,
    );
    watched.wait().unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["1 CHILD|ERROR"]);
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
}

/// LV-CH3, LV-CH4: any child, by SIGCHLD; those of any child are told first, one child after the other.
#[test]
fn any_child() {
    let _guard = exclusive();
    let mut event_loop = make();
    let any = started(&mut event_loop, Spec::Child { pid: 0, trace: false }, 0);
    let one = child("exit 1");
    let key = started(
        &mut event_loop,
        Spec::Child {
            pid: pid_of(&one),
            trace: true,
        },
        1,
    );
    let mut lines = Vec::new();
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        let Ready::Event { key, data, .. } = ready else {
            panic!("an event")
        };
        lines.push((data, event_loop.child_status(key).unwrap()));
        event_loop.stop(key).unwrap();
    });
    assert_eq!(lines, [(0, (pid_of(&one), 1 << 8)), (1, (pid_of(&one), 1 << 8))]);
    event_loop.remove(any);
    event_loop.remove(key);
}

/// LV-CH4: stops and continuations are told with `trace` alone.
#[test]
fn stopped_and_continued() {
    let _guard = exclusive();
    let mut event_loop = make();
    let mut traced = child("read line");
    let pid = Pid::from_raw(pid_of(&traced)).unwrap();
    let key = started(
        &mut event_loop,
        Spec::Child {
            pid: pid_of(&traced),
            trace: true,
        },
        1,
    );
    let mut statuses = Vec::new();
    kill_process(pid, Signal::STOP).unwrap();
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        statuses.push(event_loop.child_status(key).unwrap().1);
        match statuses.len() {
            1 => kill_process(pid, Signal::CONT).unwrap(),
            2 => drop(traced.stdin.take()),
            _ => event_loop.stop(key).unwrap(),
        }
    });
    assert_eq!(statuses, [0x137f, 0xffff, 1 << 8]);
}

/// Many children at once: each is told once, none is lost.
#[test]
fn many_children() {
    let _guard = exclusive();
    let mut event_loop = make();
    let mut expected = Vec::new();
    for number in 0..60 {
        let one = child(&format!("exit {number}"));
        started(
            &mut event_loop,
            Spec::Child {
                pid: pid_of(&one),
                trace: number % 3 == 0,
            },
            number,
        );
        expected.push((number, (number as i32) << 8));
    }
    let mut told = Vec::new();
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        let Ready::Event { key, data, .. } = ready else {
            panic!("an event")
        };
        told.push((data, event_loop.child_status(key).unwrap().1));
        event_loop.stop(key).unwrap();
    });
    told.sort_unstable();
    assert_eq!(told, expected);
}

fn directory(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("verdigris-loop-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// LV-ST2..LV-ST6: a file that comes into being, changes within the same second and the same size, and goes.
#[test]
fn a_path_changes() {
    for flags in [Flags::NO_ENV, Flags::NO_ENV | Flags::NO_INOTIFY] {
        let directory = directory(&format!("stat-{}", flags.0));
        let path = directory.join("file");
        let mut event_loop: Loop<u32> = Loop::new(flags).unwrap();
        let spec = Spec::Stat {
            path: path.clone(),
            interval_ns: 1,
        };
        let key = started(&mut event_loop, spec, 1);
        assert_eq!(event_loop.stat_interval_ns(key), Ok(107_489_100), "LV-ST5");
        assert_eq!(event_loop.active_count(), 1, "LV-ST8");
        let mut steps = 0;
        std::fs::write(&path, "a").unwrap();
        run(&mut event_loop, Mode::Default, |event_loop, _| {
            let (before, now) = event_loop.stat_attributes(key).unwrap();
            match steps {
                0 => {
                    assert_eq!((before.nlink, now.nlink), (0, 1));
                    std::fs::write(&path, "b").unwrap();
                }
                1.. if now.nlink == 1 => std::fs::remove_file(&path).unwrap(),
                _ => {
                    assert_eq!((before.nlink, now.nlink), (1, 0));
                    event_loop.stop(key).unwrap();
                }
            }
            steps += 1;
        });
        assert!(steps >= 3);
        event_loop.verify().unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

/// LV-E1: another loop's work is told to the outer one.
#[test]
fn a_loop_in_a_loop() {
    let (mut outer, mut inner) = (make(), make());
    let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
    let key = inner
        .insert(
            Spec::Io {
                fd: left.as_raw_fd(),
                events: Events::READ,
            },
            5,
        )
        .unwrap();
    inner.start(key).unwrap();
    inner.flush();
    started(
        &mut outer,
        Spec::Embed {
            fd: inner.fileno().unwrap(),
        },
        1,
    );
    assert!(trace(&mut outer, Mode::NoWait).is_empty());
    std::io::Write::write_all(&mut &right, b"x").unwrap();
    assert_eq!(trace(&mut outer, Mode::Once), ["1 EMBED"]);
    assert_eq!(trace(&mut inner, Mode::NoWait), ["5 READ"]);
}

/// LV-L13, LV-L14, LV-F1, LV-B13: a fork in the middle of a run; the child begins anew, the parent is not disturbed.
#[test]
fn a_fork_in_the_middle_of_a_run() {
    let _guard = exclusive();
    for flags in [Flags::EPOLL, Flags::POLL, Flags::SELECT] {
        let mut event_loop: Loop<u32> = Loop::new(flags | Flags::NO_ENV).unwrap();
        let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let (kept, peer) = std::os::unix::net::UnixStream::pair().unwrap();
        event_loop.adopt(kept.as_raw_fd()).unwrap();
        event_loop.mark_unready(kept.as_raw_fd(), Events::READ);
        event_loop.wait_io(kept.as_raw_fd(), Events::READ, 9).unwrap();
        let fork = started(&mut event_loop, Spec::Fork, 1);
        let io = started(
            &mut event_loop,
            Spec::Io {
                fd: left.as_raw_fd(),
                events: Events::READ,
            },
            2,
        );
        assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
        // SAFETY: the child runs the loop alone, whose locks nobody else holds, and ends by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // Forgetting a socket here must not end the parent's registration of it.
            let mut good = event_loop.forget(kept.as_raw_fd()) == [9];
            event_loop.remote().wake();
            good &= trace(&mut event_loop, Mode::NoWait) == ["1 FORK"];
            std::io::Write::write_all(&mut &right, b"x").unwrap();
            good &= trace(&mut event_loop, Mode::Once) == ["2 READ"];
            // SAFETY: ends the process without running anything of the test harness.
            unsafe { libc::_exit(if good { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(status, 0, "in the child, on {}", event_loop.backend_name());
        std::io::Write::write_all(&mut &peer, b"y").unwrap();
        let mut lines = trace(&mut event_loop, Mode::Once);
        lines.sort();
        assert_eq!(lines, ["2 READ", "9 READ"]);
        event_loop.stop(fork).unwrap();
        event_loop.stop(io).unwrap();
        assert_eq!(event_loop.active_count(), 0);
        event_loop.verify().unwrap();
    }
}

/// LV-L03, LV-L04: which backend is taken.
#[test]
fn choosing_a_backend() {
    let backend = |flags: Flags| Loop::<u32>::new(flags | Flags::NO_ENV).map(|event_loop| event_loop.backend_name());
    assert_eq!(backend(Flags::AUTO), Ok("epoll"));
    assert_eq!(backend(Flags::POLL | Flags::SELECT), Ok("poll"));
    assert_eq!(backend(Flags::SELECT), Ok("select"));
    assert_eq!(backend(Flags::KQUEUE), Err(Error::NoBackend(8)));
}

/// LV-R18: sleeps between two looks, so that I/O is served in groups, and never past a timer.
#[test]
fn io_is_collected() {
    let mut event_loop = make();
    event_loop.set_io_collect_interval_ns(30 * MS);
    let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
    let key = started(
        &mut event_loop,
        Spec::Io {
            fd: left.as_raw_fd(),
            events: Events::READ,
        },
        1,
    );
    std::io::Write::write_all(&mut &right, b"x").unwrap();
    let begun = Instant::now();
    let mut told = 0;
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        told += 1;
        if told == 4 {
            event_loop.stop(key).unwrap();
        }
    });
    assert!(begun.elapsed() >= Duration::from_millis(60));
    event_loop.update_now();
    event_loop.wait_timer(5 * MS, 0, 2);
    event_loop.set_io_collect_interval_ns(60_000 * MS);
    assert_eq!(trace(&mut event_loop, Mode::Default), ["2 TIMER"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// A look at a wait brings what has come, as the wait itself would, and nothing is told twice.
#[test]
fn a_wait_can_be_looked_at_before() {
    let mut event_loop = make();
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    event_loop.wait_io(reader.as_raw_fd(), Events::READ, 1).unwrap();
    event_loop.enter(Mode::Once);
    let Step::Block(mut wait) = event_loop.next() else {
        panic!("there was nothing to wait for");
    };
    assert!(!wait.look(), "nothing has come");
    std::io::Write::write_all(&mut (&writer), b"x").unwrap();
    assert!(wait.look());
    assert!(wait.look(), "what has been seen stays");
    let woken = wait.block();
    assert_eq!(woken.count(), 1);
    event_loop.absorb(woken);
    assert!(matches!(event_loop.next(), Step::Event { data: 1, .. }));
    assert!(matches!(event_loop.next(), Step::Done));
    event_loop.leave();
}

/// Time that went by with looking is no longer waited for.
#[test]
fn a_wait_that_was_spent_does_not_block() {
    let mut event_loop = make();
    event_loop.wait_timer(i64::MAX / 4, 0, 1);
    event_loop.enter(Mode::Once);
    let Step::Block(mut wait) = event_loop.next() else {
        panic!("there was nothing to wait for");
    };
    wait.spend(i64::MAX);
    assert_eq!(wait.timeout_ns(), Some(0));
    event_loop.absorb(wait.block());
    assert!(matches!(event_loop.next(), Step::Done));
    event_loop.leave();
}
