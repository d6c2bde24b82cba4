//! An epoll, and the tokens of what is registered with it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Result;

/// How long a look at the kernel takes at most, so that clocks are looked at, too.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

pub(crate) struct Reactor {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Reactor {
    pub(crate) fn new() -> Result<Reactor> {
        Ok(Reactor {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(512),
        })
    }

    /// Tells of every change in either direction, once.
    pub(crate) fn add_edge(&self, descriptor: impl AsFd, token: u64) -> Result<()> {
        self.add(
            descriptor,
            token,
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
        )
    }

    /// Tells as long as there is something to read.
    pub(crate) fn add_readable(&self, descriptor: impl AsFd, token: u64) -> Result<()> {
        self.add(descriptor, token, EventFlags::IN)
    }

    /// Has `add_readable`'s registration tell of room to write, too, or no longer.
    pub(crate) fn want_writable(&self, descriptor: impl AsFd, token: u64, on: bool) -> Result<()> {
        let flags = if on {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        Ok(epoll::modify(
            &self.epoll,
            descriptor,
            EventData::new_u64(token),
            flags,
        )?)
    }

    fn add(&self, descriptor: impl AsFd, token: u64, flags: EventFlags) -> Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token), flags)?)
    }

    /// Waits a little; the tokens of what is ready.
    pub(crate) fn wait(&mut self) -> Result<Vec<u64>> {
        self.events.clear();
        let timeout = LONGEST_WAIT.try_into()?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| event.data.u64()).collect())
    }
}
