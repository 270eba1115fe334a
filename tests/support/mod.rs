//! What the integration tests share.

pub(crate) mod dynamo;
pub(crate) mod streams_server;
pub(crate) mod world;
