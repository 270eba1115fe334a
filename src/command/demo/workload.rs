//! The writer of the demo: orders of every attribute type, and the truth about them that it keeps for itself.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, DeleteRequest, KeySchemaElement, KeyType, PutRequest,
    ScalarAttributeType, StreamSpecification, StreamViewType, WriteRequest,
};

use crate::failure::{Exit, Failure};
use crate::platform::ids::Ids;

/// The table that is archived.
pub(super) const TABLE: &str = "orders";

/// An item as the SDK writes it.
type Item = HashMap<String, AttributeValue>;

/// What the table holds, by (customer, order), as the writer knows it.
pub(super) type Truth = BTreeMap<(String, String), Item>;

/// Items in one `BatchWriteItem` call: the service's limit.
const BATCH: usize = 25;

/// Writes to the table, and remembers.
pub(super) struct Workload {
    client: Client,
    ids: Ids,
    truth: Truth,
    changes: u64,
    next_order: u64,
}

impl Workload {
    /// Creates the table, with a stream of both images.
    pub(super) async fn create_table(client: Client, ids: Ids) -> Result<Self, Failure> {
        let attribute = |name: &str| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
        };
        let key = |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let stream = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        client
            .create_table()
            .table_name(TABLE)
            .attribute_definitions(attribute("customer").map_err(failed)?)
            .attribute_definitions(attribute("order").map_err(failed)?)
            .key_schema(key("customer", KeyType::Hash).map_err(failed)?)
            .key_schema(key("order", KeyType::Range).map_err(failed)?)
            .billing_mode(BillingMode::PayPerRequest)
            .stream_specification(stream.map_err(failed)?)
            .send()
            .await
            .map_err(failed)?;
        Ok(Self { client, ids, truth: Truth::new(), changes: 0, next_order: 0 })
    }

    /// What the table holds now.
    pub(super) fn truth(&self) -> Truth {
        self.truth.clone()
    }

    /// Changes made so far.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// One round of everyday business: new orders, status updates, a few deletions.
    pub(super) async fn business(&mut self, new_orders: usize) -> Result<(), Failure> {
        let inserted = (0..new_orders).map(|_| self.new_order()).collect();
        self.put(inserted).await?;
        let updated = self.choose(new_orders / 2).into_iter().map(|item| self.update(item)).collect();
        self.put(updated).await?;
        let gone = self.choose(new_orders / 10);
        self.delete(gone).await
    }

    /// The bad deploy: overwrites a sixth of the items with rubbish, and deletes another sixth.
    pub(super) async fn disaster(&mut self) -> Result<(u64, u64), Failure> {
        let hit = self.choose(self.truth.len() / 3);
        let (ruined, gone) = hit.split_at(hit.len() / 2);
        let ruined: Vec<Item> = ruined
            .iter()
            .map(|item| {
                let mut item: Item =
                    item.iter().filter(|(name, _)| is_key(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
                item.insert("status".to_owned(), AttributeValue::S("undefined".to_owned()));
                item.insert("total".to_owned(), AttributeValue::Null(true));
                item
            })
            .collect();
        let (overwritten, deleted) = (ruined.len() as u64, gone.len() as u64);
        self.put(ruined).await?;
        self.delete(gone.to_vec()).await?;
        Ok((overwritten, deleted))
    }

    /// A new order, with an attribute of every type.
    fn new_order(&mut self) -> Item {
        self.next_order += 1;
        let number = self.next_order;
        let cents = self.ids.below(10_000_000);
        let text = |value: String| AttributeValue::S(value);
        Item::from([
            ("customer".to_owned(), text(format!("customer-{:04}", self.ids.below(400)))),
            ("order".to_owned(), text(format!("2026-{number:08}"))),
            ("status".to_owned(), text("new".to_owned())),
            (
                "total".to_owned(),
                AttributeValue::N(format!("{}.{:02}", cents / 100, cents % 99 + 1).trim_end_matches('0').to_owned()),
            ),
            // 38 digits: one more than any float or 128-bit decimal keeps.
            (
                "ledger".to_owned(),
                AttributeValue::N(format!("1234567890123456789012345678{:010}", 1_000_000_000 + number)),
            ),
            ("paid".to_owned(), AttributeValue::Bool(self.ids.below(2) == 0)),
            ("coupon".to_owned(), AttributeValue::Null(true)),
            ("note".to_owned(), text(String::new())),
            ("signature".to_owned(), AttributeValue::B(Blob::new(self.ids.bits().to_be_bytes()))),
            ("tags".to_owned(), AttributeValue::Ss(vec!["a \"quoted\" tag".to_owned(), "größe".to_owned()])),
            ("sizes".to_owned(), AttributeValue::Ns(vec!["-0.5".to_owned(), "3".to_owned(), "12".to_owned()])),
            ("hashes".to_owned(), AttributeValue::Bs(vec![Blob::new([0_u8, 255]), Blob::new(number.to_be_bytes())])),
            (
                "address".to_owned(),
                AttributeValue::M(HashMap::from([
                    ("city".to_owned(), text("Zürich 🏔".to_owned())),
                    (
                        "lines".to_owned(),
                        AttributeValue::L(vec![text("Main St 1".to_owned()), AttributeValue::Null(true)]),
                    ),
                ])),
            ),
        ])
    }

    /// The next state of an order.
    fn update(&self, mut item: Item) -> Item {
        let status = ["packed", "shipped", "delivered", "returned"][usize::try_from(self.ids.below(4)).unwrap_or(0)];
        item.insert("status".to_owned(), AttributeValue::S(status.to_owned()));
        item.insert("revision".to_owned(), AttributeValue::N((self.ids.below(1_000_000) + 1).to_string()));
        item.remove("coupon");
        item
    }

    /// `count` different items of the table, by chance.
    fn choose(&self, count: usize) -> Vec<Item> {
        let mut keys: Vec<_> = self.truth.keys().map(|key| (self.ids.bits(), key)).collect();
        keys.sort_unstable();
        keys.into_iter().take(count).filter_map(|(_, key)| self.truth.get(key).cloned()).collect()
    }

    async fn put(&mut self, items: Vec<Item>) -> Result<(), Failure> {
        for batch in items.chunks(BATCH) {
            let mut requests = Vec::with_capacity(batch.len());
            for item in batch {
                let put = PutRequest::builder().set_item(Some(item.clone())).build().map_err(failed)?;
                requests.push(WriteRequest::builder().put_request(put).build());
            }
            self.write(requests).await?;
            for item in batch {
                self.truth.insert(key_of(item), item.clone());
            }
        }
        Ok(())
    }

    async fn delete(&mut self, items: Vec<Item>) -> Result<(), Failure> {
        for batch in items.chunks(BATCH) {
            let mut requests = Vec::with_capacity(batch.len());
            for item in batch {
                let key: Item = item.iter().filter(|(n, _)| is_key(n)).map(|(n, v)| (n.clone(), v.clone())).collect();
                let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(failed)?;
                requests.push(WriteRequest::builder().delete_request(delete).build());
            }
            self.write(requests).await?;
            for item in batch {
                self.truth.remove(&key_of(item));
            }
        }
        Ok(())
    }

    async fn write(&mut self, requests: Vec<WriteRequest>) -> Result<(), Failure> {
        self.changes += requests.len() as u64;
        let mut left = Some(HashMap::from([(TABLE.to_owned(), requests)]));
        while let Some(requests) = left.filter(|requests| !requests.is_empty()) {
            let written =
                self.client.batch_write_item().set_request_items(Some(requests)).send().await.map_err(failed)?;
            left = written.unprocessed_items;
        }
        Ok(())
    }
}

/// Reads every item of a table.
pub(super) async fn read_table(client: &Client, table: &str) -> Result<Truth, Failure> {
    let mut items = Truth::new();
    let mut start = None;
    loop {
        let page = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed)?;
        items.extend(page.items.unwrap_or_default().into_iter().map(|item| (key_of(&item), item)));
        start = page.last_evaluated_key;
        if start.is_none() {
            return Ok(items);
        }
    }
}

/// Keys whose items differ between the two, or that only one of them holds. Sets have no order.
pub(super) fn differences(expected: &Truth, found: &Truth) -> Vec<(String, String)> {
    let same = |a: &Item, b: &Item| {
        a.len() == b.len() && a.iter().all(|(n, v)| b.get(n).is_some_and(|w| sorted(v) == sorted(w)))
    };
    let wrong = expected.iter().filter(|(key, item)| !found.get(*key).is_some_and(|other| same(item, other)));
    let extra = found.iter().filter(|(key, _)| !expected.contains_key(*key));
    wrong.chain(extra).map(|(key, _)| key.clone()).collect()
}

/// The value with its sets in order, at every level.
fn sorted(value: &AttributeValue) -> AttributeValue {
    match value {
        AttributeValue::Ss(set) => AttributeValue::Ss(in_order(set)),
        AttributeValue::Ns(set) => AttributeValue::Ns(in_order(set)),
        AttributeValue::Bs(set) => {
            let mut set = set.clone();
            set.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
            AttributeValue::Bs(set)
        }
        AttributeValue::L(list) => AttributeValue::L(list.iter().map(sorted).collect()),
        AttributeValue::M(map) => AttributeValue::M(map.iter().map(|(n, v)| (n.clone(), sorted(v))).collect()),
        other => other.clone(),
    }
}

fn in_order(set: &[String]) -> Vec<String> {
    let mut set = set.to_vec();
    set.sort_unstable();
    set
}

fn is_key(name: &str) -> bool {
    name == "customer" || name == "order"
}

fn key_of(item: &Item) -> (String, String) {
    let part = |name: &str| item.get(name).and_then(|v| v.as_s().ok()).cloned().unwrap_or_default();
    (part("customer"), part("order"))
}

fn failed<E: std::error::Error>(error: E) -> Failure {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        what = format!("{what}: {inner}");
        cause = inner.source();
    }
    Failure::new(Exit::Failure, what, "the embedded DynamoDB", "run the demo again; if it stays, this is a bug")
}
