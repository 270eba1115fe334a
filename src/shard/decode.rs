//! From the bytes of a page to changes. Texts stay slices of the page; nothing becomes a typed value that need not.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RawPage, ShardIterator, SourceError};
use crate::change::{Change, ChangeKind, ItemKey, KeySchema, Second, Sequence, Text};
use crate::platform::aws::ServiceError;
use crate::platform::bugs::{Bug, planted};

mod stamp;

/// A decoded page.
#[derive(Debug)]
pub struct Page {
    /// Changes in order.
    pub changes: Vec<Change>,
    /// Where the next page is; `None` ends the shard.
    pub next: Option<ShardIterator>,
    /// The service's time of this page.
    pub at: Second,
}

/// The members of a response that we read.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "NextShardIterator", default)]
    next: Option<Cow<'a, str>>,
}

/// The members of a record that we read. All are optional here, so that a record lacking one is kept as unknown.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "eventName")]
    event_name: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventID")]
    event_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "userIdentity")]
    user_identity: Option<&'a RawValue>,
    #[serde(borrow)]
    dynamodb: Option<Body<'a>>,
}

/// The member `dynamodb` of a record.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "ApproximateCreationDateTime")]
    changed_at: Option<&'a RawValue>,
    #[serde(borrow, rename = "Keys")]
    keys: Option<&'a RawValue>,
    #[serde(borrow, rename = "NewImage")]
    new_image: Option<&'a RawValue>,
    #[serde(borrow, rename = "OldImage")]
    old_image: Option<&'a RawValue>,
    #[serde(borrow, rename = "SequenceNumber")]
    sequence: Option<&'a RawValue>,
    #[serde(borrow, rename = "SizeBytes")]
    size_bytes: Option<&'a RawValue>,
}

/// Decodes a page of a table with this key.
///
/// A record that cannot be understood becomes a change of kind `UNKNOWN` that holds the whole record.
///
/// # Errors
/// [`ServiceError::Malformed`] for a body that is cut, lacks `Records`, or holds a record without a readable
/// sequence number, which could not be placed.
pub fn page(raw: &RawPage, keys: &KeySchema) -> Result<Page, SourceError> {
    let text = std::str::from_utf8(&raw.body).map_err(|error| malformed(&error))?;
    let response: Response<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let records = match response.records {
        None if planted(Bug::NoRecordsEndsShard) => vec![],
        records => records.ok_or_else(|| malformed(&"it has no Records"))?,
    };
    let reader = Reader { body: &raw.body, keys, at: raw.at };
    let changes = records.into_iter().map(|record| reader.change(record)).collect::<Result<_, _>>()?;
    Ok(Page { changes, next: response.next.map(|next| ShardIterator(next.into_owned())), at: raw.at })
}

fn malformed(why: &dyn std::fmt::Display) -> SourceError {
    ServiceError::Malformed(format!("a page of records: {why}")).into()
}

/// What the records of one page share.
struct Reader<'a> {
    body: &'a Bytes,
    keys: &'a KeySchema,
    at: Second,
}

impl Reader<'_> {
    fn change(&self, raw: &RawValue) -> Result<Change, SourceError> {
        let record: Record<'_> =
            serde_json::from_str(raw.get()).map_err(|error| malformed(&format_args!("a record: {error}")))?;
        let body = record.dynamodb.as_ref().ok_or_else(|| malformed(&"a record without `dynamodb`"))?;
        let sequence = body
            .sequence
            .and_then(string)
            .and_then(|text| Sequence::parse(&text).ok())
            .ok_or_else(|| malformed(&"a record without a readable SequenceNumber"))?;
        let key = body.keys.and_then(|keys| ItemKey::from_keys_json(self.keys, keys.get()).ok());
        let changed_at = body.changed_at.and_then(|stamp| stamp::micros(stamp.get()));
        let event_id = record.event_id.and_then(|id| self.string(id));
        let size_bytes = body.size_bytes.and_then(|size| size.get().parse().ok());
        let actor = record.user_identity.map(|actor| self.text(actor));
        let unknown = Change {
            sequence,
            kind: ChangeKind::Unknown,
            // Without a stamp the page's own time stands in: it is never below the change's.
            changed_at: changed_at.unwrap_or_else(|| self.at.micros()),
            key,
            event_id,
            size_bytes,
            actor,
            new_image: Some(self.text(raw)),
            old_image: None,
            new_digest: None,
            old_digest: None,
        };
        let kind = record.event_name.and_then(string).and_then(|word| ChangeKind::from_word(&word));
        let Some(kind) = kind.filter(|kind| *kind != ChangeKind::Unknown && changed_at.is_some()) else {
            return Ok(unknown);
        };
        let new_image = body.new_image.map(|image| self.text(image));
        let old_image = body.old_image.map(|image| self.text(image));
        let change = Change { kind, new_image, old_image, ..unknown.clone() };
        Ok(change.with_digests().unwrap_or(unknown))
    }

    fn text(&self, raw: &RawValue) -> Text {
        Text::slice_of(self.body, raw.get())
    }

    /// The content of a JSON string; a slice of the page where nothing is escaped.
    fn string(&self, raw: &RawValue) -> Option<Text> {
        string(raw).map(|content| match content {
            Cow::Borrowed(part) => Text::slice_of(self.body, part),
            Cow::Owned(text) => Text::from(text),
        })
    }
}

/// The content of a JSON string.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Content<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str(raw.get()).ok().map(|Content(content)| content)
}

#[cfg(test)]
mod tests;
