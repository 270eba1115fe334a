//! One verb per file: tables of contents, no logic.
