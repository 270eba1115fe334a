//! `base --export`: the real binary, a service that exports, and a bucket over HTTP.

use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::types::{AttributeValue, StreamViewType};

use super::*;
use crate::support::export_server::ExportServer;
use crate::support::s3_server::{BUCKET, Rules, S3Server};

const FAST: &[&str] = &["--settle", "1s", "--flush-age", "1s"];

struct Scene {
    dynamo: Dynamo,
    service: ExportServer,
    /// Holds the exports.
    s3: S3Server,
    shell: Shell,
}

impl Scene {
    /// A table that was archived more than five minutes ago, as the service's clock says.
    async fn begin() -> Self {
        let dynamo = Dynamo::start().await;
        dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
        let s3 = S3Server::start(Rules::default()).await;
        let root = tailrace::store::Location::parse(&format!("s3://{BUCKET}")).unwrap();
        let bucket = tailrace::store::connect(&root, &s3.config, None).unwrap();
        let service = ExportServer::before(dynamo.config.endpoint_url().unwrap(), bucket).await;
        let shell = Shell::new()
            .with("TAILRACE_ARCHIVE", "archive")
            .with_aws(&dynamo.config)
            .with("AWS_ENDPOINT_URL", &service.endpoint)
            .with("AWS_ENDPOINT_URL_S3", s3.config.endpoint_url().unwrap());
        shell.run(&["init"]).await.is(0);
        let scene = Self { dynamo, service, s3, shell };
        scene.put(0..40).await;
        scene.run(&["capture", "--once", "--table", "orders"]).await.is(0);
        scene.service.ahead.store(400, Ordering::SeqCst);
        scene
    }

    async fn put(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let put = self.dynamo.client.put_item().table_name("orders");
            let put = put.item("pk", AttributeValue::S(format!("k{}", n % 7)));
            put.item("sk", AttributeValue::N(n.to_string())).send().await.unwrap();
        }
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.shell.run(&[arguments, FAST].concat()).await
    }

    fn base(&self) -> Vec<&'static str> {
        let to = ["--slack", "1s", "--export", "s3://keep-here/exports/daily"];
        [&["base", "--table", "orders"], &to[..], FAST].concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_made_from_an_export_and_gone_on_with_after_a_kill() {
    let scene = Scene::begin().await;
    scene.service.held.store(true, Ordering::SeqCst);
    let killed = scene.shell.start(&scene.base());
    while scene.service.orders() == 0 {
        clock::sleep(Duration::from_millis(50)).await;
    }
    killed.signal("KILL");
    killed.end().await;
    scene.put(40..50).await;
    scene.service.held.store(false, Ordering::SeqCst);
    // The base is complete when the archive has passed the export by five minutes.
    scene.service.ahead.store(800, Ordering::SeqCst);
    let taken = scene.shell.run(&scene.base()).await;
    taken.is(0);
    assert!(taken.out.contains("made from the service's export of"), "{}", taken.out);
    assert_eq!(scene.service.orders(), 1, "the killed run's export is gone on with");
    assert!(scene.s3.asked() > 0);
    scene.shell.run(&["verify"]).await.is(0);
    let replayed = ["replay", "--table", "orders", "--at", "latest", "--into", "file:out.jsonl"];
    scene.shell.run(&replayed).await.is(0);
    let lines = std::fs::read_to_string(scene.shell.path("out.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_needs_is_told_before_one_is_begun() {
    let scene = Scene::begin().await;
    scene.service.recovers.store(false, Ordering::SeqCst);
    let off = scene.shell.run(&scene.base()).await;
    off.is(1);
    assert!(off.err.contains("update-continuous-backups --table-name orders"), "{}", off.err);
    assert_eq!(scene.service.orders(), 0);
    let folder = ["base", "--table", "orders", "--export", "/tmp/exports"];
    let wrong = scene.run(&folder).await;
    wrong.is(2);
    assert!(wrong.err.contains("--export s3://BUCKET/PREFIX"), "{}", wrong.err);
}
