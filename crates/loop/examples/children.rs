//! Children: three programs at once, each told when it ends: `cargo run --example children`.
//!
//! Nobody has to handle SIGCHLD for it, and children that are not watched stay waitable by others.

use std::process::Command;

use verdigris_loop::{Flags, Loop, Mode, Spec, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = Loop::new(Flags::AUTO)?;
    for script in ["sleep 0.2; exit 1", "sleep 0.1; kill $$", "true"] {
        #[allow(clippy::zombie_processes, reason = "the loop waits for it")]
        let child = Command::new("sh").args(["-c", script]).spawn()?;
        let pid = i32::try_from(child.id())?;
        let watcher = event_loop.insert(Spec::Child { pid, trace: false }, script)?;
        event_loop.start(watcher)?;
    }

    event_loop.enter(Mode::Default);
    loop {
        match event_loop.next() {
            Step::Event { key, data: script, .. } => {
                let (pid, status) = event_loop.child_status(key)?;
                println!("{script:?} ({pid}) ended with wait status {status:#x}");
                event_loop.remove(key);
            }
            Step::Soon(_) => {}
            Step::Block(wait) => event_loop.absorb(wait.block()),
            Step::Done => break,
        }
    }
    event_loop.leave();
    Ok(())
}
