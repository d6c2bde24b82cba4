//! A stack that overflows hits its guard: the process gets SIGSEGV, its neighbours keep their contents.
//!
//! The overflow happens in a child, which is this test binary again with a variable set.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use verdigris_fiber::{Context, Departure, Entry, StackPool, StackSize, prepare, switch};

const CHILD: &str = "VERDIGRIS_TEST_OVERFLOW";

#[inline(never)]
fn descend(depth: usize) -> usize {
    let mut pad = [depth as u8; 1024];
    std::hint::black_box(&mut pad);
    if depth == usize::MAX {
        return 0;
    }
    descend(depth + 1) + usize::from(pad[7])
}

unsafe extern "C-unwind" fn overflows(_lowest: usize) -> Departure {
    descend(0);
    unreachable!()
}

/// Moves the stack pointer by 48 KiB at once, as C code that was compiled without probes does.
unsafe extern "C-unwind" fn leaps(value: usize) -> Departure {
    let address = (&raw const value).addr();
    let lowest = value;
    let far = address - ((address - lowest) / (48 << 10) + 1) * (48 << 10);
    // SAFETY: none; the write is what the guard must catch.
    unsafe { (far as *mut u8).write_volatile(1) };
    unreachable!()
}

fn run_child(kind: &str) {
    let pool = StackPool::new(StackSize {
        stack: 128 << 10,
        ..StackSize::default()
    });
    let _below = pool.allocate().unwrap();
    let stack = pool.allocate().unwrap();
    let entry: Entry = if kind == "leap" { leaps } else { overflows };
    let mut own = Context::NULL;
    // SAFETY: the stack is fresh; the process ends on it.
    unsafe { switch(&mut own, prepare(&stack, entry), stack.lowest().addr()) };
}

fn signal_of(kind: &str) -> Option<i32> {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_overflow_is_a_segmentation_fault", "--nocapture"])
        .env(CHILD, kind)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    status.signal()
}

#[test]
fn an_overflow_is_a_segmentation_fault() {
    if let Ok(kind) = std::env::var(CHILD) {
        run_child(&kind);
        std::process::exit(0);
    }
    // Rust's own handler turns a fault outside its threads' guards into the default action.
    assert_eq!(signal_of("descend"), Some(libc::SIGSEGV));
    assert_eq!(signal_of("leap"), Some(libc::SIGSEGV));
}
