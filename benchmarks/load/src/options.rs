//! The command line: a mode, and `name=value` for the rest.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::Result;

/// What was asked for.
pub(crate) struct Options {
    pub(crate) mode: String,
    values: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mode = arguments
            .next()
            .ok_or("no mode given (echo, udp, accept, http, proxy, bare)")?;
        let values = arguments
            .map(|argument| match argument.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(format!("not of the form name=value: {argument:?}").into()),
            })
            .collect::<Result<_>>()?;
        Ok(Options { mode, values })
    }

    /// The value of an option, or its default.
    pub(crate) fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.values.iter().find(|(given, _)| given == name) {
            None => Ok(default),
            Some((_, value)) => value
                .parse()
                .map_err(|_| format!("{name}={value} makes no sense").into()),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn duration(&self, name: &str, default: f64) -> Result<Duration> {
        let seconds = self.get(name, default)?;
        Duration::try_from_secs_f64(seconds).map_err(|_| format!("{name}={seconds} makes no sense").into())
    }
}

/// The program that is measured: told on the first line of standard input, `PID PORT`.
pub(crate) struct Target {
    pub(crate) pid: i32,
    pub(crate) address: SocketAddr,
}

impl Target {
    pub(crate) fn read() -> Result<Target> {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(pid), Some(port)) = (words.next(), words.next()) else {
            return Err(format!("expected `PID PORT` on standard input, got {line:?}").into());
        };
        Ok(Target {
            pid: pid.parse()?,
            address: (Ipv4Addr::LOCALHOST, port.parse()?).into(),
        })
    }
}
