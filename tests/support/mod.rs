//! What the integration tests share.

pub(crate) mod bent;
pub(crate) mod dynamo;
pub(crate) mod export_server;
pub(crate) mod fake_stream;
pub(crate) mod identity_server;
pub(crate) mod long_log;
pub(crate) mod s3_server;
pub(crate) mod streams_server;
pub(crate) mod tap;
pub(crate) mod world;
