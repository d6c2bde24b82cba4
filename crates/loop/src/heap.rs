//! Deadlines in order: a 4-ary heap (LV-D1), FIFO among equal deadlines (DD-03).
//!
//! ```text
//!   nodes       [0 1 2 unused] root=3 | 4 5 6 7 | 8 9 10 11 | ...     16 bytes each: the four children of a node
//!   positions   id -> place in nodes                                  begin at a multiple of four, side by side
//! ```
//!
//! Four children and not two: the tree is half as deep, and choosing among four neighbours costs one cache line.
//! The positions are an array of their own instead of a field in the watcher, because moving a node writes one, and
//! four bytes per watcher stay in the cache where the watchers themselves do not.
//!
//! The order is (deadline, sequence): libev leaves the order of equal deadlines to luck (LV-Q05); here the one
//! started first comes first. The sequence is 32 bits and compared by wrapping difference: it only has to order
//! timers of one and the same nanosecond.

const ROOT: usize = 3;
const ARITY: usize = 4;
const ABSENT: u32 = u32::MAX;

#[derive(Copy, Clone)]
struct Node {
    at: i64,
    sequence: u32,
    id: u32,
}

impl Node {
    fn before(&self, other: &Node) -> bool {
        self.at < other.at || self.at == other.at && (self.sequence.wrapping_sub(other.sequence) as i32) < 0
    }
}

/// Deadlines of ids, the earliest first.
pub(crate) struct Heap {
    nodes: Vec<Node>,
    positions: Vec<u32>,
    sequence: u32,
}

impl Heap {
    pub(crate) fn new() -> Heap {
        Heap {
            nodes: vec![
                Node {
                    at: i64::MIN,
                    sequence: 0,
                    id: ABSENT
                };
                ROOT
            ],
            positions: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - ROOT
    }

    /// The earliest deadline.
    pub(crate) fn first_at(&self) -> Option<i64> {
        self.nodes.get(ROOT).map(|node| node.at)
    }

    /// The earliest entry if its deadline is strictly before `now` (LV-T3): it stays in the heap.
    pub(crate) fn due(&self, now: i64) -> Option<(u32, i64)> {
        self.nodes
            .get(ROOT)
            .filter(|node| node.at < now)
            .map(|node| (node.id, node.at))
    }

    /// The deadline of `id`.
    pub(crate) fn at(&self, id: u32) -> Option<i64> {
        self.position(id).map(|position| self.nodes[position].at)
    }

    /// Adds `id`, which must not be in the heap.
    pub(crate) fn push(&mut self, id: u32, at: i64) {
        debug_assert!(self.position(id).is_none(), "an id is in the heap once");
        if self.positions.len() <= id as usize {
            self.positions.resize(id as usize + 1, ABSENT);
        }
        let node = Node {
            at,
            sequence: self.next_sequence(),
            id,
        };
        self.nodes.push(node);
        self.sift_up(self.nodes.len() - 1, node);
    }

    /// Takes `id` out; its deadline.
    pub(crate) fn remove(&mut self, id: u32) -> Option<i64> {
        let hole = self.position(id)?;
        let at = self.nodes[hole].at;
        self.positions[id as usize] = ABSENT;
        if let Some(last) = self.nodes.pop()
            && hole < self.nodes.len()
        {
            self.settle(hole, last);
        }
        Some(at)
    }

    /// Gives `id` a new deadline, as if it had been removed and pushed.
    pub(crate) fn update(&mut self, id: u32, at: i64) {
        match self.position(id) {
            Some(position) => {
                let node = Node {
                    at,
                    sequence: self.next_sequence(),
                    id,
                };
                self.settle(position, node);
            }
            None => self.push(id, at),
        }
    }

    /// Adds `by` to every deadline: the order does not change (LV-R17).
    pub(crate) fn shift_all(&mut self, by: i64) {
        for node in self.nodes.iter_mut().skip(ROOT) {
            node.at = node.at.saturating_add(by);
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().skip(ROOT).map(|node| node.id)
    }

    /// Checks what must always hold (LV-R20).
    pub(crate) fn verify(&self) -> Result<(), String> {
        for (position, node) in self.nodes.iter().enumerate().skip(ROOT) {
            if self.position(node.id) != Some(position) {
                return Err(format!("heap: id {} is at {position}, recorded elsewhere", node.id));
            }
            if position > ROOT && node.before(&self.nodes[parent(position)]) {
                return Err(format!("heap: the node at {position} is due before its parent"));
            }
        }
        let recorded = self.positions.iter().filter(|&&position| position != ABSENT).count();
        if recorded != self.len() {
            return Err(format!("heap: {recorded} positions for {} nodes", self.len()));
        }
        Ok(())
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn position(&self, id: u32) -> Option<usize> {
        match self.positions.get(id as usize) {
            Some(&position) if position != ABSENT => Some(position as usize),
            _ => None,
        }
    }

    /// Puts `node` into the hole at `position`, or where it belongs instead.
    fn settle(&mut self, position: usize, node: Node) {
        if position > ROOT && node.before(&self.nodes[parent(position)]) {
            self.sift_up(position, node);
        } else {
            self.sift_down(position, node);
        }
    }

    fn sift_up(&mut self, mut hole: usize, node: Node) {
        while hole > ROOT {
            let above = parent(hole);
            if !node.before(&self.nodes[above]) {
                break;
            }
            self.place(hole, self.nodes[above]);
            hole = above;
        }
        self.place(hole, node);
    }

    fn sift_down(&mut self, mut hole: usize, node: Node) {
        loop {
            let first = first_child(hole);
            let end = (first + ARITY).min(self.nodes.len());
            if first >= end {
                break;
            }
            let mut least = first;
            for child in first + 1..end {
                if self.nodes[child].before(&self.nodes[least]) {
                    least = child;
                }
            }
            if !self.nodes[least].before(&node) {
                break;
            }
            self.place(hole, self.nodes[least]);
            hole = least;
        }
        self.place(hole, node);
    }

    fn place(&mut self, position: usize, node: Node) {
        self.nodes[position] = node;
        self.positions[node.id as usize] = position as u32;
    }
}

fn parent(position: usize) -> usize {
    (position - ROOT - 1) / ARITY + ROOT
}

fn first_child(position: usize) -> usize {
    ARITY * (position - ROOT) + ROOT + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// LV-D1: a node of 16 bytes, and children that share a cache line.
    #[test]
    fn four_children_share_a_cache_line() {
        assert_eq!(size_of::<Node>(), 16);
        for position in ROOT..200 {
            assert_eq!(first_child(position) % ARITY, 0);
            for child in first_child(position)..first_child(position) + ARITY {
                assert_eq!(parent(child), position);
            }
        }
    }

    /// DD-03: equal deadlines come out in the order they went in.
    #[test]
    fn equal_deadlines_are_first_in_first_out() {
        let mut heap = Heap::new();
        for id in 0..100 {
            heap.push(id, 7);
        }
        for id in 0..100 {
            assert_eq!(heap.due(8), Some((id, 7)));
            heap.remove(id);
        }
        assert_eq!(heap.len(), 0);
    }

    /// LV-T3: strictly before.
    #[test]
    fn due_means_strictly_before_now() {
        let mut heap = Heap::new();
        heap.push(0, 10);
        assert_eq!(heap.due(10), None);
        assert_eq!(heap.due(11), Some((0, 10)));
    }

    proptest! {
        /// LV-D1, LV-D2: random pushes, updates and removals against an ordered map.
        #[test]
        fn behaves_like_an_ordered_map(steps in prop::collection::vec((0u8..4, 0u32..40, -20i64..20), 1..400)) {
            let mut heap = Heap::new();
            let mut model: BTreeMap<(i64, u64), u32> = BTreeMap::new();
            let mut where_is: BTreeMap<u32, (i64, u64)> = BTreeMap::new();
            for (sequence, (action, id, at)) in steps.into_iter().enumerate() {
                let sequence = sequence as u64;
                match action {
                    0 | 1 => {
                        if let Some(old) = where_is.insert(id, (at, sequence)) {
                            model.remove(&old);
                        }
                        model.insert((at, sequence), id);
                        heap.update(id, at);
                    }
                    2 => {
                        let old = where_is.remove(&id);
                        if let Some(old) = old {
                            model.remove(&old);
                        }
                        prop_assert_eq!(heap.remove(id), old.map(|(at, _)| at));
                    }
                    _ => {
                        if let Some((&(at, sequence), &id)) = model.iter().next() {
                            prop_assert_eq!(heap.due(i64::MAX), Some((id, at)));
                            model.remove(&(at, sequence));
                            where_is.remove(&id);
                            heap.remove(id);
                        }
                    }
                }
                prop_assert_eq!(heap.first_at(), model.keys().next().map(|key| key.0));
                prop_assert_eq!(heap.verify(), Ok(()));
            }
        }
    }
}
