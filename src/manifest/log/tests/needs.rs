//! Actions and entries of newer builds.

use super::*;
use crate::manifest::Need;
use crate::store::Keep;

async fn begun() -> (Arc<dyn ObjectStore>, Manifest) {
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    commit(&log, &mut manifest, begin()).await;
    (store, manifest)
}

async fn opens(store: &Arc<dyn ObjectStore>) -> Result<(Log, Manifest), LogError> {
    Log::open(Arc::clone(store), &table(), Ids::seeded(2)).await
}

fn newer(error: &LogError, n: u64, says: &str) -> bool {
    matches!(error, LogError::FormatNewer { n: at, what } if *at == n && what.contains(says))
}

#[tokio::test]
async fn an_unknown_action_stops_whom_it_names() {
    for need in [Some("read"), None] {
        let (store, manifest) = begun().await;
        Scribe::after(&store, &manifest).put(vec![unknown("warp", need)]).await;
        let error = opens(&store).await.unwrap_err();
        assert!(newer(&error, 1, "warp"), "{need:?}: {error}");
        let (log, mut reader) = (Log::unread(Arc::clone(&store), &table(), Ids::seeded(3)), manifest.clone());
        assert!(newer(&log.refresh(&mut reader).await.unwrap_err(), 1, "warp"), "{need:?}: one that follows");
        assert!(
            newer(&log.propose(&mut reader, at(0), vec![]).await.unwrap_err(), 1, "warp"),
            "{need:?}: one that writes"
        );
    }
    let (store, manifest) = begun().await;
    Scribe::after(&store, &manifest).put(vec![unknown("warp", Some("write")), beat("a", START - 1, 7)]).await;
    let (log, mut reader) = opens(&store).await.unwrap();
    assert_eq!(reader.closed_through, Some(at(7)), "readers go on, with the rest of the entry");
    let error = log.propose(&mut reader, at(0), vec![beat("a", START - 1, 8)]).await.unwrap_err();
    assert!(newer(&error, 1, "warp"), "{error}");
    assert!(!store.occupied(&slot(2)).await.unwrap());

    let (store, manifest) = begun().await;
    Scribe::after(&store, &manifest).put(vec![unknown("warp", Some("none"))]).await;
    let (log, mut writer) = opens(&store).await.unwrap();
    commit(&log, &mut writer, vec![beat("a", START - 1, 8)]).await;
}

#[tokio::test]
async fn an_entry_of_a_newer_version_is_read_by_nobody() {
    let (store, manifest) = begun().await;
    let mut scribe = Scribe::after(&store, &manifest);
    let line = scribe.entry(vec![]).encode().unwrap();
    let line = std::str::from_utf8(&line).unwrap().lines().next().unwrap().replace(r#""v":1"#, r#""v":2,"new":{}"#);
    let hash = crate::manifest::entry::sha256(line.as_bytes());
    scribe.put_bytes(format!("{line}\n{hash}\n").into()).await;
    let error = opens(&store).await.unwrap_err();
    assert!(newer(&error, 1, "version 2"), "{error}");
    // What is voided needs nothing.
    scribe.put(vec![void(1, 1)]).await;
    let (log, mut manifest) = opens(&store).await.unwrap();
    commit(&log, &mut manifest, vec![beat("a", START - 1, 8)]).await;
}

#[tokio::test]
async fn a_voided_action_needs_nothing() {
    for need in [Some("read"), Some("write"), None] {
        let (store, manifest) = begun().await;
        let mut scribe = Scribe::after(&store, &manifest);
        scribe.put(vec![unknown("warp", need)]).await;
        scribe.put(vec![void(1, 1)]).await;
        let (log, mut manifest) = opens(&store).await.unwrap();
        assert_eq!(manifest.unknown, []);
        commit(&log, &mut manifest, vec![beat("a", START - 1, 8)]).await;
    }
}

#[tokio::test]
async fn a_fold_carries_an_unknown_action_byte_for_byte_and_it_is_obeyed() {
    let (store, manifest) = begun().await;
    let actions = [unknown("carried", Some("none")), unknown("kept", Some("none"))];
    Scribe::after(&store, &manifest).put(actions.to_vec()).await;
    let (log, mut writer) = opens(&store).await.unwrap();
    idle(&log, &mut writer, 40).await;
    let fold = writer.fold.clone().unwrap();
    assert!(fold.n > 1);
    // Without the entry only the fold can tell.
    store.delete(&slot(1), None).await.unwrap();
    let (_, opened) = opens(&store).await.unwrap();
    for (carried, action) in opened.unknown.iter().zip(&actions) {
        let Action::Unknown { name, need: Need::None, json } = action else { panic!() };
        assert_eq!((&carried.name, &carried.json, carried.need, carried.n), (name, json, Need::None, 1));
    }
    assert_eq!(opened.unknown.len(), 2);
    assert!(opened.unknown[0].json.contains("2.50"), "numbers as they were spelled");
}

#[tokio::test]
async fn what_a_fold_carries_stops_writers_too() {
    let (store, manifest) = begun().await;
    let log = Log::unread(Arc::clone(&store), &table(), Ids::seeded(1));
    let mut manifest = manifest;
    idle(&log, &mut manifest, 20).await;
    // A newer writer commits what older ones must not write behind, and goes on until there is a fold of it.
    let mut scribe = Scribe::after(&store, &manifest);
    scribe.put(vec![unknown("warp", Some("write"))]).await;
    log.refresh(&mut manifest).await.unwrap();
    manifest.unknown[0].need = Need::None;
    idle(&log, &mut manifest, 20).await;
    let fold = manifest.fold.clone().unwrap();
    assert!(fold.n > 21);
    // That fold says what its writer believed; one with the truth is made by the same hand.
    manifest.unknown[0].need = Need::Write;
    let error = log.propose(&mut manifest, at(0), vec![beat("a", START - 1, 1000)]).await.unwrap_err();
    assert!(newer(&error, 21, "warp"), "{error}");
}

#[tokio::test]
async fn an_unknown_member_or_a_name_that_stands_twice_is_no_entry() {
    let (store, manifest) = begun().await;
    let honest = Scribe::after(&store, &manifest).entry(vec![beat("a", START - 1, 7)]).encode().unwrap();
    let line = std::str::from_utf8(&honest).unwrap().lines().next().unwrap().to_owned();
    let cases = [
        line.replace(r#""settle":120"#, r#""settle":120,"more":1"#),
        line.replace(r#""settle":120"#, r#""settle":120,"settle":120"#),
        line.replace(r#""v":1"#, r#""v":1,"more":1"#),
        line.replace(r#""n":1"#, r#""n":2"#),
        line.replace(r#""actions":["#, r#""actions":[3,"#),
    ];
    for changed in cases {
        assert_ne!(changed, line);
        let hash = crate::manifest::entry::sha256(changed.as_bytes());
        replace(&store, &slot(1), format!("{changed}\n{hash}\n")).await;
        let (_, opened) = opens(&store).await.unwrap();
        assert_eq!(opened.blocked.map(|blocked| (blocked.n, blocked.newer)), Some((1, false)), "{changed}");
    }
    store.delete(&slot(1), None).await.unwrap();
    store.put_new(&slot(1), honest, Keep::Full).await.unwrap();
    assert_eq!(opens(&store).await.unwrap().1.blocked, None);
}
