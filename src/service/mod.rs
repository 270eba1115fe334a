//! 9. What an operator sees of a running capture: metrics and health, over HTTP.

pub mod board;
mod http;
mod metrics;

pub use board::Board;
pub use http::{Listening, listen};
