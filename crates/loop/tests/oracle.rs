//! Random programs on real sockets, with poll(2) as the oracle: after each look of the loop, nobody may go on waiting for
//! what poll says is there, and no level-triggered watcher may be told what is not.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use common::run;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use verdigris_loop::{Events, Flags, Key, Loop, Mode, Ready, Spec};

#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    Read(usize),
    Wait(usize, u32),
    Cancel(usize),
    Start(usize, u32),
    Stop(usize),
    Events(usize, u32),
    HangUp(usize),
    Reopen(usize, bool, bool),
    Duplicate(usize),
    Look,
    /// A look in whose callbacks this is done, one thing after each event.
    Busy(Vec<Op>),
}

const SOCKETS: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        21 => simple(),
        6 => Just(Op::Look),
        3 => prop::collection::vec(simple(), 1..6).prop_map(Op::Busy),
    ]
}

fn simple() -> impl Strategy<Value = Op> {
    let which = || 0..SOCKETS;
    prop_oneof![
        4 => which().prop_map(Op::Write),
        4 => which().prop_map(Op::Read),
        6 => (which(), 1..4u32).prop_map(|(which, events)| Op::Wait(which, events)),
        1 => which().prop_map(Op::Cancel),
        2 => (which(), 0..4u32).prop_map(|(which, events)| Op::Start(which, events)),
        2 => which().prop_map(Op::Stop),
        1 => (which(), 0..4u32).prop_map(|(which, events)| Op::Events(which, events)),
        1 => which().prop_map(Op::HangUp),
        2 => (which(), any::<bool>(), any::<bool>()).prop_map(|(which, adopt, tell)| Op::Reopen(which, adopt, tell)),
        1 => which().prop_map(Op::Duplicate),
    ]
}

struct Socket {
    near: UnixStream,
    far: Option<UnixStream>,
    /// Keeps the kernel's registration of a closed number alive (LV-IO8).
    duplicates: Vec<UnixStream>,
    adopted: bool,
    waits: Vec<(Key, u32)>,
    watcher: Option<(Key, u32)>,
}

impl Socket {
    fn new(event_loop: &mut Loop<usize>, adopted: bool) -> Socket {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        if adopted {
            event_loop.adopt(near.as_raw_fd()).unwrap();
        }
        Socket {
            near,
            far: Some(far),
            duplicates: Vec::new(),
            adopted,
            waits: Vec::new(),
            watcher: None,
        }
    }

    fn fd(&self) -> i32 {
        self.near.as_raw_fd()
    }

    /// What poll(2) says.
    fn truth(&self) -> u32 {
        let mut list = [PollFd::new(&self.near, PollFlags::IN | PollFlags::OUT)];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut list, Some(&now)).unwrap();
        let found = list[0].revents();
        let broken = found.intersects(PollFlags::HUP | PollFlags::ERR);
        u32::from(found.contains(PollFlags::IN) || broken) | u32::from(found.contains(PollFlags::OUT) || broken) << 1
    }
}

/// A wait's payload is its number plus this; a watcher's is the socket's number.
const WAIT: usize = 1000;

fn program(flags: Flags, ops: &[Op]) {
    let mut event_loop: Loop<usize> = Loop::new(flags | Flags::NO_ENV).unwrap();
    let mut sockets: Vec<Socket> = (0..SOCKETS)
        .map(|which| Socket::new(&mut event_loop, which % 2 == 0))
        .collect();
    let mut next = WAIT;
    for op in ops {
        act(&mut event_loop, &mut sockets, op, &mut next);
        event_loop.verify().unwrap();
    }
}

fn act(event_loop: &mut Loop<usize>, sockets: &mut [Socket], op: &Op, next: &mut usize) {
    match *op {
        Op::Write(which) => {
            if let Some(far) = &mut sockets[which].far {
                let _ = far.write(b"x");
            }
        }
        Op::Read(which) => {
            let socket = &mut sockets[which];
            let outcome = socket.near.read(&mut [0; 3]);
            if match outcome {
                Ok(count) => count < 3 && count > 0,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            } {
                event_loop.mark_unready(socket.fd(), Events::READ);
            }
        }
        Op::Wait(which, events) => {
            let socket = &mut sockets[which];
            *next += 1;
            let key = event_loop
                .wait_io(socket.fd(), Events::from_bits(events), *next)
                .unwrap();
            socket.waits.push((key, events));
        }
        Op::Cancel(which) => {
            if let Some((key, _)) = sockets[which].waits.pop() {
                assert!(event_loop.cancel(key).is_some());
            }
        }
        Op::Start(which, events) => {
            let socket = &mut sockets[which];
            if socket.watcher.is_none() {
                let spec = Spec::Io {
                    fd: socket.fd(),
                    events: Events::from_bits(events),
                };
                let key = event_loop.insert(spec, which).unwrap();
                event_loop.start(key).unwrap();
                socket.watcher = Some((key, events));
            }
        }
        Op::Stop(which) => {
            if let Some((key, _)) = sockets[which].watcher.take() {
                event_loop.remove(key);
            }
        }
        Op::Events(which, events) => {
            if let Some((key, wanted)) = &mut sockets[which].watcher {
                event_loop.set_events(*key, Events::from_bits(events)).unwrap();
                *wanted = events;
            }
        }
        Op::HangUp(which) => sockets[which].far = None,
        Op::Duplicate(which) => {
            let duplicate = sockets[which].near.try_clone().unwrap();
            sockets[which].duplicates.push(duplicate);
        }
        Op::Reopen(which, adopt, tell) => reopen(event_loop, &mut sockets[which], adopt, tell),
        Op::Look => look(event_loop, sockets),
        Op::Busy(ref ops) => {
            busy(event_loop, sockets, ops, next);
            look(event_loop, sockets);
        }
    }
}

/// What was closed, stopped or cancelled in a callback is not told any more, and its heirs only what is true of them.
fn busy(event_loop: &mut Loop<usize>, sockets: &mut [Socket], ops: &[Op], next: &mut usize) {
    let mut ops = ops.iter();
    let mut reopened = [false; SOCKETS];
    run(event_loop, Mode::NoWait, |event_loop, ready| {
        let Ready::Event { key, data, revents } = ready else {
            return;
        };
        let which = if data < WAIT {
            assert_eq!(sockets[data].watcher.map(|(watcher, _)| watcher), Some(key));
            data
        } else {
            let waits = |socket: &Socket| socket.waits.iter().position(|(wait, _)| *wait == key);
            let which = sockets.iter().position(|socket| waits(socket).is_some());
            let which = which.expect("a wait that was not cancelled");
            let place = waits(&sockets[which]).expect("as just found");
            sockets[which].waits.swap_remove(place);
            which
        };
        // A wait for an adopted socket is told at once, as long as nobody has tried.
        if reopened[which] && (data < WAIT || !sockets[which].adopted) {
            assert_eq!(
                revents.bits() & !sockets[which].truth(),
                0,
                "socket {which} was told of its past"
            );
        }
        if let Some(op) = ops.next() {
            if let Op::Reopen(which, ..) = *op {
                reopened[which] = true;
            }
            act(event_loop, sockets, op, next);
        }
    });
}

/// Closes a socket, told to the loop or behind its back, and opens another, most likely under the same number.
fn reopen(event_loop: &mut Loop<usize>, socket: &mut Socket, adopt: bool, tell: bool) {
    if let Some((key, _)) = socket.watcher.take() {
        event_loop.remove(key);
    }
    if tell || socket.adopted {
        let waiting = socket
            .waits
            .iter()
            .filter(|(key, _)| event_loop.is_active(*key))
            .count();
        assert_eq!(event_loop.forget(socket.fd()).len(), waiting);
    }
    for (key, _) in socket.waits.drain(..) {
        event_loop.cancel(key);
    }
    // Written to first: a stale registration would report that.
    if let Some(far) = &mut socket.far {
        let _ = far.write(b"stale");
    }
    let mut duplicates = std::mem::take(&mut socket.duplicates);
    let dead = UnixStream::pair().unwrap().0;
    drop(std::mem::replace(&mut socket.near, dead));
    let fresh = Socket::new(event_loop, adopt);
    let old = std::mem::replace(socket, fresh);
    duplicates.truncate(3);
    socket.duplicates = duplicates;
    drop(old);
}

fn look(event_loop: &mut Loop<usize>, sockets: &mut [Socket]) {
    let before: Vec<u32> = sockets.iter().map(Socket::truth).collect();
    let mut told = [0; SOCKETS];
    // A suspicion (a stale registration) takes one look to notice and one to begin anew.
    for _ in 0..3 {
        run(event_loop, Mode::NoWait, |_, ready| {
            let Ready::Event { key, data, revents } = ready else {
                return;
            };
            assert!(!revents.intersects(Events::ERROR));
            if data < WAIT {
                told[data] |= revents.bits();
                return;
            }
            let socket = sockets
                .iter_mut()
                .find(|socket| socket.waits.iter().any(|(wait, _)| *wait == key));
            let socket = socket.expect("a wait that was not cancelled");
            let place = socket.waits.iter().position(|(wait, _)| *wait == key).unwrap();
            let (_, wanted) = socket.waits.swap_remove(place);
            assert!(revents.bits() & !wanted == 0 && revents.bits() != 0);
        });
    }
    for (which, socket) in sockets.iter().enumerate() {
        let wanted = socket.watcher.map_or(0, |(_, wanted)| wanted);
        assert_eq!(told[which], before[which] & wanted, "watcher of socket {which}");
        for (_, wanted) in &socket.waits {
            assert_eq!(wanted & before[which], 0, "socket {which} waits for what is there");
        }
    }
}

fn cases() -> u32 {
    std::env::var("LOOP_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn epoll_tells_the_truth(ops in prop::collection::vec(op(), 1..80)) {
        program(Flags::EPOLL, &ops);
    }

    #[test]
    fn poll_tells_the_truth(ops in prop::collection::vec(op(), 1..80)) {
        program(Flags::POLL, &ops);
    }

    #[test]
    fn select_tells_the_truth(ops in prop::collection::vec(op(), 1..80)) {
        program(Flags::SELECT, &ops);
    }
}
