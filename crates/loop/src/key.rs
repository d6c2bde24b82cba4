//! The names of things in a loop: small, copyable, and never valid for something else later.
//!
//! A `Key` is an index with the generation of its place, so that a key kept too long is noticed instead of
//! hitting whoever lives there now.

/// A watcher or a one-shot wait.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key(u64);

impl Key {
    pub(crate) const fn new(index: u32, generation: u32) -> Key {
        Key((generation as u64) << 32 | index as u64)
    }

    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// As a number, to be kept where only a number fits. Never 0.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The key that `to_bits` was called on. A number that never was a key is a key of nothing.
    pub const fn from_bits(bits: u64) -> Key {
        Key(bits)
    }
}

/// An entry of the run-soon queue.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SoonKey(pub(crate) u64);

impl SoonKey {
    /// As a number, to be kept where only a number fits. Never 0.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The key that `to_bits` was called on.
    pub const fn from_bits(bits: u64) -> SoonKey {
        SoonKey(bits)
    }
}
