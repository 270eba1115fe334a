//! The image digest: equal images give equal digests, however they are spelled.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use xxhash_rust::xxh3::xxh3_128;

use super::canonical::{Canon, Name};
use super::image::{ImageError, has_duplicates};

/// Wrapping sum over the image's attributes of XXH3-128 (seed 0) of length ‖ name ‖ canonical value
/// (see [`canonical`](super::canonical)). The image without attributes has the digest 0.
///
/// # Errors
/// An image that cannot be read: the record that holds it is kept as `UNKNOWN`.
pub fn image(json: &str) -> Result<u128, ImageError> {
    let mut canon = Canon::default();
    let mut reader = serde_json::Deserializer::from_str(json);
    let summed = reader.deserialize_map(Sum(&mut canon)).and_then(|sum| reader.end().map(|()| sum));
    summed.map_err(|error| canon.fault(&error))
}

struct Sum<'c>(&'c mut Canon);

impl<'de> Visitor<'de> for Sum<'_> {
    type Value = u128;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u128, A::Error> {
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(16);
        let mut sum = 0_u128;
        while let Some(name) = map.next_key_seed(Name)? {
            self.0.clear();
            self.0.sized(name.as_bytes())?;
            map.next_value_seed(self.0.value())?;
            sum = sum.wrapping_add(xxh3_128(self.0.bytes()));
            names.push(name);
        }
        if has_duplicates(names.iter().map(|name| &**name)) {
            return Err(self.0.refuse(ImageError::Duplicate));
        }
        Ok(sum)
    }
}
