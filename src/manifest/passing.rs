//! Which failures of the log are waited out.

use super::log::LogError;
use crate::platform::patience::{Curable, Cure};

impl Curable for LogError {
    fn cure(&self) -> Cure {
        match self {
            Self::Store(error) => error.cure(),
            // Writers wait until a void goes past an entry without effect.
            Self::Blocked { .. } => Cure::Person,
            Self::FormatNewer { .. } | Self::Hole { .. } | Self::Forked { .. } | Self::Unwritable(_) => Cure::Nothing,
        }
    }
}
