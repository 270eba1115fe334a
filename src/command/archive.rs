//! The archive of a command: opened once, its failures told once.

use std::sync::Arc;

use aws_config::SdkConfig;

use super::Context;
use super::output::Output;
use super::table::{self, TableName};
use crate::change::TableIdentity;
use crate::failure::{Exit, Failure};
use crate::manifest::{Blocked, Log, LogError, Manifest, Segments};
use crate::platform::{aws, ids::Ids, telemetry};
use crate::segment::Facts;
use crate::shard::table::TableFacts;
use crate::store::archive::Archive as Birth;
use crate::store::location::Location;
use crate::store::{self, ObjectStore};

/// An archive that exists.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    pub store: Arc<dyn ObjectStore>,
    /// The archive's origin id.
    pub origin: String,
    pub ids: Ids,
}

/// One timeline of it, its log folded.
#[derive(Debug)]
pub(super) struct Opened {
    pub table: TableIdentity,
    pub log: Log,
    pub manifest: Manifest,
}

impl Context {
    /// The archive's place, from flag, environment or file.
    pub(super) fn place(&self) -> Result<&str, Failure> {
        let given = self.global.archive.as_deref().or(self.loaded.file.archive.as_deref());
        given.ok_or_else(|| {
            let next =
                "give --archive s3://BUCKET/PREFIX or a path, set TAILRACE_ARCHIVE, or write it in tailrace.toml";
            Failure::new(Exit::Usage, "no archive is named", "--archive", next)
        })
    }

    /// The same, understood.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        Location::parse(self.place()?).map_err(|error| error.failure())
    }

    /// AWS settings for the archive: none are looked for where it lies on this machine.
    pub(super) async fn aws_of_archive(&self) -> Result<SdkConfig, Failure> {
        if matches!(self.location()?, Location::Local(_)) {
            return Ok(aws::none());
        }
        let config = aws::load(None).await;
        aws::check(&config).await.map(|()| config)
    }

    /// The archive, which must exist: nothing but `init` makes one.
    pub(super) async fn archive(&self) -> Result<Archive, Failure> {
        let config = self.aws_of_archive().await?;
        let opened = telemetry::patiently(self.place()?, store::open(self.place()?, &config)).await?;
        Ok(Archive::new(opened, Ids::random()))
    }
}

impl Archive {
    /// The archive that was opened, or just made.
    pub(super) fn new((store, facts): (Arc<dyn ObjectStore>, Birth), ids: Ids) -> Self {
        Self { store, origin: facts.origin, ids }
    }

    /// Its place, for messages.
    pub(super) fn location(&self) -> String {
        self.store.location()
    }

    /// Every timeline that `name` may mean, or all; at least one if a name is given.
    pub(super) async fn timelines(&self, name: Option<&TableName>) -> Result<Vec<TableIdentity>, Failure> {
        let all = table::timelines(self.store.as_ref()).await.map_err(|error| error.failure(&self.location()))?;
        match name {
            Some(name) => table::candidates(&all, name, &self.location()),
            None => Ok(all),
        }
    }

    /// What the segments of a table say in their footers.
    pub(super) fn facts(&self, table: &TableFacts) -> Facts {
        Facts::new(&self.origin, &table.arn, &table.identity.table_id, &table.keys)
    }

    /// Folds the log of one timeline.
    pub(super) async fn open(&self, table: TableIdentity) -> Result<Opened, Failure> {
        let opened = Log::open(Arc::clone(&self.store), &table, self.ids.clone()).await;
        let (log, manifest) = opened.map_err(|error| log_failure(&error, &self.location()))?;
        Ok(Opened { table, log, manifest })
    }

    /// Folds the logs of every timeline that `name` may mean.
    pub(super) async fn open_all(&self, name: Option<&TableName>) -> Result<Vec<Opened>, Failure> {
        let mut opened = Vec::new();
        for table in self.timelines(name).await? {
            opened.push(self.open(table).await?);
        }
        Ok(opened)
    }
}

impl Opened {
    /// Makes every live segment known, not only the recent ones.
    pub(super) async fn load_all(&mut self, place: &str) -> Result<(), Failure> {
        let loaded = self.log.load_segments(&mut self.manifest, None, None).await;
        loaded.map_err(|error| log_failure(&error, place))
    }

    /// The timeline and its archive, for messages.
    pub(super) fn place(&self, archive: &Archive) -> String {
        format!("{} in {}", self.table, archive.location())
    }

    /// Its segments.
    pub(super) fn segments(&self, archive: &Archive) -> Segments {
        Segments::new(Arc::clone(&archive.store), self.table.folder())
    }

    /// What the segments of the table say in their footers, from its log alone.
    pub(super) fn facts(&self, archive: &Archive) -> Result<Facts, Failure> {
        let Some((_, epoch)) = self.manifest.epochs.last_key_value() else {
            let next = "start `tailrace capture` for this table";
            let what = "nothing is archived of this table yet";
            return Err(Failure::new(Exit::OutsideCoverage, what, self.place(archive), next));
        };
        let stream = &epoch.started.stream_arn;
        let table = stream.split_once("/stream/").map_or(stream.as_str(), |(table, _)| table);
        Ok(Facts::new(&archive.origin, table, &self.table.table_id, &epoch.started.keys))
    }

    /// What to say where an entry without effect ends what is served.
    pub(super) fn cut_short(&self) -> Option<Failure> {
        self.manifest.blocked.as_ref().map(|blocked| blocked_at(blocked, &self.table))
    }

    /// Where an entry without effect ends what is served: what is final stays so, whatever that entry said, and people are
    /// warned; what is not, nobody knows.
    pub(super) fn serves(&self, is_final: bool, out: &Output) -> Result<(), Failure> {
        match self.cut_short() {
            Some(cut_short) if is_final => out.warn(&cut_short),
            Some(cut_short) => return Err(cut_short),
            None => {}
        }
        Ok(())
    }
}

/// Fails a command that has printed what stands before an entry without effect: it is not the whole.
pub(super) fn whole(opened: &[Opened]) -> Result<(), Failure> {
    opened.iter().find_map(Opened::cut_short).map_or(Ok(()), Err)
}

fn blocked_at(blocked: &Blocked, table: &TableIdentity) -> Failure {
    let what = format!(
        "entry {} of the log has no effect: {}; what was committed before it is served",
        blocked.n, blocked.why
    );
    Failure::new(
        Exit::VerificationFailed,
        what,
        table.to_string(),
        "run `tailrace verify` to see everything that is affected",
    )
}

/// What a command says of a log that cannot be read or written.
pub(super) fn log_failure(error: &LogError, place: &str) -> Failure {
    let (exit, next) = match error {
        LogError::Store(error) => return error.failure(place),
        LogError::FormatNewer { .. } => (Exit::FormatNewer, "install a newer tailrace"),
        LogError::Blocked { .. } | LogError::Hole { .. } | LogError::Forked { .. } => {
            (Exit::VerificationFailed, "run `tailrace verify` to see everything that is affected")
        }
        LogError::Unwritable(_) => (Exit::Failure, "report this: what was archived is not affected"),
    };
    Failure::new(exit, error.to_string(), place, next)
}
