//! 7. The image of the table at a point: point → plan → image → sink.

mod error;
mod image;
mod locate;
pub mod plan;
pub mod point;
pub mod sink;
mod winners;

pub use error::ReplayError;
pub use image::Total;
pub use locate::resolve;
pub use plan::{Options, Plan, PlannedBase, Refusal, Watermark, Way, plan};
pub use point::{Asked, Edge, Point, PointError};
pub use sink::Sink;

use crate::manifest::{Log, Manifest, ReadError, Segments};

/// Runs a plan into a sink and finishes it. `manifest` is the one that the plan was made from.
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
    plan: Plan,
    sink: &mut dyn Sink,
) -> Result<Total, ReplayError> {
    let mut given = Total::default();
    let mut current = plan;
    loop {
        let missing = match image::run(&current, segments, sink, &mut given).await {
            Ok(()) => break,
            Err(ReplayError::Read(ReadError::Missing { path })) => path,
            Err(error) => return Err(error),
        };
        log.refresh(manifest).await?;
        log.load_segments(manifest, None, None).await?;
        let proven = current.watermark == Watermark::Proven;
        let again = plan::plan(manifest, current.point.clone(), Options { proven })?;
        if again.changes.iter().chain(&again.base.segments).any(|meta| meta.path == missing) {
            return Err(ReplayError::Lost { path: missing });
        }
        if !again.is_final && given.items > 0 {
            return Err(ReplayError::Overtaken);
        }
        current = again;
    }
    sink.finish().await?;
    Ok(given)
}

#[cfg(test)]
mod tests;
