//! Backend and flag names, as gevent's loop takes and shows them (reference row GV-03).

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use verdigris_loop::Flags;

/// gevent's names with libev's numbers, in the order in which backends are tried.
const NAMES: [(&str, u32); 11] = [
    ("port", 32),
    ("kqueue", 8),
    ("linux_iouring", 128),
    ("linux_aio", 64),
    ("epoll", 4),
    ("poll", 2),
    ("select", 1),
    ("noenv", 0x0100_0000),
    ("forkcheck", 0x0200_0000),
    ("signalfd", 0x0020_0000),
    ("nosigmask", 0x0040_0000),
];

/// Reads `flags`: None, a number, a comma-separated string or a list of names.
pub(super) fn from_python(_py: Python<'_>, flags: Option<&Bound<'_, PyAny>>) -> PyResult<Flags> {
    let Some(flags) = flags.filter(|flags| !flags.is_none()) else {
        return Ok(Flags(0));
    };
    if let Ok(number) = flags.extract::<u32>() {
        return Ok(Flags(number));
    }
    let words: Vec<String> = match flags.extract::<String>() {
        Ok(text) => text.split(',').map(str::to_owned).collect(),
        Err(_) => flags.extract()?,
    };
    let mut bits = 0;
    for word in words
        .iter()
        .map(|word| word.trim().to_lowercase())
        .filter(|word| !word.is_empty())
    {
        match NAMES.iter().find(|(name, _)| *name == word) {
            Some((_, bit)) => bits |= bit,
            None if word == "noinotify" => bits |= Flags::NO_INOTIFY.0,
            None => return Err(PyValueError::new_err(unknown(&word))),
        }
    }
    Ok(Flags(bits))
}

fn unknown(word: &str) -> String {
    let mut known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).chain(["noinotify"]).collect();
    known.sort_unstable();
    format!(
        "Invalid backend or flag: '{word}'\nPossible values: {}",
        known.join(", ")
    )
}

/// The names of the flags that are set, backends first.
pub(super) fn names(flags: Flags) -> Vec<&'static str> {
    NAMES
        .iter()
        .filter(|(_, bit)| flags.0 & bit != 0)
        .map(|(name, _)| *name)
        .collect()
}

/// The names of the backends among `bits`.
#[pyfunction]
#[pyo3(name = "_flags_to_list")]
pub(super) fn flags_to_list(bits: u32) -> Vec<&'static str> {
    names(Flags(bits))
}

/// The numbers of the backends that can be used here.
#[pyfunction]
pub(super) fn supported_backends_int() -> u32 {
    verdigris_loop::supported_backends()
}

/// The numbers of the backends that are used without being asked for.
#[pyfunction]
pub(super) fn recommended_backends_int() -> u32 {
    verdigris_loop::recommended_backends()
}

/// The numbers of the backends whose loops another loop can watch.
#[pyfunction]
pub(super) fn embeddable_backends_int() -> u32 {
    verdigris_loop::embeddable_backends()
}

/// The wall clock, in seconds since 1970.
#[pyfunction]
pub(super) fn wall_clock() -> f64 {
    verdigris_loop::wall_clock_ns() as f64 * 1e-9
}
