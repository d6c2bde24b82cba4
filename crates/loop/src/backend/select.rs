//! select(2): what every system has (LV-B01). The sets are as long as the highest fd needs, not FD_SETSIZE bits.
#![allow(unsafe_code)]

use super::{
    Applied, Change, READ, Report, Reports, SignalMask, WAKER_FD, WRITE, Waker, is_open, last_errno, timespec,
};

type Word = libc::c_ulong;
const WORD_BITS: usize = Word::BITS as usize;

/// One bit per fd, in the layout of an `fd_set`.
#[derive(Default)]
struct Bits(Vec<Word>);

impl Bits {
    fn set(&mut self, fd: i32, on: bool) {
        let (word, bit) = (fd as usize / WORD_BITS, 1 << (fd as usize % WORD_BITS));
        if on {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }
}

pub(crate) struct Select {
    read: Bits,
    write: Bits,
    generations: Vec<u32>,
    waker: i32,
    spare: Option<Box<SelectSleeper>>,
}

impl Select {
    pub(crate) fn new(waker: &Waker) -> Select {
        let mut select = Select {
            read: Bits::default(),
            write: Bits::default(),
            generations: Vec::new(),
            waker: waker.fd(),
            spare: None,
        };
        select.recreate(waker);
        select
    }

    pub(crate) fn recreate(&mut self, waker: &Waker) {
        self.read.0.fill(0);
        self.write.0.fill(0);
        self.waker = waker.fd();
        self.put(self.waker, READ, 0);
    }

    pub(crate) fn change(&mut self, fd: i32, change: Change) -> Result<Applied, i32> {
        let Change { wanted, generation, .. } = change;
        if wanted != 0 && !is_open(fd) {
            self.put(fd, 0, generation);
            return Err(libc::EBADF);
        }
        self.put(fd, wanted, generation);
        Ok(Applied {
            kernel: wanted,
            generation,
            always_ready: false,
        })
    }

    pub(crate) fn narrow(&mut self, fd: i32, wanted: u8, generation: u32) -> bool {
        self.put(fd, wanted, generation);
        true
    }

    fn put(&mut self, fd: i32, wanted: u8, generation: u32) {
        let words = fd as usize / WORD_BITS + 1;
        if self.read.0.len() < words {
            if wanted == 0 {
                return;
            }
            self.read.0.resize(words, 0);
            self.write.0.resize(words, 0);
            self.generations.resize(words * WORD_BITS, 0);
        }
        self.read.set(fd, wanted & READ != 0);
        self.write.set(fd, wanted & WRITE != 0);
        self.generations[fd as usize] = generation;
    }

    pub(crate) fn sleeper(&mut self) -> Box<SelectSleeper> {
        let mut sleeper = self.spare.take().unwrap_or_default();
        sleeper.read.0.clone_from(&self.read.0);
        sleeper.write.0.clone_from(&self.write.0);
        sleeper.generations.clone_from(&self.generations);
        sleeper.waker = self.waker;
        sleeper
    }

    pub(crate) fn recycle(&mut self, sleeper: Box<SelectSleeper>) {
        self.spare = Some(sleeper);
    }
}

/// A copy of the sets, and what was found in them.
#[derive(Default)]
pub(crate) struct SelectSleeper {
    read: Bits,
    write: Bits,
    generations: Vec<u32>,
    waker: i32,
    reports: Vec<Report>,
}

impl SelectSleeper {
    pub(crate) fn wait(&mut self, timeout_ns: Option<i64>, mask: Option<&SignalMask>) -> Result<(), i32> {
        self.reports.clear();
        let timeout = timeout_ns.map(timespec);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mask = mask.map_or(std::ptr::null(), SignalMask::as_ptr);
        let limit = (self.read.0.len() * WORD_BITS) as i32;
        // SAFETY: both arrays have `limit` bits, which is all that the kernel reads and writes of them; timeout and mask
        // are null or point to values that outlive the call.
        let count = unsafe {
            libc::pselect(
                limit,
                self.read.0.as_mut_ptr().cast(),
                self.write.0.as_mut_ptr().cast(),
                std::ptr::null_mut(),
                timeout,
                mask,
            )
        };
        if count < 0 {
            let errno = last_errno();
            if errno != libc::EBADF {
                return Err(errno);
            }
            // One of them was closed behind our back; the sets are as they were. If they are all open by now, another
            // look will do.
            self.collect(|fd| !is_open(fd));
            self.reports.retain(|report| report.invalid);
            return Ok(());
        }
        if count > 0 {
            self.collect(|_| false);
        }
        Ok(())
    }

    /// A report for each fd in the sets.
    fn collect(&mut self, invalid: impl Fn(i32) -> bool) {
        for word in 0..self.read.0.len() {
            let (read, write) = (self.read.0[word], self.write.0[word]);
            let mut either = read | write;
            while either != 0 {
                let bit = either.trailing_zeros();
                either &= either - 1;
                let fd = (word * WORD_BITS) as i32 + bit as i32;
                let has = |set: Word, bit_of: u8| if set >> bit & 1 != 0 { bit_of } else { 0 };
                let events = has(read, READ) | has(write, WRITE);
                self.reports.push(Report {
                    fd: if fd == self.waker { WAKER_FD } else { fd },
                    generation: self.generations[fd as usize],
                    events,
                    plain: events,
                    ended: false,
                    unsure: false,
                    invalid: invalid(fd),
                });
            }
        }
    }
}

impl Reports for SelectSleeper {
    fn len(&self) -> usize {
        self.reports.len()
    }

    fn report(&self, number: usize) -> Option<Report> {
        self.reports.get(number).copied()
    }
}
