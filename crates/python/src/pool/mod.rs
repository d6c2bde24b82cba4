//! Groups and pools of greenlets, and mapping a function over items in them: what is done per greenlet and per item.
//!
//! `verdigris.pool` is Python on top of this: what is done once per call, or rarely. A member that has ended leaves its group, and a
//! result goes to who iterates, by a link of ours: from whichever greenlet is about to park, without the hub.

mod group;
mod mapping;

use pyo3::prelude::*;

use crate::greenlet_base;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    greenlet_base::install_dealloc_over::<mapping::MappingObject>(&module.py().get_type::<mapping::MappingObject>());
    module.add_class::<group::GroupObject>()?;
    module.add_class::<group::PoolObject>()?;
    module.add_class::<mapping::MappingObject>()
}
