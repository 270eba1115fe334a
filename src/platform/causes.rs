//! What an error says, with all that caused it.

use std::error::Error;

/// An error and its causes in one line; what an outer text says already is not said again.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn every_cause_is_said_once() {
        let inner = Told("refused", None);
        let same = Told("refused", Some(Box::new(inner)));
        let outer = Told("no connection", Some(Box::new(same)));
        assert_eq!(causes(&outer), "no connection: refused");
    }
}
