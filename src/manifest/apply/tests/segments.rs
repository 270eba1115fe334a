//! Segments, spans and gaps.

use super::*;
use crate::manifest::fixture::*;
use crate::manifest::{GapReason, Interval, Span};
use crate::segment::{SegmentMeta, Tier};

const THROUGH: u64 = START - 1;

/// Ten rows of `a` at second 700.
fn ten() -> (SegmentMeta, Span) {
    (raw("new", 10, 700), span("a", THROUGH, 109, 10, 700))
}

fn meta(change: impl Fn(&mut SegmentMeta)) -> Vec<Action> {
    let (mut meta, span) = ten();
    change(&mut meta);
    vec![added(vec![meta], vec![span])]
}

fn spanned(change: impl Fn(&mut Span)) -> Vec<Action> {
    let (mut meta, mut span) = ten();
    change(&mut span);
    meta.rows = span.rows;
    let segments = if span.rows == 0 { vec![] } else { vec![meta] };
    vec![added(segments, vec![span])]
}

#[tokio::test]
async fn the_unchanged_entry_is_valid() {
    let (log, mut manifest) = open(&memory(), 1).await;
    commit(&log, &mut manifest, begin()).await;
    commit(&log, &mut manifest, meta(|_| {})).await;
    assert_eq!((manifest.rows, manifest.segments.len()), (10, 1));
}

#[tokio::test]
async fn rows_are_those_of_the_spans() {
    let begun = [begin()];
    let (whole, half) = ten();
    let outside = vec![added(vec![whole, raw("more", 1, 700)], vec![half])];
    all(vec![
        case(2, "its segments have 11 rows, its spans 10", &begun, outside),
        case(2, "its segments have 9 rows", &begun, meta(|meta| meta.rows = 9)),
        case(2, "0 rows in a span of a", &begun, spanned(|span| span.rows = 0)),
        case(
            2,
            "10 rows in a span of a",
            &begun,
            spanned(|span| {
                span.gap = gap("a", THROUGH, 109, GapReason::PossiblyTrimmed, 0, 60, false).gap;
            }),
        ),
        case(2, "more undecoded rows of a than rows", &begun, spanned(|span| span.unknown = vec![at(700); 11])),
    ])
    .await;
}

#[tokio::test]
async fn a_raw_segment_lies_in_one_open_day_under_a_name_of_its_own() {
    let begun = [begin()];
    let sealed_day = {
        let (first, _) = ten();
        let closing = vec![beat("a", 109, DAY)];
        let sealing = vec![seal_started(0, &[&first])];
        [vec![begin(), meta(|_| {}), closing, sealing]].concat()
    };
    let after = [sealed_day.clone(), vec![vec![seal(3, vec![sealed(3, &ten().0)])]]].concat();
    let late = |name: &str, path: &str| {
        let mut meta = raw(name, 10, 2 * DAY);
        if !path.is_empty() {
            path.clone_into(&mut meta.path);
        }
        meta
    };
    let more = |meta: SegmentMeta| vec![added(vec![meta], vec![span("a", 109, 119, 10, 2 * DAY)])];
    let into_sealed = vec![added(vec![raw("x", 10, 700)], vec![span("a", 109, 119, 10, 2 * DAY)])];
    let named = ten().0.path;
    let collected = [vec![begin(), meta(|_| {})], vec![vec![collect(&["raw/dt=2026-11-24/gone.parquet"])]]].concat();
    all(vec![
        case(2, "is no raw segment", &begun, meta(|meta| meta.tier = Tier::Heads)),
        case(2, "is no raw segment", &begun, meta(|meta| meta.path = "raw/dt=2026-11-23/new.parquet".into())),
        case(2, "is no raw segment", &begun, vec![added(vec![ten().0, raw("none", 0, 700)], vec![ten().1])]),
        case(9, "leaves its day", &begun, meta(|meta| meta.min_cut_at = Some(at(-1)))),
        case(9, "leaves its day", &begun, meta(|meta| meta.max_cut_at = Some(at(DAY)))),
        case(9, "leaves its day", &begun, meta(|meta| meta.max_cut_at = None)),
        case(9, "enters a sealed day", &sealed_day, into_sealed.clone()),
        case(9, "enters a sealed day", &after, into_sealed),
        case(8, "was named before", &[begin(), meta(|_| {})], more_at_700()),
        case(8, "raw/dt=2026-11-24/gone.parquet was named before", &collected, more(late("gone", ""))),
    ])
    .await;
    assert!(named.starts_with("raw/dt=2026-11-22/"));
}

/// The same path again, with the rows that come next.
fn more_at_700() -> Vec<Action> {
    vec![added(vec![ten().0], vec![span("a", 109, 119, 10, 700)])]
}

#[tokio::test]
async fn a_span_goes_on_where_its_shard_stands() {
    let begun = [begin()];
    let nothing = vec![added(vec![], vec![gap("a", THROUGH, 98, GapReason::PossiblyTrimmed, 0, 60, false)])];
    let ended = [begin(), vec![closed("a", THROUGH)]];
    all(vec![
        case(1, "does not follow 099 of a", &begun, spanned(|span| span.after = seq(98))),
        case(1, "does not follow 099 of a", &begun, spanned(|span| span.after = seq(100))),
        case(1, "does not follow 099 of a", &begun, spanned(|span| span.through = seq(99))),
        case(1, "does not follow 099 of a", &begun, nothing),
        case(1, "x is not open", &begun, spanned(|span| span.shard = id("x"))),
        case(1, "a is not open", &begun, spanned(|span| span.epoch = 2)),
        case(1, "a is not open", &ended, spanned(|_| {})),
    ])
    .await;
}

#[tokio::test]
async fn cuts_rise() {
    let begun = [begin()];
    let late = |from, to| vec![Interval { from: at(from), to: at(to) }];
    let beaten = [begin(), meta(|_| {}), vec![beat("a", 109, 800)]];
    let on = |cut| vec![rows("a", 109, 119, cut)];
    all(vec![
        case(3, "below cut", &beaten, on(800)),
        case(3, "below cut", &[begin(), meta(|_| {})], on(699)),
        case(6, "a span of a with rows names a floor", &begun, spanned(|span| span.floor = Some(at(699)))),
        case(3, "an undecoded row of a", &begun, spanned(|span| span.unknown = vec![at(-1)])),
        case(3, "an undecoded row of a", &begun, spanned(|span| span.unknown = vec![at(701)])),
        case(3, "a late interval of a is empty", &begun, spanned(|span| span.late = late(5, 5))),
    ])
    .await;
}

#[tokio::test]
async fn a_gap_begins_behind_the_floor_and_moves_nothing_elsewhere() {
    let begun = [begin()];
    let lost = |reason, from, to, lifts| vec![added(vec![], vec![gap("a", THROUGH, 109, reason, from, to, lifts)])];
    let but = |reason, lifts, change: &dyn Fn(&mut Span)| {
        let mut gap = gap("a", THROUGH, 109, reason, 0, 60, lifts);
        change(&mut gap);
        vec![added(vec![], vec![gap])]
    };
    let (trimmed, not_found) = (GapReason::PossiblyTrimmed, GapReason::NotFound);
    // `a` opens below closed_through's next value only here: its floor is that of the epoch.
    let high = [begin(), vec![rows("a", THROUGH, 109, 700)]];
    let lower = vec![added(vec![], vec![gap("a", 109, 119, trimmed, 700, 700, true)])];
    let falling = {
        let mut gap = gap("a", 109, 119, trimmed, 700, 699, true);
        gap.gap.as_mut().unwrap().to_cut = at(700);
        vec![added(vec![], vec![gap])]
    };
    all(vec![
        case(6, "does not begin behind floor", &begun, lost(trimmed, 1, 60, true)),
        case(6, "does not begin behind floor", &begun, lost(trimmed, -1, 60, true)),
        case(
            6,
            "does not begin behind floor",
            &begun,
            but(trimmed, false, &|gap| {
                gap.gap.as_mut().unwrap().to_cut = at(-1);
            }),
        ),
        case(2, "a gap of a with undecoded rows", &begun, but(trimmed, true, &|gap| gap.unknown = vec![at(5)])),
        case(6, "moves its cut or floor elsewhere", &begun, but(trimmed, true, &|gap| gap.cut = at(61))),
        case(6, "moves its cut or floor elsewhere", &begun, but(trimmed, true, &|gap| gap.floor = Some(at(60)))),
        case(6, "moves its cut or floor elsewhere", &begun, but(trimmed, true, &|gap| gap.floor = None)),
        case(6, "moves its cut or floor elsewhere", &begun, but(trimmed, false, &|gap| gap.cut = at(0))),
        case(6, "moves its cut or floor elsewhere", &begun, lost(not_found, 0, 60, false)),
        case(6, "moves its cut or floor elsewhere", &high, falling),
        case(1, "there is no gap 1.1", &[begin(), lost(trimmed, 0, 60, true)], vec![acknowledged("1.1")]),
        case(1, "there is no gap nonsense", &[begin(), lost(trimmed, 0, 60, true)], vec![acknowledged("nonsense")]),
    ])
    .await;
    let (log, mut manifest) = open(&memory(), 1).await;
    for actions in [high.to_vec(), vec![lower, vec![acknowledged("2.0")]]].concat() {
        commit(&log, &mut manifest, actions).await;
    }
    assert_eq!(manifest.gaps[0].acknowledged.as_deref(), Some("seen"));
}

#[tokio::test]
async fn a_gap_that_lifts_does_not_lower_the_cut() {
    // Two shards: the child's cut lies above its floor, where a gap may end between them.
    let lineage = [
        vec![
            epoch(1, -1),
            opened(root("a", START)),
            opened(crate::manifest::ShardOpened { rank: 1, ..root("b", 150) }),
        ],
        vec![rows("a", THROUGH, 109, 700), closed("a", 109)],
        vec![opened(child("c", "a", 200, 699, 900))],
    ];
    let short = vec![added(vec![], vec![gap("c", 199, 210, GapReason::PossiblyTrimmed, 700, 800, true)])];
    all(vec![case(6, "the cut behind a gap falls", &lineage, short)]).await;
}
