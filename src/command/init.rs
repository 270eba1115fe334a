//! `tailrace init`

use std::fmt;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Context;
use crate::failure::{Exit, Failure};
use crate::platform::{ids::Ids, telemetry};
use crate::store::archive::{Archive, LockMode, Modes, Retention};
use crate::store::{self, Location};

/// Arguments.
#[derive(Debug, Args)]
pub struct Init {
    /// Lock every object but raw segments for this many days (S3 Object Lock) [default: no lock]
    #[arg(long, value_name = "DAYS", env = "TAILRACE_LOCK_DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    lock_days: Option<u32>,
    /// Lock raw segments, which daily compaction replaces, for this many days
    #[arg(long, value_name = "DAYS", env = "TAILRACE_LOCK_RAW_DAYS", default_value_t = 7, requires = "lock_days")]
    lock_raw_days: u32,
    /// Who may shorten a lock
    #[arg(long, value_name = "MODE", env = "TAILRACE_LOCK_MODE", default_value = "governance", requires = "lock_days")]
    lock_mode: Mode,
}

/// Who may shorten a lock.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Those with a right of its own.
    Governance,
    /// Nobody, the account's root included.
    Compliance,
}

pub(super) async fn run(context: &Context, args: &Init) -> Result<(), Failure> {
    let modes = Modes { retention: args.retention(), ..Modes::default() };
    if modes.retention.is_some() && matches!(context.location()?, Location::Local(_)) {
        let what = "a folder cannot lock its objects: whoever may write there may remove them";
        let next = "leave --lock-days out, or use a bucket with Object Lock";
        return Err(Failure::new(Exit::Usage, what, "--lock-days", next));
    }
    let config = context.aws_of_archive().await?;
    let place = context.place()?;
    let ids = Ids::random();
    let made = store::init(place, &config, modes, &ids);
    let (store, archive) = telemetry::patiently(place, made).await?;
    context.out.summary(&Made { archive: store.location(), written: archive });
    Ok(())
}

impl Init {
    fn retention(&self) -> Option<Retention> {
        let mode = match self.lock_mode {
            Mode::Governance => LockMode::Governance,
            Mode::Compliance => LockMode::Compliance,
        };
        self.lock_days.map(|full_days| Retention { mode, full_days, raw_days: self.lock_raw_days })
    }
}

#[derive(Serialize)]
struct Made {
    archive: String,
    written: Archive,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "made an archive at {}", self.archive)?;
        write!(f, "next: tailrace capture --archive {} --table TABLE", self.archive)
    }
}
