//! What the system knows about a process: the processor time it has used, the memory it has.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;

/// As many descriptors as we may have, and as root as many as the system has.
pub(crate) fn raise_descriptor_limit() {
    const PLENTY: u64 = 250_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= PLENTY) {
        return;
    }
    let plenty = Rlimit {
        current: Some(PLENTY),
        maximum: Some(limit.maximum.map_or(PLENTY, |most| most.max(PLENTY))),
    };
    if setrlimit(Resource::Nofile, plenty).is_err() {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
}

/// Processor time of all threads of a process, in nanoseconds' resolution (`/proc/PID/stat` has hundredths of a second).
pub(crate) struct ProcessorClock(libc::clockid_t);

impl ProcessorClock {
    pub(crate) fn of(pid: i32) -> Result<ProcessorClock> {
        let mut clock = 0;
        // SAFETY: the call writes one clock id, for which there is room.
        match unsafe { libc::clock_getcpuclockid(pid, &mut clock) } {
            0 => Ok(ProcessorClock(clock)),
            errno => Err(std::io::Error::from_raw_os_error(errno).into()),
        }
    }

    pub(crate) fn used(&self) -> Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one timespec, for which there is room.
        match unsafe { libc::clock_gettime(self.0, &mut time) } {
            0 => Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32)),
            _ => Err(std::io::Error::last_os_error().into()),
        }
    }
}

/// Resident bytes of a process.
pub(crate) fn resident_bytes(pid: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS in /proc/PID/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
