//! A strongly consistent scan in parallel parts, under a cap; items come through as the service sent them.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

pub use super::gather::Items;
use crate::change::{Second, Text};
use crate::platform::aws::answer::{PassThrough, Seen, ServiceTime, Stand};
use crate::platform::aws::{ServiceError, attribute};
use crate::platform::patience::{Curable as _, Cure, Patience};
use crate::platform::rate::Cap;

/// One part of a parallel scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub number: u32,
    /// Parts in all.
    pub of: u32,
}

/// One page of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Images, byte for byte.
    pub items: Vec<Text>,
    /// `LastEvaluatedKey`'s JSON, if the part goes on.
    pub next: Option<Text>,
    /// The service's time of the page.
    pub at: Second,
    /// Read units that it cost.
    pub units: u32,
}

/// A table that can be scanned.
#[async_trait]
pub trait TableScan: Send + Sync + std::fmt::Debug {
    /// The service's time.
    ///
    /// # Errors
    /// As named by the variants.
    async fn now(&self) -> Result<Second, ServiceError>;

    /// The page of `part` behind `after`, read strongly consistent.
    ///
    /// # Errors
    /// As named by the variants.
    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError>;
}

/// A table through the AWS SDK.
#[derive(Debug, Clone)]
pub struct DynamoTable {
    pub(super) client: Client,
    pub(super) table: String,
}

impl DynamoTable {
    /// The table of this name or ARN, reached with these settings.
    #[must_use]
    pub fn connect(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        Self::new(Client::new(config), table)
    }

    /// The table of this name or ARN.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }
}

/// The typed answer of `Scan`, which pages do without.
const SCAN: Stand = Stand {
    output: || Output::erase(ScanOutput::builder().build()),
    error: |meta| Error::erase(ScanError::generic(meta)),
};

#[async_trait]
impl TableScan for DynamoTable {
    async fn now(&self) -> Result<Second, ServiceError> {
        let seen = Seen::default();
        let call = self.client.describe_table().table_name(&self.table).customize();
        let answer = call.interceptor(ServiceTime(seen.clone())).send().await;
        answer.map(|_| seen.at()).map_err(|error| ServiceError::of(&error, seen.at()))
    }

    async fn page(&self, part: Part, after: Option<&Text>) -> Result<Page, ServiceError> {
        let wrong = |error: &dyn std::fmt::Display| ServiceError::Malformed(format!("a page of a scan: {error}"));
        let after = after.map(|key| attribute::item(key.as_str())).transpose().map_err(|e| wrong(&e))?;
        let (number, of) = (i32::try_from(part.number).ok(), i32::try_from(part.of).ok());
        let seen = Seen::default();
        self.client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .set_segment(number)
            .set_total_segments(of)
            .set_exclusive_start_key(after)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .customize()
            .interceptor(ServiceTime(seen.clone()))
            .interceptor(PassThrough(seen.clone(), SCAN))
            .send()
            .await
            .map_err(|error| ServiceError::of(&error, seen.at()))?;
        let body = seen.body().await.ok_or_else(|| wrong(&"no body"))?;
        read(&body, seen.at()).map_err(|e| wrong(&e))
    }
}

/// Reads a `Scan` response in place.
fn read(body: &Bytes, at: Second) -> Result<Page, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
        #[serde(borrow, default)]
        last_evaluated_key: Option<&'a RawValue>,
        #[serde(default)]
        consumed_capacity: Option<Consumed>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Consumed {
        capacity_units: Option<f64>,
    }
    let read: Body<'_> = serde_json::from_slice(body)?;
    let units = read.consumed_capacity.and_then(|consumed| consumed.capacity_units).unwrap_or_default();
    // Where the service does not say it: one unit for each 4 KiB, of which the JSON has a little more.
    let estimate = u32::try_from(body.len().div_ceil(4096)).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a price, clamped by the cast")]
    let units = if units > 0.0 { units.ceil() as u32 } else { estimate };
    Ok(Page {
        items: read.items.into_iter().map(|item| Text::slice_of(body, item.get())).collect(),
        next: read.last_evaluated_key.map(RawValue::get).filter(|key| *key != "{}" && *key != "null").map(Text::from),
        at,
        units,
    })
}

/// Scans all parts, `parts` of them side by side, into `pages`. Failures are waited out as `patience` says; what a
/// person must mend only once a page has been read: a permission that never was is told at once.
///
/// # Errors
/// What the service refuses. A closed channel ends the scan early without one.
pub async fn all(
    table: &dyn TableScan,
    parts: u32,
    cap: &Cap,
    patience: &Patience,
    pages: mpsc::Sender<Items>,
) -> Result<(), ServiceError> {
    let parts = parts.max(1);
    let scan = Scan { table, cap, patience, begun: AtomicBool::new(false) };
    stream::iter(0..parts)
        .map(|number| scan.part(Part { number, of: parts }, pages.clone()))
        .buffer_unordered(usize::try_from(parts).unwrap_or(usize::MAX))
        .try_collect::<()>()
        .await
}

/// What the parts share.
struct Scan<'a> {
    table: &'a dyn TableScan,
    cap: &'a Cap,
    patience: &'a Patience,
    /// A page has been read.
    begun: AtomicBool,
}

impl Scan<'_> {
    async fn part(&self, part: Part, pages: mpsc::Sender<Items>) -> Result<(), ServiceError> {
        let mut patience = self.patience.clone();
        let mut after = None;
        loop {
            let page = match self.table.page(part, after.as_ref()).await {
                Ok(page) => page,
                Err(error) if error.cure() == Cure::Person && !self.begun.load(Ordering::Relaxed) => return Err(error),
                Err(error) => {
                    patience.bear("scanning the table", error).await?;
                    continue;
                }
            };
            self.begun.store(true, Ordering::Relaxed);
            patience.renew();
            self.cap.spend(page.units).await;
            after.clone_from(&page.next);
            let items = Items { items: page.items, at: page.at };
            if pages.send(items).await.is_err() || after.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_its_bytes() {
        let body = br#"{"Count":2,"Items":[{"id":{"N":"1.50"} , "s":{"S":"\u00e9"}},{"id":{"N":"2"}}],
            "LastEvaluatedKey":{"id":{"N":"2"}},"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.5}}"#;
        let page = read(&Bytes::from_static(body), Second(5)).unwrap();
        assert_eq!(page.items[0].as_str(), r#"{"id":{"N":"1.50"} , "s":{"S":"\u00e9"}}"#);
        assert_eq!(page.next, Some(Text::from(r#"{"id":{"N":"2"}}"#)));
        assert_eq!((page.at, page.units), (Second(5), 3));
        let last = read(&Bytes::from_static(br#"{"Items":[],"LastEvaluatedKey":{}}"#), Second(5)).unwrap();
        assert_eq!((last.next, last.units), (None, 1));
        assert!(read(&Bytes::from_static(br#"{"Count":0}"#), Second(5)).is_err());
        assert!(read(&Bytes::from_static(br#"{"Items":[{"id":"#), Second(5)).is_err());
    }
}
