//! How many instructions an operation takes outside the kernel: valgrind runs one side of a case in a process of its own
//! and counts while `counted` is on the stack.

use std::process::Command;

/// Runs `act`; its name is what valgrind looks for.
#[inline(never)]
pub(crate) fn counted(act: impl FnOnce()) {
    act();
}

/// In the process that is counted: for how many operations.
pub(crate) fn tell(operations: usize) {
    println!("{operations}");
}

/// Instructions for an operation of a case.
pub(crate) fn count(case: &str, ours: bool) -> f64 {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*instructions::counted*")
        .arg(program)
        .args(["--counted", case, if ours { "ours" } else { "libev" }])
        .output()
        .expect("--instructions needs valgrind");
    let told = String::from_utf8_lossy(&output.stdout);
    let report = String::from_utf8_lossy(&output.stderr);
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    match (number(collected.map(|(_, text)| text)), number(Some(&told))) {
        (Some(instructions), Some(operations)) => instructions / operations,
        _ => panic!("{case}: valgrind said {report}"),
    }
}
