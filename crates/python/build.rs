//! Gives the crate the `cfg`s of the Python it is built for (`Py_3_12` and the like), and compiles the C files, which
//! have to see that Python's headers.

use std::collections::BTreeSet;
use std::process::Command;

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rerun-if-changed=src/tstate.c");
    println!("cargo::rerun-if-changed=src/frames.c");
    println!("cargo::rerun-if-changed=src/thread_end.c");
    let mut sources = cc::Build::new();
    sources
        .files(["src/tstate.c", "src/frames.c"])
        .include(include_directory())
        .opt_level(2)
        // The fields of a thread state are written one by one, and the interpreter does so, too; a pair that is read at once has to
        // wait until both are in the cache.
        .flag_if_supported("-fno-tree-slp-vectorize");
    if ends_threads_by_unwinding() {
        // A thread that is ended inside one of our calls unwinds into their clean-ups.
        sources.file("src/thread_end.c").flag("-fexceptions");
        for name in guarded_functions() {
            println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap={name}");
        }
    }
    sources.compile("verdigris_tstate");
}

/// Whether a thread that wants the GIL of an interpreter that is being finalized is ended by pthread_exit, which unwinds.
fn ends_threads_by_unwinding() -> bool {
    let before_3_14 = pyo3_build_config::get().version() < pyo3_build_config::PythonVersion { major: 3, minor: 14 };
    before_3_14 && std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux")
}

/// The functions that `thread_end.c` defines a guard for.
fn guarded_functions() -> BTreeSet<String> {
    let source = std::fs::read_to_string("src/thread_end.c").expect("thread_end.c is beside this file");
    let guard = |line: &str| {
        line.strip_prefix("GUARD(")
            .or(line.strip_prefix("GUARD_VOID("))?
            .split(", ")
            .nth(1)
            .map(str::to_owned)
    };
    let written_out = |line: &str| Some(line.split_once("__wrap_")?.1.split_once('(')?.0.to_owned());
    source
        .lines()
        .filter_map(|line| guard(line).or_else(|| written_out(line)))
        .filter(|name| !name.contains("##"))
        .collect()
}

/// Where `Python.h` is: the interpreter that PyO3 builds for is asked.
fn include_directory() -> String {
    let python = pyo3_build_config::get()
        .executable()
        .expect("PyO3 knows no Python interpreter to build for")
        .to_owned();
    let output = Command::new(&python)
        .args(["-c", "import sysconfig; print(sysconfig.get_path('include'))"])
        .output()
        .unwrap_or_else(|error| panic!("{python} does not run: {error}"));
    String::from_utf8(output.stdout)
        .expect("the include directory is not text")
        .trim()
        .to_owned()
}
