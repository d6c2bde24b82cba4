//! A line: a queue that allocates nothing for the one element that most of them have.
//!
//! Nearly every greenlet is waited for by nobody or by one, and nearly every result, too.

use std::collections::VecDeque;

/// First in, first out, and a few ways round that.
pub(crate) struct Line<T> {
    /// Empty only if all is.
    first: Option<T>,
    /// There since a second one has been. A box, because most lines are made and dropped without it: they write and read one word.
    #[expect(clippy::box_collection, reason = "see above")]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: None,
        }
    }
}

impl<T> Line<T> {
    fn rest(&mut self) -> &mut VecDeque<T> {
        self.rest.get_or_insert_default()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    #[inline]
    pub(super) fn push_back(&mut self, element: T) {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.rest().push_back(element);
        }
    }

    pub(super) fn push_front(&mut self, element: T) {
        if let Some(second) = self.first.replace(element) {
            self.rest().push_front(second);
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take();
        self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        first
    }

    /// Puts all of `other`, which is left empty, in front of all that is here.
    pub(super) fn prepend(&mut self, other: &mut Self) {
        let Some(first) = other.first.take() else {
            return;
        };
        if let Some(own) = self.first.replace(first) {
            self.rest().push_front(own);
        }
        while let Some(element) = other.rest.as_mut().and_then(|rest| rest.pop_back()) {
            self.rest().push_front(element);
        }
    }

    /// Takes the first element out that is `wanted`.
    pub(super) fn remove(&mut self, wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let place = self.iter().position(wanted)?;
        match place.checked_sub(1) {
            None => self.pop_front(),
            Some(place) => self.rest().remove(place),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }
}

impl<T> IntoIterator for Line<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first
            .into_iter()
            .chain(self.rest.map_or_else(VecDeque::new, |rest| *rest))
    }
}
