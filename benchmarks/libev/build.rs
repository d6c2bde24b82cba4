//! Compares the structures of `libev.rs` with the system's `ev.h`, and links the system's libev.

fn main() {
    println!("cargo:rerun-if-changed=src/layout.c");
    cc::Build::new().file("src/layout.c").compile("layout");
    println!("cargo:rustc-link-lib=ev");
}
