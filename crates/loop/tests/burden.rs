//! Under burden nothing is lost and nothing invented: a thousand signals, ten thousand children, no descriptors left,
//! descriptors closed and used again in callbacks. On every backend of the system.
//!
//! Signals, children and the numbers of descriptors belong to the process: one after another.

mod common;

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{MS, run, trace};
use verdigris_loop::{Break, Events, Flags, Loop, Mode, Ready, Spec};

const BACKENDS: [Flags; 3] = [Flags::EPOLL, Flags::POLL, Flags::SELECT];

static PROCESS: Mutex<()> = Mutex::new(());

fn exclusive() -> std::sync::MutexGuard<'static, ()> {
    PROCESS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn burden() {
    let _guard = exclusive();
    for flags in BACKENDS {
        signals_one_by_one(flags);
        signals_in_a_flood(flags);
        closed_and_used_again_in_a_callback(flags, false);
        closed_and_used_again_in_a_callback(flags, true);
        no_descriptors_left(flags);
    }
    for (flags, count) in [(Flags::EPOLL, 10_000), (Flags::POLL, 1_000), (Flags::SELECT, 1_000)] {
        children(flags, count);
        any_children(flags, 500);
    }
}

fn make(flags: Flags) -> Loop<usize> {
    Loop::new(flags | Flags::NO_ENV).expect("the backend works here")
}

fn watch(event_loop: &mut Loop<usize>, spec: Spec, data: usize) -> verdigris_loop::Key {
    let key = event_loop.insert(spec, data).expect("a watcher");
    event_loop.start(key).expect("started");
    key
}

fn reading(file: &impl AsRawFd) -> Spec {
    Spec::Io {
        fd: file.as_raw_fd(),
        events: Events::READ,
    }
}

/// To the process, so that any thread may get it.
fn send_signal() {
    // SAFETY: the loop has a handler for it.
    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
}

/// LV-S3: a thousand signals from another thread, each after the last was told: each is told, once.
fn signals_one_by_one(flags: Flags) {
    const COUNT: usize = 1_000;
    let mut event_loop = make(flags);
    let signum = libc::SIGUSR1;
    let watcher = watch(&mut event_loop, Spec::Signal { signum }, 0);
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=COUNT {
                send_signal();
                while told.load(Ordering::Acquire) < number {
                    std::thread::yield_now();
                }
            }
        });
        run(&mut event_loop, Mode::Default, |event_loop, ready| {
            assert!(matches!(ready, Ready::Event { revents, .. } if revents == Events::SIGNAL));
            if told.fetch_add(1, Ordering::Release) + 1 == COUNT {
                event_loop.break_(Break::One);
            }
        });
    });
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty(), "no signal is invented");
    event_loop.stop(watcher).unwrap();
    event_loop.verify().unwrap();
}

/// LV-S3: as many as fast as they can be sent; several may be told as one, but after the last there is one more.
fn signals_in_a_flood(flags: Flags) {
    const COUNT: usize = 1_000;
    let mut event_loop = make(flags);
    let signum = libc::SIGUSR1;
    let watcher = watch(&mut event_loop, Spec::Signal { signum }, 0);
    let sent = AtomicUsize::new(0);
    let mut told = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..COUNT {
                sent.fetch_add(1, Ordering::Release);
                send_signal();
            }
        });
        run(&mut event_loop, Mode::Default, |event_loop, _| {
            told += 1;
            let so_far = sent.load(Ordering::Acquire);
            assert!(told <= so_far, "told {told} of {so_far}");
            if so_far == COUNT {
                event_loop.break_(Break::One);
            }
        });
    });
    // The last may have been sent while the one before it was being told.
    assert!(trace(&mut event_loop, Mode::NoWait).len() <= 1);
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty(), "no signal is invented");
    event_loop.stop(watcher).unwrap();
}

/// LV-IO6: of two that are ready at once, the first closes the other and opens a new file under its number.
fn closed_and_used_again_in_a_callback(flags: Flags, wait: bool) {
    let mut event_loop = make(flags);
    let mut fed: Vec<(UnixStream, UnixStream)> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
    let mut keys = Vec::new();
    for (number, (near, far)) in fed.iter_mut().enumerate() {
        far.write_all(b"x").unwrap();
        keys.push(if wait {
            event_loop.adopt(near.as_raw_fd()).unwrap();
            event_loop.mark_unready(near.as_raw_fd(), Events::READ);
            event_loop.wait_io(near.as_raw_fd(), Events::READ, number).unwrap()
        } else {
            watch(&mut event_loop, reading(near), number)
        });
    }
    let mut renewed = None;
    let mut told = Vec::new();
    run(&mut event_loop, Mode::Once, |event_loop, ready| {
        let Ready::Event { data, .. } = ready else {
            panic!("an event")
        };
        told.push(data);
        if told.len() > 1 {
            return;
        }
        let other = 1 - data;
        let (near, _far) = fed.remove(other);
        let number = near.as_raw_fd();
        event_loop.remove(keys[other]);
        event_loop.forget(number);
        drop(near);
        let fresh = UnixStream::pair().unwrap();
        let (fresh, peer) = if fresh.1.as_raw_fd() == number {
            (fresh.1, fresh.0)
        } else {
            fresh
        };
        assert_eq!(fresh.as_raw_fd(), number, "the number is used again");
        if wait {
            event_loop.adopt(number).unwrap();
            event_loop.mark_unready(number, Events::READ);
            event_loop.wait_io(number, Events::READ, 7).unwrap();
        } else {
            watch(event_loop, reading(&fresh), 7);
        }
        renewed = Some((fresh, peer));
    });
    assert_eq!(told.len(), 1, "what was closed is not told, nor is its heir: {told:?}");
    if !wait {
        event_loop.remove(keys[told[0]]);
    }
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    let (_fresh, mut peer) = renewed.unwrap();
    peer.write_all(b"y").unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["7 READ"]);
    event_loop.verify().unwrap();
}

/// LV-IO12: with no descriptor left a loop goes on with what it has, no new one can be made, children are watched by
/// SIGCHLD; and when there are some again, everything is.
fn no_descriptors_left(flags: Flags) {
    let mut event_loop = make(flags);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let watcher = watch(&mut event_loop, reading(&listener), 1);
    assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ"]);

    let pid = fork_child(5);
    let mut hoard = Vec::new();
    let limit = lower_the_limit(64);
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::EMFILE));
    for _ in 0..3 {
        assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ"], "it waits still");
    }
    assert!(Loop::<usize>::new(Flags::NO_ENV).is_err());
    let child = watch(&mut event_loop, Spec::Child { pid, trace: false }, 2);
    event_loop.stop(watcher).unwrap();
    let mut told = 0;
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        assert_eq!(event_loop.child_status(child).unwrap(), (pid, 5 << 8));
        event_loop.remove(child);
        told += 1;
    });
    assert_eq!(told, 1);

    hoard.clear();
    restore_the_limit(limit);
    event_loop.start(watcher).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["1 READ"]);
    listener.accept().unwrap();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    event_loop.remove(watcher);
    event_loop.verify().unwrap();
    drop(client);
}

/// Lowers the limit of descriptors; what it was.
fn lower_the_limit(to: libc::rlim_t) -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one structure is filled, and one is read.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        libc::setrlimit(libc::RLIMIT_NOFILE, &libc::rlimit { rlim_cur: to, ..limit });
    }
    limit
}

fn restore_the_limit(limit: libc::rlimit) {
    // SAFETY: one structure is read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

/// A child that ends at once with a status.
fn fork_child(status: i32) -> i32 {
    // SAFETY: the child calls nothing but _exit.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(status);
        }
        assert!(pid > 0, "a child");
        pid
    }
}

/// LV-CH2, LV-CH6: many children in groups, some ended before they are watched: each is told once, with its status.
fn children(flags: Flags, count: usize) {
    const GROUP: usize = 250;
    let mut event_loop = make(flags);
    let mut told = vec![0u8; count];
    for first in (0..count).step_by(GROUP) {
        for number in first..count.min(first + GROUP) {
            let pid = fork_child((number % 251) as i32);
            watch(&mut event_loop, Spec::Child { pid, trace: false }, number);
        }
        run(&mut event_loop, Mode::Default, |event_loop, ready| {
            let Ready::Event { key, data, .. } = ready else {
                panic!("an event")
            };
            told[data] += 1;
            assert_eq!(event_loop.child_status(key).unwrap().1, ((data % 251) as i32) << 8);
            event_loop.remove(key);
        });
    }
    assert!(told.iter().all(|&times| times == 1), "each child is told once");
    assert_eq!(event_loop.active_count(), 0);
    event_loop.verify().unwrap();
}

/// LV-CH3: any child, by SIGCHLD, of which several come as one.
fn any_children(flags: Flags, count: usize) {
    let mut event_loop = make(flags);
    let any = watch(&mut event_loop, Spec::Child { pid: 0, trace: false }, 0);
    let mut alive: std::collections::BTreeSet<i32> = (0..count).map(|_| fork_child(3)).collect();
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        let (pid, status) = event_loop.child_status(any).unwrap();
        assert!(alive.remove(&pid), "a child is told once");
        assert_eq!(status, 3 << 8);
        if alive.is_empty() {
            event_loop.stop(any).unwrap();
        }
    });
    event_loop.verify().unwrap();
}

/// What nobody may do wrong badly enough to make the loop panic: keys of nothing, bad descriptors, times without end.
#[test]
fn no_call_panics() {
    let _guard = exclusive();
    for flags in BACKENDS {
        let mut event_loop = make(flags);
        let timer = watch(
            &mut event_loop,
            Spec::Timer {
                after_ns: i64::MAX,
                repeat_ns: i64::MAX,
            },
            1,
        );
        let past = watch(
            &mut event_loop,
            Spec::Timer {
                after_ns: i64::MIN,
                repeat_ns: 0,
            },
            2,
        );
        event_loop.wait_timer(i64::MAX, i8::MAX, 3);
        event_loop.wait_timer(i64::MIN, i8::MIN, 4);
        let closed = UnixStream::pair().unwrap().0.into_raw_fd();
        // SAFETY: the number was just given up, and nobody else uses it.
        unsafe { libc::close(closed) };
        for fd in [closed, -1, i32::MIN, i32::MAX] {
            for events in [0, 1, 3, 4, u32::MAX] {
                let events = Events::from_bits(events);
                let _ = event_loop.wait_io(fd, events, 5);
                let _ = event_loop.wait_io_for(fd, events, i64::MAX, 5);
                if let Ok(key) = event_loop.insert(Spec::Io { fd, events }, 6) {
                    let _ = event_loop.start(key);
                }
                event_loop.mark_unready(fd, events);
                event_loop.feed_fd(fd, events);
            }
            let _ = event_loop.adopt(fd);
            event_loop.readiness(fd);
            event_loop.closing_fd(fd);
            event_loop.forget(fd);
        }
        for signum in [0, -1, 9, 64, 65, i32::MAX] {
            if let Ok(key) = event_loop.insert(Spec::Signal { signum }, 7) {
                let _ = event_loop.start(key);
                event_loop.remove(key);
            }
            event_loop.feed_signal(signum);
            event_loop.remote().feed_signal(signum);
        }
        for pid in [i32::MAX, -1] {
            let key = event_loop.insert(Spec::Child { pid, trace: true }, 8).unwrap();
            let _ = event_loop.start(key);
            event_loop.remove(key);
        }
        event_loop.set_timeout_collect_interval_ns(i64::MIN);
        event_loop.set_io_collect_interval_ns(-1);
        let mut left = 100;
        run(&mut event_loop, Mode::NoWait, |event_loop, _| {
            left -= 1;
            assert!(left > 0);
            event_loop.suspend();
            event_loop.resume();
        });
        for key in [timer, past] {
            event_loop.again(key).unwrap();
            event_loop.remaining(key).unwrap();
            assert_eq!(event_loop.remove(key).is_some(), event_loop.remove(key).is_none());
            assert!(event_loop.start(key).is_err() && event_loop.stop(key).is_err() && event_loop.again(key).is_err());
            assert!(event_loop.feed(key, Events::CUSTOM).is_err() && event_loop.cancel(key).is_none());
            assert!(event_loop.set_priority(key, 1).is_err() && event_loop.data(key).is_none());
            assert!(event_loop.async_sender(key).is_err() && !event_loop.is_active(key));
        }
        event_loop.leave();
        event_loop.leave();
        event_loop.update_now();
        event_loop.wait_timer(20 * MS, 0, 9);
        event_loop.verify().unwrap();
    }
}
