//! poll(2): for systems without epoll, and to check the rest of the loop against (LV-B02).
//!
//! The list is an array without gaps; an fd's place in it is looked up by number. A sleeper takes a copy along, so that
//! the list can change while it is away: poll reads the whole of it anyway.

use super::{Applied, Change, READ, Report, Reports, SignalMask, WAKER_FD, WRITE, Waker, is_open};

const ABSENT: u32 = u32::MAX;

pub(crate) struct Poll {
    /// The waker comes first.
    list: Vec<libc::pollfd>,
    generations: Vec<u32>,
    places: Vec<u32>,
    spare: Option<Box<PollSleeper>>,
}

impl Poll {
    pub(crate) fn new(waker: &Waker) -> Poll {
        let mut poll = Poll {
            list: Vec::new(),
            generations: Vec::new(),
            places: Vec::new(),
            spare: None,
        };
        poll.recreate(waker);
        poll
    }

    pub(crate) fn recreate(&mut self, waker: &Waker) {
        self.list.clear();
        self.generations.clear();
        self.places.clear();
        self.list.push(libc::pollfd {
            fd: waker.fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        self.generations.push(0);
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> Result<Applied, i32> {
        let Change { wanted, generation, .. } = change;
        if wanted == 0 {
            self.remove(fd);
        } else if is_open(fd) {
            self.put(fd, wanted, generation);
        } else {
            self.remove(fd);
            return Err(libc::EBADF);
        }
        Ok(Applied {
            kernel: wanted,
            generation,
            always_ready: false,
        })
    }

    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8, generation: u32) -> bool {
        if wanted == 0 {
            self.remove(fd);
        } else {
            self.put(fd, wanted, generation);
        }
        true
    }

    fn place(&self, fd: i32) -> Option<usize> {
        self.places
            .get(fd as usize)
            .filter(|&&place| place != ABSENT)
            .map(|&place| place as usize)
    }

    fn put(&mut self, fd: i32, wanted: u8, generation: u32) {
        let read = if wanted & READ != 0 { libc::POLLIN } else { 0 };
        let write = if wanted & WRITE != 0 { libc::POLLOUT } else { 0 };
        let entry = libc::pollfd {
            fd,
            events: read | write,
            revents: 0,
        };
        if let Some(place) = self.place(fd) {
            self.list[place] = entry;
            self.generations[place] = generation;
            return;
        }
        if self.places.len() <= fd as usize {
            self.places.resize(fd as usize + 1, ABSENT);
        }
        self.places[fd as usize] = self.list.len() as u32;
        self.list.push(entry);
        self.generations.push(generation);
    }

    fn remove(&mut self, fd: i32) {
        let Some(place) = self.place(fd) else { return };
        self.places[fd as usize] = ABSENT;
        self.list.swap_remove(place);
        self.generations.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places[moved.fd as usize] = place as u32;
        }
    }

    pub(crate) fn sleeper(&mut self) -> Box<PollSleeper> {
        let mut sleeper = self.spare.take().unwrap_or_default();
        sleeper.list.clone_from(&self.list);
        sleeper.generations.clone_from(&self.generations);
        sleeper
    }

    pub(crate) fn recycle(&mut self, sleeper: Box<PollSleeper>) {
        self.spare = Some(sleeper);
    }
}

/// A copy of the list, and which of it is ready.
#[derive(Default)]
pub(crate) struct PollSleeper {
    list: Vec<libc::pollfd>,
    generations: Vec<u32>,
    ready: Vec<u32>,
}

impl PollSleeper {
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> Result<(), i32> {
        self.ready.clear();
        let count = super::system::wait_poll(&mut self.list, timeout_ns, mask)?;
        let mut left = count;
        for (place, entry) in self.list.iter().enumerate() {
            if left == 0 {
                break;
            }
            if entry.revents != 0 {
                self.ready.push(place as u32);
                left -= 1;
            }
        }
        Ok(())
    }
}

impl Reports for PollSleeper {
    fn len(&self) -> usize {
        self.ready.len()
    }

    fn report(&self, number: usize) -> Option<Report> {
        let place = *self.ready.get(number)? as usize;
        let (entry, &generation) = (self.list.get(place)?, self.generations.get(place)?);
        let bits = entry.revents;
        let read = if bits & libc::POLLIN != 0 { READ } else { 0 };
        let write = if bits & libc::POLLOUT != 0 { WRITE } else { 0 };
        let broken = if bits & (libc::POLLERR | libc::POLLHUP) != 0 {
            READ | WRITE
        } else {
            0
        };
        Some(Report {
            fd: if place == 0 { WAKER_FD } else { entry.fd },
            generation,
            events: read | write | broken,
            plain: read | write,
            ended: false,
            unsure: false,
            invalid: bits & libc::POLLNVAL != 0,
        })
    }
}
