//! 4. The write path of one table.
//!
//! ```text
//! open the log → list shards → tails → buffers → stamp → encode → upload → commit
//! ```
//!
//! One task owns the folded log and makes every decision; the tails run beside it and hand over pages
//! through a bounded queue. The judgements themselves ([`openings`], [`trim`], [`stamp`], [`heartbeat`],
//! [`start`]) are pure.

pub mod heartbeat;
pub mod openings;
pub mod stamp;
pub mod start;
pub mod trim;

#[cfg(test)]
pub(crate) mod fixture;
