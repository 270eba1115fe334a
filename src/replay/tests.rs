//! Random histories against a model of the image at T: forward, backward and refused.

mod history;

use std::collections::BTreeMap;

use super::*;
use crate::change::{Second, Text};
use history::{History, Images};

/// Histories in each test; every one prints its seed when it fails.
const SEEDS: u64 = 12;

/// A sink that keeps what it gets.
#[derive(Default)]
struct Kept(Vec<sink::Item>);

#[async_trait::async_trait]
impl Sink for Kept {
    async fn put(&mut self, items: Vec<sink::Item>) -> Result<(), sink::SinkError> {
        self.0.extend(items);
        Ok(())
    }
    async fn finish(&mut self) -> Result<(), sink::SinkError> {
        Ok(())
    }
}

/// What the code answers: the image, or why not.
async fn answer(history: &History, point: Point, many_passes: bool) -> Result<(Images, Plan), ReplayError> {
    let mut plan = plan(&history.manifest, point, Options::default())?;
    if many_passes {
        plan.rows += 5 << 20;
    }
    let (mut kept, mut total) = (Kept::default(), Total::default());
    image::run(&plan, &history.segments(), &mut kept, &mut total).await?;
    assert_eq!(total.items, kept.0.len() as u64);
    assert_eq!(total.digest, kept.0.iter().fold(0, |sum: u128, item| sum.wrapping_add(item.digest)));
    assert!(kept.0.is_sorted_by(|a, b| (a.key_hash, &a.pk, &a.sk) < (b.key_hash, &b.pk, &b.sk)));
    let images = kept.0.into_iter().map(|item| (item.pk.as_str().to_owned(), item.image.as_str().to_owned()));
    Ok((images.collect(), plan))
}

fn is_refusal(error: &ReplayError) -> bool {
    matches!(error, ReplayError::Refused(_) | ReplayError::Unknown { .. })
}

#[tokio::test]
async fn every_time_is_answered_like_the_model_or_refused_like_it() {
    let (mut forward, mut backward, mut refused, mut hidden) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for asked_at in history.times() {
            let expected = history.answer(asked_at);
            match answer(&history, Point::at(asked_at), seed % 3 == 0).await {
                Ok((images, plan)) => {
                    assert_eq!(Some(&images), expected.as_ref(), "seed {seed}, at {asked_at}: {plan}");
                    assert_eq!(
                        images,
                        history.truth(|change| change.cut <= asked_at),
                        "seed {seed}, at {asked_at}: {plan}"
                    );
                    match plan.way {
                        Way::Forward => forward += 1,
                        Way::Backward => backward += 1,
                    }
                }
                Err(error) if is_refusal(&error) => {
                    assert_eq!(expected, None, "seed {seed}, at {asked_at}: {error}");
                    refused += 1;
                    hidden += u32::from(matches!(error, ReplayError::Unknown { .. }));
                }
                Err(error) => panic!("seed {seed}, at {asked_at}: {error}"),
            }
        }
    }
    assert!(forward > 10 && backward > 10 && refused > 10, "{forward} {backward} {refused} {hidden}");
}

#[tokio::test]
async fn a_cut_before_an_event_is_the_prefix_of_its_lineage() {
    let (mut answered, mut inside) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for at in history.events() {
            let event = history.changes[at].clone();
            let asked = Asked::BeforeEvent(event.event_id());
            let point = resolve(&asked, &history.manifest, &history.segments()).await.unwrap();
            assert_eq!(point.horizon(), event.cut);
            if let Ok((images, _)) = answer(&history, point, false).await {
                let lineage = |number: usize, change: &history::Made| {
                    change.cut < event.cut || (change.lineage == event.lineage && number < at)
                };
                assert_eq!(images, history.truth_by(lineage), "seed {seed}, event {at}");
                answered += 1;
                inside += u32::from(images != history.truth(|change| change.cut < event.cut));
            }
        }
    }
    assert!(answered > 3, "{answered} {inside}");
}

#[tokio::test]
async fn a_cut_at_a_sequence_needs_a_single_shard() {
    let (mut answered, mut not_exact) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for at in history.events() {
            let event = history.changes[at].clone();
            let asked = Asked::AtSequence(event.sequence);
            match resolve(&asked, &history.manifest, &history.segments()).await {
                Ok(point) => {
                    let Ok((images, _)) = answer(&history, point, false).await else { continue };
                    assert_eq!(images, history.truth_by(|number, _| number <= at), "seed {seed}, event {at}");
                    answered += 1;
                }
                Err(ReplayError::NotExact { .. }) => not_exact += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let unknown = Asked::at_sequence("7").unwrap();
        let error = resolve(&unknown, &history.manifest, &history.segments()).await.unwrap_err();
        assert!(matches!(error, ReplayError::NoSuchChange { .. }));
    }
    assert!(answered > 0 && not_exact > 3, "{answered} {not_exact}");
}

#[tokio::test]
async fn the_latest_state_is_everything_committed_and_says_when_it_is_not_final() {
    let (mut last, mut open) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        let point = Point::resolve(&Asked::Latest, &history.manifest).unwrap();
        let through = point.through;
        if let Ok((images, plan)) = answer(&history, point, false).await {
            assert_eq!(images, history.truth(|change| change.cut <= through), "seed {seed}");
            last += 1;
            open += u32::from(!plan.is_final);
        }
    }
    assert!(last > 1, "{last} {open}");
}

#[tokio::test]
async fn altered_and_absent_bytes_are_never_an_answer() {
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut history = History::random(seed).await;
        let Some(asked_at) = history.manifest.closed_through else { continue };
        let Ok((_, plan)) = answer(&history, Point::at(asked_at), false).await else { continue };
        let Some(meta) = plan.changes.first().or(plan.base.segments.first()) else { continue };
        let damage = ["bit", "gone", "digest"][usize::try_from(seed).unwrap() % 3];
        match damage {
            "bit" => history.flip_a_bit(&meta.path).await,
            "gone" => history.remove(&meta.path).await,
            _ => history.change_the_row_digest(&meta.path),
        }
        let error = answer(&history, Point::at(asked_at), false).await.unwrap_err();
        match (damage, error) {
            ("gone", ReplayError::Read(ReadError::Missing { path }))
            | (_, ReplayError::Read(ReadError::Damaged { path, .. })) => {
                assert_eq!(path, meta.path);
            }
            (_, error) => panic!("seed {seed}, {damage}: {error}"),
        }
        *seen.entry(damage).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn a_run_taken_up_again_passes_over_what_the_sink_has() {
    let mut checked = 0;
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        let Some(asked_at) = history.manifest.closed_through else { continue };
        let Ok(plan) = plan(&history.manifest, Point::at(asked_at), Options::default()) else { continue };
        let (mut whole, mut all) = (Kept::default(), Total::default());
        if image::run(&plan, &history.segments(), &mut whole, &mut all).await.is_err() || all.items < 3 {
            continue;
        }
        let (mut rest, mut given) = (Kept::default(), Total::default());
        for item in &whole.0[..2] {
            given.add(item.digest);
        }
        image::run(&plan, &history.segments(), &mut rest, &mut given).await.unwrap();
        assert_eq!((&rest.0[..], given), (&whole.0[2..], all));
        checked += 1;
    }
    assert!(checked > 1);
}

#[tokio::test]
async fn the_time_that_counts_is_the_one_of_the_watermark_asked_for() {
    let mut history = History::random(1).await;
    let closed = Second(history.manifest.closed_through.unwrap().0);
    history.manifest.proven_through = Some(closed.plus(-10));
    let refusal = |at: Second, proven| plan(&history.manifest, Point::at(at), Options { proven }).err();
    assert!(matches!(refusal(closed.plus(1), false), Some(Refusal::NotCovered { watermark: Watermark::Closed, .. })));
    let proven = refusal(closed.plus(-9), true);
    assert!(matches!(proven, Some(Refusal::NotCovered { watermark: Watermark::Proven, .. })));
    assert!(!matches!(refusal(closed.plus(-10), true), Some(Refusal::NotCovered { .. })));
    assert_eq!(plan(&Manifest::default(), Point::at(closed), Options::default()), Err(Refusal::NothingArchived));
    assert!(matches!(refusal(Second(0), false), Some(Refusal::BeforeCoverage { .. })));
    let failure = ReplayError::Refused(proven.unwrap()).to_failure("table");
    assert_eq!(failure.exit, crate::failure::Exit::OutsideCoverage);
    assert_eq!(Text::from(failure.place), Text::from("table"));
}
