//! What became of a table's streams, case by case, and in which words.

use super::*;
use crate::manifest::action::STREAM_DISABLED;
use crate::manifest::fixture::{at, epoch};
use crate::manifest::{Action, ShardKey};

/// A stream that was turned on, archived from a floor on, and ended.
struct Stream {
    on: i64,
    floor: i64,
    view_type: &'static str,
    border: Option<i64>,
}

const BOTH: &str = "NEW_AND_OLD_IMAGES";

/// The last stretch of time in which something is missing, as it is told.
fn told(streams: &[Stream], ended: Option<&str>) -> String {
    all(&log(streams, ended)).last().unwrap().to_string()
}

fn log(streams: &[Stream], ended: Option<&str>) -> Manifest {
    let mut manifest = Manifest { coverage_ended: ended.map(str::to_owned), ..Manifest::default() };
    for (number, stream) in (1..).zip(streams) {
        let Action::EpochStarted(started) = epoch(number, stream.floor) else { unreachable!() };
        let started = EpochStarted { created: at(stream.on), view_type: stream.view_type.into(), ..started };
        let border_from = stream.border.map(at);
        manifest.epochs.insert(number, Epoch { started, started_in: 0, border_from, judged_in: None });
    }
    manifest
}

const fn stream(on: i64, border: Option<i64>) -> Stream {
    Stream { on, floor: on, view_type: BOTH, border }
}

#[test]
fn a_stream_that_goes_on_has_no_story() {
    let all = all(&log(&[stream(0, None)], None));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].to_string(), "nothing is archived up to 2026-11-22T00:00:01Z");
}

#[test]
fn a_stream_turned_off_and_on_says_between_when_and_what_is_missing() {
    assert_eq!(
        told(&[stream(0, Some(3600)), stream(4200, None)], None),
        "stream restart from 2026-11-22T01:00:00Z to 2026-11-22T01:10:01Z: somebody turned the stream off after \
         2026-11-22T00:59:59Z and on again at 2026-11-22T01:10:00Z; changes in between are not archived"
    );
}

#[test]
fn a_new_stream_that_was_found_too_late_says_how_far_it_may_have_been_trimmed() {
    let late = Stream { floor: 90_000, ..stream(4200, None) };
    let told = told(&[stream(0, Some(3600)), late], None);
    assert!(told.ends_with("archiving went on so late that changes up to 2026-11-23T01:00:01Z may be lost"), "{told}");
}

#[test]
fn a_stream_turned_on_before_the_border_is_not_said_to_have_been_off_for_a_while() {
    let again = Stream { floor: 3600, ..stream(3590, None) };
    let told = told(&[stream(0, Some(3600)), again], None);
    assert!(told.contains("off and on again at about 2026-11-22T01:00:00Z"), "{told}");
}

#[test]
fn other_images_are_told_with_what_they_are_good_for() {
    let new_only = |on, border| Stream { view_type: "NEW_IMAGE", ..stream(on, border) };
    let fewer = told(&[stream(0, Some(3600)), new_only(4200, None)], None);
    assert!(fewer.contains("carries new images only") && fewer.contains("need a snapshot"), "{fewer}");
    let more = told(&[new_only(0, Some(3600)), stream(4200, None)], None);
    assert!(more.ends_with("since then it carries old images too"), "{more}");
    let same = told(&[new_only(0, Some(3600)), new_only(4200, None)], None);
    assert!(!same.contains("carries"), "{same}");
}

#[test]
fn each_end_has_words_of_its_own() {
    let ended = |reason| told(&[stream(0, Some(3600))], reason);
    for (reason, words) in [
        (Some(TABLE_DELETED), "the table was deleted, and changes from 2026-11-22T01:00:00Z on"),
        (Some(STREAM_DISABLED), "the stream is off since 2026-11-22T01:00:00Z or later"),
        (Some(UNSELECTED), "the table is not selected any more: changes from 2026-11-22T01:00:00Z on"),
        (None, "the stream ended, and changes from 2026-11-22T01:00:00Z on"),
    ] {
        let said = ended(reason);
        assert!(said.starts_with(words) && said.ends_with("are not archived"), "{said}");
    }
}

#[test]
fn several_restarts_are_told_one_by_one_and_a_change_stamped_behind_a_border_widens_it() {
    let mut manifest = log(&[stream(0, Some(3600)), stream(4200, Some(7200)), stream(7300, None)], None);
    let key = |epoch| ShardKey { epoch, id: crate::change::ShardId::new("s") };
    let shard = crate::capture::fixture::shard(None, 1);
    manifest.shards.insert(key(2), crate::manifest::Shard { cut: at(7400), ..shard });
    let spans: Vec<_> = all(&manifest).iter().skip(1).map(|unknown| (unknown.from, unknown.to)).collect();
    assert_eq!(spans, [(at(3600), at(4201)), (at(7200), at(7400))]);
}

#[test]
fn a_machine_reads_the_same_story() {
    let restart = &all(&log(&[stream(0, Some(3600)), stream(4200, None)], None))[1];
    let json = serde_json::to_value(restart).unwrap();
    assert_eq!((&json["kind"], &json["on_again"]), (&"stream_restart".into(), &"2026-11-22T01:10:00Z".into()));
    assert!(json.get("carries").is_none());
    let off = &all(&log(&[stream(0, Some(3600))], Some(TABLE_DELETED)))[1];
    let json = serde_json::to_value(off).unwrap();
    assert_eq!((&json["kind"], &json["reason"]), (&"stream_off".into(), &TABLE_DELETED.into()));
}
