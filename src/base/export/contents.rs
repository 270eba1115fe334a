//! What an export holds, as its manifest says: its summary, and a line for each file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde::Deserialize;

use super::ExportError;
use crate::base::BaseError;
use crate::change::Second;
use crate::manifest::ExportOrder;
use crate::platform::patience::Patience;
use crate::segment::Facts;
use crate::store::{ObjectStore, StoreError};

/// What hash lies beside a file of the manifest: the service's own pages name both.
const CHECKSUMS: &[&str] = &["checksum", "md5"];

/// What the export must be.
pub(in crate::base) struct Expected<'a> {
    pub(in crate::base) facts: &'a Facts,
    pub(in crate::base) order: &'a ExportOrder,
}

/// What it holds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::base) struct Contents {
    pub(in crate::base) files: Vec<DataFile>,
    /// The sum of theirs.
    pub(in crate::base) items: u64,
}

/// One file of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::base) struct DataFile {
    /// From the bucket's root.
    pub(in crate::base) key: String,
    pub(in crate::base) items: u64,
    /// Of the compressed bytes.
    pub(in crate::base) md5: [u8; 16],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    table_arn: String,
    table_id: Option<String>,
    export_time: String,
    export_type: Option<String>,
    output_format: String,
    manifest_files_s3_key: String,
    item_count: u64,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileLine {
    item_count: u64,
    md5_checksum: String,
    data_file_s3_key: String,
}

impl Contents {
    /// Reads and checks the manifest whose summary lies at `summary`.
    pub(in crate::base) async fn of(
        bucket: &dyn ObjectStore,
        summary: &str,
        expected: &Expected<'_>,
        patience: &mut Patience,
    ) -> Result<Self, BaseError> {
        let bytes = checked(bucket, summary, patience).await?;
        let told = expected.summary(&bytes).map_err(|reason| ExportError::unfit(summary, reason))?;
        let list = &told.manifest_files_s3_key;
        let bytes = checked(bucket, list, patience).await?;
        let contents = Self::listed(&bytes).map_err(|reason| ExportError::unfit(list, reason))?;
        if contents.items == told.item_count {
            return Ok(contents);
        }
        let reason = format!("its files hold {} items, its summary says {}", contents.items, told.item_count);
        Err(ExportError::unfit(list, reason).into())
    }

    fn listed(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let files: Result<Vec<DataFile>, String> = lines.map(file).collect();
        let files = files?;
        let items = files.iter().map(|file| file.items).sum();
        Ok(Self { files, items })
    }
}

fn file(line: &str) -> Result<DataFile, String> {
    let line: FileLine = serde_json::from_str(line).map_err(|error| format!("a line cannot be read: {error}"))?;
    let md5 = hash(&line.md5_checksum).ok_or_else(|| format!("no MD5: {:?}", line.md5_checksum))?;
    Ok(DataFile { key: line.data_file_s3_key, items: line.item_count, md5 })
}

impl Expected<'_> {
    /// The summary, if the export is the one that was asked for, and whole.
    fn summary(&self, bytes: &[u8]) -> Result<Summary, String> {
        let told: Summary = serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
        let asked = |what: &str, is: &str, wanted: &str| {
            if is == wanted { Ok(()) } else { Err(format!("its {what} is {is:?}, and {wanted:?} was asked for")) }
        };
        asked("table", &told.table_arn, &self.facts.table_arn)?;
        // A service that gives its tables no identity writes none here.
        let id = told.table_id.as_deref().filter(|_| !self.facts.table_id.starts_with("local-"));
        asked("table's id", id.unwrap_or(&self.facts.table_id), &self.facts.table_id)?;
        asked("format", &told.output_format, "DYNAMODB_JSON")?;
        // Absent, in older ones, for a full export.
        asked("type", told.export_type.as_deref().unwrap_or("FULL_EXPORT"), "FULL_EXPORT")?;
        let time = told.export_time.parse::<Timestamp>().map_err(|error| format!("exportTime: {error}"))?;
        asked("time", &Second(time.as_second()).to_string(), &self.order.time.to_string())?;
        // A base of a part of the table would take every other item for deleted.
        let filter =
            told.others.iter().find(|(name, value)| name.to_lowercase().contains("filter") && !value.is_null());
        match filter {
            Some((name, _)) => Err(format!("it holds a part of the table: {name}")),
            None => Ok(told),
        }
    }
}

/// A file of the manifest, compared with the hash that lies beside it.
async fn checked(bucket: &dyn ObjectStore, key: &str, patience: &mut Patience) -> Result<Bytes, BaseError> {
    let bytes = match get(bucket, key, patience).await {
        Err(StoreError::Absent { path }) => return Err(ExportError::unfit(&path, "it is not there").into()),
        bytes => bytes?,
    };
    let stem = key.strip_suffix("json").unwrap_or(key);
    for suffix in CHECKSUMS {
        let beside = format!("{stem}{suffix}");
        let told = match get(bucket, &beside, patience).await {
            Ok(told) => told,
            Err(StoreError::Absent { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let told = std::str::from_utf8(&told).ok().and_then(hash);
        if told == Some(Md5::digest(&bytes).into()) {
            return Ok(bytes);
        }
        return Err(ExportError::unfit(key, format!("its MD5 is not what {beside} says")).into());
    }
    // The counts and each file's own hash still have to hold.
    tracing::warn!(%key, "no checksum lies beside a file of the export's manifest");
    Ok(bytes)
}

async fn get(bucket: &dyn ObjectStore, key: &str, patience: &mut Patience) -> Result<Bytes, StoreError> {
    loop {
        match bucket.get(key, None).await {
            Ok(object) => {
                patience.renew();
                return Ok(object.bytes);
            }
            // It is complete: what is not there does not come.
            Err(error @ StoreError::Absent { .. }) => return Err(error),
            Err(error) => patience.bear("reading the export's manifest", error).await?,
        }
    }
}

/// An MD5 as the service writes it: in base64.
fn hash(text: &str) -> Option<[u8; 16]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::KeySchema;

    const SUMMARY: &str = r#"{"version":"2020-06-30","exportArn":"arn/export/1","startTime":"2026-11-22T10:00:00.028Z",
        "endTime":"2026-11-22T10:05:00Z","tableArn":"arn","tableId":"id","exportTime":"2026-11-22T10:00:00.000Z",
        "s3Bucket":"b","s3Prefix":null,"s3SseAlgorithm":"AES256","s3SseKmsKeyId":null,
        "manifestFilesS3Key":"AWSDynamoDB/1/manifest-files.json","billedSizeBytes":0,"itemCount":8,
        "outputFormat":"DYNAMODB_JSON","exportType":"FULL_EXPORT"}"#;

    fn judged(summary: &str) -> Result<u64, String> {
        let text = |text: &str| text.to_owned();
        let facts = Facts {
            origin: text("o"),
            table_arn: text("arn"),
            table_id: text("id"),
            keys: KeySchema(vec![]),
            writer: text("test"),
        };
        let time = Second("2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap().as_second());
        let order = ExportOrder { time, token: text("t"), bucket: text("b"), prefix: text("p") };
        Expected { facts: &facts, order: &order }.summary(summary.as_bytes()).map(|told| told.item_count)
    }

    #[test]
    fn a_summary_is_of_the_export_that_was_asked_for() {
        assert_eq!(judged(SUMMARY), Ok(8));
        assert_eq!(judged(&SUMMARY.replace(r#","exportType":"FULL_EXPORT""#, "")), Ok(8));
        assert_eq!(judged(&SUMMARY.replace(r#""s3Prefix":null"#, r#""filterSpecification":null"#)), Ok(8));
        for (what, other) in [
            (r#""tableArn":"arn""#, r#""tableArn":"other""#),
            (r#""tableId":"id""#, r#""tableId":"made anew""#),
            ("DYNAMODB_JSON", "ION"),
            ("FULL_EXPORT", "INCREMENTAL_EXPORT"),
            ("10:00:00.000Z", "10:00:01.000Z"),
            (r#""exportTime":"2026"#, r#""exportTime":"last year, 2026"#),
            (r#""s3Prefix":null"#, r#""filterSpecification":{"filterExpression":"a = :b"}"#),
            (r#""itemCount":8,"#, ""),
        ] {
            let changed = SUMMARY.replace(what, other);
            assert_ne!(changed, SUMMARY);
            assert!(judged(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn files_are_listed_with_their_counts_and_hashes() {
        let line = |n: u64, md5: &str| {
            format!(r#"{{"itemCount":{n},"md5Checksum":"{md5}","etag":"e","dataFileS3Key":"data/{n}.json.gz"}}"#)
        };
        let md5 = STANDARD.encode([7; 16]);
        let contents = Contents::listed(format!("{}\n{}\n", line(0, &md5), line(8, &md5)).as_bytes()).unwrap();
        let file = |items: u64| DataFile { key: format!("data/{items}.json.gz"), items, md5: [7; 16] };
        assert_eq!(contents, Contents { files: vec![file(0), file(8)], items: 8 });
        assert_eq!(Contents::listed(b"").unwrap().files, []);
        for broken in [line(8, "short"), line(8, &md5)[1..].to_owned(), String::from("{}")] {
            assert!(Contents::listed(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
