//! 6. Images of the whole table: by scan, and the empty base.

pub(crate) mod attribute;
pub mod scan;
