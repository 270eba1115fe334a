//! Batches of puts: sent side by side, sent again until nothing is left unprocessed, under a rate cap.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{failure, is_passing};
use crate::platform::aws::attribute;
use crate::platform::clock;
use crate::platform::ids::Ids;
use crate::platform::rate::Cap;
use crate::platform::retry::Backoff;
use crate::replay::sink::{Item, SinkError};

/// `BatchWriteItem` takes at most this many puts.
const MOST_PUTS: usize = 25;
/// It takes 16 MB in all; JSON escapes and base64 may make an item larger on the wire than it is stored.
const MOST_BYTES: usize = 10 << 20;
/// Batches under way at once.
const SIDE_BY_SIDE: usize = 8;
/// Tries in a row that got nothing written, with growing pauses, before somebody is told.
const TOLD_AFTER: u32 = 10;
/// The same (some ten minutes in all) before the load gives up.
const MOST_TRIES: u32 = 40;

/// Writes items into one table.
#[derive(Debug)]
pub(super) struct Loader {
    client: Client,
    table: String,
    cap: Cap,
    ids: Ids,
    written: AtomicU64,
}

impl Loader {
    pub(super) fn new(client: Client, table: String, most_write_units: Option<u32>, ids: Ids) -> Self {
        Self { client, table, cap: Cap::per_second(most_write_units), ids, written: AtomicU64::new(0) }
    }

    /// Writes all items; on return the service has acknowledged each.
    pub(super) async fn put(&self, items: Vec<Item>) -> Result<(), SinkError> {
        stream::iter(batches(items))
            .map(|batch| self.batch(batch))
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<()>()
            .await
    }

    async fn batch(&self, items: Vec<Item>) -> Result<(), SinkError> {
        for item in &items {
            self.cap.spend(u32::try_from(item.image.len().div_ceil(1024)).unwrap_or(u32::MAX)).await;
        }
        let mut left = items.iter().map(|item| self.request(item)).collect::<Result<Vec<_>, _>>()?;
        let mut tries = Tries(Backoff::new(self.ids.clone(), Duration::from_millis(50), Duration::from_secs(20)));
        while !left.is_empty() {
            let before = left.len();
            left = self.send(left, tries.may_fail()).await?;
            let taken = before.saturating_sub(left.len());
            self.written.fetch_add(taken as u64, Relaxed);
            if !left.is_empty() {
                clock::sleep(tries.after(&self.table, taken, left.len())?).await;
            }
        }
        Ok(())
    }

    /// Items that the service has acknowledged.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Sends a batch once; gives what is still to be written. A passing failure is one unless it `may_fail` again.
    async fn send(&self, left: Vec<WriteRequest>, may_fail: bool) -> Result<Vec<WriteRequest>, SinkError> {
        let call = self.client.batch_write_item().request_items(&self.table, left.clone());
        match call.send().await {
            Ok(answer) => Ok(answer.unprocessed_items.and_then(|mut all| all.remove(&self.table)).unwrap_or_default()),
            Err(error) if is_passing(&error) && may_fail => {
                tracing::debug!(table = %self.table, code = ?error.code(), "a batch was put off");
                Ok(left)
            }
            Err(error) => Err(failure(&self.table, &error)),
        }
    }

    fn request(&self, item: &Item) -> Result<WriteRequest, SinkError> {
        let failed = |reason: String| SinkError::Failed { place: format!("dynamodb:{}", self.table), reason };
        let values =
            attribute::item(item.image.as_str()).map_err(|error| failed(format!("an image is no item: {error}")))?;
        let put = PutRequest::builder().set_item(Some(values)).build().map_err(|error| failed(error.to_string()))?;
        Ok(WriteRequest::builder().put_request(put).build())
    }
}

/// The tries of one batch that got nothing written.
#[derive(Debug)]
struct Tries(Backoff);

impl Tries {
    /// Whether there is another try after this one.
    const fn may_fail(&self) -> bool {
        self.0.attempts() + 1 < MOST_TRIES
    }

    /// How long to wait after a try that got `taken` items written and left others.
    fn after(&mut self, table: &str, taken: usize, left: usize) -> Result<Duration, SinkError> {
        if taken > 0 {
            self.0.reset();
        } else if !self.may_fail() {
            return Err(SinkError::Stuck { place: format!("dynamodb:{table}"), puts: left, tries: MOST_TRIES });
        } else if self.0.attempts() + 1 == TOLD_AFTER {
            tracing::warn!(
                table,
                left,
                tries = TOLD_AFTER,
                "the table takes no items: is its write capacity too small?"
            );
        }
        Ok(self.0.step())
    }
}

/// Cuts items into batches that the service takes. No key stands twice in an image, so none does in a batch.
fn batches(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for item in items {
        let len = item.image.len();
        if !batch.is_empty() && (batch.len() == MOST_PUTS || bytes + len > MOST_BYTES) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += len;
        batch.push(item);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{KeyHash, Text};

    #[test]
    fn a_batch_ends_at_its_count_or_its_bytes() {
        let item = |len: usize| Item {
            key_hash: KeyHash([0; 16]),
            pk: Text::from("k"),
            sk: None,
            image: Text::from("x".repeat(len)),
            digest: 0,
        };
        let counts = |items: Vec<Item>| batches(items).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts((0..60).map(|_| item(10)).collect()), [25, 25, 10]);
        assert_eq!(counts((0..5).map(|_| item(4 << 20)).collect()), [2, 2, 1]);
        assert_eq!(counts(vec![item(11 << 20), item(1)]), [1, 1]);
        assert_eq!(counts(Vec::new()), [0usize; 0]);
    }

    #[test]
    fn a_batch_that_nothing_is_taken_of_is_given_up_after_a_bounded_number_of_tries() {
        let pause = Backoff::new(Ids::seeded(1), Duration::from_millis(50), Duration::from_secs(20));
        let mut tries = Tries(pause);
        let mut waited = Duration::ZERO;
        for _ in 1..MOST_TRIES {
            assert!(tries.may_fail());
            waited += tries.after("copy", 0, 7).unwrap();
        }
        assert!(waited > Duration::from_secs(300) && waited < Duration::from_secs(1200), "{waited:?}");
        assert!(!tries.may_fail());
        let stuck = SinkError::Stuck { place: "dynamodb:copy".to_owned(), puts: 7, tries: MOST_TRIES };
        assert_eq!(tries.after("copy", 0, 7), Err(stuck));
        // What gets on, however slowly, is never given up.
        tries.after("copy", 1, 6).unwrap();
        assert!(tries.may_fail());
        tries.after("copy", 0, 6).unwrap();
    }
}
