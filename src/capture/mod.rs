//! 4. The write path that joins shards, segments and the log.
