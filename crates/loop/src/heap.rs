//! Deadlines in order: a 4-ary heap (LV-D1), FIFO among equal deadlines (DD-03).
//!
//! ```text
//!   lines       [. . . root] [child child child child] [grandchildren of the first child] ...
//!   positions   id -> place in the lines
//! ```
//!
//! Four children and not two: the tree is half as deep, and the four children of a node are one cache line.
//! The positions are an array of their own instead of a field in the watcher, because moving a node writes one, and
//! four bytes per watcher stay in the cache where the watchers themselves do not.
//!
//! A node is one number: the deadline, then a running number, then the id. So equal deadlines are ordered by their
//! start (libev leaves that to luck, LV-Q05), and a comparison is one without a branch. The running number has 32 bits;
//! when it has run out, the nodes are numbered anew in their order.

const ROOT: usize = 3;
const ARITY: usize = 4;
const ABSENT: u32 = u32::MAX;

/// Deadline (the high 64 bits), running number (the next 32), id (the low 32).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Node(u128);

/// Later than every node: fills the places that are none.
const NOWHERE: Node = Node(u128::MAX);

impl Node {
    fn new(at: i64, sequence: u32, id: u32) -> Node {
        // Flipping the sign bit makes the order of signed numbers that of unsigned ones.
        let at = (at as u64) ^ (1 << 63);
        Node(u128::from(at) << 64 | u128::from(sequence) << 32 | u128::from(id))
    }

    fn at(self) -> i64 {
        ((self.0 >> 64) as u64 ^ (1 << 63)) as i64
    }

    fn id(self) -> u32 {
        self.0 as u32
    }
}

/// Four siblings.
#[derive(Copy, Clone)]
#[repr(align(64))]
struct Line([Node; ARITY]);

/// Deadlines of ids, the earliest first.
pub(crate) struct Heap {
    /// The places after the last node hold `NOWHERE`.
    lines: Vec<Line>,
    /// One more than the place of the last node.
    end: usize,
    positions: Vec<u32>,
    sequence: u32,
}

impl Heap {
    pub(crate) fn new() -> Heap {
        Heap {
            lines: vec![Line([NOWHERE; ARITY])],
            end: ROOT,
            positions: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.end - ROOT
    }

    /// The earliest deadline.
    pub(crate) fn first_at(&self) -> Option<i64> {
        (self.end > ROOT).then(|| self.node(ROOT).at())
    }

    /// The earliest entry if its deadline is strictly before `now` (LV-T3): it stays in the heap.
    pub(crate) fn due(&self, now: i64) -> Option<(u32, i64)> {
        let first = self.node(ROOT);
        (self.end > ROOT && first.at() < now).then(|| (first.id(), first.at()))
    }

    /// The deadline of `id`.
    pub(crate) fn at(&self, id: u32) -> Option<i64> {
        self.position(id).map(|position| self.node(position).at())
    }

    /// Adds `id`, which must not be in the heap.
    pub(crate) fn push(&mut self, id: u32, at: i64) {
        debug_assert!(self.position(id).is_none(), "an id is in the heap once");
        if self.positions.len() <= id as usize {
            self.positions.resize(id as usize + 1, ABSENT);
        }
        let node = Node::new(at, self.next_sequence(), id);
        if self.end == self.lines.len() * ARITY {
            self.lines.push(Line([NOWHERE; ARITY]));
        }
        self.end += 1;
        self.sift_up(self.end - 1, node);
    }

    /// Takes `id` out; its deadline.
    pub(crate) fn remove(&mut self, id: u32) -> Option<i64> {
        let hole = self.position(id)?;
        let at = self.node(hole).at();
        self.positions[id as usize] = ABSENT;
        self.end -= 1;
        let last = self.node(self.end);
        *self.node_mut(self.end) = NOWHERE;
        if hole < self.end {
            self.settle(hole, last);
        }
        if self.end + 2 * ARITY < self.lines.len() * ARITY {
            self.lines.pop();
        }
        Some(at)
    }

    /// Gives `id` a new deadline, as if it had been removed and pushed.
    pub(crate) fn update(&mut self, id: u32, at: i64) {
        match self.position(id) {
            Some(position) => {
                let node = Node::new(at, self.next_sequence(), id);
                self.settle(position, node);
            }
            None => self.push(id, at),
        }
    }

    /// Adds `by` to every deadline: the order does not change (LV-R17).
    pub(crate) fn shift_all(&mut self, by: i64) {
        for position in ROOT..self.end {
            let node = self.node(position);
            let shifted = Node::new(node.at().saturating_add(by), (node.0 >> 32) as u32, node.id());
            *self.node_mut(position) = shifted;
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        (ROOT..self.end).map(|position| self.node(position).id())
    }

    /// Checks what must always hold (LV-R20).
    pub(crate) fn verify(&self) -> Result<(), String> {
        for position in ROOT..self.end {
            let node = self.node(position);
            if self.position(node.id()) != Some(position) {
                return Err(format!("heap: id {} is at {position}, recorded elsewhere", node.id()));
            }
            if position > ROOT && node < self.node(parent(position)) {
                return Err(format!("heap: the node at {position} is due before its parent"));
            }
        }
        if (self.end..self.lines.len() * ARITY).any(|position| self.node(position) != NOWHERE) {
            return Err("heap: a node after the last".into());
        }
        let recorded = self.positions.iter().filter(|&&position| position != ABSENT).count();
        if recorded != self.len() {
            return Err(format!("heap: {recorded} positions for {} nodes", self.len()));
        }
        Ok(())
    }

    fn next_sequence(&mut self) -> u32 {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        self.sequence
    }

    /// Numbers the nodes anew; sorted, they are a heap.
    fn renumber(&mut self) {
        let mut nodes: Vec<Node> = (ROOT..self.end).map(|position| self.node(position)).collect();
        nodes.sort_unstable();
        for (sequence, node) in nodes.iter().enumerate() {
            self.place(ROOT + sequence, Node::new(node.at(), sequence as u32, node.id()));
        }
        self.sequence = nodes.len() as u32;
    }

    fn position(&self, id: u32) -> Option<usize> {
        match self.positions.get(id as usize) {
            Some(&position) if position != ABSENT => Some(position as usize),
            _ => None,
        }
    }

    /// Puts `node` into the hole at `position`, or where it belongs instead.
    fn settle(&mut self, position: usize, node: Node) {
        if position > ROOT && node < self.node(parent(position)) {
            self.sift_up(position, node);
        } else {
            self.sift_down(position, node);
        }
    }

    fn sift_up(&mut self, mut hole: usize, node: Node) {
        while hole > ROOT {
            let above = parent(hole);
            if node >= self.node(above) {
                break;
            }
            self.place(hole, self.node(above));
            hole = above;
        }
        self.place(hole, node);
    }

    fn sift_down(&mut self, mut hole: usize, node: Node) {
        loop {
            let first = first_child(hole);
            if first >= self.end {
                break;
            }
            // Places after the last node are later than all, so all four can be compared.
            let Line([a, b, c, d]) = self.lines[first / ARITY];
            let (ab, left) = if b < a { (b, 1) } else { (a, 0) };
            let (cd, right) = if d < c { (d, 3) } else { (c, 2) };
            let (least, offset) = if cd < ab { (cd, right) } else { (ab, left) };
            if least >= node {
                break;
            }
            self.place(hole, least);
            hole = first + offset;
        }
        self.place(hole, node);
    }

    fn node(&self, position: usize) -> Node {
        self.lines[position / ARITY].0[position % ARITY]
    }

    fn node_mut(&mut self, position: usize) -> &mut Node {
        &mut self.lines[position / ARITY].0[position % ARITY]
    }

    fn place(&mut self, position: usize, node: Node) {
        *self.node_mut(position) = node;
        self.positions[node.id() as usize] = position as u32;
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
        assert_eq!((size_of::<Node>(), size_of::<Line>(), align_of::<Line>()), (16, 64, 64));
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

    /// The running number runs out in the middle of equal deadlines.
    #[test]
    fn numbered_anew() {
        let mut heap = Heap::new();
        heap.sequence = u32::MAX - 50;
        for id in 0..100 {
            heap.push(id, 7);
        }
        heap.push(100, 6);
        assert_eq!(heap.verify(), Ok(()));
        assert_eq!(heap.remove(100), Some(6));
        for id in 0..100 {
            assert_eq!(heap.due(8), Some((id, 7)));
            heap.remove(id);
        }
    }

    /// The extreme deadlines are ordered like all others.
    #[test]
    fn extreme_deadlines() {
        let mut heap = Heap::new();
        for (id, at) in [(0, i64::MAX), (1, 0), (2, i64::MIN), (3, -1)] {
            heap.push(id, at);
        }
        for (id, at) in [(2, i64::MIN), (3, -1), (1, 0)] {
            assert_eq!(heap.due(1), Some((id, at)));
            heap.remove(id);
        }
        assert_eq!((heap.due(i64::MAX), heap.first_at()), (None, Some(i64::MAX)));
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
