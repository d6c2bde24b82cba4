//! Looking ahead: while one greenlet is resumed, those that come after it are brought near, step by step.
//!
//! ```text
//!   now runs         next      second     third      fourth
//!   the present one  stack     state      object     entry of the loop
//! ```

use verdigris_loop as engine;

use super::Token;
use crate::greenlet::approach;
use crate::prefetch::prefetch_range;

/// To be called when an event has been taken from the loop, with the GIL held, before what it is for runs.
#[inline]
pub(super) fn look_ahead(engine: &engine::Loop<Token>) {
    let Some(next) = engine.upcoming(0) else { return };
    // SAFETY: what is due is in the loop, which owns a reference to it.
    unsafe {
        if let Token::Wake { greenlet, .. } = *next {
            approach::stack_of(greenlet.as_ptr());
        }
        let Some(second) = engine.upcoming(1) else { return };
        if let Token::Wake { greenlet, .. } = *second {
            approach::state_of(greenlet.as_ptr());
        }
    }
    let Some(third) = engine.upcoming(2) else { return };
    if let Token::Wake { greenlet, .. } = *third {
        approach::object(greenlet.as_ptr());
    }
    if let Some(fourth) = engine.upcoming(3) {
        prefetch_range(std::ptr::from_ref(fourth).cast(), size_of::<Token>());
    }
}
