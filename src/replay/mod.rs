//! 7. The image of the table at a point: point → plan → image → sink.

pub mod plan;
pub mod point;
pub mod sink;
pub mod unknown;

pub use plan::{Options, Plan, PlannedBase, Refusal, Watermark, Way, plan};
pub use point::{Asked, Edge, Point, PointError};
pub use unknown::{Cause, Unknown};
