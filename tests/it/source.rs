//! A stream through the real SDK: pages as bytes, errors, listings, tails.

mod decoding;
mod passing;
mod reactions;
mod tables;
