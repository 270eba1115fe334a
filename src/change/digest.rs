//! The image digest: equal images give equal digests, however they are spelled.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use xxhash_rust::xxh3::xxh3_128;

use super::canonical::{Canon, Name};
use super::delta::Finder;
use super::image::{Attribute, ImageError, attributes, has_duplicates};

/// Wrapping sum over the image's attributes of XXH3-128 (seed 0) of length ‖ name ‖ canonical value
/// (see [`canonical`](super::canonical)). The image without attributes has the digest 0.
///
/// # Errors
/// An image that cannot be read: the record that holds it is kept as `UNKNOWN`.
pub fn image(json: &str) -> Result<u128, ImageError> {
    let mut canon = Canon::default();
    // Read once; what cannot be is read by its attributes, so that both functions here accept the same and say the same.
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = reader.deserialize_map(Sum(&mut canon)).and_then(|sum| reader.end().map(|()| sum));
    read.or_else(|_| {
        let mut canon = Canon::default();
        attributes(json)?.iter().try_fold(0, |sum: u128, attribute| Ok(sum.wrapping_add(hash(&mut canon, attribute)?)))
    })
}

/// Sums over the attributes as they are read.
struct Sum<'c>(&'c mut Canon);

impl<'de> Visitor<'de> for Sum<'_> {
    type Value = u128;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u128, A::Error> {
        let (mut sum, mut names) = (0_u128, Vec::with_capacity(16));
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

/// The digests of the images after and before one change. Most attributes of an item do not change, and one whose
/// bytes are the same in both is read once.
///
/// # Errors
/// As [`image`], of either.
pub fn images(new: &str, old: &str) -> Result<(u128, u128), ImageError> {
    let (new, old) = (attributes(new)?, attributes(old)?);
    let mut canon = Canon::default();
    let hashes = new.iter().map(|attribute| hash(&mut canon, attribute)).collect::<Result<Vec<_>, _>>()?;
    let mut finder = Finder::new(&new);
    let before = old.iter().try_fold(0, |sum: u128, attribute| {
        let same = finder.find(&attribute.0).filter(|at| new[*at].1.get() == attribute.1.get());
        let hash = same.map_or_else(|| hash(&mut canon, attribute), |at| Ok(hashes[at]))?;
        Ok(sum.wrapping_add(hash))
    })?;
    Ok((hashes.into_iter().fold(0, u128::wrapping_add), before))
}

fn hash(canon: &mut Canon, (name, value): &Attribute<'_>) -> Result<u128, ImageError> {
    canon.clear();
    canon.read_attribute(name, value.get())?;
    Ok(xxh3_128(canon.bytes()))
}
