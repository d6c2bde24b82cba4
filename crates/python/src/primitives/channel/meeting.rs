//! Who has come to a channel and has not met anybody yet: offers of items, and seekers of one.

use std::collections::VecDeque;

use pyo3::prelude::*;

use crate::hub::Link;

/// An item, and who waits for it to be taken; nobody, if it was put without waiting.
pub(super) struct Offer {
    pub(super) id: u64,
    pub(super) putter: Option<Link>,
    pub(super) item: Py<PyAny>,
}

/// Who waits for an item.
pub(super) struct Seeker {
    pub(super) id: u64,
    pub(super) getter: Link,
}

#[derive(Default)]
pub(super) struct Meeting {
    pub(super) offers: VecDeque<Offer>,
    pub(super) seekers: VecDeque<Seeker>,
    /// Items that are a seeker's already, until that one has run.
    pub(super) delivered: Vec<(u64, Py<PyAny>)>,
    last_id: u64,
}

impl Meeting {
    /// A number for a wait that begins.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn take_delivered(&mut self, id: u64) -> Option<Py<PyAny>> {
        let place = self.delivered.iter().position(|(seeker, _)| *seeker == id)?;
        Some(self.delivered.swap_remove(place).1)
    }

    pub(super) fn remove_offer(&mut self, id: u64) -> Option<Offer> {
        let place = self.offers.iter().position(|offer| offer.id == id)?;
        self.offers.remove(place)
    }

    pub(super) fn remove_seeker(&mut self, id: u64) -> Option<Seeker> {
        let place = self.seekers.iter().position(|seeker| seeker.id == id)?;
        self.seekers.remove(place)
    }
}
