//! What comes when: the order of an iteration and of the queue, on the scripted backend, row by row.

mod common;

use common::{MS, line, run, trace};
use verdigris_loop::{Break, Error, Events, Key, Loop, Mode, Ready, Script, Spec, Step};

fn scripted() -> (Loop<&'static str>, Script) {
    Loop::scripted().expect("an eventfd")
}

fn started<T: Copy>(event_loop: &mut Loop<T>, spec: Spec, data: T) -> Key {
    prioritised(event_loop, spec, 0, data)
}

fn prioritised<T: Copy>(event_loop: &mut Loop<T>, spec: Spec, priority: i8, data: T) -> Key {
    let key = event_loop.insert(spec, data).unwrap();
    event_loop.set_priority(key, priority).unwrap();
    event_loop.start(key).unwrap();
    key
}

fn timer(after_ns: i64) -> Spec {
    Spec::Timer { after_ns, repeat_ns: 0 }
}

fn io(fd: i32) -> Spec {
    Spec::Io {
        fd,
        events: Events::READ,
    }
}

/// LV-Q01, LV-Q03, LV-Q07, LV-Q09, GV-30: one of each in one iteration.
#[test]
fn an_iteration_with_one_of_each() {
    let (mut event_loop, script) = scripted();
    started(&mut event_loop, Spec::Prepare, "prepare1");
    started(&mut event_loop, Spec::Prepare, "prepare2");
    started(&mut event_loop, Spec::Check, "check1");
    started(&mut event_loop, Spec::Check, "check2");
    started(&mut event_loop, timer(2), "timer2");
    started(&mut event_loop, timer(1), "timer1");
    started(&mut event_loop, io(5), "io5a");
    started(&mut event_loop, io(5), "io5b");
    started(&mut event_loop, io(4), "io4");
    event_loop.call_soon("soon");
    let fed = event_loop.insert(Spec::Idle, "fed").unwrap();
    event_loop.feed(fed, Events::CUSTOM).unwrap();
    script.advance(10);
    script.set_ready(5, Events::READ);
    script.set_ready(4, Events::READ);
    let expected = [
        "fed CUSTOM",
        "prepare2 PREPARE",
        "prepare1 PREPARE",
        "soon soon",
        "check2 CHECK",
        "check1 CHECK",
        "timer1 TIMER",
        "timer2 TIMER",
        "io5a READ",
        "io5b READ",
        "io4 READ",
    ];
    assert_eq!(trace(&mut event_loop, Mode::NoWait), expected);
    event_loop.verify().unwrap();
}

/// LV-Q02, GV-50: priorities from the highest down, looked at again after each entry.
#[test]
fn a_higher_priority_that_is_fed_comes_next() {
    let (mut event_loop, _script) = scripted();
    let mut low = Vec::new();
    for data in ["low1", "low2"] {
        low.push(event_loop.insert(Spec::Idle, data).unwrap());
    }
    let high = event_loop.insert(Spec::Idle, "high").unwrap();
    event_loop.set_priority(high, 2).unwrap();
    for key in low {
        event_loop.feed(key, Events::CUSTOM).unwrap();
    }
    let mut lines = Vec::new();
    run(&mut event_loop, Mode::NoWait, |event_loop, ready| {
        lines.push(line(ready));
        if lines.len() == 1 {
            event_loop.feed(high, Events::CUSTOM).unwrap();
        }
    });
    assert_eq!(lines, ["low2 CUSTOM", "high CUSTOM", "low1 CUSTOM"]);
}

/// LV-C06, LV-W06: out of range is clamped at the start, and kept as it is before.
#[test]
fn priorities_are_clamped() {
    let (mut event_loop, _script) = scripted();
    let key = event_loop.insert(Spec::Idle, "x").unwrap();
    event_loop.set_priority(key, 5).unwrap();
    assert_eq!(event_loop.priority(key), Ok(5));
    event_loop.feed(key, Events::CUSTOM).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["x CUSTOM"]);
    event_loop.start(key).unwrap();
    assert_eq!(event_loop.priority(key), Ok(2));
    assert_eq!(event_loop.set_priority(key, 0), Err(Error::Active));
}

/// LV-Q04, LV-Q05, DD-03: timers run in the order of their deadlines, equal ones in the order of their start.
#[test]
fn timers_run_in_order() {
    let (mut event_loop, script) = scripted();
    for (after, data) in [
        (30, "3"),
        (10, "1a"),
        (20, "2"),
        (10, "1b"),
        (10, "1c"),
        (10, "1d"),
        (10, "1e"),
    ] {
        started(&mut event_loop, timer(after), data);
    }
    script.advance(100);
    let expected = [
        "1a TIMER", "1b TIMER", "1c TIMER", "1d TIMER", "1e TIMER", "2 TIMER", "3 TIMER",
    ];
    assert_eq!(trace(&mut event_loop, Mode::Default), expected);
}

/// LV-T3: a deadline must have passed; at the deadline itself nothing is due.
#[test]
fn never_early() {
    let (mut event_loop, script) = scripted();
    event_loop.wait_timer(0, 0, "zero");
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    script.advance(1);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["zero TIMER"]);
    event_loop.wait_timer(-5, 0, "past");
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["past TIMER"]);
}

/// LV-T4, LV-T5: on time the phase is kept; missed periods are not caught up with.
#[test]
fn a_repeating_timer_keeps_its_phase() {
    let (mut event_loop, script) = scripted();
    let key = started(
        &mut event_loop,
        Spec::Timer {
            after_ns: 100 * MS,
            repeat_ns: 100 * MS,
        },
        "t",
    );
    let begun = script.monotonic();
    let mut fired = Vec::new();
    run(&mut event_loop, Mode::Default, |event_loop, _| {
        fired.push((event_loop.monotonic() - begun) / MS);
        match fired.len() {
            3 => script.advance(350 * MS),
            6 => event_loop.stop(key).unwrap(),
            _ => {}
        }
    });
    assert_eq!(fired, [100, 200, 300, 650, 650, 750]);
}

/// LV-T6: the four cases of `again`.
#[test]
fn again() {
    let (mut event_loop, script) = scripted();
    let key = event_loop
        .insert(
            Spec::Timer {
                after_ns: 7,
                repeat_ns: 0,
            },
            "t",
        )
        .unwrap();
    event_loop.again(key).unwrap();
    assert!(!event_loop.is_active(key), "inactive without repeat: nothing");
    event_loop.set_repeat(key, 50).unwrap();
    event_loop.again(key).unwrap();
    assert!(event_loop.is_active(key), "inactive with repeat: started with it");
    assert_eq!(event_loop.remaining(key), Ok(50));
    script.advance(20);
    event_loop.update_now();
    assert_eq!(event_loop.remaining(key), Ok(30));
    event_loop.again(key).unwrap();
    assert_eq!(event_loop.remaining(key), Ok(50), "active with repeat: anew");
    event_loop.set_repeat(key, 0).unwrap();
    event_loop.again(key).unwrap();
    assert!(!event_loop.is_active(key), "active without repeat: stopped");
    assert_eq!(event_loop.set_repeat(key, -1), Err(Error::NegativeRepeat(-1)));
}

/// LV-T7, LV-T8: stopping keeps what was left.
#[test]
fn stopping_keeps_the_rest() {
    let (mut event_loop, script) = scripted();
    let key = event_loop.insert(timer(100), "t").unwrap();
    assert_eq!(event_loop.remaining(key), Ok(100));
    event_loop.start(key).unwrap();
    script.advance(30);
    event_loop.update_now();
    event_loop.stop(key).unwrap();
    assert_eq!(event_loop.remaining(key), Ok(70));
    script.advance(1000);
    event_loop.update_now();
    event_loop.start(key).unwrap();
    assert_eq!(event_loop.remaining(key), Ok(70));
}

/// LV-R14, LV-R15, LV-R16: the time is cached, and relative to the cached time is what a timer is.
#[test]
fn time_is_cached() {
    let (mut event_loop, script) = scripted();
    let before = event_loop.now();
    script.advance(200 * MS);
    assert_eq!(event_loop.now(), before);
    event_loop.wait_timer(100 * MS, 0, "early");
    event_loop.update_now();
    assert_eq!(event_loop.now(), before + 200 * MS);
    event_loop.wait_timer(100 * MS, 0, "right");
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["early TIMER"]);
}

/// LV-R17: suspended time does not count.
#[test]
fn suspend_and_resume() {
    let (mut event_loop, script) = scripted();
    let key = started(&mut event_loop, timer(200 * MS), "t");
    event_loop.suspend();
    script.advance(500 * MS);
    event_loop.resume();
    assert_eq!(event_loop.remaining(key), Ok(200 * MS));
}

/// LV-R04: one iteration at the least, even if nothing is active.
#[test]
fn at_least_one_iteration() {
    let (mut event_loop, script) = scripted();
    let key = started(&mut event_loop, Spec::Prepare, "prepare");
    event_loop.set_ref(key, false).unwrap();
    assert_eq!(event_loop.active_count(), 0);
    assert_eq!(trace(&mut event_loop, Mode::Default), ["prepare PREPARE"]);
    assert_eq!(script.take_waits(), [Some(0)]);
}

/// LV-R05: a break asked for outside a run is forgotten.
#[test]
fn a_break_before_the_run_is_forgotten() {
    let (mut event_loop, _script) = scripted();
    event_loop.wait_timer(5, 0, "t");
    event_loop.break_(Break::All);
    assert_eq!(trace(&mut event_loop, Mode::Default), ["t TIMER"]);
}

/// LV-R07, LV-R09: what is due still runs; a break can be taken back.
#[test]
fn a_break_lets_the_rest_of_the_batch_run() {
    for (how, expected) in [
        (Break::One, vec!["b READ", "a READ"]),
        (Break::Cancel, vec!["b READ", "a READ", "b READ", "a READ"]),
    ] {
        let (mut event_loop, script) = scripted();
        started(&mut event_loop, io(3), "a");
        started(&mut event_loop, io(4), "b");
        script.set_ready(3, Events::READ);
        script.set_ready(4, Events::READ);
        let mut lines = Vec::new();
        run(&mut event_loop, Mode::Default, |event_loop, ready| {
            lines.push(line(ready));
            event_loop.break_(Break::One);
            if lines.len() < 3 {
                event_loop.break_(how);
            }
        });
        assert_eq!(lines, expected);
    }
}

/// LV-R08: of nested runs, ONE leaves the inner and ALL leaves both.
#[test]
fn breaks_in_nested_runs() {
    for (how, expected) in [
        (Break::One, vec!["outer", "inner", "outer"]),
        (Break::All, vec!["outer", "inner"]),
    ] {
        let (mut event_loop, script) = scripted();
        let key = started(
            &mut event_loop,
            Spec::Timer {
                after_ns: 1,
                repeat_ns: 1,
            },
            "t",
        );
        script.advance(10);
        let mut seen = Vec::new();
        run(&mut event_loop, Mode::Default, |event_loop, _| {
            seen.push("outer");
            assert_eq!(event_loop.depth(), 1);
            if seen.len() > 1 {
                event_loop.stop(key).unwrap();
                return;
            }
            run(event_loop, Mode::Default, |event_loop, _| {
                assert_eq!(event_loop.depth(), 2);
                seen.push("inner");
                event_loop.break_(how);
            });
        });
        assert_eq!(seen, expected);
        assert_eq!(event_loop.depth(), 0);
    }
}

/// LV-R10, LV-CK2: a break in prepare skips the poll, the timers and the check watchers.
#[test]
fn a_break_in_prepare_skips_the_poll() {
    let (mut event_loop, script) = scripted();
    started(&mut event_loop, Spec::Prepare, "prepare");
    started(&mut event_loop, Spec::Check, "check");
    started(&mut event_loop, timer(1), "timer");
    script.advance(5);
    let mut lines = Vec::new();
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        lines.push(line(ready));
        event_loop.break_(Break::One);
    });
    assert_eq!(lines, ["prepare PREPARE"]);
    assert!(script.take_waits().is_empty());
}

/// LV-R12, DD-05: references are counted; below zero ends the loop instead of spinning.
#[test]
fn references() {
    let (mut event_loop, _script) = scripted();
    event_loop.unref();
    assert_eq!(event_loop.active_count(), -1);
    assert!(trace(&mut event_loop, Mode::Default).is_empty());
    event_loop.ref_();
    let key = started(&mut event_loop, timer(10), "t");
    event_loop.set_ref(key, false).unwrap();
    assert_eq!(event_loop.get_ref(key), Ok(false));
    assert_eq!(event_loop.active_count(), 0);
    assert!(trace(&mut event_loop, Mode::Default).is_empty());
    event_loop.set_ref(key, true).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Default), ["t TIMER"]);
    assert_eq!(event_loop.active_count(), 0);
}

/// LV-W04, LV-W05: starting and stopping twice is as good as once.
#[test]
fn starting_twice_counts_once() {
    let (mut event_loop, _script) = scripted();
    let key = started(&mut event_loop, timer(10), "t");
    event_loop.start(key).unwrap();
    assert_eq!(event_loop.active_count(), 1);
    event_loop.stop(key).unwrap();
    event_loop.stop(key).unwrap();
    assert_eq!(event_loop.active_count(), 0);
}

/// LV-R24, LV-R34, LV-R21 with DD-04: fed bits add up to one event; cleared is not counted.
#[test]
fn feeding_and_clearing() {
    let (mut event_loop, _script) = scripted();
    let key = event_loop.insert(timer(1), "t").unwrap();
    event_loop.feed(key, Events::TIMER).unwrap();
    event_loop.feed(key, Events::CUSTOM).unwrap();
    assert!(event_loop.is_pending(key));
    assert_eq!(event_loop.pending_count(), 1);
    assert_eq!(event_loop.clear_pending(key), Events::TIMER | Events::CUSTOM);
    assert_eq!(event_loop.clear_pending(key), Events::NONE);
    assert_eq!(event_loop.pending_count(), 0);
    event_loop.feed(key, Events::TIMER).unwrap();
    event_loop.feed(key, Events::CUSTOM).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["t TIMER|CUSTOM"]);
}

/// LV-R25: feeding an fd reaches the started watchers that want it, and nobody else.
#[test]
fn feeding_an_fd() {
    let (mut event_loop, _script) = scripted();
    started(&mut event_loop, io(3), "reader");
    started(
        &mut event_loop,
        Spec::Io {
            fd: 3,
            events: Events::WRITE,
        },
        "writer",
    );
    event_loop.insert(io(3), "stopped").unwrap();
    event_loop.feed_fd(3, Events::READ);
    event_loop.feed_fd(-1, Events::READ);
    event_loop.feed_fd(12345, Events::READ);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["reader READ"]);
    assert!(event_loop.closing_fd(3));
    assert!(!event_loop.closing_fd(4));
    assert_eq!(event_loop.pending_count(), 2);
}

/// LV-R35: nothing active, an idle watcher, something pending or NOWAIT mean not to wait; else the first deadline.
#[test]
fn how_long_to_wait() {
    let (mut event_loop, script) = scripted();
    event_loop.wait_timer(500 * MS, 0, "later");
    event_loop.wait_timer(20 * MS, 0, "sooner");
    trace(&mut event_loop, Mode::NoWait);
    assert_eq!(script.take_waits(), [Some(0)]);
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [Some(20 * MS + 1)]);
    event_loop.set_timeout_collect_interval_ns(900 * MS);
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [Some(900 * MS)], "LV-R19");
    let idle = started(&mut event_loop, Spec::Idle, "idle");
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [Some(0)], "LV-I1");
    event_loop.stop(idle).unwrap();
    started(&mut event_loop, io(3), "io");
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [None], "nothing to be in time for");
    event_loop.set_guard_signals(true);
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [Some(20 * MS), Some(59_743 * MS)], "LV-C07");
    event_loop.set_guard_signals(false);
    event_loop.wait_timer(3_600_000 * MS, 0, "far");
    trace(&mut event_loop, Mode::Once);
    assert_eq!(script.take_waits(), [Some(59_743 * MS)], "LV-C07");
}

/// LV-I2, LV-I3, LV-Q10: idle watchers run when nothing is pending at their priority or above; the higher starves the
/// lower.
#[test]
fn idle_watchers_are_locked_out() {
    let (mut event_loop, script) = scripted();
    let busy = started(&mut event_loop, io(3), "busy");
    prioritised(&mut event_loop, Spec::Idle, -1, "low");
    let high = prioritised(&mut event_loop, Spec::Idle, 1, "high");
    script.set_ready(3, Events::READ);
    assert_eq!(trace(&mut event_loop, Mode::Once), ["high IDLE", "busy READ"]);
    event_loop.stop(high).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["busy READ"]);
    event_loop.stop(busy).unwrap();
    assert_eq!(trace(&mut event_loop, Mode::Once), ["low IDLE"]);
    started(&mut event_loop, Spec::Check, "check");
    assert_eq!(
        trace(&mut event_loop, Mode::Once),
        ["check CHECK", "low IDLE"],
        "check watchers lock nobody out"
    );
}

/// LV-PR1: what a prepare watcher starts is part of this very poll.
#[test]
fn a_timer_started_in_prepare_counts() {
    let (mut event_loop, script) = scripted();
    started(&mut event_loop, Spec::Prepare, "prepare");
    let mut lines = Vec::new();
    run(&mut event_loop, Mode::Once, |event_loop, ready| {
        lines.push(line(ready));
        if lines.len() == 1 {
            event_loop.wait_timer(3 * MS, 0, "timer");
        }
    });
    assert_eq!(lines, ["prepare PREPARE", "timer TIMER"]);
    assert_eq!(script.take_waits(), [Some(3 * MS + 1)]);
}

/// LV-Q13: an entry may feed itself again in its own callback, and runs again in the same pass.
#[test]
fn feeding_itself() {
    let (mut event_loop, _script) = scripted();
    let key = event_loop.insert(Spec::Idle, "again").unwrap();
    event_loop.feed(key, Events::CUSTOM).unwrap();
    let mut times = 0;
    run(&mut event_loop, Mode::NoWait, |event_loop, _| {
        times += 1;
        assert!(!event_loop.is_pending(key));
        if times < 5 {
            event_loop.feed(key, Events::CUSTOM).unwrap();
        }
    });
    assert_eq!(times, 5);
}

/// LV-Q12: a timer without repeat is inactive when it is told.
#[test]
fn inactive_when_told() {
    let (mut event_loop, _script) = scripted();
    started(&mut event_loop, timer(1), "t");
    run(&mut event_loop, Mode::Default, |event_loop, ready| {
        if let Ready::Event { key, .. } = ready {
            assert!(!event_loop.is_active(key));
            assert_eq!(event_loop.active_count(), 0);
        }
    });
}

/// LV-IO3, LV-IO4, LV-IO5: what the kernel is told, and how often.
#[test]
fn the_kernel_is_told_as_little_as_possible() {
    let (mut event_loop, script) = scripted();
    let key = started(&mut event_loop, io(3), "io");
    trace(&mut event_loop, Mode::NoWait);
    assert_eq!(script.take_changes(), 1);
    for _ in 0..10 {
        event_loop.stop(key).unwrap();
        event_loop.start(key).unwrap();
    }
    trace(&mut event_loop, Mode::NoWait);
    assert_eq!(script.take_changes(), 0, "stopped and started again in one iteration");
    event_loop.set_events(key, Events::READ_WRITE).unwrap();
    trace(&mut event_loop, Mode::NoWait);
    assert_eq!(script.take_changes(), 1);
    event_loop.stop(key).unwrap();
    trace(&mut event_loop, Mode::NoWait);
    assert_eq!(script.take_changes(), 0, "stopping tells nothing");
    script.set_ready(3, Events::READ);
    event_loop.ref_();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    assert_eq!(script.take_changes(), 1, "until an unwanted event comes");
}

/// A socket: no change of registration per wait.
#[test]
fn an_adopted_socket_is_registered_once() {
    let (mut event_loop, script) = scripted();
    event_loop.adopt(3).unwrap();
    assert_eq!(script.take_changes(), 0, "not before it has to wait");
    for _ in 0..100 {
        event_loop.mark_unready(3, Events::READ);
        event_loop.wait_io(3, Events::READ, "reader").unwrap();
        script.set_ready(3, Events::READ);
        assert_eq!(trace(&mut event_loop, Mode::Once), ["reader READ"]);
        script.clear_ready(3, Events::READ);
    }
    assert_eq!(script.take_changes(), 1);
    event_loop.forget(3);
    assert_eq!(script.take_changes(), 1);
}

/// LV-Q06 is the order of watchers. Among adopted sockets whoever became ready first comes first, round after round: in the
/// reverse order, who was answered first would wait nearly two rounds for the next answer.
#[test]
fn sockets_in_the_order_in_which_they_became_ready() {
    let (mut event_loop, script) = scripted();
    for (fd, reader) in [(3, "first"), (4, "second"), (5, "third")] {
        event_loop.adopt(fd).unwrap();
        event_loop.mark_unready(fd, Events::READ);
        event_loop.wait_io(fd, Events::READ, reader).unwrap();
    }
    for (fd, name) in [(6, "6"), (7, "7")] {
        started(&mut event_loop, io(fd), name);
    }
    for fd in 3..8 {
        script.set_ready(fd, Events::READ);
    }
    let expected = ["7 READ", "6 READ", "first READ", "second READ", "third READ"];
    assert_eq!(trace(&mut event_loop, Mode::NoWait), expected);
}

/// GV-30, GV-32, GV-33, GV-38: first in, first out; what is added runs in the same pass; the clock is asked after
/// each fifty, and what is left makes the poll not wait.
#[test]
fn the_run_soon_pass() {
    let (mut event_loop, script) = Loop::scripted().unwrap();
    for value in 0..120 {
        event_loop.call_soon(value);
    }
    event_loop.wait_timer(1000 * MS, 0, 999);
    let mut seen = Vec::new();
    run(&mut event_loop, Mode::Once, |event_loop, ready| {
        if let Ready::Soon(value) = ready {
            assert!(event_loop.in_soon_pass());
            if value == 0 {
                event_loop.call_soon(120);
            }
            script.advance(MS / 10 + MS / 1000);
            seen.push(value);
        }
    });
    assert!(seen.iter().copied().eq(0..50), "5 ms are over after fifty");
    assert_eq!(script.take_waits(), [Some(0)]);
    assert_eq!(event_loop.soon_len(), 71);
    run(&mut event_loop, Mode::Once, |_, ready| {
        if let Ready::Soon(value) = ready {
            seen.push(value);
        }
    });
    assert!(
        seen.iter().copied().eq(0..=120),
        "and without work the rest runs in one pass"
    );
    assert!(!event_loop.in_soon_pass());
    assert_eq!(event_loop.active_count(), 0);
}

/// GV-32: how long a pass may take is asked each time.
#[test]
fn the_switch_interval() {
    let (mut event_loop, script) = Loop::scripted().unwrap();
    let mut pass = |interval_ns: fn() -> i64| {
        event_loop.set_switch_interval(interval_ns);
        for value in 0..200 {
            event_loop.call_soon(value);
        }
        let mut passes = 0;
        while event_loop.soon_len() > 0 {
            run(&mut event_loop, Mode::Once, |_, _| script.advance(MS));
            passes += 1;
        }
        passes
    };
    assert_eq!((pass(|| i64::MAX), pass(|| 60 * MS), pass(|| -1)), (1, 2, 4));
}

/// GV-31: cancelled entries do not run and do not count.
#[test]
fn cancelled_entries_do_not_run() {
    let (mut event_loop, _script) = scripted();
    let first = event_loop.call_soon("first");
    let second = event_loop.call_soon("second");
    assert_eq!(event_loop.active_count(), 2);
    assert_eq!(event_loop.cancel_soon(first), Some("first"));
    assert_eq!(event_loop.cancel_soon(first), None);
    assert_eq!(trace(&mut event_loop, Mode::Default), ["second soon"]);
    assert!(!event_loop.is_soon_pending(second));
    assert_eq!(event_loop.active_count(), 0);
}

/// Anybody may pull the next entry of the present phase, and only of that.
#[test]
fn pulling_inside_a_phase() {
    let (mut event_loop, script) = scripted();
    assert_eq!(event_loop.try_next(), None, "no run");
    event_loop.call_soon("a");
    event_loop.call_soon("b");
    event_loop.wait_timer(1, 0, "x");
    event_loop.wait_timer(2, 0, "y");
    script.advance(10);
    event_loop.enter(Mode::Default);
    assert!(matches!(event_loop.next(), Step::Soon("a")));
    assert_eq!(
        event_loop.try_next_if(|ready| matches!(ready, Ready::Event { .. })),
        None
    );
    assert_eq!(event_loop.try_next(), Some(Ready::Soon("b")));
    assert_eq!(event_loop.try_next(), None, "the poll is not for try_next");
    assert!(matches!(event_loop.next(), Step::Event { data: "x", .. }));
    assert!(matches!(
        event_loop.try_next_if(|_| true),
        Some(Ready::Event { data: "y", .. })
    ));
    assert_eq!(event_loop.try_next(), None);
    assert!(matches!(event_loop.next(), Step::Done));
    assert!(matches!(event_loop.next(), Step::Done));
    assert_eq!(event_loop.leave(), 0);
    assert!(matches!(event_loop.next(), Step::Done));
    event_loop.verify().unwrap();
}

/// A wait that was handed out is known to be stale once something was added; dropping it loses nothing.
#[test]
fn a_stale_wait_is_dropped() {
    let (mut event_loop, script) = scripted();
    event_loop.wait_timer(1000, 0, "t");
    event_loop.enter(Mode::Default);
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    assert!(!event_loop.is_stale(&wait));
    event_loop.call_soon("soon");
    assert!(event_loop.is_stale(&wait));
    drop(wait);
    assert!(matches!(event_loop.next(), Step::Soon("soon")));
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    event_loop.wait_timer(10, 0, "earlier");
    assert!(event_loop.is_stale(&wait));
    drop(wait);
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    event_loop.absorb(wait.block());
    assert!(matches!(event_loop.next(), Step::Event { data: "earlier", .. }));
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    // A nested run between `next` and `block`: the outer wait is off.
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    assert!(event_loop.is_stale(&wait));
    script.set_ready(3, Events::READ);
    event_loop.absorb(wait.block());
    assert_eq!(event_loop.leave(), 1);
}

/// An interrupted wait goes round: what a signal handler left to be done gets its chance (GV-37).
#[test]
fn an_interrupted_wait_goes_round() {
    let (mut event_loop, script) = scripted();
    event_loop.set_guard_signals(true);
    event_loop.wait_timer(1000 * MS, 0, "t");
    script.interrupt_at(script.monotonic() + 5 * MS);
    event_loop.enter(Mode::Default);
    let before = event_loop.iteration();
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    assert!(!wait.masked);
    let woken = wait.block();
    assert!(woken.interrupted());
    event_loop.absorb(woken);
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing is ready")
    };
    assert!(!wait.masked);
    assert_eq!(event_loop.iteration(), before + 2);
    event_loop.absorb(wait.block());
    let Step::Block(wait) = event_loop.next() else {
        panic!("nothing came in 20 ms")
    };
    assert!(wait.masked);
    assert_eq!(
        event_loop.iteration(),
        before + 2,
        "the second stage is of the same iteration"
    );
    event_loop.absorb(wait.block());
    assert!(matches!(event_loop.next(), Step::Event { data: "t", .. }));
}

/// LV-L16, LV-CL1: cleanup watchers run when the loop is destroyed, and only then.
#[test]
fn cleanup() {
    let (mut event_loop, _script) = scripted();
    let first = started(&mut event_loop, Spec::Cleanup, "first");
    started(&mut event_loop, Spec::Cleanup, "second");
    assert_eq!(event_loop.active_count(), 0, "LV-R13: no reference");
    assert!(trace(&mut event_loop, Mode::Default).is_empty());
    assert_eq!(
        trace(&mut event_loop, Mode::Destroy),
        ["second CLEANUP", "first CLEANUP"]
    );
    event_loop.remove(first);
}

/// LV-L14, LV-F1: after `reinit` the fork watchers run before prepare, and everything is registered anew.
#[test]
fn fork_watchers() {
    let (mut event_loop, script) = scripted();
    started(&mut event_loop, Spec::Fork, "fork");
    started(&mut event_loop, Spec::Prepare, "prepare");
    started(&mut event_loop, io(3), "io");
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["prepare PREPARE"]);
    event_loop.adopt(4).unwrap();
    event_loop.mark_unready(4, Events::READ);
    event_loop.wait_io(4, Events::READ, "wait").unwrap();
    script.take_changes();
    event_loop.reinit();
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["fork FORK", "prepare PREPARE"]);
    assert_eq!(script.take_changes(), 2);
    script.set_ready(3, Events::READ);
    script.set_ready(4, Events::READ);
    assert_eq!(
        trace(&mut event_loop, Mode::NoWait),
        ["prepare PREPARE", "io READ", "wait READ"]
    );
    event_loop.verify().unwrap();
}

/// LV-Q08, LV-A1, LV-A2: asyncs run in the order they were started, each once, whatever the order of the sends.
#[test]
fn asyncs() {
    let (mut event_loop, _script) = scripted();
    let keys: Vec<_> = ["a0", "a1", "a2"]
        .map(|data| started(&mut event_loop, Spec::Async, data))
        .into();
    let senders: Vec<_> = keys.iter().map(|&key| event_loop.async_sender(key).unwrap()).collect();
    for which in [2, 0, 1, 0] {
        senders[which].send();
    }
    assert!(senders[0].is_sent());
    assert_eq!(trace(&mut event_loop, Mode::Once), ["a0 ASYNC", "a1 ASYNC", "a2 ASYNC"]);
    assert!(!senders[0].is_sent());
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    let timer = event_loop.insert(timer(1), "t").unwrap();
    assert!(matches!(event_loop.async_sender(timer), Err(Error::WrongKind)));
}

/// Keys of what is gone are refused by every call, and nothing panics.
#[test]
fn outdated_keys() {
    let (mut event_loop, _script) = scripted();
    let key = started(&mut event_loop, timer(1), "t");
    assert_eq!(event_loop.remove(key), Some("t"));
    assert_eq!(event_loop.remove(key), None);
    assert_eq!(event_loop.cancel(key), None);
    assert_eq!(event_loop.start(key), Err(Error::NoSuchKey));
    assert_eq!(event_loop.stop(key), Err(Error::NoSuchKey));
    assert_eq!(event_loop.again(key), Err(Error::NoSuchKey));
    assert_eq!(event_loop.feed(key, Events::CUSTOM), Err(Error::NoSuchKey));
    assert_eq!(event_loop.set_priority(key, 1), Err(Error::NoSuchKey));
    assert_eq!(event_loop.set_ref(key, true), Err(Error::NoSuchKey));
    assert_eq!(event_loop.clear_pending(key), Events::NONE);
    assert_eq!(event_loop.data(key), None);
    assert!(!event_loop.is_active(Key::from_bits(u64::MAX)));
    assert!(!event_loop.is_pending(Key::from_bits(0)));
    let wait = event_loop.wait_timer(1, 0, "w");
    assert_eq!(event_loop.start(wait), Err(Error::WrongKind));
    assert_eq!(event_loop.cancel(wait), Some("w"));
    assert_eq!(event_loop.active_count(), 0);
}

/// What the payloads own can be given back when the loop ends.
#[test]
fn payloads_are_returned() {
    let (mut event_loop, _script) = scripted();
    started(&mut event_loop, timer(1), "timer");
    started(&mut event_loop, Spec::Idle, "idle");
    event_loop.insert(io(3), "inactive").unwrap();
    event_loop.wait_io(4, Events::READ, "wait").unwrap();
    event_loop.call_soon("soon");
    event_loop.remote().call_soon_threadsafe("remote");
    let mut payloads = event_loop.take_payloads();
    payloads.sort_unstable();
    assert_eq!(payloads, ["idle", "inactive", "remote", "soon", "timer", "wait"]);
    assert_eq!(event_loop.active_count(), 0);
    assert!(trace(&mut event_loop, Mode::Default).is_empty());
    event_loop.verify().unwrap();
}

/// A wait that its caller makes in parts is one wait: no iteration is counted, and what comes in any part of it is told at once.
#[test]
fn a_shortened_wait_goes_on() {
    for guarded in [false, true] {
        let (mut event_loop, script) = scripted();
        event_loop.set_guard_signals(guarded);
        event_loop.wait_timer(1000 * MS, 0, "t");
        event_loop.enter(Mode::Once);
        let begin = script.monotonic();
        let mut parts = 0;
        let iteration = loop {
            match event_loop.next() {
                Step::Block(mut wait) => {
                    assert_eq!((wait.again, wait.masked), (parts > 0, guarded && parts > 0));
                    wait.shorten(100 * MS);
                    event_loop.absorb(wait.block());
                    parts += 1;
                }
                Step::Event { data: "t", .. } => break event_loop.iteration(),
                _ => panic!("nothing but the timer and waits for it"),
            }
        };
        assert_eq!(iteration, 1);
        // Due means strictly before: the last part is the nanosecond that ten parts leave, or with 20 ms first, 80 ms.
        assert_eq!(parts, 11);
        assert!(script.monotonic() - begin >= 1000 * MS);
    }
}
