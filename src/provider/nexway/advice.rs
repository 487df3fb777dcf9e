//! What a person is told to look at when the platform gives no answer, for `check --online`.

use crate::provider::Error;

pub const ALLOW_LIST: &str = "whether the provider has this machine's address on its allow list";

/// No token was given.
pub fn refused_token(error: &Error) -> String {
    let look_at = match error {
        Error::Unauthorized { .. } => format!("; look at realm, client_secret_file, and {ALLOW_LIST}"),
        Error::Unreachable(_) => "; look at iam_url, DNS, firewall, proxy and ca_file".to_owned(),
        Error::Rejected { .. } | Error::NotTheProvider { .. } | Error::Unreadable { .. } => {
            "; look at iam_url".to_owned()
        }
        Error::Unavailable { .. } | Error::TooManyRequests { .. } => String::new(),
    };
    format!("token service: {}{look_at}", describe(error))
}

/// The API gave none; `address` names the settings that say where it is.
pub fn refused(error: &Error, address: &str) -> String {
    let look_at = match error {
        Error::Unauthorized { .. } => format!("; look at {ALLOW_LIST}, and at {address}"),
        Error::Unreachable(_) => format!("; look at {address}, DNS, firewall, proxy and ca_file"),
        Error::Rejected { .. } | Error::NotTheProvider { .. } | Error::Unreadable { .. } => {
            format!("; look at {address}")
        }
        Error::Unavailable { .. } | Error::TooManyRequests { .. } => String::new(),
    };
    format!("{}{look_at}", describe(error))
}

/// Its own advice is for a log line; ours is more exact.
fn describe(error: &Error) -> String {
    match error {
        Error::Unauthorized { reason, .. } => format!("does not accept our credentials ({reason})"),
        other => crate::chain(other),
    }
}
