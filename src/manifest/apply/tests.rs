//! Every predicate once more, from the outside: an entry that breaks exactly one of them is refused by a writer, and
//! has no effect for a reader who finds it in the log.

mod bases;
mod epochs;
mod seals;
mod segments;
mod shards;
mod times;
mod voids;

use crate::manifest::fixture::{Scribe, at, memory, open, slot};
use crate::manifest::state::Blocked;
use crate::manifest::{Action, Proposed, Violation};

/// An entry that must have no effect, after others that have.
struct Case {
    before: Vec<Vec<Action>>,
    bad: Vec<Action>,
    /// The invariant that it breaks.
    invariant: u8,
    /// What is said of it.
    says: &'static str,
}

fn case(invariant: u8, says: &'static str, before: &[Vec<Action>], bad: Vec<Action>) -> Case {
    Case { before: before.to_vec(), bad, invariant, says }
}

/// A log with the entries of `before`, then both sides of `bad`.
async fn refused(case: Case) {
    let Case { before, bad, invariant, says } = case;
    let store = memory();
    let (log, mut manifest) = open(&store, 1).await;
    for actions in before {
        let proposed = log.propose(&mut manifest, at(0), actions).await.unwrap();
        assert!(matches!(proposed, Proposed::Committed { .. }), "{says}: before it: {proposed:?}");
    }
    let (own, n) = (manifest.clone(), manifest.next);
    let proposed = log.propose(&mut manifest, at(0), bad.clone()).await.unwrap();
    let Proposed::Refused(violation) = proposed else { panic!("{says}: not refused: {proposed:?}") };
    assert!(violation.what.contains(says), "{says}: {violation}");
    assert_eq!((violation.invariant, violation.n), (invariant, n), "{violation}");
    assert_eq!(manifest, own, "{says}: a refusal leaves its trace");
    assert!(!store.occupied(&slot(n)).await.unwrap(), "{says}: it was written");

    let mut scribe = Scribe::after(&store, &manifest);
    scribe.writer = log.writer().clone();
    scribe.put(bad).await;
    let (_, mut read) = open(&store, 2).await;
    let Some(Blocked { n: blocked, why, newer: false }) = read.blocked.take() else { panic!("{says}: it has effect") };
    assert_eq!((blocked, why), (n, violation.what), "{says}");
    assert_eq!(read, own, "{says}: it has an effect");
}

async fn all(cases: Vec<Case>) {
    for case in cases {
        refused(case).await;
    }
}

/// What only `Manifest::apply` can be shown, for the reader of slots never gets so far.
fn violation(manifest: &crate::manifest::Manifest, entry: &crate::manifest::Entry) -> Violation {
    let stored = super::Stored { sha256: "00".into(), version_id: None };
    let mut tried = manifest.clone();
    let violation = tried.apply(entry, &stored, None).unwrap_err();
    assert_eq!(&tried, manifest, "{violation}: an entry is valid whole or not at all");
    violation
}
