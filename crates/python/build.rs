//! Gives the crate the `cfg`s of the Python it is built for (`Py_3_12` and the like), and compiles the C files, which
//! have to see that Python's headers.

use std::process::Command;

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rerun-if-changed=src/tstate.c");
    println!("cargo::rerun-if-changed=src/frames.c");
    println!("cargo::rerun-if-changed=src/thread_end.c");
    cc::Build::new()
        .files(["src/tstate.c", "src/frames.c", "src/thread_end.c"])
        // A thread that is ended inside one of our calls unwinds into their clean-ups.
        .flag("-fexceptions")
        .include(include_directory())
        .opt_level(2)
        .compile("verdigris_tstate");
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
