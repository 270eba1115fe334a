//! When an image of the archive's own pays: what a replay reads follows the table then, and not its history.

use crate::change::Second;
use crate::manifest::{BaseKind, IntentKind, Journal, JournalError, Manifest};
use crate::replay::{self, Options, Point, Way};
use crate::segment::Tier;

/// Changes that take fewer bytes are read in a second or two: an image would save nothing that anybody notices.
const WORTH: u64 = 16 << 20;

/// The time of the image that is to be written now, if any: one that was begun; or the end of the last sealed day, once
/// the last changes of all items since the image before it take as many bytes as that image. So a replay reads little
/// more than twice what it gives, and images take no more room than the days whose place they take.
///
/// # Errors
/// [`JournalError`].
pub async fn due(journal: &mut Journal<'_>) -> Result<Option<Second>, JournalError> {
    let begun = journal.manifest.intents.values().find_map(|intent| match &intent.kind {
        IntentKind::Base(started) if started.kind == BaseKind::Archive => Some(started.fence),
        _ => None,
    });
    let (None, Some(end)) = (begun, journal.manifest.sealed_until()) else { return Ok(begun) };
    // Without a snapshot before it there is none to begin with, and the whole history would be looked at in vain.
    let before = journal.manifest.bases.iter().filter(|base| base.base.complete_at <= end);
    let Some(newest) = before.max_by_key(|base| (base.base.complete_at, base.n)) else { return Ok(None) };
    let fence = newest.base.fence;
    journal.load(Some(fence), Some(end)).await?;
    Ok(pays(journal.manifest, end).then_some(end))
}

/// Whether an image at the end of a sealed day pays. Where none stands before it there is none to begin with.
pub(super) fn pays(manifest: &Manifest, end: Second) -> bool {
    let Ok(plan) = replay::plan(manifest, Point::at(end), &Options::default()) else { return false };
    let heads = plan.changes.iter().filter(|meta| meta.tier == Tier::Heads);
    let since: u64 = heads.map(|meta| meta.bytes).sum();
    let image: u64 = plan.base.segments.iter().map(|meta| meta.bytes).sum();
    plan.way == Way::Forward && since >= image.max(WORTH)
}
