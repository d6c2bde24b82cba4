//! The stretch of time that is measured: requests, their latencies, and the processor time that the server used meanwhile.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Result;
use crate::options::{Options, Target};
use crate::process::ProcessorClock;

/// A latency above this is counted as this.
const LONGEST_NS: u64 = 60_000_000_000;

pub(crate) struct Window {
    warm: Duration,
    length: Duration,
    /// When we give up.
    limit: Instant,
    clock: ProcessorClock,
    state: State,
    requests: u64,
    /// Nanoseconds.
    latencies: Histogram<u64>,
    /// What else is to be reported, as JSON.
    pub(crate) extra: Vec<(&'static str, f64)>,
}

enum State {
    /// Connections are still being made.
    Setup,
    Warming {
        until: Instant,
    },
    Measuring {
        since: Instant,
        used: Duration,
        own: Duration,
    },
}

impl Window {
    pub(crate) fn new(options: &Options, target: &Target) -> Result<Window> {
        Ok(Window {
            warm: options.duration("warm", 0.25)?,
            length: options.duration("seconds", 1.0)?,
            limit: Instant::now() + options.duration("limit", 60.0)?,
            clock: ProcessorClock::of(target.pid)?,
            state: State::Setup,
            requests: 0,
            latencies: Histogram::new_with_max(LONGEST_NS, 3)?,
            extra: Vec::new(),
        })
    }

    /// Everybody is there: the time to warm up begins.
    pub(crate) fn open(&mut self, now: Instant) {
        if let State::Setup = self.state {
            self.state = State::Warming { until: now + self.warm };
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Setup)
    }

    /// A request that began at `since` is done.
    pub(crate) fn done(&mut self, since: Instant, now: Instant) {
        if let State::Measuring { .. } = self.state {
            self.requests += 1;
            self.latencies.saturating_record((now - since).as_nanos() as u64);
        }
    }

    /// To be called after each look at the kernel: true when the measurement is over and has been printed.
    pub(crate) fn tick(&mut self) -> Result<bool> {
        let now = Instant::now();
        if now > self.limit {
            return Err(match self.state {
                State::Setup => "gave up: the connections are not all answered".into(),
                _ => "gave up: it takes too long".into(),
            });
        }
        match self.state {
            State::Warming { until } if now >= until => {
                let used = self.clock.used()?;
                self.state = State::Measuring {
                    since: now,
                    used,
                    own: own_time()?,
                };
            }
            State::Measuring { since, used, own } if now >= since + self.length => {
                self.print(
                    (now - since).as_secs_f64(),
                    self.clock.used()? - used,
                    own_time()? - own,
                );
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn print(&self, seconds: f64, used: Duration, own: Duration) {
        let each = |share: f64| self.latencies.value_at_quantile(share) as f64 / 1000.0;
        let mut fields = vec![
            ("requests", self.requests as f64),
            ("seconds", seconds),
            ("rate", self.requests as f64 / seconds),
            ("cpu_us", used.as_secs_f64() * 1e6 / self.requests.max(1) as f64),
            ("busy", used.as_secs_f64() / seconds),
            ("generator_busy", own.as_secs_f64() / seconds),
            ("p50_us", each(0.5)),
            ("p99_us", each(0.99)),
            ("p999_us", each(0.999)),
        ];
        fields.extend_from_slice(&self.extra);
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\": {value:.3}"))
            .collect();
        println!("{{{}}}", fields.join(", "));
    }
}

/// The generator's own processor time: a generator that is busier than the server measures itself.
fn own_time() -> Result<Duration> {
    ProcessorClock::of(0)?.used()
}
