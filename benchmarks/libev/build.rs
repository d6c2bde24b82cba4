//! Compiles the shim against the system's `ev.h` and links the system's libev.

fn main() {
    println!("cargo:rerun-if-changed=src/shim.c");
    println!("cargo:rustc-link-lib=ev");
    cc::Build::new().file("src/shim.c").opt_level(2).compile("shim");
}
