//! A `DynamoDB` that exports: in front of one that does not, it answers the calls around `ExportTableToPointInTime`
//! itself, writes an export's files as the service does, and passes every other call on. Its clock may run ahead.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tailrace::change::Second;
use tailrace::platform::{clock, tasks};
use tailrace::store::{Keep, ObjectStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct ExportServer {
    /// Where clients connect.
    pub(crate) endpoint: String,
    /// The database behind it.
    database: String,
    /// Where it writes, from the bucket's root.
    bucket: Arc<dyn ObjectStore>,
    /// Point-in-time recovery is on.
    pub(crate) recovers: Arc<AtomicBool>,
    /// Exports stay in progress.
    pub(crate) held: Arc<AtomicBool>,
    /// Seconds by which its clock is ahead.
    pub(crate) ahead: Arc<AtomicI64>,
    /// Orders by ARN.
    orders: Arc<Mutex<BTreeMap<String, Value>>>,
}

/// A request: its head and its body.
struct Asked {
    head: String,
    body: String,
}

impl Asked {
    /// Reads one; nothing where the client has no more.
    async fn read(client: &mut TcpStream) -> Option<Self> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let read = client.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length: usize = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(Self { head: head.to_owned(), body: body.to_owned() });
            }
        }
    }

    fn operation(&self) -> &str {
        header(&self.head, "x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default()
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

impl ExportServer {
    /// In front of the database at `endpoint`; exports go into `bucket`.
    pub(crate) async fn before(endpoint: &str, bucket: Arc<dyn ObjectStore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            database: endpoint.strip_prefix("http://").unwrap().to_owned(),
            bucket,
            recovers: Arc::new(AtomicBool::new(true)),
            held: Arc::default(),
            ahead: Arc::default(),
            orders: Arc::default(),
        };
        let serving = server.clone();
        drop(tasks::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                drop(tasks::spawn(serving.clone().serve(client)));
            }
        }));
        server
    }

    /// Exports that were asked for.
    pub(crate) fn orders(&self) -> usize {
        self.orders.lock().unwrap().len()
    }

    async fn serve(self, mut client: TcpStream) {
        let Some(asked) = Asked::read(&mut client).await else { return };
        let answer = match self.own(&asked).await {
            Some((status, body)) => {
                let text = body.to_string();
                let kind = "Content-Type: application/x-amz-json-1.0";
                let head = format!("HTTP/1.1 {status}\r\n{kind}\r\nDate: {}\r\n", self.date());
                format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
            }
            None => self.passed_on(&asked).await,
        };
        let _ = client.write_all(answer.as_bytes()).await;
    }

    fn now(&self) -> Second {
        clock::wall().plus(self.ahead.load(Ordering::SeqCst))
    }

    fn date(&self) -> String {
        let at = jiff::Timestamp::from_second(self.now().0).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// What the database answers, with our time.
    async fn passed_on(&self, asked: &Asked) -> String {
        let mut server = TcpStream::connect(&self.database).await.unwrap();
        let (first, rest) = asked.head.split_once("\r\n").unwrap();
        let request = format!("{first}\r\nConnection: close\r\n{rest}\r\n\r\n{}", asked.body);
        server.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        server.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        format!("{}\r\nDate: {}\r\n\r\n{body}", kept.collect::<Vec<_>>().join("\r\n"), self.date())
    }

    async fn own(&self, asked: &Asked) -> Option<(&'static str, Value)> {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let refused = |code: &str| ("400 Bad Request", json!({ "__type": code, "message": "no" }));
        Some(match asked.operation() {
            "DescribeContinuousBackups" => {
                let status = if self.recovers.load(Ordering::SeqCst) { "ENABLED" } else { "DISABLED" };
                let recovery = json!({ "PointInTimeRecoveryStatus": status });
                let description =
                    json!({ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery });
                ("200 OK", json!({ "ContinuousBackupsDescription": description }))
            }
            "ExportTableToPointInTime" => {
                let mut orders = self.orders.lock().unwrap();
                let known = orders.iter().find(|(_, order)| order["ClientToken"] == body["ClientToken"]);
                let arn = match known {
                    Some((arn, _)) => arn.clone(),
                    None => format!("{}/export/{:04}", body["TableArn"].as_str().unwrap(), orders.len()),
                };
                orders.insert(arn.clone(), body);
                ("200 OK", json!({ "ExportDescription": { "ExportArn": arn, "ExportStatus": "IN_PROGRESS" } }))
            }
            "DescribeExport" => {
                let arn = body["ExportArn"].as_str().unwrap().to_owned();
                let Some(order) = self.orders.lock().unwrap().get(&arn).cloned() else {
                    return Some(refused("com.amazonaws.dynamodb.v20120810#ExportNotFoundException"));
                };
                let described = if self.held.load(Ordering::SeqCst) {
                    json!({ "ExportArn": arn, "ExportStatus": "IN_PROGRESS" })
                } else {
                    let manifest = self.write(&arn, &order).await;
                    json!({ "ExportArn": arn, "ExportStatus": "COMPLETED", "ExportManifest": manifest })
                };
                ("200 OK", json!({ "ExportDescription": described }))
            }
            _ => return None,
        })
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) {
        let _ = self.bucket.put_new(key, bytes.into(), Keep::Full).await;
    }

    /// Writes the table as it is now: two files, and the manifest behind them.
    async fn write(&self, arn: &str, order: &Value) -> String {
        let prefix = order["S3Prefix"].as_str().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let folder = format!("{prefix}AWSDynamoDB/{}", arn.rsplit('/').next().unwrap());
        let (table_arn, id, items) = self.scanned(arn).await;
        let (mut lines, half) = (String::new(), items.len() / 2);
        for (n, items) in [&items[..half], &items[half..]].iter().enumerate() {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            items.iter().for_each(|item| writeln!(packed, "{{\"Item\":{item}}}").unwrap());
            let bytes = packed.finish().unwrap();
            let key = format!("{folder}/data/{n}.json.gz");
            let md5 = STANDARD.encode(Md5::digest(&bytes));
            let line = json!({ "itemCount": items.len(), "md5Checksum": md5, "etag": "e", "dataFileS3Key": key });
            lines.push_str(&format!("{line}\n"));
            self.put(&key, bytes).await;
        }
        let summary = json!({
            "version": "2020-06-30", "exportArn": arn, "tableArn": table_arn, "tableId": id,
            "exportTime": Second(order["ExportTime"].as_f64().unwrap() as i64).to_string(),
            "s3Bucket": order["S3Bucket"], "manifestFilesS3Key": format!("{folder}/manifest-files.json"),
            "itemCount": items.len(), "outputFormat": "DYNAMODB_JSON", "exportType": "FULL_EXPORT",
        });
        for (name, text) in [("manifest-files", lines), ("manifest-summary", summary.to_string())] {
            self.put(&format!("{folder}/{name}.md5"), STANDARD.encode(Md5::digest(&text)).into_bytes()).await;
            self.put(&format!("{folder}/{name}.json"), text.into_bytes()).await;
        }
        format!("{folder}/manifest-summary.json")
    }

    /// The table's ARN and id, and its items as the database spells them.
    async fn scanned(&self, export_arn: &str) -> (String, Value, Vec<String>) {
        let table_arn = export_arn.split("/export/").next().unwrap().to_owned();
        let name = table_arn.rsplit('/').next().unwrap();
        let described: Value =
            serde_json::from_str(&self.call("DescribeTable", &json!({ "TableName": name })).await).unwrap();
        let id = described["Table"]["TableId"].clone();
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page {
            items: Vec<Box<RawValue>>,
            #[serde(default)]
            last_evaluated_key: Option<Value>,
        }
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let mut question = json!({ "TableName": name });
            if let Some(from) = from {
                question["ExclusiveStartKey"] = from;
            }
            let page: Page = serde_json::from_str(&self.call("Scan", &question).await).unwrap();
            items.extend(page.items.into_iter().map(|item| item.get().to_owned()));
            from = page.last_evaluated_key;
            if from.is_none() {
                return (table_arn, id, items);
            }
        }
    }

    async fn call(&self, operation: &str, body: &Value) -> String {
        let body = body.to_string();
        let target = format!("X-Amz-Target: DynamoDB_20120810.{operation}");
        let scope = "AKIDTEST/20261122/dynoxide/dynamodb/aws4_request";
        let signed = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\nX-Amz-Date: \
             20261122T000000Z"
        );
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\n{target}\r\n{signed}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Content-Length: {}",
            self.database,
            body.len()
        );
        let answer = self.passed_on(&Asked { head, body }).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}
