//! Random histories against a model of the image at T: forward, backward and refused.

mod history;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::change::{Second, Text};
use crate::store::ObjectStore;
use crate::store::counting::CountingStore;
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

/// Little enough that every history takes several stretches, and every stretch several runs of images.
const TIGHT: Bounds = Bounds { keys: 800, images: 400, kept: 3000, reading: 4000 };

/// What the code answers: the image, or why not.
async fn answer(history: &History, point: Point, bounds: Bounds) -> Result<(Images, Plan), ReplayError> {
    let plan = plan(&history.manifest, point, &Options::default())?;
    let (mut kept, mut total) = (Kept::default(), Total::default());
    image::run(&plan, &history.segments(), (bounds, Steps::SILENT), &mut kept, &mut total).await?;
    assert_eq!(total.items, kept.0.len() as u64);
    assert_eq!(total.digest, kept.0.iter().fold(0, |sum: u128, item| sum.wrapping_add(item.digest)));
    assert!(kept.0.is_sorted_by(|a, b| (a.key_hash, &a.pk, &a.sk) < (b.key_hash, &b.pk, &b.sk)));
    let images = kept.0.into_iter().map(|item| (item.pk.as_str().to_owned(), item.image.as_str().to_owned()));
    Ok((images.collect(), plan))
}

fn is_refusal(error: &ReplayError) -> bool {
    matches!(error, ReplayError::Refused(_))
}

#[tokio::test]
async fn every_time_is_answered_like_the_model_or_refused_like_it() {
    let (mut forward, mut backward, mut refused) = (0, 0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for asked_at in history.times() {
            let expected = history.answer(asked_at);
            match answer(&history, Point::at(asked_at), if seed % 3 == 0 { TIGHT } else { Bounds::DEFAULT }).await {
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
                }
                Err(error) => panic!("seed {seed}, at {asked_at}: {error}"),
            }
        }
    }
    assert!(forward > 10 && backward > 10 && refused > 10, "{forward} {backward} {refused}");
}

#[tokio::test]
async fn a_cut_before_an_event_is_the_prefix_of_its_lineage() {
    let (mut answered, mut inside) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for at in history.events() {
            let event = history.changes[at].clone();
            let asked = Asked::BeforeEvent(event.event_id());
            let point = locate::resolve(&asked, &history.manifest, &history.segments()).await.unwrap();
            assert_eq!(point.horizon(), event.cut);
            if let Ok((images, _)) = answer(&history, point, TIGHT).await {
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
async fn a_cut_at_a_sequence_is_the_prefix_of_its_lineage_and_goes_forward_only() {
    let (mut answered, mut several, mut backward) = (0, 0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        for at in history.events() {
            let event = history.changes[at].clone();
            let asked = Asked::AtSequence(event.sequence);
            let point = locate::resolve(&asked, &history.manifest, &history.segments()).await.unwrap();
            let before = history.manifest.bases.iter().map(|base| &base.base);
            let before = before.filter(|base| base.complete_at < event.cut).max_by_key(|base| base.complete_at);
            let covered = history.manifest.closed_through.is_some_and(|closed| event.cut <= closed);
            let serves = before.is_some_and(|base| !history.meets(base.fence, event.cut)) && covered;
            match answer(&history, point, TIGHT).await {
                Ok((images, plan)) => {
                    let lineage = |number: usize, change: &history::Made| {
                        change.cut < event.cut
                            || (change.cut == event.cut && change.lineage == event.lineage && number <= at)
                    };
                    assert_eq!(images, history.truth_by(lineage), "seed {seed}, event {at}");
                    assert_eq!((serves, plan.way), (true, Way::Forward), "seed {seed}, event {at}");
                    answered += 1;
                    several += u32::from(history.manifest.shards.len() > 1);
                }
                Err(error) if is_refusal(&error) => {
                    assert!(!serves, "seed {seed}, event {at}: {error}");
                    let second = plan(&history.manifest, Point::at(event.cut), &Options::default());
                    backward += u32::from(second.is_ok_and(|plan| plan.way == Way::Backward));
                }
                Err(error) => panic!("seed {seed}, event {at}: {error}"),
            }
        }
        let unknown = Asked::at_sequence("7").unwrap();
        let error = locate::resolve(&unknown, &history.manifest, &history.segments()).await.unwrap_err();
        assert!(matches!(error, ReplayError::NoSuchChange { .. }));
    }
    assert!(answered > 5 && several > 2 && backward > 0, "{answered} {several} {backward}");
}

#[tokio::test]
async fn a_cut_inside_a_second_that_is_not_covered_is_refused() {
    let mut answered = 0;
    for seed in 0..SEEDS {
        let mut history = History::random(seed).await;
        let event = history.changes.iter().rfind(|change| !change.lost).unwrap().clone();
        let asked = Asked::BeforeEvent(event.event_id());
        let point = locate::resolve(&asked, &history.manifest, &history.segments()).await.unwrap();
        history.manifest.gaps.clear();
        history.manifest.closed_through = Some(event.cut.plus(-1));
        let refusal = plan(&history.manifest, point.clone(), &Options::default()).err();
        assert!(matches!(refusal, Some(Refusal::NotCovered { asked, .. }) if asked == event.cut), "{refusal:?}");
        history.manifest.closed_through = Some(event.cut);
        if let Ok(plan) = plan(&history.manifest, point, &Options::default()) {
            assert!(plan.is_final);
            answered += 1;
        }
    }
    assert!(answered > 3, "{answered}");
}

#[tokio::test]
async fn the_latest_state_is_everything_committed_and_says_when_it_is_not_final() {
    let (mut last, mut open) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        let point = Point::resolve(&Asked::Latest, &history.manifest).unwrap();
        let through = point.through;
        if let Ok((images, plan)) = answer(&history, point, TIGHT).await {
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
        let Ok((_, plan)) = answer(&history, Point::at(asked_at), Bounds::DEFAULT).await else { continue };
        let Some(meta) = plan.changes.first().or(plan.base.segments.first()) else { continue };
        let damage = ["bit", "gone", "hash"][usize::try_from(seed).unwrap() % 3];
        match damage {
            "bit" => history.flip_a_bit(&meta.path).await,
            "gone" => history.remove(&meta.path).await,
            _ => history.change_the_hash(&meta.path),
        }
        let error = answer(&history, Point::at(asked_at), Bounds::DEFAULT).await.unwrap_err();
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
        let Ok(plan) = plan(&history.manifest, Point::at(asked_at), &Options::default()) else { continue };
        let (mut whole, mut all) = (Kept::default(), Total::default());
        if image::run(&plan, &history.segments(), (TIGHT, Steps::SILENT), &mut whole, &mut all).await.is_err()
            || all.items < 3
        {
            continue;
        }
        let (mut rest, mut given) = (Kept::default(), Total::default());
        for item in &whole.0[..2] {
            given.add(item.digest);
        }
        image::run(&plan, &history.segments(), (TIGHT, Steps::SILENT), &mut rest, &mut given).await.unwrap();
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
    let refusal =
        |at: Second, proven| plan(&history.manifest, Point::at(at), &Options { proven, ..Options::default() }).err();
    assert!(matches!(refusal(closed.plus(1), false), Some(Refusal::NotCovered { watermark: Watermark::Closed, .. })));
    let proven = refusal(closed.plus(-9), true);
    assert!(matches!(proven, Some(Refusal::NotCovered { watermark: Watermark::Proven, .. })));
    assert!(!matches!(refusal(closed.plus(-10), true), Some(Refusal::NotCovered { .. })));
    assert_eq!(plan(&Manifest::default(), Point::at(closed), &Options::default()), Err(Refusal::NothingArchived));
    assert!(matches!(refusal(Second(0), false), Some(Refusal::BeforeCoverage { .. })));
    let failure = ReplayError::Refused(proven.unwrap()).to_failure("table");
    assert_eq!(failure.exit, crate::failure::Exit::OutsideCoverage);
    assert_eq!(Text::from(failure.place), Text::from("table"));
}

#[tokio::test]
async fn what_is_called_exact_past_a_gap_is_the_truth_and_is_counted_one_by_one() {
    let (mut exact, mut doubtful) = (0, 0);
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        let accepted = history.manifest.gaps.iter().map(|gap| gap.id).collect();
        let options = Options { accepted, ..Options::default() };
        for asked_at in history.times() {
            let Ok(plan) = plan(&history.manifest, Point::at(asked_at), &options) else { continue };
            if plan.accepted.is_empty() {
                continue;
            }
            let truth = history.truth(|change| change.cut <= asked_at);
            let (mut kept, mut total) = (Kept::default(), Total::default());
            image::run(&plan, &history.segments(), (TIGHT, Steps::SILENT), &mut kept, &mut total).await.unwrap();
            let counted = explain(&plan, &history.segments()).await.unwrap();
            let mut reader = image::Reader::new(&plan, &history.segments(), Bounds::DEFAULT);
            let mut sure = Vec::new();
            while let Some(stretch) = reader.next(Steps::SILENT).await.unwrap() {
                sure.extend(stretch.winners.into_iter().filter_map(|winner| {
                    let (since, until) = winner.rests_on;
                    let met = crate::manifest::unknown::meeting(&plan.accepted, since, until).next().is_some();
                    (!met).then(|| winner.key.texts().0.as_str().to_owned())
                }));
            }
            assert_eq!((counted.items, counted.exact), (total.items, sure.len() as u64), "seed {seed}, {asked_at}");
            for item in kept.0.iter().filter(|item| sure.iter().any(|key| key == item.pk.as_str())) {
                let truth = truth.get(item.pk.as_str()).map(String::as_str);
                assert_eq!(Some(item.image.as_str()), truth, "seed {seed}, {} at {asked_at}: {plan}", item.pk.as_str());
            }
            exact += counted.exact;
            doubtful += counted.may_be_wrong;
        }
    }
    assert!(exact > 10 && doubtful > 10, "{exact} {doubtful}");
}

#[tokio::test]
async fn a_plan_costs_as_many_requests_as_were_expected() {
    for seed in 0..SEEDS {
        let history = History::random(seed).await;
        let Some(asked_at) = history.manifest.closed_through else { continue };
        let Ok(plan) = plan(&history.manifest, Point::at(asked_at), &Options::default()) else { continue };
        let counting = Arc::new(CountingStore::new(history.store()));
        let segments = Segments::new(Arc::clone(&counting) as Arc<dyn ObjectStore>, "table".to_owned());
        let (mut kept, mut total) = (Kept::default(), Total::default());
        image::run(&plan, &segments, (Bounds::DEFAULT, Steps::SILENT), &mut kept, &mut total).await.unwrap();
        let cost = Cost::of(&plan, Bounds::DEFAULT, 2);
        assert_eq!((cost.requests, cost.seconds), (counting.take().reads, 1), "seed {seed}: {plan}");
    }
}
