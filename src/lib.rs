//! Streaming change-capture archiver for `DynamoDB`, with replay to any second since archiving began.
//!
//! The modules stand in the order a change meets them.

pub mod failure;
pub mod platform;

pub mod base;
pub mod capture;
pub mod change;
pub mod manifest;
pub mod replay;
pub mod seal;
pub mod segment;
pub mod service;
pub mod shard;
pub mod spill;
pub mod store;
pub mod verify;

pub mod command;
pub mod config;
