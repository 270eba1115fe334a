//! `tailrace history`: every version of one item, and what each change did.

use std::fmt;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Context;
use super::fields::{Changes, raw, unreadable};
use super::gaps::one;
use super::moment;
use crate::change::image::ImageError;
use crate::change::{ItemKey, KeySchema, KeyType, KeyValue, Second};
use crate::failure::{Exit, Failure};
use crate::manifest::{Manifest, Unknown};
use crate::replay::history::Version;
use crate::replay::{self, ReplayError};

/// Arguments.
#[derive(Debug, Args)]
pub struct History {
    /// The table
    #[arg(long = "table", short = 't', value_name = "TABLE", env = "TAILRACE_TABLE")]
    table: String,
    /// The value of the item's partition key (binary: in base64)
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pk: String,
    /// The value of its sort key, where the table has one
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    sk: Option<String>,
    /// From this time on [default: the beginning]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Up to the end of this second [default: the last change]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

pub(super) async fn run(context: &Context, args: &History) -> Result<(), Failure> {
    let (from, to) = moment::range(args.from.as_deref(), args.to.as_deref())?;
    let archive = context.archive().await?;
    let mut timeline = one(&archive, &args.table).await?;
    let place = timeline.place(&archive);
    timeline.load_all(&place).await?;
    let key = args.key(&timeline.manifest, &place)?;
    let segments = timeline.segments(&archive);
    let reading = Box::pin(replay::history(&timeline.manifest, &segments, &key, (from, to)));
    let read = context.stop.unless_stopped(reading).await;
    let stopped = || context.stop.stopped("stopped before everything was read", &args.table);
    let versions = read.ok_or_else(stopped)?.map_err(|error: ReplayError| error.to_failure(&place))?;
    for version in &versions {
        context.out.result("version", &Shown::of(version).map_err(|error| unreadable(&error, &place))?);
    }
    timeline.serves(timeline.manifest.closed_through.is_some_and(|closed| to <= closed), &context.out)?;
    let unknown = moment::missing(&timeline.manifest, (from, to));
    context.out.summary(&Done { table: timeline.table.to_string(), versions: versions.len(), unknown });
    Ok(())
}

impl History {
    /// The key in the types of the table's schema.
    fn key(&self, manifest: &Manifest, place: &str) -> Result<ItemKey, Failure> {
        let usage = |what: String, option: &str, next: &str| Failure::new(Exit::Usage, what, option, next);
        let newest = manifest.epochs.values().next_back();
        let KeySchema(keys) = newest.map(|epoch| epoch.started.keys.clone()).ok_or_else(|| {
            let next = "start `tailrace capture` for this table";
            Failure::new(Exit::OutsideCoverage, "nothing is archived of this table yet", place, next)
        })?;
        let value = |option: &str, kind: KeyType, text: &str| {
            let next = "a number like 42 or -1.5e3; for binary, base64";
            let wrong = || usage(format!("{text:?} is no key of type {}", kind.tag()), option, next);
            KeyValue::parse(kind, text).ok_or_else(wrong)
        };
        let (sort, given) = (keys.get(1), self.sk.as_deref());
        let sk = match (sort, given) {
            (Some(sort), Some(text)) => Some(value("--sk", sort.kind, text)?),
            (None, None) => None,
            (Some(sort), None) => {
                let what = format!("the table has the sort key {}, and an item of it needs both", sort.name);
                return Err(usage(what, "--sk", "give its value with --sk"));
            }
            (None, Some(_)) => {
                return Err(usage("the table has no sort key".to_owned(), "--sk", "leave out --sk"));
            }
        };
        let pk = keys.first().map_or(KeyType::S, |key| key.kind);
        Ok(ItemKey { pk: value("--pk", pk, &self.pk)?, sk })
    }
}

/// A version as it is printed.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// The archive's second: `replay --before` it gives the item before this change.
    at: Second,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a RawValue>,
    sequence: &'a str,
    shard: &'a str,
    changes: Changes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'a RawValue>,
}

impl<'a> Shown<'a> {
    fn of(version: &'a Version) -> Result<Self, ImageError> {
        let row = &version.row;
        Ok(Self {
            at: row.cut_at,
            kind: row.kind.word(),
            event_id: row.event_id.as_ref().map(|id| id.as_str()),
            actor: row.actor.as_ref().map(|actor| raw(actor.as_str())).transpose()?,
            sequence: row.sequence.as_delivered(),
            shard: row.shard_id.as_str(),
            changes: Changes::between(version.before.as_ref(), version.after())?,
            item: version.after().map(|item| raw(item.as_str())).transpose()?,
        })
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.kind)?;
        if let Some(id) = self.event_id {
            write!(f, "  event {id}")?;
        }
        if let Some(actor) = self.actor {
            write!(f, "  by {actor}")?;
        }
        self.changes.fmt(f)
    }
}

#[derive(Debug, Serialize)]
struct Done {
    table: String,
    versions: usize,
    /// What is unknown of that time: changes of the item may be missing.
    unknown: Vec<Unknown>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.versions {
            0 => writeln!(
                f,
                "no change of this item is archived in that time; `tailrace replay` tells whether it was there"
            )?,
            1 => writeln!(f, "1 change")?,
            versions => writeln!(f, "{versions} changes")?,
        }
        self.unknown.iter().try_for_each(|unknown| writeln!(f, "changes may be missing: {unknown}"))
    }
}
