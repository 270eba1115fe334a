//! Batches of puts: sent side by side, sent again until nothing is left unprocessed, under a rate cap.

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
/// Failures in a row, with growing pauses (some ten minutes in all), before the load gives up.
const MOST_FAILURES: u32 = 40;

/// Writes items into one table.
#[derive(Debug)]
pub(super) struct Loader {
    client: Client,
    table: String,
    cap: Cap,
    ids: Ids,
}

impl Loader {
    pub(super) fn new(client: Client, table: String, most_write_units: Option<u32>, ids: Ids) -> Self {
        Self { client, table, cap: Cap::per_second(most_write_units), ids }
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
        let mut pause = Backoff::new(self.ids.clone(), Duration::from_millis(50), Duration::from_secs(20));
        while !left.is_empty() {
            let before = left.len();
            left = self.send(left, &mut pause).await?;
            if left.len() < before {
                pause.reset();
            }
            if !left.is_empty() {
                clock::sleep(pause.step()).await;
            }
        }
        Ok(())
    }

    /// Sends a batch once; gives what is still to be written.
    async fn send(&self, left: Vec<WriteRequest>, pause: &mut Backoff) -> Result<Vec<WriteRequest>, SinkError> {
        let call = self.client.batch_write_item().request_items(&self.table, left.clone());
        match call.send().await {
            Ok(answer) => Ok(answer.unprocessed_items.and_then(|mut all| all.remove(&self.table)).unwrap_or_default()),
            Err(error) if is_passing(&error) && pause.attempts() < MOST_FAILURES => {
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
}
