//! Where an archive lies, as a user writes it: `s3://bucket/prefix`, `file:///path`, or a plain path.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::failure::{Exit, Failure};

/// A place that can hold an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A bucket, and the folder in it (without slashes at its ends; may be empty).
    S3 {
        /// The bucket's name, or the ARN of an access point.
        bucket: String,
        /// The folder.
        prefix: String,
    },
    /// A folder of this machine.
    Local(PathBuf),
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a place for an archive: {reason}")]
pub struct LocationError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl LocationError {
    /// The failure that a command reports.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let next = "write s3://BUCKET/PREFIX, file:///PATH, or a path";
        let place = if self.text.is_empty() { "--archive" } else { &self.text };
        Failure::new(Exit::Usage, format!("not a place for an archive: {}", self.reason), place, next)
    }
}

impl Location {
    /// Reads a place as a user writes it.
    ///
    /// # Errors
    /// When the text names no place, or a kind of place that is not supported.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let wrong = |reason: &str| LocationError { text: text.to_owned(), reason: reason.to_owned() };
        let text = text.trim();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        match text.split_once("://") {
            Some(("s3", rest)) => s3(rest).map_err(wrong),
            Some(("file", rest)) => local(rest.strip_prefix("localhost").unwrap_or(rest)).map_err(wrong),
            Some((scheme, _)) => Err(wrong(&format!("the scheme {scheme:?} is not known"))),
            None if text.starts_with("s3:") || text.starts_with("file:") => {
                Err(wrong("// is missing after the scheme"))
            }
            None => Ok(Self::Local(PathBuf::from(text))),
        }
    }
}

fn s3(rest: &str) -> Result<Location, &'static str> {
    // An access point's ARN holds one slash of its own: arn:aws:s3:region:account:accesspoint/name.
    let slash = match rest.find(":accesspoint/") {
        Some(at) if rest.starts_with("arn:") => rest[at + 13..].find('/').map(|end| at + 13 + end),
        _ => rest.find('/'),
    };
    let (bucket, prefix) = slash.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
    if bucket.is_empty() {
        return Err("the bucket's name is missing");
    }
    if !bucket.starts_with("arn:") && !bucket_name(bucket) {
        return Err("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
    }
    let prefix = prefix.trim_matches('/');
    if prefix.contains("//") || prefix.contains(['?', '#']) {
        return Err("the prefix has an empty part, or one of ? and #");
    }
    if prefix.split('/').any(|part| part == "." || part == "..") {
        return Err("the prefix has a part . or ..");
    }
    Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn bucket_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    (3..=63).contains(&name.len()) && name.bytes().all(inner)
}

fn local(path: &str) -> Result<Location, &'static str> {
    if !path.starts_with('/') {
        return Err("a file URL needs an absolute path: file:///path");
    }
    let path = decoded(path).ok_or("a percent sign in a file URL needs two hex digits, and the whole must be UTF-8")?;
    if Path::new(&path).components().any(|part| part == Component::ParentDir) {
        return Err("the path of a file URL has a part ..");
    }
    Ok(Location::Local(PathBuf::from(path)))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_bucket(bucket: &str, prefix: &str) -> Location {
        Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn places_read_as_users_write_them() {
        let point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/keep";
        for (text, place) in [
            ("s3://bucket", in_bucket("bucket", "")),
            ("s3://bucket/", in_bucket("bucket", "")),
            ("s3://bucket/a/b/", in_bucket("bucket", "a/b")),
            (&format!("s3://{point}/a"), in_bucket(point, "a")),
            (&format!("s3://{point}"), in_bucket(point, "")),
            ("file:///var/keep", Location::Local("/var/keep".into())),
            ("file:///var/a%20b", Location::Local("/var/a b".into())),
            ("keep/here", Location::Local("keep/here".into())),
            ("./s3", Location::Local("./s3".into())),
        ] {
            assert_eq!(Location::parse(text), Ok(place), "{text}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in [
            "",
            "  ",
            "s3://",
            "s3:///x",
            "s3:bucket",
            "s3://Bucket/x",
            "s3://b",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "gs://bucket",
            "file://host/x",
            "file:x",
            "file:///a%2",
            "file:///a%ff",
            "file:///a/../b",
            "https://x/y",
        ] {
            let refused = Location::parse(text);
            assert!(refused.is_err(), "{text} was read as {refused:?}");
        }
    }
}
