//! 7. The image of the table at a point: point → plan → image → sink.
