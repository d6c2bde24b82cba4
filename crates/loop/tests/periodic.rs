//! Periodics on a clock that is moved by hand.

mod common;

use common::trace;
use verdigris_loop::{Error, Events, Key, Loop, Mode, Script, Spec};

const SECOND: i64 = 1_000_000_000;

/// A loop whose wall clock says 1000 s.
fn at_thousand() -> (Loop<&'static str>, Script) {
    let (mut event_loop, script) = Loop::scripted().unwrap();
    script.advance(SECOND);
    script.jump_wall(999 * SECOND);
    event_loop.update_now();
    assert_eq!(event_loop.now(), 1000 * SECOND);
    (event_loop, script)
}

fn started(event_loop: &mut Loop<&'static str>, offset_ns: i64, interval_ns: i64, data: &'static str) -> Key {
    let key = event_loop
        .insert(Spec::Periodic { offset_ns, interval_ns }, data)
        .unwrap();
    event_loop.start(key).unwrap();
    key
}

/// LV-P2, LV-P9: an absolute one fires once, when its time is strictly past.
#[test]
fn absolute() {
    let (mut event_loop, script) = at_thousand();
    let key = started(&mut event_loop, 1010 * SECOND, 0, "p");
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1010 * SECOND)), "LV-P6");
    script.advance(10 * SECOND);
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    script.advance(1);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["p PERIODIC"]);
    assert!(!event_loop.is_active(key));
    started(&mut event_loop, 5, 0, "past");
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["past PERIODIC"]);
}

/// LV-P3: at the multiples of the interval plus the offset, whatever the time of the start.
#[test]
fn interval() {
    let (mut event_loop, script) = at_thousand();
    let key = started(&mut event_loop, 3 * SECOND, 60 * SECOND, "p");
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1023 * SECOND)));
    assert_eq!(trace(&mut event_loop, Mode::Once), ["p PERIODIC"]);
    assert_eq!(script.take_waits(), [Some(23 * SECOND + 1)]);
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1083 * SECOND)));
    // Several missed are one.
    script.advance(1000 * SECOND);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["p PERIODIC"]);
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    let now = event_loop.now();
    let at = event_loop.periodic_at(key).unwrap().unwrap();
    assert!(at > now && at <= now + 60 * SECOND && (at - 3 * SECOND) % (60 * SECOND) == 0);
    assert_eq!(
        event_loop.insert(
            Spec::Periodic {
                offset_ns: 0,
                interval_ns: -1
            },
            "x"
        ),
        Err(Error::NegativeRepeat(-1))
    );
}

/// LV-P7: after a jump forward nothing is caught up with; after one back, the next boundary is nearer again.
#[test]
fn jumps() {
    let (mut event_loop, script) = at_thousand();
    let key = started(&mut event_loop, 0, 60 * SECOND, "p");
    let absolute = started(&mut event_loop, 2000 * SECOND, 0, "absolute");
    script.advance(SECOND);
    script.jump_wall(3600 * SECOND);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["absolute PERIODIC"]);
    assert_eq!(event_loop.periodic_at(key), Ok(Some(4620 * SECOND)));
    assert!(!event_loop.is_active(absolute));
    script.advance(SECOND);
    script.jump_wall(-3600 * SECOND);
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1020 * SECOND)));
}

/// LV-P4, LV-P1: a function decides; one that answers with the past is an error, not a spin.
#[test]
fn rescheduled_by_a_function() {
    let (mut event_loop, script) = at_thousand();
    let key = event_loop
        .insert(
            Spec::Periodic {
                offset_ns: 1,
                interval_ns: 1,
            },
            "p",
        )
        .unwrap();
    event_loop
        .set_reschedule(key, Some(Box::new(|now| now + 7 * SECOND)))
        .unwrap();
    event_loop.start(key).unwrap();
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1007 * SECOND)));
    assert!(matches!(event_loop.set_reschedule(key, None), Err(Error::Active)));
    script.advance(8 * SECOND);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["p PERIODIC"]);
    assert_eq!(event_loop.periodic_at(key), Ok(Some(1015 * SECOND)));
    let bad = event_loop
        .insert(
            Spec::Periodic {
                offset_ns: 0,
                interval_ns: 0,
            },
            "bad",
        )
        .unwrap();
    event_loop.set_reschedule(bad, Some(Box::new(|now| now - 1))).unwrap();
    assert_eq!(event_loop.start(bad), Err(Error::PastDeadline(1008 * SECOND)));
    assert!(!event_loop.is_active(bad));
    let mut left = 1;
    event_loop
        .set_reschedule(
            bad,
            Some(Box::new(move |now| {
                left -= 1;
                now + left.min(0) + i64::from(left == 0)
            })),
        )
        .unwrap();
    event_loop.start(bad).unwrap();
    script.advance(SECOND);
    assert_eq!(trace(&mut event_loop, Mode::NoWait), ["bad PERIODIC|ERROR"]);
    assert!(!event_loop.is_active(bad));
    event_loop.verify().unwrap();
}

/// LV-Q03, LV-Q04: periodics run before the timers of the same priority, the earliest first.
#[test]
fn order() {
    let (mut event_loop, script) = at_thousand();
    event_loop.wait_timer(1, 0, "timer");
    started(&mut event_loop, 1002 * SECOND, 0, "second");
    started(&mut event_loop, 1001 * SECOND, 0, "first");
    script.advance(5 * SECOND);
    assert_eq!(
        trace(&mut event_loop, Mode::NoWait),
        ["first PERIODIC", "second PERIODIC", "timer TIMER"]
    );
    let key = started(&mut event_loop, 0, SECOND, "fed");
    event_loop.feed(key, Events::CUSTOM).unwrap();
    event_loop.stop(key).unwrap();
    assert!(trace(&mut event_loop, Mode::NoWait).is_empty());
}
