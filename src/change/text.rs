//! A piece of UTF-8 that shares its bytes with the page it came from.

use bytes::Bytes;
use bytestring::ByteString;

/// UTF-8 text; cloning it copies no bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(ByteString);

impl Text {
    /// A whole page, if it is UTF-8; parts of it are not looked at again.
    #[must_use]
    pub fn whole(page: Bytes) -> Option<Self> {
        ByteString::try_from(page).ok().map(Self)
    }

    /// The slice of it that `part` (a borrow out of it) points to.
    #[must_use]
    pub fn slice_ref(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part))
    }

    /// The slice of `page` that `part` (a borrow out of `page`) points to.
    #[must_use]
    pub fn slice_of(page: &Bytes, part: &str) -> Self {
        Self::whole(page.slice_ref(part.as_bytes())).unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}
