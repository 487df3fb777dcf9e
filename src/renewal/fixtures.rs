//! What tests of decisions begin with.

use std::time::Duration;

use super::{DAY, HOUR, Outcome, Pace, Rules, State, Subscription};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::convention::{Advice, Convention, Numbers, as_given};
use crate::life::Life;

/// Those of settings that say nothing else.
pub(crate) fn rules() -> Rules {
    Rules {
        every: 4 * HOUR,
        window_before: 3 * DAY,
        window_after: 14 * DAY,
        ended_after: 30 * DAY,
        notify_before: Duration::ZERO,
        max_generation_jump: 24,
        retry_first: Duration::from_secs(10),
        retry_max: 4 * HOUR,
    }
}

/// A number as it is written.
fn count(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|count: &i64| count.to_string() == digits)
}

/// A kind whose renewals are named like `PARTNER689-1`.
pub(crate) static COUNTS: Convention = Convention {
    canonical: as_given,
    numbers: Some(Numbers {
        refused: |_| None,
        generation_in: |original, number| match number.strip_prefix(original)? {
            "" => Some(0),
            suffix => count(suffix.strip_prefix('-')?),
        },
        original_of: |number| number.rsplit_once('-').and_then(|(before, digits)| count(digits).map(|_| before)),
    }),
    reference: Some(|original, generation| format!("{original}-{generation}")),
    lowest_generation: 0,
    created: None,
    hinted: None,
    advice: Advice { refused: "", reasons: "", territory: "" },
    rests_while_waiting: true,
    unknown_is_deleted: false,
    may_have_closed: false,
    feed: None,
    shop: None,
    begin: None,
};

/// Asked an interval ago, due now, and far from its expiry.
pub(crate) fn watched(generation: i64, now: Timestamp) -> Subscription {
    Subscription {
        row: 1,
        territory: "eu".into(),
        partner_order_number: "PARTNER689".into(),
        subscription_id: "5618577".into(),
        state: State::Watching,
        generation: Some(generation),
        expires_at: Some(now + 100 * DAY),
        expiry_reported: true,
        tracked_at: now - 400 * DAY,
        known_before: now - 400 * DAY,
        discovered: false,
        ended_at: None,
        lane: Lane::Other,
        due_at: Some(now),
        pace: Pace::Regular,
        last_asked_at: Some(now - 4 * HOUR),
        last_answer_at: Some(now - 4 * HOUR),
        failures: 0,
        refusals: 0,
        last_outcome: Some(Outcome::Ok),
        last_detail: None,
        technical_status: Some("ACTIVE".into()),
        life: Some(Life::Running),
        memo: None,
        hints: 0,
        status_changes: 0,
        terminal_since: None,
        surprise: None,
        surprises: 0,
        past_surprise: None,
        past_surprise_at: None,
        partner_reference: None,
        failing: None,
        payment_failures: 0,
        offer: None,
        renewal_due_term: None,
        not_renewed_term: None,
    }
}
