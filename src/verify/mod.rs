//! 8. Scrub: what is stored is what was committed.
