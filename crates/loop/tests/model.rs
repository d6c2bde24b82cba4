//! Random programs against a model: a second, slow loop that says what must come next, how long to wait, and what is
//! left. Both are pulled in step; the program acts on both between two entries.
//!
//! Watchers and waits live on fds 0..3 (level) and 10..12 (adopted sockets); closing an fd first ends what watches it.

mod common;

use std::collections::VecDeque;

use proptest::prelude::*;
use verdigris_loop::{Break, Events, Key, Loop, Mode, Script, SoonKey, Spec, Step};

const LONGEST_NS: i64 = 59_743_000_000;
const FOR_EVER: i64 = i64::MAX;

#[derive(Clone, Debug)]
enum Op {
    WaitTimer(i64, i8),
    WaitIo(i32, u32),
    WaitSocket(i32, u32),
    InsertTimer(i64, i64),
    InsertIo(i32, u32),
    InsertGroup(u8),
    Start(usize),
    Stop(usize),
    Remove(usize),
    Cancel(usize),
    Feed(usize),
    Clear(usize),
    Again(usize),
    SetRepeat(usize, i64),
    SetPriority(usize, i8),
    SetRef(usize, bool),
    SetEvents(usize, u32),
    Soon,
    CancelSoon(usize),
    Ready(i32, u32),
    Unready(i32, u32),
    MarkUnready(i32, u32),
    Close(i32),
    Advance(i64),
    UpdateNow,
    Break(u8),
    Run(u8),
}

fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    let fd = || prop_oneof![0..3i32, 10..12i32];
    prop_oneof![
        2 => (-3i64..30, -2i8..3).prop_map(|(after, priority)| WaitTimer(after, priority)),
        2 => (0..3i32, 1..4u32).prop_map(|(fd, events)| WaitIo(fd, events)),
        3 => (10..12i32, 1..4u32).prop_map(|(fd, events)| WaitSocket(fd, events)),
        2 => (-3i64..30, 0i64..9).prop_map(|(after, repeat)| InsertTimer(after, repeat)),
        2 => (0..3i32, 0..4u32).prop_map(|(fd, events)| InsertIo(fd, events)),
        1 => (0u8..3).prop_map(InsertGroup),
        5 => (0usize..40).prop_map(Start),
        2 => (0usize..40).prop_map(Stop),
        1 => (0usize..40).prop_map(Remove),
        2 => (0usize..40).prop_map(Cancel),
        1 => (0usize..40).prop_map(Feed),
        1 => (0usize..40).prop_map(Clear),
        1 => (0usize..40).prop_map(Again),
        1 => (0usize..40, 0i64..9).prop_map(|(which, repeat)| SetRepeat(which, repeat)),
        1 => (0usize..40, -4i8..5).prop_map(|(which, priority)| SetPriority(which, priority)),
        1 => (0usize..40, any::<bool>()).prop_map(|(which, counts)| SetRef(which, counts)),
        1 => (0usize..40, 0..4u32).prop_map(|(which, events)| SetEvents(which, events)),
        2 => Just(Soon),
        1 => (0usize..40).prop_map(CancelSoon),
        4 => (fd(), 1..4u32).prop_map(|(fd, events)| Ready(fd, events)),
        2 => (fd(), 1..4u32).prop_map(|(fd, events)| Unready(fd, events)),
        2 => (10..12i32, 1..4u32).prop_map(|(fd, events)| MarkUnready(fd, events)),
        1 => fd().prop_map(Close),
        2 => (0i64..20).prop_map(Advance),
        1 => Just(UpdateNow),
        1 => (0u8..3).prop_map(Break),
        2 => (0u8..3).prop_map(Run),
    ]
}

#[derive(Copy, Clone, PartialEq, Debug)]
enum What {
    Timer { rest: i64, repeat: i64 },
    Io { fd: i32, events: u32 },
    Prepare,
    Check,
    Idle,
    Gone,
}

#[derive(Copy, Clone, Debug)]
struct Item {
    key: Key,
    what: What,
    wait: bool,
    active: bool,
    counts: bool,
    priority: i8,
}

#[derive(Copy, Clone, PartialEq, Debug)]
enum Phase {
    Entry,
    Start,
    Prepare,
    Poll,
    Invoke,
    End,
}

#[derive(PartialEq, Debug)]
enum Expect {
    Event(u32, u32),
    Soon(u32),
    Block(i64),
    Done,
}

#[derive(Copy, Clone, Default)]
struct Socket {
    registered: bool,
    known: u32,
    changed: u32,
}

struct Model {
    items: Vec<Item>,
    /// (deadline, sequence, item), unordered.
    timers: Vec<(i64, u64, usize)>,
    sequence: u64,
    /// What watches each fd, the latest last.
    on_fd: Vec<Vec<usize>>,
    sockets: Vec<Socket>,
    ready: Vec<u32>,
    groups: [Vec<usize>; 3],
    pending: [Vec<(usize, u32)>; 5],
    soon: VecDeque<usize>,
    active: i64,
    now: i64,
    /// With how many ran in the run-soon pass, while it is on.
    runs: Vec<(Mode, Phase, Option<u32>)>,
    broken: Break,
    clock: Script,
}

const MARK: usize = usize::MAX;

impl Model {
    fn new(clock: Script) -> Model {
        Model {
            items: Vec::new(),
            timers: Vec::new(),
            sequence: 0,
            on_fd: vec![Vec::new(); 16],
            sockets: vec![
                Socket {
                    known: 3,
                    ..Socket::default()
                };
                16
            ],
            ready: vec![0; 16],
            groups: Default::default(),
            pending: Default::default(),
            soon: VecDeque::new(),
            active: 0,
            now: clock.monotonic(),
            runs: Vec::new(),
            broken: Break::Cancel,
            clock,
        }
    }

    fn level(&self, item: usize) -> usize {
        (self.items[item].priority.clamp(-2, 2) + 2) as usize
    }

    fn feed(&mut self, item: usize, events: u32) {
        let level = self.level(item);
        match self.pending[level].iter_mut().find(|entry| entry.0 == item) {
            Some(entry) => entry.1 |= events,
            None => self.pending[level].push((item, events)),
        }
    }

    fn clear(&mut self, item: usize) -> u32 {
        let level = self.level(item);
        match self.pending[level].iter().position(|entry| entry.0 == item) {
            Some(place) => self.pending[level].remove(place).1,
            None => 0,
        }
    }

    fn is_pending(&self, item: usize) -> bool {
        self.pending[self.level(item)].iter().any(|entry| entry.0 == item)
    }

    fn pending_count(&self) -> usize {
        self.pending.iter().flatten().filter(|entry| entry.0 != MARK).count()
    }

    fn push_timer(&mut self, item: usize, at: i64) {
        self.sequence += 1;
        self.timers.push((at, self.sequence, item));
    }

    fn start(&mut self, item: usize) {
        let Item {
            what, active, counts, ..
        } = self.items[item];
        if active || what == What::Gone {
            return;
        }
        if !self.is_pending(item) {
            self.items[item].priority = self.items[item].priority.clamp(-2, 2);
        }
        self.items[item].active = true;
        self.active += i64::from(counts);
        match what {
            What::Timer { rest, .. } => self.push_timer(item, self.now + rest),
            What::Io { fd, .. } => self.on_fd[fd as usize].push(item),
            What::Prepare => self.groups[0].push(item),
            What::Check => self.groups[1].push(item),
            What::Idle => self.groups[2].push(item),
            What::Gone => {}
        }
    }

    fn stop(&mut self, item: usize) {
        self.clear(item);
        let Item {
            what, active, counts, ..
        } = self.items[item];
        if !active {
            return;
        }
        self.items[item].active = false;
        self.active -= i64::from(counts);
        match what {
            What::Timer { repeat, .. } => {
                let place = self.timers.iter().position(|timer| timer.2 == item).unwrap();
                let at = self.timers.remove(place).0;
                self.items[item].what = What::Timer {
                    rest: at - self.now,
                    repeat,
                };
            }
            What::Io { fd, .. } => self.on_fd[fd as usize].retain(|&other| other != item),
            What::Prepare | What::Check => {
                let group = &mut self.groups[usize::from(what == What::Check)];
                let place = group.iter().position(|&other| other == item).unwrap();
                group.swap_remove(place);
            }
            What::Idle => {
                // Of one priority each: the last of the same priority takes the place.
                let level = self.level(item);
                let mut same: Vec<usize> = self.groups[2]
                    .iter()
                    .copied()
                    .filter(|&other| self.level(other) == level)
                    .collect();
                self.groups[2].retain(|other| !same.contains(other));
                let place = same.iter().position(|&other| other == item).unwrap();
                same.swap_remove(place);
                self.groups[2].extend(same);
            }
            What::Gone => {}
        }
    }

    /// A one-shot wait comes due.
    fn finish(&mut self, item: usize) {
        let events = self.clear(item);
        self.stop(item);
        if events != 0 {
            self.feed(item, events);
        }
    }

    fn next(&mut self) -> Expect {
        loop {
            let Some(&(mode, phase, in_soon)) = self.runs.last() else {
                return Expect::Done;
            };
            match phase {
                Phase::Entry | Phase::Prepare | Phase::Invoke => {
                    if let Some(count) = in_soon {
                        if count > 0 && (self.soon.is_empty() || count.is_multiple_of(50)) {
                            self.now = self.clock.monotonic();
                        }
                        let next = self.soon.pop_front();
                        self.runs.last_mut().unwrap().2 = next.map(|_| count + 1);
                        if let Some(item) = next {
                            self.active -= 1;
                            return Expect::Soon(item as u32);
                        }
                        continue;
                    }
                    match self.pending.iter_mut().rev().find_map(Vec::pop) {
                        Some((MARK, _)) => self.runs.last_mut().unwrap().2 = Some(0),
                        Some((item, events)) => {
                            if self.items[item].wait {
                                self.items[item].what = What::Gone;
                            }
                            return Expect::Event(item as u32, events);
                        }
                        None => {
                            self.set_phase(match phase {
                                Phase::Entry => Phase::Start,
                                Phase::Prepare if self.broken != Break::Cancel => Phase::End,
                                Phase::Prepare => Phase::Poll,
                                _ => Phase::End,
                            });
                        }
                    }
                }
                Phase::Start => {
                    self.pending[2].push((MARK, 0));
                    for item in self.groups[0].clone() {
                        self.feed(item, Events::PREPARE.bits());
                    }
                    self.set_phase(Phase::Prepare);
                }
                Phase::Poll => return Expect::Block(self.timeout(mode)),
                Phase::End => {
                    if self.active > 0 && self.broken == Break::Cancel && mode == Mode::Default {
                        self.set_phase(Phase::Start);
                    } else {
                        return Expect::Done;
                    }
                }
            }
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        self.runs.last_mut().unwrap().1 = phase;
    }

    fn timeout(&mut self, mode: Mode) -> i64 {
        let busy = mode == Mode::NoWait
            || !self.groups[2].is_empty()
            || self.active <= 0
            || !self.soon.is_empty()
            || self.pending_count() > 0
            || self.broken != Break::Cancel;
        if busy {
            return 0;
        }
        self.now = self.clock.monotonic();
        let first = self.timers.iter().map(|timer| timer.0).min().unwrap_or(i64::MAX);
        if first == i64::MAX {
            FOR_EVER
        } else if first < self.now {
            0
        } else {
            first.saturating_sub(self.now).saturating_add(1).min(LONGEST_NS)
        }
    }

    /// After the poll, which ended at `now`.
    fn polled(&mut self, now: i64) {
        self.now = now;
        // Adopted sockets come in the order of the reports, and what is fed last comes first.
        for fd in (10..16usize).rev().chain(0..10) {
            let socket = &mut self.sockets[fd];
            let mut events = self.ready[fd];
            if fd >= 10 {
                if !socket.registered || std::mem::take(&mut socket.changed) == 0 {
                    events = 0;
                }
                socket.known |= events;
            }
            // The latest is fed first.
            for item in self.on_fd[fd].clone().into_iter().rev() {
                let What::Io { events: wanted, .. } = self.items[item].what else {
                    unreachable!()
                };
                if wanted & events != 0 {
                    if self.items[item].wait {
                        self.finish(item);
                    }
                    self.feed(item, wanted & events);
                }
            }
        }
        self.expire();
        for level in (0..5).rev() {
            let idle: Vec<usize> = self.groups[2]
                .iter()
                .copied()
                .filter(|&item| self.level(item) == level)
                .collect();
            if !self.pending[level].is_empty() {
                break;
            }
            if !idle.is_empty() {
                idle.into_iter().for_each(|item| self.feed(item, Events::IDLE.bits()));
                break;
            }
        }
        for item in self.groups[1].clone() {
            self.feed(item, Events::CHECK.bits());
        }
        self.set_phase(Phase::Invoke);
    }

    fn expire(&mut self) {
        let mut due = Vec::new();
        while let Some(&(at, sequence, item)) = self.timers.iter().filter(|timer| timer.0 < self.now).min() {
            due.push(item);
            match self.items[item].what {
                What::Timer { repeat, .. } if repeat > 0 => {
                    self.timers.retain(|timer| timer.1 != sequence);
                    self.push_timer(item, (at + repeat).max(self.now));
                }
                _ if self.items[item].wait => self.finish(item),
                _ => self.stop(item),
            }
        }
        due.into_iter()
            .rev()
            .for_each(|item| self.feed(item, Events::TIMER.bits()));
    }
}

struct Pair {
    real: Loop<u32>,
    script: Script,
    model: Model,
    soon_keys: Vec<SoonKey>,
}

impl Pair {
    fn new() -> Pair {
        let (mut real, script) = Loop::scripted().unwrap();
        real.set_switch_interval(|| i64::MAX);
        for fd in 10..12 {
            real.adopt(fd).unwrap();
        }
        let model = Model::new(script.clone());
        Pair {
            real,
            script,
            model,
            soon_keys: Vec::new(),
        }
    }

    fn add(&mut self, key: Key, what: What, wait: bool, priority: i8) {
        self.model.items.push(Item {
            key,
            what,
            wait,
            active: false,
            counts: true,
            priority,
        });
        if wait {
            self.model.start(self.model.items.len() - 1);
            self.model.items.last_mut().unwrap().priority = priority;
        }
    }

    fn id(&self) -> u32 {
        self.model.items.len() as u32
    }

    /// One step of the program, on both.
    fn act(&mut self, op: &Op) {
        let id = self.id();
        match *op {
            Op::WaitTimer(after, priority) => {
                let key = self.real.wait_timer(after, priority, id);
                self.add(key, What::Timer { rest: after, repeat: 0 }, true, priority);
            }
            Op::WaitIo(fd, events) => {
                let key = self.real.wait_io(fd, Events::from_bits(events), id).unwrap();
                self.add(key, What::Io { fd, events }, true, 0);
            }
            Op::WaitSocket(fd, events) => self.wait_socket(fd, events),
            Op::InsertTimer(after_ns, repeat_ns) => {
                let key = self.real.insert(Spec::Timer { after_ns, repeat_ns }, id).unwrap();
                self.add(
                    key,
                    What::Timer {
                        rest: after_ns,
                        repeat: repeat_ns,
                    },
                    false,
                    0,
                );
            }
            Op::InsertIo(fd, events) => {
                let key = self
                    .real
                    .insert(
                        Spec::Io {
                            fd,
                            events: Events::from_bits(events),
                        },
                        id,
                    )
                    .unwrap();
                self.add(key, What::Io { fd, events }, false, 0);
            }
            Op::InsertGroup(kind) => {
                let (spec, what) = match kind {
                    0 => (Spec::Prepare, What::Prepare),
                    1 => (Spec::Check, What::Check),
                    _ => (Spec::Idle, What::Idle),
                };
                let key = self.real.insert(spec, id).unwrap();
                self.add(key, what, false, 0);
            }
            Op::Soon => {
                let key = self.real.call_soon(self.soon_keys.len() as u32);
                self.model.soon.push_back(self.soon_keys.len());
                self.model.active += 1;
                self.soon_keys.push(key);
            }
            Op::CancelSoon(which) => {
                if let Some(&key) = self.soon_keys.get(which) {
                    let place = self.model.soon.iter().position(|&entry| entry == which);
                    assert_eq!(self.real.is_soon_pending(key), place.is_some());
                    assert_eq!(self.real.cancel_soon(key).is_some(), place.is_some());
                    if let Some(place) = place {
                        self.model.soon.remove(place);
                        self.model.active -= 1;
                    }
                }
            }
            Op::Ready(fd, events) => {
                self.script.set_ready(fd, Events::from_bits(events));
                self.model.ready[fd as usize] |= events;
                self.model.sockets[fd as usize].changed |= events;
            }
            Op::Unready(fd, events) => {
                self.script.clear_ready(fd, Events::from_bits(events));
                self.model.ready[fd as usize] &= !events;
            }
            Op::MarkUnready(fd, events) => {
                self.real.mark_unready(fd, Events::from_bits(events));
                self.model.sockets[fd as usize].known &= !events;
                assert_eq!(self.real.readiness(fd).bits(), self.model.sockets[fd as usize].known);
            }
            Op::Close(fd) => self.close(fd),
            Op::Advance(by) => self.script.advance(by),
            Op::UpdateNow => {
                self.real.update_now();
                self.model.now = self.script.monotonic();
            }
            Op::Break(how) => {
                let how = [Break::Cancel, Break::One, Break::All][usize::from(how)];
                self.real.break_(how);
                self.model.broken = how;
            }
            Op::Run(mode) => {
                if self.model.runs.len() < 3 {
                    let mode = [Mode::NoWait, Mode::Once, Mode::Default][usize::from(mode)];
                    self.real.enter(mode);
                    self.model.runs.push((mode, Phase::Entry, None));
                    self.model.broken = Break::Cancel;
                }
            }
            _ => self.act_on_item(op),
        }
    }

    fn wait_socket(&mut self, fd: i32, events: u32) {
        let id = self.id();
        let key = self.real.wait_io(fd, Events::from_bits(events), id).unwrap();
        let socket = &mut self.model.sockets[fd as usize];
        let known = socket.known & events;
        if known != 0 {
            self.model.items.push(Item {
                key,
                what: What::Io { fd, events },
                wait: true,
                active: false,
                counts: true,
                priority: 0,
            });
            self.model.feed(id as usize, known);
            return;
        }
        if !std::mem::replace(&mut socket.registered, true) {
            socket.changed = 3;
        }
        self.add(key, What::Io { fd, events }, true, 0);
    }

    /// Ends what watches the fd, and opens the number again as another file.
    fn close(&mut self, fd: i32) {
        let mut waiting: Vec<u32> = Vec::new();
        for item in self.model.on_fd[fd as usize].clone() {
            if self.model.items[item].wait {
                self.model.stop(item);
                self.model.items[item].what = What::Gone;
                waiting.push(item as u32);
            } else {
                self.real.stop(self.model.items[item].key).unwrap();
                self.model.stop(item);
            }
        }
        let mut forgotten = self.real.forget(fd);
        forgotten.sort_unstable();
        assert_eq!(forgotten, waiting);
        self.script.close(fd);
        self.script.open(fd);
        self.model.ready[fd as usize] = 0;
        self.model.sockets[fd as usize] = Socket {
            known: 3,
            ..Socket::default()
        };
        if fd >= 10 {
            self.real.adopt(fd).unwrap();
        }
    }

    fn act_on_item(&mut self, op: &Op) {
        let (Op::Start(which)
        | Op::Stop(which)
        | Op::Remove(which)
        | Op::Cancel(which)
        | Op::Feed(which)
        | Op::Clear(which)
        | Op::Again(which)
        | Op::SetRepeat(which, _)
        | Op::SetPriority(which, _)
        | Op::SetRef(which, _)
        | Op::SetEvents(which, _)) = *op
        else {
            return;
        };
        let Some(&Item {
            key,
            what,
            wait,
            active,
            counts,
            ..
        }) = self.model.items.get(which)
        else {
            return;
        };
        let gone = what == What::Gone;
        let watcher = !gone && !wait;
        match *op {
            Op::Start(_) => {
                assert_eq!(self.real.start(key).is_ok(), watcher);
                if watcher {
                    self.model.start(which);
                }
            }
            Op::Stop(_) => {
                assert_eq!(self.real.stop(key).is_ok(), watcher);
                if watcher {
                    self.model.stop(which);
                }
            }
            Op::Remove(_) => {
                assert_eq!(self.real.remove(key), (!gone).then_some(which as u32));
                self.model.stop(which);
                self.model.items[which].what = What::Gone;
            }
            Op::Cancel(_) => {
                let cancels = wait && !gone;
                assert_eq!(self.real.cancel(key), cancels.then_some(which as u32));
                if cancels {
                    self.model.stop(which);
                    self.model.items[which].what = What::Gone;
                }
            }
            Op::Feed(_) => {
                assert_eq!(self.real.feed(key, Events::CUSTOM).is_ok(), watcher);
                if watcher {
                    self.model.feed(which, Events::CUSTOM.bits());
                }
            }
            Op::Clear(_) => {
                let expected = if watcher { self.model.clear(which) } else { 0 };
                assert_eq!(self.real.clear_pending(key).bits(), expected);
            }
            Op::Again(_) => self.again(which),
            Op::SetRepeat(_, repeat) => {
                let done = self.real.set_repeat(key, repeat).is_ok();
                if let (What::Timer { rest, .. }, true) = (what, watcher) {
                    self.model.items[which].what = What::Timer { rest, repeat };
                    assert!(done);
                }
            }
            Op::SetPriority(_, priority) => {
                let free = !gone && !active && !self.model.is_pending(which);
                assert_eq!(self.real.set_priority(key, priority).is_ok(), free);
                if free {
                    self.model.items[which].priority = priority;
                }
            }
            Op::SetRef(_, new) => {
                assert_eq!(self.real.set_ref(key, new).is_ok(), !gone);
                if !gone {
                    self.model.active += if active { i64::from(new) - i64::from(counts) } else { 0 };
                    self.model.items[which].counts = new;
                }
            }
            Op::SetEvents(_, events) => {
                let done = self.real.set_events(key, Events::from_bits(events)).is_ok();
                if let (What::Io { fd, .. }, true) = (what, watcher) {
                    assert!(done);
                    self.model.items[which].what = What::Io { fd, events };
                }
            }
            _ => {}
        }
    }

    fn again(&mut self, which: usize) {
        let Item {
            key,
            what,
            wait,
            active,
            ..
        } = self.model.items[which];
        let done = self.real.again(key).is_ok();
        let (What::Timer { repeat, .. }, false) = (what, wait) else {
            return;
        };
        assert!(done);
        self.model.clear(which);
        if active && repeat > 0 {
            self.model.timers.retain(|timer| timer.2 != which);
            self.model.push_timer(which, self.model.now + repeat);
        } else if active {
            self.model.stop(which);
        } else if repeat > 0 {
            self.model.items[which].what = What::Timer { rest: repeat, repeat };
            self.model.start(which);
        }
    }

    fn compare(&self) {
        assert_eq!(self.real.verify(), Ok(()));
        assert_eq!(self.real.active_count(), self.model.active, "active");
        assert_eq!(self.real.pending_count(), self.model.pending_count(), "pending");
        assert_eq!(self.real.monotonic(), self.model.now, "time");
        assert_eq!(self.real.soon_len(), self.model.soon.len());
        for (place, item) in self.model.items.iter().enumerate() {
            assert_eq!(self.real.is_active(item.key), item.active, "item {place} {item:?}");
            if item.what == What::Gone {
                assert_eq!(self.real.data(item.key), None);
                continue;
            }
            assert_eq!(self.real.is_pending(item.key), self.model.is_pending(place));
            assert_eq!(self.real.priority(item.key), Ok(item.priority));
            if let (What::Timer { rest, .. }, false) = (item.what, item.wait) {
                let at = self
                    .model
                    .timers
                    .iter()
                    .find(|timer| timer.2 == place)
                    .map(|timer| timer.0);
                assert_eq!(
                    self.real.remaining(item.key),
                    Ok(at.map_or(rest, |at| at - self.model.now))
                );
            }
        }
    }

    /// Pulls both until all runs are over or the program is.
    fn drive(&mut self, program: &mut impl Iterator<Item = Op>, entries: &mut usize) {
        while !self.model.runs.is_empty() {
            // Looks and waits are the model's one way to poll; the real loop looks inside `next`.
            let mut expected = self.model.next();
            self.script.take_waits();
            let step = self.real.next();
            while let Expect::Block(0) = expected {
                let waited = self.script.take_waits();
                assert_eq!(waited.first(), Some(&Some(0)), "the loop was to look");
                self.model.polled(self.script.monotonic());
                expected = self.model.next();
            }
            match step {
                Step::Event { data, revents, .. } => assert_eq!(expected, Expect::Event(data, revents.bits())),
                Step::Soon(data) => assert_eq!(expected, Expect::Soon(data)),
                Step::Done => {
                    assert_eq!(expected, Expect::Done);
                    self.model.runs.pop();
                    if self.model.broken == Break::One {
                        self.model.broken = Break::Cancel;
                    }
                    assert_eq!(self.real.leave(), self.model.active);
                    self.compare();
                    continue;
                }
                Step::Block(wait) => {
                    let Expect::Block(timeout) = expected else {
                        panic!("a wait, instead of {expected:?}")
                    };
                    assert_eq!(wait.timeout_ns(), (timeout != FOR_EVER).then_some(timeout));
                    assert!(!self.real.is_stale(&wait));
                    self.real.absorb(wait.block());
                    self.model.polled(self.script.monotonic());
                }
            }
            self.compare();
            *entries += 1;
            let op = if *entries > 300 {
                Some(Op::Break(2))
            } else {
                program.next()
            };
            match op {
                Some(op) => self.act(&op),
                None => self.act(&Op::Break(2)),
            }
            self.compare();
        }
    }
}

/// How many programs: as many as `LOOP_MODEL_CASES` says.
fn cases() -> u32 {
    std::env::var("LOOP_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_loop_does_what_the_model_says(ops in prop::collection::vec(op(), 1..160)) {
        let mut pair = Pair::new();
        let mut program = ops.into_iter();
        let mut entries = 0;
        while let Some(op) = program.next() {
            pair.act(&op);
            pair.compare();
            pair.drive(&mut program, &mut entries);
        }
    }
}
