//! Where the items of a base come from.

use super::export::Exporting;
use super::scan::TableScan;
use crate::change::Second;
use crate::manifest::BaseKind;
use crate::platform::aws::ServiceError;

/// Where the items come from.
#[derive(Clone, Copy)]
pub enum BaseSource<'a> {
    /// The live table, read strongly consistent.
    Scan(&'a dyn TableScan),
    /// An export of the table, which the service makes from its own backups.
    Export(&'a Exporting<'a>),
}

impl BaseSource<'_> {
    pub(super) const fn kind(&self) -> BaseKind {
        match self {
            Self::Scan(_) => BaseKind::Scan,
            Self::Export(_) => BaseKind::Export,
        }
    }

    /// The service's time.
    pub(super) async fn now(&self) -> Result<Second, ServiceError> {
        match self {
            Self::Scan(table) => table.now().await,
            Self::Export(exporting) => exporting.table.now().await,
        }
    }
}
