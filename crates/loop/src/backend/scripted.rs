//! A backend without an operating system: file descriptors are numbers that a test makes ready, the clock is moved by
//! hand, and blocking means jumping to the next thing that the script has in store.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Applied, Change, EDGE, READ, Report, Reports, WRITE};
use crate::Events;
use crate::clock::ManualClock;
use crate::slab::mask;

/// What the script does while the loop blocks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Action {
    Ready(i32, u8),
    Unready(i32, u8),
    Interrupt,
}

#[derive(Default)]
struct World {
    files: BTreeMap<i32, File>,
    registered: BTreeMap<i32, Registration>,
    /// In order of time; equal times in order of insertion.
    actions: Vec<(i64, Action)>,
    waits: Vec<Option<i64>>,
    changes: usize,
    stuck: usize,
    edges: bool,
}

#[derive(Copy, Clone, Default)]
struct File {
    ready: u8,
    closed: bool,
    regular: bool,
}

#[derive(Copy, Clone)]
struct Registration {
    interest: u8,
    generation: u32,
    /// With EDGE: what changed since the last report.
    changed: u8,
}

impl World {
    fn make_ready(&mut self, fd: i32, events: u8) {
        self.files.entry(fd).or_default().ready |= events;
        if let Some(registration) = self.registered.get_mut(&fd) {
            registration.changed |= events;
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Ready(fd, events) => self.make_ready(fd, events),
            Action::Unready(fd, events) => self.files.entry(fd).or_default().ready &= !events,
            Action::Interrupt => {}
        }
    }

    fn collect(&mut self, reports: &mut Vec<Report>) {
        for (&fd, registration) in &mut self.registered {
            let ready = self.files.get(&fd).map_or(0, |file| file.ready);
            let events = if registration.interest & EDGE != 0 {
                if registration.changed == 0 { 0 } else { ready }
            } else {
                ready & registration.interest
            };
            registration.changed = 0;
            if events != 0 {
                let generation = registration.generation;
                reports.push(Report {
                    fd,
                    generation,
                    events,
                    plain: events,
                    ended: false,
                    unsure: false,
                    invalid: false,
                });
            }
        }
    }
}

/// The test's hand on a scripted loop.
#[derive(Clone)]
pub struct Script {
    world: Arc<Mutex<World>>,
    clock: Arc<ManualClock>,
}

impl Script {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Script {
        let world = World {
            edges: true,
            ..World::default()
        };
        Script {
            world: Arc::new(Mutex::new(world)),
            clock,
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves both clocks forward; the loop sees it when it reads them.
    pub fn advance(&self, by_ns: i64) {
        self.clock.monotonic_ns.fetch_add(by_ns, Ordering::Relaxed);
        self.clock.wall_ns.fetch_add(by_ns, Ordering::Relaxed);
    }

    /// Moves the wall clock alone: somebody set it.
    pub fn jump_wall(&self, by_ns: i64) {
        self.clock.wall_ns.fetch_add(by_ns, Ordering::Relaxed);
    }

    /// The monotonic clock.
    pub fn monotonic(&self) -> i64 {
        self.clock.monotonic_ns.load(Ordering::Relaxed)
    }

    /// Makes an fd ready; told again it is a new edge.
    pub fn set_ready(&self, fd: i32, events: Events) {
        self.world().make_ready(fd, mask(events));
    }

    /// Makes an fd unready: somebody read or filled it.
    pub fn clear_ready(&self, fd: i32, events: Events) {
        self.world().apply(Action::Unready(fd, mask(events)));
    }

    /// Closes an fd: its registration ends silently.
    pub fn close(&self, fd: i32) {
        let mut world = self.world();
        world.files.insert(
            fd,
            File {
                closed: true,
                ..File::default()
            },
        );
        world.registered.remove(&fd);
    }

    /// Opens a number again, as another file.
    pub fn open(&self, fd: i32) {
        self.world().files.insert(fd, File::default());
    }

    /// Makes an fd a regular file, which cannot be watched and is always ready.
    pub fn make_regular(&self, fd: i32) {
        self.world().files.entry(fd).or_default().regular = true;
    }

    /// Takes edge-triggering away, as poll and select have none.
    pub fn without_edges(&self) {
        self.world().edges = false;
    }

    /// While the loop blocks and the monotonic clock reaches `at_ns`, an fd becomes ready.
    pub fn ready_at(&self, at_ns: i64, fd: i32, events: Events) {
        self.schedule(at_ns, Action::Ready(fd, mask(events)));
    }

    /// While the loop blocks and the monotonic clock reaches `at_ns`, a signal interrupts it.
    pub fn interrupt_at(&self, at_ns: i64) {
        self.schedule(at_ns, Action::Interrupt);
    }

    fn schedule(&self, at_ns: i64, action: Action) {
        let mut world = self.world();
        let place = world.actions.partition_point(|&(at, _)| at <= at_ns);
        world.actions.insert(place, (at_ns, action));
    }

    /// The timeouts of all waits so far; looks count as 0.
    pub fn take_waits(&self) -> Vec<Option<i64>> {
        std::mem::take(&mut self.world().waits)
    }

    /// How many changes of interest a kernel would have been told.
    pub fn take_changes(&self) -> usize {
        std::mem::take(&mut self.world().changes)
    }

    /// How often the loop blocked for ever with nothing in store.
    pub fn stuck(&self) -> usize {
        self.world().stuck
    }
}

pub(crate) struct Scripted {
    script: Script,
    spare: Option<Box<ScriptedSleeper>>,
}

impl Scripted {
    pub(crate) fn new(script: Script) -> Scripted {
        Scripted { script, spare: None }
    }

    pub(crate) fn has_edges(&self) -> bool {
        self.script.world().edges
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> Result<Applied, i32> {
        if change.wanted == 0 {
            return Ok(Applied {
                kernel: change.kernel,
                generation: change.generation,
                always_ready: false,
            });
        }
        let mut world = self.script.world();
        world.changes += 1;
        let file = world.files.get(&fd).copied().unwrap_or_default();
        if file.closed {
            return Err(libc::EBADF);
        }
        if file.regular {
            return Ok(Applied {
                kernel: 0,
                generation: change.generation,
                always_ready: true,
            });
        }
        let known = world.registered.contains_key(&fd);
        let generation = if known {
            change.generation
        } else {
            change.generation.wrapping_add(1)
        };
        world.registered.insert(
            fd,
            Registration {
                interest: change.wanted,
                generation,
                changed: READ | WRITE,
            },
        );
        Ok(Applied {
            kernel: change.wanted,
            generation,
            always_ready: false,
        })
    }

    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8) -> bool {
        let mut world = self.script.world();
        world.changes += 1;
        if wanted == 0 {
            return world.registered.remove(&fd).is_some();
        }
        match world.registered.get_mut(&fd) {
            Some(registration) => {
                registration.interest = wanted;
                true
            }
            None => false,
        }
    }

    pub(crate) fn recreate(&mut self) {
        self.script.world().registered.clear();
    }

    pub(crate) fn sleeper(&mut self) -> Box<ScriptedSleeper> {
        self.spare.take().unwrap_or_else(|| {
            Box::new(ScriptedSleeper {
                script: self.script.clone(),
                reports: Vec::new(),
            })
        })
    }

    pub(crate) fn recycle(&mut self, sleeper: Box<ScriptedSleeper>) {
        self.spare = Some(sleeper);
    }
}

pub(crate) struct ScriptedSleeper {
    script: Script,
    reports: Vec<Report>,
}

impl ScriptedSleeper {
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>) -> Result<(), i32> {
        let mut world = self.script.world();
        world.waits.push(timeout_ns);
        self.reports.clear();
        let deadline = timeout_ns.map(|ns| self.script.monotonic().saturating_add(ns.max(0)));
        loop {
            world.collect(&mut self.reports);
            if !self.reports.is_empty() || timeout_ns.is_some_and(|ns| ns <= 0) {
                return Ok(());
            }
            match world.actions.first().copied() {
                Some((at, action)) if deadline.is_none_or(|deadline| at <= deadline) => {
                    world.actions.remove(0);
                    self.script.advance((at - self.script.monotonic()).max(0));
                    world.apply(action);
                    if action == Action::Interrupt {
                        return Err(libc::EINTR);
                    }
                }
                _ => {
                    match deadline {
                        Some(deadline) => self.script.advance((deadline - self.script.monotonic()).max(0)),
                        None => world.stuck += 1,
                    }
                    return Ok(());
                }
            }
        }
    }
}

impl Reports for ScriptedSleeper {
    fn len(&self) -> usize {
        self.reports.len()
    }

    fn report(&self, place: usize) -> Option<Report> {
        self.reports.get(place).copied()
    }
}
