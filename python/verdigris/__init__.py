"""Green threads on their own stacks: gevent's names, in Rust."""
