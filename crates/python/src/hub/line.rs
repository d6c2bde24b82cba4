//! A line: a queue that allocates nothing for the one element that most of them have.
//!
//! Nearly every greenlet is waited for by nobody or by one, and nearly every result, too.

use std::collections::VecDeque;

/// First in, first out, and a few ways round that.
pub(crate) struct Line<T> {
    /// Empty only if all is.
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Line<T> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    #[inline]
    pub(super) fn push_back(&mut self, element: T) {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.rest.push_back(element);
        }
    }

    pub(super) fn push_front(&mut self, element: T) {
        if let Some(second) = self.first.replace(element) {
            self.rest.push_front(second);
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take();
        self.first = self.rest.pop_front();
        first
    }

    /// Puts all of `other`, which is left empty, in front of all that is here.
    pub(super) fn prepend(&mut self, other: &mut Self) {
        let Some(first) = other.first.take() else {
            return;
        };
        if let Some(own) = self.first.replace(first) {
            self.rest.push_front(own);
        }
        while let Some(element) = other.rest.pop_back() {
            self.rest.push_front(element);
        }
    }

    /// Takes the first element out that is `wanted`.
    pub(super) fn remove(&mut self, wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let place = self.iter().position(wanted)?;
        match place.checked_sub(1) {
            None => self.pop_front(),
            Some(place) => self.rest.remove(place),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }
}

impl<T> IntoIterator for Line<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}
