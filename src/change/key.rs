//! Item keys: typed values in canonical form, and the hash that places them in buckets.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::image::{Attribute, ImageError, attributes};
use super::{Text, canonical};

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyType {
    /// A string.
    S,
    /// A number.
    N,
    /// A binary.
    B,
}

impl KeyType {
    /// The tag byte that is hashed, and the member name in the service's JSON.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// One attribute of a table's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// The attribute's name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: KeyType,
}

/// A table's key: the partition key first, then the sort key if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySchema(pub Vec<KeyAttribute>);

/// One key value: its type, and its text as segments store it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyValue {
    /// S, N or B.
    pub kind: KeyType,
    /// S as is, N in canonical form, B in standard base64 (as the service sends it).
    pub text: Text,
}

/// An item's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// The partition key.
    pub pk: KeyValue,
    /// The sort key, where the table has one.
    pub sk: Option<KeyValue>,
}

/// 16 bytes: high half of the partition key's hash, low half of the whole key's. Big-endian, so it sorts as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// The least of all.
    pub const LEAST: Self = Self([0; 16]);
    /// The greatest of all.
    pub const GREATEST: Self = Self([0xff; 16]);

    /// The one before this; the least stays.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(u128::from_be_bytes(self.0).saturating_sub(1).to_be_bytes())
    }
}

// As numbers: a comparison of bytes would be a call, and replay makes very many.
impl Ord for KeyHash {
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}
impl PartialOrd for KeyHash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ItemKey {
    /// The hash of this key; `None` if a binary is no base64.
    #[must_use]
    pub fn hash(&self) -> Option<KeyHash> {
        let mut bytes = Vec::with_capacity(64);
        self.pk.hash_input(&mut bytes)?;
        let high = (xxh3_128(&bytes) >> 64) << 64;
        if let Some(sk) = &self.sk {
            sk.hash_input(&mut bytes)?;
        }
        let low = xxh3_128(&bytes) & u128::from(u64::MAX);
        Some(KeyHash((high | low).to_be_bytes()))
    }
}

impl ItemKey {
    /// The key out of an image, which may hold other attributes too.
    ///
    /// # Errors
    /// [`ImageError::Key`] for an absent attribute or one of another type; others for what cannot be read.
    pub fn from_image(schema: &KeySchema, json: &str) -> Result<Self, ImageError> {
        Self::from_attributes(schema, &attributes(json)?)
    }

    fn from_attributes(schema: &KeySchema, attributes: &[Attribute<'_>]) -> Result<Self, ImageError> {
        let mut values = schema.0.iter().map(|key| {
            let (_, value) = attributes.iter().find(|(name, _)| *name == key.name).ok_or(ImageError::Key)?;
            KeyValue::from_json(key.kind, value.get())
        });
        let pk = values.next().ok_or(ImageError::Key)??;
        let sk = values.next().transpose()?;
        Ok(Self { pk, sk })
    }

    /// The key out of a `Keys` object, which holds the key attributes and nothing else.
    ///
    /// # Errors
    /// As [`from_image`](Self::from_image); also for an attribute that is not of the key.
    pub fn from_keys_json(schema: &KeySchema, json: &str) -> Result<Self, ImageError> {
        let attributes = attributes(json)?;
        if attributes.len() != schema.0.len() {
            return Err(ImageError::Key);
        }
        Self::from_attributes(schema, &attributes)
    }
}

impl KeyValue {
    /// Reads `{"S":"x"}`, which must be of the type that the schema gives the attribute.
    fn from_json(kind: KeyType, json: &str) -> Result<Self, ImageError> {
        let value = attributes(json)?;
        let [(tag, text)] = value.as_slice() else { return Err(ImageError::Key) };
        if tag != kind.tag() {
            return Err(ImageError::Key);
        }
        let text: std::borrow::Cow<'_, str> = serde_json::from_str(text.get()).map_err(|_| ImageError::Key)?;
        Self::parse(kind, &text).ok_or(ImageError::Value(if kind == KeyType::N { "number" } else { "binary" }))
    }

    /// The value of this type that a person or the service writes as `text`; none for what is no number, or no base64.
    #[must_use]
    pub fn parse(kind: KeyType, text: &str) -> Option<Self> {
        let text = match kind {
            KeyType::S | KeyType::B => Text::from(text),
            KeyType::N => canonical::number(text)?.into(),
        };
        let value = Self { kind, text };
        // A binary that is no base64 has no hash.
        value.hash_input(&mut Vec::new()).map(|()| value)
    }

    /// Tag byte, big-endian length, bytes.
    fn hash_input(&self, out: &mut Vec<u8>) -> Option<()> {
        use base64::Engine as _;
        let raw;
        let bytes = match self.kind {
            KeyType::B => {
                raw = base64::engine::general_purpose::STANDARD.decode(self.text.as_str()).ok()?;
                raw.as_slice()
            }
            KeyType::S | KeyType::N => self.text.as_str().as_bytes(),
        };
        out.extend_from_slice(self.kind.tag().as_bytes());
        out.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend_from_slice(bytes);
        Some(())
    }
}

impl KeyHash {
    /// The bucket of this key when the top `bits` (at most 9) choose among 2^bits.
    #[must_use]
    pub fn bucket(&self, bits: u8) -> u16 {
        let top = u16::from_be_bytes([self.0[0], self.0[1]]);
        if bits == 0 { 0 } else { top >> (16 - u16::from(bits.min(9))) }
    }
}
