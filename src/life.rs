//! What a provider's word for a subscription's state means to us.

use crate::delivery::EndReason;
use crate::text::forms::text_forms;

/// What a subscription's state means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// May renew.
    Running,
    /// Nothing is charged until somebody resumes or activates it at the provider.
    Paused,
    /// Nothing comes after it, the provider says.
    Cancelled,
    Expired,
}

text_forms!(Life { Running = "running", Paused = "paused", Cancelled = "cancelled", Expired = "expired" });

impl Life {
    pub fn end(self) -> Option<EndReason> {
        match self {
            Self::Running | Self::Paused => None,
            Self::Cancelled => Some(EndReason::Cancelled),
            Self::Expired => Some(EndReason::Expired),
        }
    }
}
