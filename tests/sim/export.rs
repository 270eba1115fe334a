//! Exports of the table: as of a second, give or take a minute for each item, and ready only later.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use tailrace::base::export::{ExportState, TableExport};
use tailrace::change::Second;
use tailrace::manifest::ExportOrder;
use tailrace::platform::aws::ServiceError;
use tailrace::platform::clock::sleep;
use tailrace::store::memory::MemoryStore;
use tailrace::store::{Keep, ObjectStore as _};

use crate::gate::Gate;
use crate::service::{Service, identity, image};

/// How far the service may be off at the export's time, in seconds.
const OFF: i64 = 60;
/// How long it knows a token.
const KNOWN: i64 = 8 * 3600;

/// One export.
#[derive(Debug, Clone)]
struct Export {
    order: ExportOrder,
    asked: i64,
    ready: i64,
    fails: bool,
}

/// What the service exported, for all workers.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    pub(crate) bucket: Arc<MemoryStore>,
    known: Mutex<BTreeMap<String, Export>>,
}

/// The table, as one worker has it exported.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) service: Arc<Service>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) gate: Arc<Gate>,
}

impl Exported {
    /// A call takes a moment, and may fail.
    async fn called(&self, what: &str) -> Result<(), ServiceError> {
        self.gate.pass().await;
        sleep(Duration::from_millis(self.service.dice.below(3000))).await;
        let faults = self.service.state().faults;
        if self.service.dice.below(1000) < faults {
            self.service.trace.note("export call failed", what);
            return Err(ServiceError::Unavailable("500".into()));
        }
        Ok(())
    }

    /// The items at `time`, each of them give or take a minute.
    fn items(&self, time: i64) -> Vec<(u64, u64)> {
        let mut items = BTreeMap::new();
        let mut ends = BTreeMap::new();
        let state = self.service.state();
        for made in &state.made {
            let end = *ends.entry(made.key).or_insert_with(|| time + self.service.dice.between(-OFF, OFF));
            match made.new {
                _ if made.at > end => {}
                Some(version) => drop(items.insert(made.key, version)),
                None => drop(items.remove(&made.key)),
            }
        }
        items.into_iter().collect()
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.exports.bucket.put_new(key, bytes.into(), Keep::Full).await.unwrap();
    }

    async fn write(&self, arn: &str, order: &ExportOrder) -> String {
        let folder = format!("{}/AWSDynamoDB/{}", order.prefix, arn.rsplit('/').next().unwrap());
        let manifest = format!("{folder}/manifest-summary.json");
        if self.exports.bucket.get(&manifest, None).await.is_ok() {
            return manifest;
        }
        let items = self.items(order.time.0);
        self.service.trace.note("exported", format_args!("{items:?} as of {}", order.time));
        let mut lines = String::new();
        for (n, items) in items.chunks(4).chain([&[][..]]).enumerate() {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            items.iter().for_each(|(key, version)| {
                writeln!(packed, "{{\"Item\":{}}}", image(*key, *version).as_str()).unwrap();
            });
            let (bytes, key) = (packed.finish().unwrap(), format!("{folder}/data/{n}.json.gz"));
            let (count, md5) = (items.len(), STANDARD.encode(Md5::digest(&bytes)));
            lines.push_str(&format!(
                "{{\"itemCount\":{count},\"md5Checksum\":\"{md5}\",\"etag\":\"e\",\"dataFileS3Key\":\"{key}\"}}\n"
            ));
            self.put(&key, bytes).await;
        }
        let list = format!("{folder}/manifest-files.json");
        self.put(&list, lines.into_bytes()).await;
        let summary = format!(
            r#"{{"tableArn":"{}","tableId":"{}","exportTime":"{}","manifestFilesS3Key":"{list}","itemCount":{},
            "outputFormat":"DYNAMODB_JSON"}}"#,
            arn.split("/export/").next().unwrap(),
            identity().table_id,
            order.time,
            items.len(),
        );
        self.put(&manifest, summary.into_bytes()).await;
        manifest
    }
}

#[async_trait]
impl TableExport for Exported {
    async fn now(&self) -> Result<Second, ServiceError> {
        self.gate.pass().await;
        Ok(self.service.told_time())
    }

    async fn recoverable(&self) -> Result<bool, ServiceError> {
        self.called("backups").await.map(|()| true)
    }

    async fn order(&self, table_arn: &str, order: &ExportOrder) -> Result<String, ServiceError> {
        let (now, dice) = (self.service.now(), &self.service.dice);
        let arn = {
            let mut known = self.exports.known.lock().unwrap();
            let again = |export: &Export| export.order.token == order.token && export.asked + KNOWN > now;
            let found = known.iter().find(|(_, export)| again(export)).map(|(arn, _)| arn.clone());
            found.unwrap_or_else(|| {
                let arn = format!("{table_arn}/export/{:04}", known.len());
                let (ready, fails) = (now + dice.between(10, 300), dice.once_in(8));
                self.service.trace.note("export ordered", format_args!("{arn}: {order:?}"));
                known.insert(arn.clone(), Export { order: order.clone(), asked: now, ready, fails });
                arn
            })
        };
        // The answer may be lost.
        self.called("order").await.map(|()| arn)
    }

    async fn state(&self, export_arn: &str) -> Result<ExportState, ServiceError> {
        self.called("state").await?;
        let export = self.exports.known.lock().unwrap().get(export_arn).cloned();
        let Some(export) = export else { return Err(ServiceError::NotFound { at: self.service.told_time() }) };
        let folder = format!("{}/AWSDynamoDB/{}", export.order.prefix, export_arn.rsplit('/').next().unwrap());
        let started = format!("{folder}/_started");
        if self.exports.bucket.get(&started, None).await.is_err() {
            self.put(&started, vec![]).await;
        }
        Ok(match () {
            () if self.service.now() < export.ready => ExportState::Running,
            () if export.fails => ExportState::Failed { reason: "for a reason".to_owned() },
            () => ExportState::Done { manifest: self.write(export_arn, &export.order).await },
        })
    }
}
