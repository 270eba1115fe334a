//! Segments through their public face.
