//! Asks for an export, or finds the one that was asked for, and waits until it is complete.

use std::time::Duration;

use super::{ExportError, ExportState, Exporting};
use crate::base::BaseError;
use crate::base::journal::Journal;
use crate::base::ready::Complete;
use crate::base::run::Begun;
use crate::manifest::ExportOrder;
use crate::platform::aws::ServiceError;
use crate::platform::clock;
use crate::platform::patience::{Curable as _, Cure};
use crate::store::ObjectStore;

/// How long, in seconds, the service knows an order again by its token: 8 hours, less the time that a call may take.
const KNOWN: i64 = 7 * 3600;
/// How much longer than between two looks at the log it waits at most between two questions: exports take long.
const SELDOM: u32 = 30;
/// How long a new export may be unknown to the server that is asked for it.
const APPEARS: Duration = Duration::from_secs(300);

/// The export that the log asks for.
pub(in crate::base) struct Awaited<'a> {
    pub(in crate::base) exporting: &'a Exporting<'a>,
    pub(in crate::base) order: &'a ExportOrder,
    pub(in crate::base) table_arn: &'a str,
    /// The order's bucket.
    pub(in crate::base) bucket: &'a dyn ObjectStore,
}

impl Awaited<'_> {
    /// Waits until it is complete, and gives the key of its summary.
    pub(in crate::base) async fn summary(&self, journal: &mut Journal<'_>, begun: &Begun) -> Result<String, BaseError> {
        let arn = self.ordered(journal, begun).await?;
        tracing::info!(%arn, time = %self.order.time, "the service exports the table");
        let (since, mut pause) = (clock::now(), journal.poll);
        loop {
            match self.exporting.table.state(&arn).await {
                Ok(ExportState::Done { manifest }) => return Ok(manifest),
                Ok(ExportState::Failed { reason }) => return Err(ExportError::Failed(reason).into()),
                Ok(ExportState::Running) => journal.log.patience.renew(),
                Err(ServiceError::NotFound { .. }) if since.elapsed() < APPEARS => {}
                Err(error) => journal.bear("asking for the export", error).await?,
            }
            clock::sleep(pause).await;
            pause = (pause * 2).min(journal.poll * SELDOM);
            journal.refresh().await?;
            still_wanted(journal, begun)?;
        }
    }

    /// The ARN of the export, which is asked for where it was not.
    async fn ordered(&self, journal: &mut Journal<'_>, begun: &Begun) -> Result<String, BaseError> {
        let age = journal.now().await?.0 - begun.started.started.0;
        if age > KNOWN
            && let Some(arn) = self.left_behind(journal).await?
        {
            return Ok(arn);
        }
        loop {
            match self.exporting.table.order(self.table_arn, self.order).await {
                Ok(arn) => return Ok(arn),
                // Asked for again it would be for the same bucket, which may be the wrong one.
                Err(error) if begun.own && error.cure() == Cure::Person => {
                    return Err(ExportError::Denied(error).into());
                }
                Err(error) => journal.bear("asking the service for an export", error).await?,
            }
            journal.refresh().await?;
            still_wanted(journal, begun)?;
        }
    }

    /// An export that lies in the order's folder, which is for it alone.
    async fn left_behind(&self, journal: &mut Journal<'_>) -> Result<Option<String>, BaseError> {
        let folder = format!("{}/AWSDynamoDB/", self.order.prefix);
        let found = loop {
            match self.bucket.list_folders(&folder).await {
                Ok(found) => break found,
                Err(error) => journal.bear("looking for the export", error).await?,
            }
        };
        let export = found.into_iter().find(|name| name != "data");
        Ok(export.map(|id| format!("{}/export/{id}", self.table_arn)))
    }
}

/// Whether the base can still come to stand; what was found meanwhile may have spoilt it.
fn still_wanted(journal: &Journal<'_>, begun: &Begun) -> Result<(), BaseError> {
    match begun.judged(journal.log.manifest) {
        Complete::Abandoned => Err(BaseError::Abandoned),
        Complete::Spoilt(unknown) => Err(BaseError::Spoilt(unknown)),
        Complete::Done { .. } | Complete::Yes { .. } | Complete::NotYet { .. } => Ok(()),
    }
}
