//! A 4-ary heap of deadlines (LV-D1): the storage behind `deadlines`.
//!
//! ```text
//!   lines       [. . . root] [child child child child] [grandchildren of the first child] ...
//!   records     id -> its deadline, and its place in the lines
//! ```
//!
//! Four children and not two: the tree is half as deep, and the four children of a node are one cache line.
//! The records are an array of their own instead of fields of the watcher, because moving a node writes one, and
//! sixteen bytes per watcher stay in the cache where the watchers themselves do not.
//!
//! A node is one number: the deadline, then a running number, then the id. So equal deadlines are ordered by their
//! start (libev leaves that to luck, LV-Q05), and a comparison is one without a branch.

pub(crate) const ROOT: usize = 3;
const ARITY: usize = 4;
/// In a record: not here.
pub(crate) const ABSENT: u32 = u32::MAX;

/// Deadline (the high 64 bits), running number (the next 32), id (the low 32).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node(u128);

/// Later than every node: fills the places that are none.
const NOWHERE: Node = Node(u128::MAX);

impl Node {
    #[inline]
    pub(crate) fn new(at: i64, sequence: u32, id: u32) -> Node {
        // Flipping the sign bit makes the order of signed numbers that of unsigned ones.
        let at = (at as u64) ^ (1 << 63);
        Node(u128::from(at) << 64 | u128::from(sequence) << 32 | u128::from(id))
    }

    #[inline]
    pub(crate) fn at(self) -> i64 {
        ((self.0 >> 64) as u64 ^ (1 << 63)) as i64
    }

    #[inline]
    pub(crate) fn sequence(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) fn id(self) -> u32 {
        self.0 as u32
    }
}

/// What is known of an id.
#[derive(Copy, Clone)]
pub(crate) struct Record {
    pub(crate) at: i64,
    pub(crate) sequence: u32,
    /// The place of its node, or `ABSENT`, or what `deadlines` says.
    pub(crate) position: u32,
}

/// Four siblings.
#[derive(Copy, Clone)]
#[repr(align(64))]
struct Line([Node; ARITY]);

/// The nodes. Whoever moves one writes its place into its record.
pub(crate) struct Heap {
    /// The places after the last node hold `NOWHERE`.
    lines: Vec<Line>,
    /// One more than the place of the last node.
    end: usize,
}

impl Heap {
    pub(crate) fn new() -> Heap {
        Heap {
            lines: vec![Line([NOWHERE; ARITY])],
            end: ROOT,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.end - ROOT
    }

    /// The earliest node.
    #[inline]
    pub(crate) fn first(&self) -> Option<Node> {
        (self.end > ROOT).then(|| self.node(ROOT))
    }

    #[inline]
    pub(crate) fn node(&self, position: usize) -> Node {
        self.lines[position / ARITY].0[position % ARITY]
    }

    pub(crate) fn push(&mut self, node: Node, records: &mut [Record]) {
        self.append(node);
        self.sift_up(self.end - 1, node, records);
    }

    /// Takes the node at a place out.
    pub(crate) fn remove(&mut self, hole: usize, records: &mut [Record]) {
        self.end -= 1;
        let last = self.node(self.end);
        *self.node_mut(self.end) = NOWHERE;
        if hole < self.end {
            self.settle(hole, last, records);
        }
        self.trim();
    }

    /// Puts `node` into the hole at `position`, or where it belongs instead.
    pub(crate) fn settle(&mut self, position: usize, node: Node, records: &mut [Record]) {
        if position > ROOT && node < self.node(parent(position)) {
            self.sift_up(position, node, records);
        } else {
            self.sift_down(position, node, records);
        }
    }

    /// How many nodes are before `now`, as far as `limit`.
    pub(crate) fn count_before(&self, now: i64, limit: usize) -> usize {
        self.count_below(ROOT, now, limit)
    }

    fn count_below(&self, position: usize, now: i64, limit: usize) -> usize {
        if position >= self.end || self.node(position).at() >= now {
            return 0;
        }
        let mut found = 1;
        for child in first_child(position)..first_child(position) + ARITY {
            if found >= limit {
                break;
            }
            found += self.count_below(child, now, limit - found);
        }
        found
    }

    /// Adds a node without order: `rebuild` must follow.
    pub(crate) fn append(&mut self, node: Node) {
        if self.end == self.lines.len() * ARITY {
            self.lines.push(Line([NOWHERE; ARITY]));
        }
        *self.node_mut(self.end) = node;
        self.end += 1;
    }

    /// Keeps what `keep` returns of each node, in any order: `rebuild` must follow.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Node) -> Option<Node>) {
        let mut kept = ROOT;
        for position in ROOT..self.end {
            if let Some(node) = keep(self.node(position)) {
                *self.node_mut(kept) = node;
                kept += 1;
            }
        }
        for position in kept..self.end {
            *self.node_mut(position) = NOWHERE;
        }
        self.end = kept;
        self.trim();
    }

    /// Makes a heap of nodes in any order, in linear time.
    pub(crate) fn rebuild(&mut self, records: &mut [Record]) {
        if self.end > ROOT + 1 {
            for position in (ROOT..=parent(self.end - 1)).rev() {
                self.sift_down_unrecorded(position);
            }
        }
        for position in ROOT..self.end {
            records[self.node(position).id() as usize].position = position as u32;
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (usize, Node)> + '_ {
        (ROOT..self.end).map(|position| (position, self.node(position)))
    }

    /// Adds `by` to every deadline: the order does not change (LV-R17).
    pub(crate) fn shift_all(&mut self, by: i64) {
        for position in ROOT..self.end {
            let node = self.node(position);
            *self.node_mut(position) = Node::new(node.at().saturating_add(by), node.sequence(), node.id());
        }
    }

    /// Checks what must always hold (LV-R20).
    pub(crate) fn verify(&self, records: &[Record]) -> Result<(), String> {
        for (position, node) in self.nodes() {
            if records[node.id() as usize].position as usize != position {
                return Err(format!("heap: id {} is at {position}, recorded elsewhere", node.id()));
            }
            if position > ROOT && node < self.node(parent(position)) {
                return Err(format!("heap: the node at {position} is due before its parent"));
            }
        }
        if (self.end..self.lines.len() * ARITY).any(|position| self.node(position) != NOWHERE) {
            return Err("heap: a node after the last".into());
        }
        Ok(())
    }

    fn sift_up(&mut self, mut hole: usize, node: Node, records: &mut [Record]) {
        while hole > ROOT {
            let above = parent(hole);
            if node >= self.node(above) {
                break;
            }
            self.place(hole, self.node(above), records);
            hole = above;
        }
        self.place(hole, node, records);
    }

    fn sift_down(&mut self, mut hole: usize, node: Node, records: &mut [Record]) {
        while let Some((least, position)) = self.least_child(hole)
            && least < node
        {
            self.place(hole, least, records);
            hole = position;
        }
        self.place(hole, node, records);
    }

    fn sift_down_unrecorded(&mut self, mut hole: usize) {
        let node = self.node(hole);
        while let Some((least, position)) = self.least_child(hole)
            && least < node
        {
            *self.node_mut(hole) = least;
            hole = position;
        }
        *self.node_mut(hole) = node;
    }

    #[inline]
    fn least_child(&self, position: usize) -> Option<(Node, usize)> {
        let first = first_child(position);
        if first >= self.end {
            return None;
        }
        // Places after the last node are later than all, so all four can be compared.
        let Line([a, b, c, d]) = self.lines[first / ARITY];
        let (ab, left) = if b < a { (b, 1) } else { (a, 0) };
        let (cd, right) = if d < c { (d, 3) } else { (c, 2) };
        let (least, offset) = if cd < ab { (cd, right) } else { (ab, left) };
        Some((least, first + offset))
    }

    #[inline]
    fn node_mut(&mut self, position: usize) -> &mut Node {
        &mut self.lines[position / ARITY].0[position % ARITY]
    }

    #[inline]
    fn place(&mut self, position: usize, node: Node, records: &mut [Record]) {
        *self.node_mut(position) = node;
        records[node.id() as usize].position = position as u32;
    }

    /// Gives back lines that hold nothing; one is kept.
    fn trim(&mut self) {
        let needed = self.end.div_ceil(ARITY) + 1;
        self.lines.truncate(needed);
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
    use super::*;

    /// LV-D1: a node of 16 bytes, and children that share a cache line.
    #[test]
    fn four_children_share_a_cache_line() {
        assert_eq!((size_of::<Node>(), size_of::<Line>(), align_of::<Line>()), (16, 64, 64));
        assert_eq!(size_of::<Record>(), 16);
        for position in ROOT..200 {
            assert_eq!(first_child(position) % ARITY, 0);
            for child in first_child(position)..first_child(position) + ARITY {
                assert_eq!(parent(child), position);
            }
        }
    }
}
