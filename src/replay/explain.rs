//! What a gap hides of the image at a point: items counted one by one, without reading an image.

use serde::Serialize;

use super::error::ReplayError;
use super::image::{Bounds, Reader};
use super::plan::Plan;
use super::steps::Steps;
use crate::manifest::{Segments, unknown};

/// The items of one image, by what is known of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Items of the image that the plan gives.
    pub items: u64,
    /// Of these, the exact ones: archived changes (or a snapshot) tell them, and no accepted gap lies between.
    pub exact: u64,
    /// The others: a change in an accepted gap may be missing from each.
    pub may_be_wrong: u64,
}

/// Counts the items of the image that `plan` gives. Items that lived only within a gap are nowhere, so not here.
///
/// # Errors
/// [`ReplayError`] if the archive cannot be read.
pub async fn explain(plan: &Plan, segments: &Segments) -> Result<Explained, ReplayError> {
    let mut reader = Reader::new(plan, segments, Bounds::DEFAULT);
    let mut explained = Explained::default();
    while let Some(stretch) = reader.next(Steps::SILENT).await? {
        for winner in &stretch.winners {
            let (since, until) = winner.rests_on;
            let exact = unknown::meeting(&plan.accepted, since, until).next().is_none();
            explained.items += 1;
            explained.exact += u64::from(exact);
            explained.may_be_wrong += u64::from(!exact);
        }
    }
    Ok(explained)
}
