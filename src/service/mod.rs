//! 9. What an operator sees of a running capture: metrics and health, over HTTP, and a heartbeat to somebody outside.

pub mod board;
mod http;
mod metrics;
mod ping;

pub use board::Board;
pub use http::{Listening, listen};
pub use ping::{Pinging, ping};
