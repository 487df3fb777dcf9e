//! One subscription as a list shows it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::renewal::{Outcome, Pace, Rules, State};
use crate::store::SubscriptionRow;

/// What `list --json` prints.
#[derive(Serialize, ToSchema)]
pub struct SubscriptionPage {
    pub items: Vec<Item>,
    /// Asks for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// One subscription, without metadata.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct Item {
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    pub state: State,
    /// `null`: adopted, and not asked yet.
    pub generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub technical_status: Option<String>,
    pub tracked_at: Timestamp,
    pub last_asked_at: Option<Timestamp>,
    /// The last usable one.
    pub last_answer_at: Option<Timestamp>,
    /// Of the last request: `ok`, `not_found`, `refused`, `unreachable` …
    pub last_outcome: Option<Outcome>,
    pub last_detail: Option<String>,
    pub next_poll_at: Option<Timestamp>,
    /// Renewals whose order data is awaited.
    pub waiting_renewals: u32,
    pub overdue: bool,
    pub not_renewed: bool,
    /// What the last usable answer said that nobody expected.
    pub surprise: Option<String>,
}

impl Item {
    pub fn new(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> Self {
        let subscription = row.subscription.clone();
        Self {
            provider: row.provider.clone(),
            overdue: is_overdue(row, rules, now),
            not_renewed: subscription.state == State::Watching
                && subscription.not_renewed_term.is_some()
                && subscription.not_renewed_term == subscription.expires_at,
            territory: subscription.territory,
            partner_order_number: subscription.partner_order_number,
            subscription_id: subscription.subscription_id,
            state: subscription.state,
            generation: subscription.generation,
            expires_at: subscription.expires_at,
            technical_status: subscription.technical_status,
            tracked_at: row.tracked_at,
            last_asked_at: subscription.last_asked_at,
            last_answer_at: subscription.last_answer_at,
            last_outcome: subscription.last_outcome,
            last_detail: subscription.last_detail,
            next_poll_at: subscription.due_at,
            waiting_renewals: row.waiting,
            surprise: subscription.surprise,
        }
    }
}

/// As the store's filter has it: watched, not awaiting order data, and without an answer for 1.1 × its interval.
pub fn is_overdue(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> bool {
    let subscription = &row.subscription;
    let pace = if subscription.pace == Pace::Regular { Pace::Regular } else { Pace::Daily };
    subscription.state == State::Watching
        && row.waiting == 0
        && subscription.last_answer_at.unwrap_or(row.tracked_at) < now - rules.interval(pace).mul_f64(1.1)
}
