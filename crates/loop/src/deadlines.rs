//! Deadlines in order, FIFO among equal ones (DD-03): a heap, and what keeps most of the work away from it.
//!
//! ```text
//!   newcomers   ids in no order: what was pushed since the first was last asked for; some have left since
//!   heap        the others, by a deadline that may be earlier than the true one
//!   records     id -> its true deadline, and in which of the two it is, and where
//! ```
//!
//! * Nobody needs to know the order before the loop is about to wait. What is taken back until then (a time limit of
//!   something that happened at once) never sees the heap; what is due by then is sorted, which is cheaper; and very many
//!   are made a heap together, which takes linear time.
//! * A deadline that is put off is only recorded (LV-T6: inactivity timers). Its node stays where it is and is put in its
//!   place when it comes to the top, once per timeout instead of once per event.
//! * When many are due at once they are taken out in one sweep and sorted, instead of one by one.
//!
//! The running number that makes the order of equal deadlines has 32 bits; when it has run out, all are numbered anew in
//! their order.

use crate::heap::{ABSENT, Heap, Node, ROOT, Record};

/// In a record's position: the rest is the place among the newcomers.
const NEWCOMER: u32 = 1 << 31;
/// So many are taken from the heap one by one before it is looked whether there are very many.
const ONE_BY_ONE: usize = 16;
/// So many newcomers that have left are not worth tidying.
const FEW: usize = 64;

/// Deadlines of ids, the earliest first.
pub(crate) struct Deadlines {
    heap: Heap,
    /// An id that has left (or left and come again) is recorded elsewhere.
    newcomers: Vec<u32>,
    /// How many have not left.
    present: usize,
    records: Vec<Record>,
    sequence: u32,
}

const NO_RECORD: Record = Record {
    at: 0,
    sequence: 0,
    position: ABSENT,
};

impl Deadlines {
    pub(crate) fn new() -> Deadlines {
        Deadlines {
            heap: Heap::new(),
            newcomers: Vec::new(),
            present: 0,
            records: Vec::new(),
            sequence: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len() + self.present
    }

    /// Whether nothing is due, ever.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.len() == 0 && self.newcomers.is_empty()
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn first_at(&mut self) -> Option<i64> {
        self.first().map(Node::at)
    }

    /// The earliest entry if its deadline is strictly before `now` (LV-T3); it stays.
    pub(crate) fn due(&mut self, now: i64) -> Option<(u32, i64)> {
        let first = self.first()?;
        (first.at() < now).then(|| (first.id(), first.at()))
    }

    /// Takes out all whose deadline is strictly before `now` (LV-T3), in order.
    pub(crate) fn take_due(&mut self, now: i64, due: &mut Vec<Node>) {
        let mut sorted = true;
        if !self.newcomers.is_empty() {
            self.welcome(now, |node| due.push(node));
            sorted = due.is_empty();
        }
        let mut taken = 0;
        while let Some(first) = self.first()
            && first.at() < now
        {
            if taken == ONE_BY_ONE {
                taken = 0;
                let many = self.heap.len() / 4;
                if many > 0 && self.heap.count_before(now, many) >= many {
                    sorted = false;
                    self.sweep(now, due);
                    break;
                }
            }
            taken += 1;
            self.records[first.id() as usize].position = ABSENT;
            self.heap.remove(ROOT, &mut self.records);
            due.push(first);
        }
        if !sorted {
            due.sort_unstable();
        }
    }

    /// Whether a newcomer is due: then the first need not be known.
    pub(crate) fn has_due_newcomer(&self, now: i64) -> bool {
        let mut newcomers = self.newcomers.iter().enumerate();
        newcomers.any(|(place, &id)| self.is_here(place, id) && self.records[id as usize].at < now)
    }

    /// The deadline of `id`.
    #[inline]
    pub(crate) fn at(&self, id: u32) -> Option<i64> {
        match self.records.get(id as usize) {
            Some(record) if record.position != ABSENT => Some(record.at),
            _ => None,
        }
    }

    /// Adds `id`, which must not be there.
    #[inline]
    pub(crate) fn push(&mut self, id: u32, at: i64) {
        debug_assert!(self.at(id).is_none(), "an id has one deadline");
        if self.records.len() <= id as usize || self.newcomers.len() > 2 * self.present + FEW {
            self.make_room(id);
        }
        let sequence = self.next_sequence();
        self.records[id as usize] = Record {
            at,
            sequence,
            position: NEWCOMER | self.newcomers.len() as u32,
        };
        self.newcomers.push(id);
        self.present += 1;
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, id: u32) {
        if self.records.len() <= id as usize {
            self.records
                .resize((id as usize + 1).next_power_of_two().max(FEW), NO_RECORD);
        }
        if self.newcomers.len() > 2 * self.present + FEW {
            self.tidy();
        }
    }

    /// Takes `id` out; its deadline.
    #[inline]
    pub(crate) fn remove(&mut self, id: u32) -> Option<i64> {
        let record = self.records.get_mut(id as usize)?;
        let position = record.position;
        if position == ABSENT {
            return None;
        }
        let at = record.at;
        record.position = ABSENT;
        if position & NEWCOMER == 0 {
            self.heap.remove(position as usize, &mut self.records);
            return Some(at);
        }
        self.present -= 1;
        if self.present == 0 {
            self.newcomers.clear();
        }
        Some(at)
    }

    /// Gives `id` a new deadline, as if it had been removed and pushed.
    #[inline]
    pub(crate) fn update(&mut self, id: u32, at: i64) {
        let sequence = self.next_sequence();
        // Not before its true deadline is not before its node either, which then need not be looked at.
        if let Some(record) = self.records.get_mut(id as usize)
            && record.position != ABSENT
            && (record.position & NEWCOMER != 0 || at >= record.at)
        {
            (record.at, record.sequence) = (at, sequence);
            return;
        }
        self.bring_forward(id, at, sequence);
    }

    /// The rest of `update`.
    #[inline(never)]
    fn bring_forward(&mut self, id: u32, at: i64, sequence: u32) {
        let Some(record) = self
            .records
            .get_mut(id as usize)
            .filter(|record| record.position != ABSENT)
        else {
            return self.push(id, at);
        };
        (record.at, record.sequence) = (at, sequence);
        let position = record.position as usize;
        let node = Node::new(at, sequence, id);
        if node < self.heap.node(position) {
            self.heap.settle(position, node, &mut self.records);
        }
    }

    /// Adds `by` to every deadline: the order does not change (LV-R17).
    pub(crate) fn shift_all(&mut self, by: i64) {
        self.heap.shift_all(by);
        for record in &mut self.records {
            record.at = record.at.saturating_add(by);
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let heap = self.heap.nodes().map(|(_, node)| node.id());
        let newcomers = self.newcomers.iter().enumerate();
        heap.chain(
            newcomers
                .filter(|&(place, &id)| self.is_here(place, id))
                .map(|(_, &id)| id),
        )
    }

    /// Checks what must always hold (LV-R20).
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.heap.verify(&self.records)?;
        for (_, node) in self.heap.nodes() {
            if self.truth(node) < node {
                return Err(format!("deadlines: id {} is due before its node", node.id()));
            }
        }
        let newcomers = self.newcomers.iter().enumerate();
        let present = newcomers.filter(|&(place, &id)| self.is_here(place, id)).count();
        if present != self.present {
            return Err(format!("deadlines: {present} newcomers, counted {}", self.present));
        }
        let recorded = self.records.iter().filter(|record| record.position != ABSENT).count();
        if recorded != self.len() {
            return Err(format!("deadlines: {recorded} records for {} nodes", self.len()));
        }
        Ok(())
    }

    /// The earliest node, with its true deadline and in its place.
    #[inline]
    fn first(&mut self) -> Option<Node> {
        if !self.newcomers.is_empty() {
            self.welcome(i64::MIN, |_| {});
        }
        loop {
            let first = self.heap.first()?;
            let truth = self.truth(first);
            if truth == first {
                return Some(first);
            }
            self.heap.settle(ROOT, truth, &mut self.records);
        }
    }

    /// Moves the newcomers to the heap, but for those that are due before `now`.
    fn welcome(&mut self, now: i64, mut take: impl FnMut(Node)) {
        let many = self.present > self.heap.len();
        let newcomers = std::mem::take(&mut self.newcomers);
        for (place, &id) in newcomers.iter().enumerate() {
            if !self.is_here(place, id) {
                continue;
            }
            let record = &mut self.records[id as usize];
            let node = Node::new(record.at, record.sequence, id);
            record.position = ABSENT;
            if node.at() < now {
                take(node);
            } else if many {
                self.heap.append(node);
            } else {
                self.heap.push(node, &mut self.records);
            }
        }
        if many {
            self.heap.rebuild(&mut self.records);
        }
        self.newcomers = newcomers;
        self.newcomers.clear();
        self.present = 0;
    }

    /// Whether the newcomer at a place has not left.
    #[inline]
    fn is_here(&self, place: usize, id: u32) -> bool {
        self.records[id as usize].position == NEWCOMER | place as u32
    }

    /// Forgets the newcomers that have left.
    fn tidy(&mut self) {
        let records = &mut self.records;
        let (mut place, mut kept) = (0, 0);
        self.newcomers.retain(|&id| {
            let record = &mut records[id as usize];
            let here = record.position == NEWCOMER | place;
            if here {
                record.position = NEWCOMER | kept;
                kept += 1;
            }
            place += 1;
            here
        });
    }

    /// Takes all that are due out of the heap at once.
    fn sweep(&mut self, now: i64, due: &mut Vec<Node>) {
        let records = &mut self.records;
        self.heap.retain(|node| {
            let truth = record_node(records, node.id());
            if truth.at() < now {
                records[node.id() as usize].position = ABSENT;
                due.push(truth);
                None
            } else {
                Some(truth)
            }
        });
        self.heap.rebuild(&mut self.records);
    }

    #[inline]
    fn truth(&self, node: Node) -> Node {
        record_node(&self.records, node.id())
    }

    #[inline]
    fn next_sequence(&mut self) -> u32 {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        self.sequence
    }

    /// Numbers the nodes anew.
    #[cold]
    #[inline(never)]
    fn renumber(&mut self) {
        let mut nodes: Vec<Node> = self.ids().map(|id| record_node(&self.records, id)).collect();
        self.newcomers.clear();
        self.present = 0;
        nodes.sort_unstable();
        self.heap.retain(|_| None);
        for (sequence, node) in nodes.iter().enumerate() {
            let sequence = sequence as u32;
            self.records[node.id() as usize].sequence = sequence;
            self.heap.append(Node::new(node.at(), sequence, node.id()));
        }
        self.heap.rebuild(&mut self.records);
        self.sequence = nodes.len() as u32;
    }
}

#[inline]
fn record_node(records: &[Record], id: u32) -> Node {
    let record = &records[id as usize];
    Node::new(record.at, record.sequence, id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn drain(deadlines: &mut Deadlines, now: i64) -> Vec<u32> {
        let mut due = Vec::new();
        deadlines.take_due(now, &mut due);
        due.into_iter().map(Node::id).collect()
    }

    /// DD-03: equal deadlines come out in the order they went in, one by one or all at once.
    #[test]
    fn equal_deadlines_are_first_in_first_out() {
        let mut deadlines = Deadlines::new();
        for id in 0..100 {
            deadlines.push(id, 7);
        }
        for id in 0..50 {
            assert_eq!(deadlines.due(8), Some((id, 7)));
            deadlines.remove(id);
        }
        assert_eq!(drain(&mut deadlines, 8), (50..100).collect::<Vec<_>>());
        assert_eq!(deadlines.len(), 0);
    }

    /// LV-T3: strictly before.
    #[test]
    fn due_means_strictly_before_now() {
        let mut deadlines = Deadlines::new();
        deadlines.push(0, 10);
        assert_eq!((deadlines.due(10), drain(&mut deadlines, 10)), (None, vec![]));
        assert_eq!(deadlines.due(11), Some((0, 10)));
        assert_eq!(drain(&mut deadlines, 11), [0]);
    }

    /// The running number runs out in the middle of equal deadlines, some in the heap and some not.
    #[test]
    fn numbered_anew() {
        let mut deadlines = Deadlines::new();
        deadlines.sequence = u32::MAX - 50;
        for id in 0..30 {
            deadlines.push(id, 7);
        }
        assert_eq!(deadlines.first_at(), Some(7));
        for id in 30..100 {
            deadlines.push(id, 7);
        }
        deadlines.push(100, 6);
        assert_eq!(deadlines.verify(), Ok(()));
        assert_eq!(deadlines.remove(100), Some(6));
        assert_eq!(drain(&mut deadlines, 8), (0..100).collect::<Vec<_>>());
    }

    /// The extreme deadlines are ordered like all others.
    #[test]
    fn extreme_deadlines() {
        let mut deadlines = Deadlines::new();
        for (id, at) in [(0, i64::MAX), (1, 0), (2, i64::MIN), (3, -1)] {
            deadlines.push(id, at);
        }
        assert_eq!(drain(&mut deadlines, 1), [2, 3, 1]);
        assert_eq!((deadlines.due(i64::MAX), deadlines.first_at()), (None, Some(i64::MAX)));
    }

    /// What is put off again and again is found at its last deadline, and not before.
    #[test]
    fn put_off() {
        let mut deadlines = Deadlines::new();
        for id in 0..200 {
            deadlines.push(id, i64::from(id));
        }
        assert_eq!(deadlines.first_at(), Some(0));
        for id in 0..200 {
            deadlines.update(id, 1000 - i64::from(id));
        }
        assert_eq!(deadlines.verify(), Ok(()));
        assert_eq!(drain(&mut deadlines, 802), [199]);
        assert_eq!(drain(&mut deadlines, 2000), (0..199).rev().collect::<Vec<_>>());
    }

    proptest! {
        /// LV-D1, LV-D2: random pushes, updates and removals against an ordered map.
        #[test]
        fn behaves_like_an_ordered_map(steps in prop::collection::vec((0u8..7, 0u32..40, -20i64..20), 1..400)) {
            let mut deadlines = Deadlines::new();
            let mut model: BTreeMap<(i64, u64), u32> = BTreeMap::new();
            let mut where_is: BTreeMap<u32, (i64, u64)> = BTreeMap::new();
            for (sequence, (action, id, at)) in steps.into_iter().enumerate() {
                let sequence = sequence as u64;
                match action {
                    0..=2 => {
                        if let Some(old) = where_is.insert(id, (at, sequence)) {
                            model.remove(&old);
                        }
                        model.insert((at, sequence), id);
                        deadlines.update(id, at);
                    }
                    3 => {
                        let old = where_is.remove(&id);
                        if let Some(old) = old {
                            model.remove(&old);
                        }
                        prop_assert_eq!(deadlines.remove(id), old.map(|(at, _)| at));
                    }
                    4 => {
                        if let Some((&(at, sequence), &id)) = model.iter().next() {
                            prop_assert_eq!(deadlines.due(i64::MAX), Some((id, at)));
                            model.remove(&(at, sequence));
                            where_is.remove(&id);
                            deadlines.remove(id);
                        }
                    }
                    5 => {
                        let later = model.split_off(&(at, 0));
                        let due: Vec<u32> = model.into_values().collect();
                        for id in &due {
                            where_is.remove(id);
                        }
                        model = later;
                        prop_assert_eq!(drain(&mut deadlines, at), due);
                    }
                    _ => prop_assert_eq!(deadlines.first_at(), model.keys().next().map(|key| key.0)),
                }
                prop_assert_eq!(deadlines.at(id), where_is.get(&id).map(|&(at, _)| at));
                prop_assert_eq!(deadlines.verify(), Ok(()));
            }
        }
    }
}
