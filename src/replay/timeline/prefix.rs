//! How the keys of a burst begin. Pure.

/// A beginning that most keys share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The text.
    pub text: String,
    /// It is all of the key, not only its beginning.
    pub whole: bool,
    /// How many of a hundred keys have it.
    pub percent: usize,
}

/// So many of a hundred keys make a prefix.
const MOST: usize = 80;

/// The longest beginning that most of `keys` share, if there is any.
pub(super) fn of(keys: &mut Vec<&str>) -> Option<Prefix> {
    let all = keys.len();
    keys.sort_unstable();
    let (mut shared, mut length) = (&keys[..], 0);
    loop {
        // Of sorted keys with one beginning, those that go on alike stand together.
        let next = shared.chunk_by(|a, b| following(a, length) == following(b, length)).max_by_key(|some| some.len());
        let Some(next) = next.filter(|next| next.len() * 100 >= all * MOST) else { break };
        let Some(step) = next.first().and_then(|key| following(key, length)) else { break };
        (shared, length) = (next, length + step.len_utf8());
    }
    let text = shared.first()?.get(..length).filter(|text| !text.is_empty())?.to_owned();
    let whole = shared.iter().all(|key| key.len() == length);
    Some(Prefix { text, whole, percent: shared.len() * 100 / all })
}

fn following(key: &str, length: usize) -> Option<char> {
    key.get(length..)?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[&str]) -> Option<(String, bool, usize)> {
        of(&mut keys.to_vec()).map(|prefix| (prefix.text, prefix.whole, prefix.percent))
    }

    #[test]
    fn the_longest_beginning_that_most_share_is_found() {
        let own = |text: &str, whole, percent| Some((text.to_owned(), whole, percent));
        assert_eq!(found(&["order#1", "order#22", "customer#1", "order#3", "order#4"]), own("order#", false, 80));
        assert_eq!(found(&["a", "b", "c"]), None);
        assert_eq!(found(&["tenant-7", "tenant-7"]), own("tenant-7", true, 100));
        assert_eq!(found(&["größe", "grün"]), own("gr", false, 100));
        assert_eq!(found(&["ab", "abc", "abd"]), own("ab", false, 100));
        assert_eq!(found(&[""]), None);
        assert_eq!(found(&[]), None);
    }
}
