//! The other side of `diff --to live`: the live items of the keys that changed, and no others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::super::archive::Opened;
use super::super::live::{Regions, describe};
use super::super::table::TableName;
use crate::base::items::MOST_KEYS;
use crate::base::scan::DynamoTable;
use crate::change::{ItemKey, KeySchema, Text, digest};
use crate::failure::{Exit, Failure};
use crate::platform::aws::ServiceError;
use crate::platform::clock::sleep;
use crate::replay::{Difference, Differences};

/// How often the service may leave keys out before it is given up, and the pause between.
const PATIENCE: (u32, Duration) = (20, Duration::from_millis(500));

/// A table that is there now.
pub(super) struct Live {
    table: DynamoTable,
    keys: KeySchema,
    place: String,
}

impl Live {
    /// The table of this timeline, which must still be the same one.
    pub(super) async fn of(timeline: &Opened, name: &TableName) -> Result<Self, Failure> {
        let aws = Regions::default().of(Some(&timeline.table.region)).await?;
        let facts = describe(&aws, name).await?;
        if facts.identity.table_id != timeline.table.table_id {
            let what = format!("the live table is {}, made anew since {} was archived", facts.identity, timeline.table);
            let next = "compare two times of the archive, or name the timeline of the live table";
            return Err(Failure::new(Exit::Usage, what, "--to live", next));
        }
        let table = DynamoTable::connect(&aws, &*facts.identity.name);
        Ok(Self { table, keys: facts.keys, place: facts.identity.to_string() })
    }

    /// Gives `each` what differs between the first image of every difference that comes and the live item.
    pub(super) async fn compare(
        &self,
        mut from: mpsc::Receiver<Difference>,
        mut each: impl FnMut(&Difference) -> Result<(), Failure>,
    ) -> Result<Differences, Failure> {
        let mut counts = Differences::default();
        loop {
            let mut some = Vec::with_capacity(MOST_KEYS);
            if from.recv_many(&mut some, MOST_KEYS).await == 0 {
                return Ok(counts);
            }
            let mut items = self.items(&some).await?;
            for Difference { pk, sk, before, .. } in some {
                let after = items.remove(&(pk.clone(), sk.clone()));
                let difference = Difference { pk, sk, before, after };
                if counts.count(&difference, self.is_same(&difference)?) {
                    each(&difference)?;
                }
            }
        }
    }

    /// The live items of these keys.
    async fn items(&self, of: &[Difference]) -> Result<BTreeMap<(Text, Option<Text>), Text>, Failure> {
        let mut left: Vec<Text> = of.iter().map(|difference| key(&self.keys, difference)).collect();
        let (mut found, (mut tries, pause)) = (BTreeMap::new(), PATIENCE);
        while !left.is_empty() {
            let batch = self.table.items(&left).await.map_err(|error| self.failed(&error))?;
            for image in batch.items {
                let unreadable = |error| self.failed(&ServiceError::Malformed(format!("an item's key: {error}")));
                let key = ItemKey::from_image(&self.keys, image.as_str()).map_err(unreadable)?;
                found.insert((key.pk.text, key.sk.map(|sk| sk.text)), image);
            }
            left = batch.left;
            if !left.is_empty() {
                tries = tries.checked_sub(1).ok_or_else(|| {
                    self.failed(&ServiceError::Throttled(format!("{} items were not read", left.len())))
                })?;
                sleep(pause).await;
            }
        }
        Ok(found)
    }

    fn is_same(&self, difference: &Difference) -> Result<bool, Failure> {
        let unreadable = |error| self.failed(&ServiceError::Malformed(format!("an image: {error}")));
        let of = |image: &Option<Text>| image.as_ref().map(|image| digest::image(image.as_str())).transpose();
        let (before, after) = (of(&difference.before), of(&difference.after));
        Ok(before.map_err(unreadable)? == after.map_err(unreadable)?)
    }

    fn failed(&self, error: &ServiceError) -> Failure {
        let what = format!("reading the live items failed: {error}");
        let (exit, next) = match error {
            ServiceError::Denied(_) => (Exit::Credentials, "allow dynamodb:BatchGetItem on this table"),
            ServiceError::NotFound { .. } => (Exit::Usage, "see that the table is still there"),
            _ => (Exit::Failure, "run it again"),
        };
        Failure::new(exit, what, &self.place, next)
    }
}

/// An item's key as the service takes it.
fn key(schema: &KeySchema, difference: &Difference) -> Text {
    let texts = [Some(&difference.pk), difference.sk.as_ref()].into_iter().flatten();
    let members = schema
        .0
        .iter()
        .zip(texts)
        .map(|(attribute, text)| (attribute.name.clone(), json!({ attribute.kind.tag(): text.as_str() })));
    Text::from(Value::Object(members.collect::<Map<_, _>>()).to_string())
}
