//! A base from `ExportTableToPointInTime`: asked for once, waited for, and read through its manifest.
//!
//! The log says what is asked for before the service is asked, so that whoever goes on with the base asks for the same
//! export and is given the same. What it holds is told by its manifest alone: every file has a hash and a count there,
//! and the files lie in a folder that other exports may share.
//!
//! **Memory.** Of each of 4 files 1 MiB as it is compressed, and about as much of lines.

mod contents;
mod files;
mod service;
mod wait;

use std::sync::Arc;

use async_trait::async_trait;

use crate::change::Second;
use crate::manifest::ExportOrder;
use crate::platform::aws::ServiceError;
use crate::store::{ObjectStore, StoreError};

pub(super) use contents::{Contents, Expected};
pub(super) use files::read;
pub(super) use wait::Awaited;

/// Where an export stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportState {
    /// The service works on it.
    Running,
    /// It is complete.
    Done {
        /// The key of its summary, from the bucket's root.
        manifest: String,
    },
    /// The service gave up.
    Failed {
        /// What it says.
        reason: String,
    },
}

/// A table that can be exported.
#[async_trait]
pub trait TableExport: Send + Sync + std::fmt::Debug {
    /// The service's time.
    ///
    /// # Errors
    /// As named by the variants.
    async fn now(&self) -> Result<Second, ServiceError>;

    /// Whether the service keeps the backups that an export is made of.
    ///
    /// # Errors
    /// As named by the variants.
    async fn recoverable(&self) -> Result<bool, ServiceError>;

    /// Asks for an export of the table and gives its ARN; asked for the same within 8 hours, the same.
    ///
    /// # Errors
    /// As named by the variants.
    async fn order(&self, table_arn: &str, order: &ExportOrder) -> Result<String, ServiceError>;

    /// Where the export stands.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when the service does not know it (yet, or any more), and as named by the variants.
    async fn state(&self, export_arn: &str) -> Result<ExportState, ServiceError>;
}

/// Opens the bucket of this name, from its root.
pub type Buckets = Arc<dyn Fn(&str) -> Result<Arc<dyn ObjectStore>, StoreError> + Send + Sync>;

/// Makes a base from an export.
pub struct Exporting<'a> {
    /// The table.
    pub table: &'a dyn TableExport,
    /// Where the service is to put its files; one that was asked for before lies where that was said.
    pub bucket: String,
    /// The folder there, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Reads it.
    pub buckets: Buckets,
}

impl Exporting<'_> {
    /// What to ask for: the table as of `time`, in a folder of its own.
    pub(super) fn order(&self, time: Second, token: String) -> ExportOrder {
        let prefix = [self.prefix.as_str(), &token].join("/");
        let prefix = prefix.trim_start_matches('/').to_owned();
        ExportOrder { time, token, bucket: self.bucket.clone(), prefix }
    }
}

/// Why an export gives no base.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Point-in-time recovery is off: a person must turn it on, or take a scan.
    #[error("point-in-time recovery of the table is off, and an export is made of what it keeps")]
    NotRecoverable,
    /// The service does not let it be asked for: a person must grant what is missing, or name another bucket.
    #[error("the export cannot be asked for: {0}")]
    Denied(#[source] ServiceError),
    /// The service gave up: ask for another.
    #[error("the export failed: {0}")]
    Failed(String),
    /// It does not hold what was asked for, or what its manifest says: ask for another.
    #[error("the export cannot be used: {path}: {reason}")]
    Unfit {
        /// The object that is wrong.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ExportError {
    fn unfit(path: &str, reason: impl Into<String>) -> Self {
        Self::Unfit { path: path.to_owned(), reason: reason.into() }
    }
}
