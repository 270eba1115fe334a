//! `closed_through`, `proven_through` and the times of shards, over the published histories.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::change::Second;
use crate::manifest::entry::Writer;
use crate::manifest::{Entry, Manifest, Stored};

#[derive(Deserialize)]
struct Step {
    at: Second,
    actions: Value,
    after: Value,
}

/// The entry as it would lie in the log.
fn entry(manifest: &Manifest, step: &Step) -> Entry {
    let writer = Writer { id: "w".to_owned(), build: "test".to_owned() };
    let empty = Entry {
        n: manifest.next,
        commit_id: "c".to_owned(),
        prev_sha256: manifest.tail_sha256.clone(),
        prev_version_id: None,
        at: step.at,
        writer,
        fold: None,
        actions: vec![],
    };
    let bytes = empty.encode().unwrap();
    let line = std::str::from_utf8(&bytes).unwrap().lines().next().unwrap().to_owned();
    let line = line.replace("\"actions\":[]", &format!("\"actions\":{}", step.actions));
    let hash = crate::manifest::entry::sha256(line.as_bytes());
    Entry::decode(manifest.next, format!("{line}\n{hash}\n").as_bytes()).unwrap()
}

fn said_of(manifest: &Manifest) -> Value {
    let shards = manifest.shards.iter().map(|(key, shard)| {
        // Sequence numbers are compared as integers.
        let through = shard.through.to_string().parse::<u128>().unwrap().to_string();
        let times = json!({
            "through": through, "floor": shard.floor, "cut": shard.cut, "sure": shard.sure,
            "proven": shard.proven,
        });
        (format!("{}/{}", key.epoch, key.id), times)
    });
    let gaps = manifest.gaps.iter().map(|gap| {
        let id = format!("{}.{}", gap.id.n, gap.id.k);
        json!({"id": id, "from_cut": gap.from_cut, "to_cut": gap.to_cut})
    });
    json!({
        "closed_through": manifest.closed_through, "proven_through": manifest.proven_through,
        "shards": shards.collect::<serde_json::Map<_, _>>(), "gaps": gaps.collect::<Vec<_>>(),
    })
}

#[test]
fn times_are_those_of_the_published_histories() {
    let file: Value = serde_json::from_str(include_str!("../../../../schemas/vectors/closed_through.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let mut manifest = Manifest::default();
        let steps: Vec<Step> = serde_json::from_value(case["entries"].clone()).unwrap();
        for step in steps {
            let entry = entry(&manifest, &step);
            let stored = Stored { sha256: format!("s{}", entry.n), version_id: None };
            manifest.apply(&entry, &stored, None).unwrap_or_else(|violation| panic!("{}: {violation}", case["why"]));
            assert_eq!(said_of(&manifest), step.after, "{}, entry {}", case["why"], entry.n);
        }
    }
}
