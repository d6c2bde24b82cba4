//! Fibers: stacks that can be switched to.
