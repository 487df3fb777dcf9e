//! What a status answer says of a subscription: how often it has renewed, and whether it may renew again.

use super::answers::Status;
use super::number::{self, Observed, Unusable};
use crate::life::Life;
use crate::provider::{Class, Seen, Sighting};
use crate::text::visible;

/// Characters of a foreign number that are shown.
const SHOWN: usize = 200;

/// Reads an answer about the subscription with this original number.
pub fn sighting(original: &str, status: Status) -> Sighting {
    if status.verdict.class != Class::Success {
        return Sighting::refused(status.verdict);
    }
    let seen = match number::observe(original, &status) {
        Ok(Observed { generation, contradicts }) => {
            let doubt = contradicts.then_some("generation field and order number disagree");
            Seen::Counted { generation, doubt, besides: Vec::new() }
        }
        Err(Unusable::Foreign) => Seen::Foreign(format!("answered for the foreign number {:?}", shown(&status))),
        Err(Unusable::NoGeneration) => Seen::Unclear("the answer does not tell the generation"),
    };
    Sighting {
        verdict: status.verdict,
        life: status.technical_status.as_deref().map(life),
        words: status.technical_status,
        expires_at: status.expires_at,
        ..Sighting::of(seen)
    }
}

fn shown(status: &Status) -> String {
    let number = status.partner_order_number.as_deref().unwrap_or_default();
    visible(&number.chars().take(SHOWN).collect::<String>())
}

/// No list of values is public (section 4.4): a guess, so it stops nothing by itself.
fn life(status: &str) -> Life {
    let is = |name: &str| status.eq_ignore_ascii_case(name);
    if is("canceled") || is("cancelled") {
        Life::Cancelled
    } else if is("expired") {
        Life::Expired
    } else {
        Life::Running
    }
}
