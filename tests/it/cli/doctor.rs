//! `doctor`: what is well, what is not, and how to mend it.

use aws_sdk_dynamodb::types::StreamViewType;

use super::*;

const DOCTOR: [&str; 3] = ["doctor", "--table", "orders"];

/// The state and the advice of each check.
fn states(ended: &Ended) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = ended.lines().into_iter().filter(|line| line["type"] == "check");
    checks.map(|line| (text(&line["name"]), (text(&line["state"]), text(&line["next"])))).collect()
}

#[tokio::test]
async fn a_table_that_can_be_captured_is_told_what_is_still_to_do() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let shell = Shell::with_archive(&dynamo).await;
    let before = files(shell.folder.path());
    let first = shell.run(&[&DOCTOR[..], &["--json"]].concat()).await;
    let found = states(first.is(0));
    assert_eq!(found.len(), 8, "{first}");
    assert_eq!(files(shell.folder.path()), before, "doctor writes nothing");
    assert!(found["archived"].1.contains("tailrace capture"), "{first}");
    for check in ["archive", "credentials", "table", "clock", "view type", "stream"] {
        assert_eq!(found[check].0, "ok", "{check}: {first}");
    }
    let once = ["capture", "--once", "--settle", "1s", "--flush-age", "1s", "--table", "orders"];
    shell.run(&once).await.is(0);
    let then = shell.run(&DOCTOR).await;
    assert!(then.is(0).out.contains("all 8 checks are well"), "{then}");
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_with_what_mends_it() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", None).await;
    let shell = Shell::with_archive(&dynamo).await;
    let mend = ["orders", "aws dynamodb update-table --table-name orders"];
    shell.refuses(&DOCTOR, Exit::OutsideCoverage, &mend).await;
    shell.refuses(&["doctor", "--table", "ordres"], Exit::Usage, &["did you mean orders?"]).await;
    let nowhere = Shell::new().with_aws(&dynamo.config).with("TAILRACE_ARCHIVE", "nowhere");
    nowhere.refuses(&DOCTOR, Exit::ArchiveNotFound, &["tailrace init"]).await;
    let told = nowhere.run(&[&DOCTOR[..], &["--json"]].concat()).await;
    assert_eq!(told.summary()["failed"], 3, "the archive, the stream's view, and its shards\n{told}");
}

#[tokio::test]
async fn a_gap_that_nobody_has_dealt_with_is_a_warning() {
    let dynamo = Dynamo::start().await;
    dynamo.create_table("orders", Some(StreamViewType::NewAndOldImages)).await;
    let shell = Shell::with_archive(&dynamo).await;
    let once = ["capture", "--once", "--settle", "1s", "--flush-age", "1s", "--table", "orders"];
    shell.run(&once).await.is(0);
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::create(shell.path("archive")).await.unwrap());
    let table = tailrace::command::table::timelines(store.as_ref()).await.unwrap().remove(0);
    let ids = tailrace::platform::ids::Ids::random();
    let (log, mut manifest) = tailrace::manifest::Log::open(Arc::clone(&store), &table, ids).await.unwrap();
    let action = points::loss(&manifest);
    let at = manifest.at.unwrap();
    log.propose(&mut manifest, at, vec![action]).await.unwrap();
    let told = shell.run(&[&DOCTOR[..], &["--json"]].concat()).await;
    assert!(states(told.is(0))["archived"].1.contains("gaps list"), "{told}");
}
