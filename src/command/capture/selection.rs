//! Which tables are meant: by name, by pattern, by tag; and which of them are this process's share.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use wildmatch::WildMatch;
use xxhash_rust::xxh3::xxh3_64;

use crate::command::table::TableName;
use crate::failure::{Exit, Failure};

/// A table's tags.
pub(super) type Tags = BTreeMap<String, String>;

const FORMS: &str =
    "write a name, an ARN, a pattern (orders-*, eu-west-1/orders-?), or tag:KEY=VALUE (tag:KEY for any value)";

/// What a user writes where tables are meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// One table.
    Named(TableName),
    /// All whose name matches; in this region, if one is written.
    Like(Option<String>, WildMatch),
    /// All that carry this tag, with this value if one is written.
    Tagged(String, Option<String>),
}

impl FromStr for Wanted {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| Failure::new(Exit::Usage, format!("no table is meant so: {what}"), text, FORMS);
        if let Some(tag) = text.strip_prefix("tag:") {
            let (key, value) = match tag.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (tag, None),
            };
            if key.is_empty() {
                return Err(refuse("a tag has a key"));
            }
            return Ok(Self::Tagged(key.to_owned(), value));
        }
        if !text.contains(['*', '?']) {
            return text.parse().map(Self::Named);
        }
        let (region, pattern) = match text.split('/').collect::<Vec<_>>()[..] {
            [pattern] => (None, pattern),
            [region, pattern] if !region.contains(['*', '?']) => (Some(region.to_owned()), pattern),
            _ => return Err(refuse("a pattern is of names in one account and region")),
        };
        if !pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.*?".contains(&byte)) {
            return Err(refuse("a name has letters, digits, dots, hyphens and underscores"));
        }
        Ok(Self::Like(region, WildMatch::new(pattern)))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Like(None, pattern) => pattern.fmt(f),
            Self::Like(Some(region), pattern) => write!(f, "{region}/{pattern}"),
            Self::Tagged(key, None) => write!(f, "tag:{key}"),
            Self::Tagged(key, Some(value)) => write!(f, "tag:{key}={value}"),
        }
    }
}

impl Wanted {
    /// Whether the region's tables must be listed to know which are meant.
    pub(super) const fn must_look(&self) -> bool {
        !matches!(self, Self::Named(_))
    }

    /// The region that is written.
    pub(super) fn region(&self) -> Option<&str> {
        match self {
            Self::Named(name) => name.region.as_deref(),
            Self::Like(region, _) => region.as_deref(),
            Self::Tagged(..) => None,
        }
    }

    /// Whether a listed table is meant.
    pub(super) fn takes(&self, name: &str, tags: &Tags) -> bool {
        match self {
            Self::Named(named) => named.name == name,
            Self::Like(_, pattern) => pattern.matches(name),
            Self::Tagged(key, None) => tags.contains_key(key),
            Self::Tagged(key, Some(value)) => tags.get(key) == Some(value),
        }
    }
}

/// One process's share of the tables: the `nth` of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    nth: u64,
    of: u64,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(nth, of)| Some((nth.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((nth, of)) if (1..=of).contains(&nth) => Ok(Self { nth, of }),
            _ => Err("write I/N with I from 1 to N, e.g. 2/3 for the second of three processes".to_owned()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.nth, self.of)
    }
}

impl Share {
    /// Whether a table is in it. Each is in exactly one share of the same number; while that number is changed two
    /// processes may have one, which is as safe as it ever is.
    pub(super) fn has(self, region: &str, name: &str) -> bool {
        xxh3_64(format!("{region}/{name}").as_bytes()) % self.of == self.nth - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_tags_are_told_apart() {
        let wanted = |text: &str| text.parse::<Wanted>().unwrap();
        assert_eq!(wanted("eu-west-1/orders"), Wanted::Named("eu-west-1/orders".parse().unwrap()));
        assert_eq!(wanted("eu-west-1/orders-*").region(), Some("eu-west-1"));
        assert_eq!(wanted("tag:archive"), Wanted::Tagged("archive".into(), None));
        let tags = Tags::from([("archive".to_owned(), "yes".to_owned())]);
        for (text, name, takes) in [
            ("orders-*", "orders-", true),
            ("orders-*", "orders-eu-2026", true),
            ("orders-*", "order-eu", false),
            ("*-??", "orders-eu", true),
            ("*-??", "orders-eun", false),
            ("*", "x", true),
            ("tag:archive", "x", true),
            ("tag:archive=yes", "x", true),
            ("tag:archive=", "x", false),
            ("tag:other", "x", false),
        ] {
            assert_eq!(wanted(text).takes(name, &tags), takes, "{text} and {name}");
        }
        for wrong in ["tag:", "tag:=v", "a/b/orders-*", "eu-*/orders", "orders *", "x"] {
            assert_eq!(wrong.parse::<Wanted>().unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn every_table_is_in_exactly_one_share() {
        for of in [1, 2, 3, 7] {
            let shares: Vec<Share> = (1..=of).map(|nth| format!("{nth}/{of}").parse().unwrap()).collect();
            let mut counts = vec![0_u32; shares.len()];
            for table in 0..3000 {
                let name = format!("orders-{table}");
                let having: Vec<usize> = (0..shares.len()).filter(|n| shares[*n].has("eu-west-1", &name)).collect();
                let [one] = having[..] else { panic!("{name} is in {having:?} of {of}") };
                counts[one] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least < 3000 / u32::try_from(of).unwrap() / 3, "{counts:?}");
        }
        for wrong in ["", "0/2", "3/2", "1", "1/0", "a/b", "-1/2"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
