//! The image digest: equal images give equal digests, however they are spelled.

use xxhash_rust::xxh3::xxh3_128;

use super::canonical::Canon;
use super::delta::Finder;
use super::image::{Attribute, ImageError, attributes};

/// Wrapping sum over the image's attributes of XXH3-128 (seed 0) of length ‖ name ‖ canonical value
/// (see [`canonical`](super::canonical)). The image without attributes has the digest 0.
///
/// # Errors
/// An image that cannot be read: the record that holds it is kept as `UNKNOWN`.
pub fn image(json: &str) -> Result<u128, ImageError> {
    let mut canon = Canon::default();
    attributes(json)?.iter().try_fold(0, |sum: u128, attribute| Ok(sum.wrapping_add(hash(&mut canon, attribute)?)))
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
