//! 7. The image of the table at a point: point → plan → image → sink.

mod cost;
mod diff;
mod error;
mod explain;
mod found;
pub mod history;
mod image;
mod images;
mod locate;
mod objects;
pub mod plan;
pub mod point;
pub mod sink;
pub mod steps;
pub mod timeline;
mod winners;

pub use cost::Cost;
pub use diff::{Difference, Differences, diff};
pub use error::ReplayError;
pub use explain::{Explained, explain};
pub use history::history;
pub use image::{Bounds, Total};
pub use locate::locate;
pub use plan::{Options, Plan, PlannedBase, Refusal, Watermark, Way, plan};
pub use point::{Asked, Edge, Point, PointError};
pub use sink::Sink;
pub use steps::Steps;
pub use timeline::timeline;

use crate::manifest::{Log, Manifest, ReadError, Segments, Unknown};

/// Resolves what was asked for, and plans it.
///
/// # Errors
/// As [`locate()`] and [`plan()`].
pub async fn planned(
    asked: &Asked,
    log: &Log,
    manifest: &mut Manifest,
    segments: &Segments,
    options: &Options,
) -> Result<Plan, ReplayError> {
    let point = locate(asked, log, manifest, segments).await?;
    Ok(plan(manifest, point, options)?)
}

/// Runs a plan into a sink and finishes it, within `bounds`, telling `steps`. `manifest` is the one that the plan was made from.
///
/// An object that is gone may have been replaced since the log was read (a day was sealed, and its raw segments
/// collected): the log is read again and the replay goes on where it stood, as the answer at a covered point
/// never changes.
///
/// # Errors
/// [`ReplayError`]; the sink must then be dropped.
pub async fn run(
    log: &Log,
    manifest: &mut Manifest,
    segments: &Segments,
    mut plan: Plan,
    (bounds, steps): (Bounds, Steps<'_>),
    sink: &mut dyn Sink,
) -> Result<Total, ReplayError> {
    let mut given = Total::default();
    loop {
        match image::run(&plan, segments, (bounds, steps), sink, &mut given).await {
            Ok(()) => break,
            Err(ReplayError::Read(ReadError::Missing { path })) => refold(log, manifest, &path).await?,
            Err(error) => return Err(error),
        }
        plan = plan_again(manifest, &plan)?;
        if !plan.is_final && given.items > 0 {
            return Err(ReplayError::Overtaken);
        }
    }
    sink.finish().await?;
    steps.whole();
    Ok(given)
}

/// Reads the log anew after it named a path that is not there. If it still does, the path is lost.
async fn refold(log: &Log, manifest: &mut Manifest, missing: &str) -> Result<(), ReplayError> {
    log.refresh(manifest).await?;
    log.load_segments(manifest, None, None).await?;
    let in_base = || manifest.bases.iter().flat_map(|base| &base.base.segments).any(|meta| meta.path == missing);
    if manifest.segments.contains_key(missing) || in_base() {
        return Err(ReplayError::Lost { path: missing.to_owned() });
    }
    Ok(())
}

fn plan_again(manifest: &Manifest, plan: &Plan) -> Result<Plan, Refusal> {
    let accepted = plan.accepted.iter().filter_map(Unknown::gap).collect();
    let options = Options { proven: plan.watermark == Watermark::Proven, accepted };
    plan::plan(manifest, plan.point.clone(), &options)
}

#[cfg(test)]
mod tests;
