//! From the bytes of a page to changes. Texts stay slices of the page; nothing becomes a typed value that need not.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RawPage, ShardIterator, SourceError};
use crate::change::{Change, ChangeKind, ItemKey, KeySchema, Micros, Second, Sequence, Text};
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
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
struct Response<'a, R> {
    #[serde(rename = "Records")]
    records: Option<Vec<R>>,
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
    let body = Text::whole(raw.body.clone()).ok_or_else(|| malformed(&"it is not UTF-8"))?;
    let reader = Reader { body: &body, keys, at: raw.at };
    // Nearly every page holds known records only, and is read in one go; any other is read again, record by record.
    match reader.known_page() {
        Some(page) => Ok(page),
        None => reader.page(),
    }
}

fn malformed(why: &dyn std::fmt::Display) -> SourceError {
    ServiceError::Malformed(format!("a page of records: {why}")).into()
}

/// What the records of one page share.
struct Reader<'a> {
    body: &'a Text,
    keys: &'a KeySchema,
    at: Second,
}

/// What a record says beside what happened to the item.
struct Frame {
    sequence: Sequence,
    changed_at: Option<Micros>,
    key: Option<ItemKey>,
    event_id: Option<Text>,
    size_bytes: Option<i64>,
    actor: Option<Text>,
}

impl Reader<'_> {
    /// The page, if every record of it is known.
    fn known_page(&self) -> Option<Page> {
        let response: Response<'_, Record<'_>> = serde_json::from_str(self.body.as_str()).ok()?;
        let known = |record: Record<'_>| self.known(&record, self.frame(&record).ok()?);
        let changes = response.records?.into_iter().map(known).collect::<Option<_>>()?;
        Some(self.of(changes, response.next))
    }

    fn page(&self) -> Result<Page, SourceError> {
        let response: Response<'_, &RawValue> =
            serde_json::from_str(self.body.as_str()).map_err(|error| malformed(&error))?;
        let records = match response.records {
            None if planted(Bug::NoRecordsEndsShard) => vec![],
            records => records.ok_or_else(|| malformed(&"it has no Records"))?,
        };
        let changes = records.into_iter().map(|record| self.change(record)).collect::<Result<_, _>>()?;
        Ok(self.of(changes, response.next))
    }

    fn of(&self, changes: Vec<Change>, next: Option<Cow<'_, str>>) -> Page {
        Page { changes, next: next.map(|next| ShardIterator(next.into_owned())), at: self.at }
    }

    fn change(&self, raw: &RawValue) -> Result<Change, SourceError> {
        let record: Record<'_> =
            serde_json::from_str(raw.get()).map_err(|error| malformed(&format_args!("a record: {error}")))?;
        let frame = self.frame(&record)?;
        if let Some(known) = self.known(&record, frame) {
            return Ok(known);
        }
        let Frame { sequence, changed_at, key, event_id, size_bytes, actor } = self.frame(&record)?;
        Ok(Change {
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
        })
    }

    fn frame(&self, record: &Record<'_>) -> Result<Frame, SourceError> {
        let body = record.dynamodb.as_ref().ok_or_else(|| malformed(&"a record without `dynamodb`"))?;
        let sequence = body
            .sequence
            .and_then(string)
            .and_then(|text| Sequence::parse(&text).ok())
            .ok_or_else(|| malformed(&"a record without a readable SequenceNumber"))?;
        Ok(Frame {
            sequence,
            changed_at: body.changed_at.and_then(|stamp| stamp::micros(stamp.get())),
            key: body.keys.and_then(|keys| ItemKey::from_keys_json(self.keys, keys.get()).ok()),
            event_id: record.event_id.and_then(|id| self.string(id)),
            size_bytes: body.size_bytes.and_then(|size| size.get().parse().ok()),
            actor: record.user_identity.map(|actor| self.text(actor)),
        })
    }

    /// The change, if its kind is known, it has a time, and its images and key can be read.
    fn known(&self, record: &Record<'_>, frame: Frame) -> Option<Change> {
        let body = record.dynamodb.as_ref()?;
        let kind = record.event_name.and_then(string).and_then(|word| ChangeKind::from_word(&word))?;
        if kind == ChangeKind::Unknown {
            return None;
        }
        let Frame { sequence, changed_at, key, event_id, size_bytes, actor } = frame;
        let change = Change {
            sequence,
            kind,
            changed_at: changed_at?,
            key,
            event_id,
            size_bytes,
            actor,
            new_image: body.new_image.map(|image| self.text(image)),
            old_image: body.old_image.map(|image| self.text(image)),
            new_digest: None,
            old_digest: None,
        };
        change.with_digests().ok()
    }

    fn text(&self, raw: &RawValue) -> Text {
        self.body.slice_ref(raw.get())
    }

    /// The content of a JSON string; a slice of the page where nothing is escaped.
    fn string(&self, raw: &RawValue) -> Option<Text> {
        string(raw).map(|content| match content {
            Cow::Borrowed(part) => self.body.slice_ref(part),
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
