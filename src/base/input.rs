//! What taking a base needs, and what its caller chooses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::BaseSource;
use crate::manifest::{Log, Manifest};
use crate::platform::ids::Ids;
use crate::platform::patience::Tell;
use crate::segment::Facts;
use crate::segment::cut::HELD;
use crate::store::ObjectStore;

/// What the caller chooses.
#[derive(Debug, Clone)]
pub struct BaseOptions {
    /// Seconds for which a change may become readable later than it was made (default 900).
    pub slack: u32,
    /// A name for the base.
    pub name: Option<String>,
    /// Parts that are scanned side by side.
    pub parts: u32,
    /// Read no more than this many capacity units a second.
    pub most_read_units: Option<u32>,
    /// The table's size as the service tells it; it decides how many buckets there are.
    pub table_bytes: u64,
    /// How often the log is read while waiting.
    pub poll: Duration,
    /// Bytes of rows that are held in memory, and at which a file ends.
    pub held: u64,
    /// The folder for temporary files.
    pub scratch: PathBuf,
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self {
            slack: 900,
            name: None,
            parts: 4,
            most_read_units: None,
            table_bytes: 0,
            poll: Duration::from_secs(5),
            held: HELD,
            scratch: std::env::temp_dir(),
        }
    }
}

/// All that taking a base needs.
pub struct BaseInput<'a> {
    /// The table's log, opened for this run.
    pub log: &'a Log,
    /// What it says; read again as the run goes on.
    pub manifest: &'a mut Manifest,
    /// The archive.
    pub store: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub folder: String,
    /// Where the items come from.
    pub source: BaseSource<'a>,
    /// What every segment of the table says in its footer; its key schema is the table's.
    pub facts: Facts,
    /// Choices.
    pub options: BaseOptions,
    /// Randomness.
    pub ids: Ids,
    /// Told of every wait for something that fails.
    pub tell: Tell,
    /// Ends the run early; a scan is then abandoned.
    pub stop: CancellationToken,
}
