//! The only users of ambient time, randomness and spawning; everything else gets them from here.

pub mod aws;
pub mod bugs;
mod causes;
pub mod clock;
pub mod ids;
pub mod patience;
pub mod rate;
pub mod retry;
pub mod tasks;
pub mod telemetry;
pub mod web;

pub use causes::causes;
