//! Messages and their dispatches: what is in the outbox. Bodies, and the keys in them, only where they are asked for.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::store::{DispatchRow, MessageRow};

/// What `queue list --json` and `queue dead --json` print.
#[derive(Serialize, ToSchema)]
pub struct DispatchPage {
    pub items: Vec<DispatchRow>,
    /// Asks for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// What `queue show --json` prints.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageShown)]
pub struct Shown {
    pub message: MessageRow,
    pub dispatches: Vec<DispatchRow>,
    /// The CloudEvent as stored. Only where it is asked for; then `null` when it is wiped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Option<Box<RawValue>>>,
}

/// A stored body, byte for byte.
pub fn event(body: Vec<u8>) -> Result<Box<RawValue>, String> {
    let broken = || "the stored body is not JSON".to_owned();
    String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok()).ok_or_else(broken)
}
