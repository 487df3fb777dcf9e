//! All that is known of one subscription. Never keys, never metadata.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::messages::{Dispatch, Message};
use super::next::{self, Next};
use super::status::StoppedTerritory;
use super::subscription::{Forecasts, Item, is_overdue};
use crate::call;
use crate::clock::Timestamp;
use crate::delivery::{Occasion, Warning};
use crate::renewal::Rules;
use crate::settings::{Settings, SinkKind};
use crate::store::{self, DispatchRow, MessageRow, QueueFilter, RenewalRow, Store, SubscriptionRow};

/// More than a subscription ever has: a message or two for each generation and sink.
const MOST_DISPATCHES: usize = 10_000;

/// What `explain --json` prints.
#[derive(Serialize, ToSchema)]
pub struct Story {
    pub subscription: Item,
    /// `track`, `order`, `import` or `discovery`.
    pub tracked_by: String,
    /// What was changed at the provider through us, in this order.
    pub shop_calls: Vec<ShopCall>,
    /// Oldest generation first.
    pub renewals: Vec<Renewal>,
    /// In the order of queueing.
    pub messages: Vec<Message>,
    pub dispatches: Vec<Dispatch>,
    /// Why the whole territory is not asked; `null` when it is.
    pub territory_stopped: Option<StoppedTerritory>,
    pub next: Next,
}

/// A change that a shop or a person had the provider make.
#[derive(Serialize, ToSchema)]
pub struct ShopCall {
    /// As the command names it: `cancel`.
    #[schema(value_type = String)]
    pub call: call::Name,
    pub asked_at: Timestamp,
    /// A user of the machine, or `shop_token`.
    pub asked_by: String,
    /// `done`, `already`, `refused`, `mend`, `later` or `not_found`.
    pub outcome: String,
    /// The provider's.
    pub code: i64,
}

/// A renewal as `explain` shows it.
#[derive(Serialize, ToSchema)]
pub struct Renewal {
    /// A label for people: two may have the same.
    pub generation: i64,
    /// The provider's name of the delivery, which it is fetched by.
    pub reference: String,
    pub occasion: Occasion,
    /// Older than one recorded before it.
    pub late: bool,
    pub state: String,
    pub revision: i64,
    pub detected_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub seconds_after_expiry: Option<i64>,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_outcome: Option<String>,
    pub last_detail: Option<String>,
    /// Of what was delivered last.
    pub warnings: Vec<Warning>,
    /// When the provider is looked at for what that lacks.
    pub look_again_at: Option<Timestamp>,
}

impl From<RenewalRow> for Renewal {
    fn from(row: RenewalRow) -> Self {
        Self {
            generation: row.generation,
            reference: row.reference,
            occasion: row.occasion,
            late: row.late,
            state: row.state,
            revision: row.revision,
            detected_at: row.detected_at,
            settled_at: row.settled_at,
            expires_at: row.expires_at,
            seconds_after_expiry: row.seconds_after_expiry,
            next_attempt_at: row.next_attempt_at,
            last_attempt_at: row.last_attempt_at,
            attempts: row.attempts,
            last_outcome: row.last_outcome,
            last_detail: row.last_detail,
            warnings: row.warnings,
            look_again_at: row.look_again_at,
        }
    }
}

impl From<store::ShopCall> for ShopCall {
    fn from(row: store::ShopCall) -> Self {
        let store::ShopCall { call, asked_at, asked_by, outcome, code } = row;
        Self { call, asked_at, asked_by, outcome, code }
    }
}

/// What the story is told from.
pub struct Known {
    pub row: SubscriptionRow,
    pub shop_calls: Vec<store::ShopCall>,
    pub renewals: Vec<RenewalRow>,
    pub messages: Vec<MessageRow>,
    pub dispatches: Vec<DispatchRow>,
    pub stopped: Option<store::StoppedTerritory>,
    /// The sinks whose messages are pulled.
    pub pulled: Vec<String>,
    /// No polls while order data is awaited.
    pub rests_while_waiting: bool,
    /// Late only because the budget is too small: what is to be expected.
    pub expected_wait: Option<Duration>,
}

impl Known {
    pub async fn look_up(
        store: &Store,
        settings: &Settings,
        row: SubscriptionRow,
        now: Timestamp,
    ) -> Result<Self, store::Error> {
        let key = row.subscription.row;
        let expected_wait = match is_overdue(&row, &Rules::from_settings(settings), now) {
            true => Forecasts::read(settings, store).await?.expected_wait(&row, now),
            false => None,
        };
        let filter = QueueFilter { subscription: Some(key), limit: MOST_DISPATCHES, ..QueueFilter::default() };
        let stopped = store.stopped_territories().await?;
        let ours =
            |s: &store::StoppedTerritory| s.provider == row.provider && s.territory == row.subscription.territory;
        let pulled = settings.sinks.iter().filter(|(_, sink)| matches!(sink.kind, SinkKind::Queue));
        Ok(Self {
            shop_calls: store.shop_calls(key).await?,
            renewals: store.renewals_of(key).await?,
            messages: store.messages_of(key).await?,
            dispatches: store.dispatches(filter).await?,
            rests_while_waiting: settings
                .providers
                .get(&row.provider)
                .is_some_and(|provider| provider.kind.convention().rests_while_waiting),
            stopped: stopped.into_iter().find(ours),
            pulled: pulled.map(|(name, _)| name.clone()).collect(),
            expected_wait,
            row,
        })
    }

    pub fn into_story(self, rules: &Rules, now: Timestamp) -> Story {
        let subscription = Item::new(&self.row, rules, now);
        let expected_wait_seconds = self.expected_wait.map(|wait| wait.as_secs());
        Story {
            next: next::of(&self, rules, now),
            subscription: Item {
                overdue: subscription.overdue && expected_wait_seconds.is_none(),
                expected_wait_seconds,
                ..subscription
            },
            tracked_by: self.row.tracked_by,
            shop_calls: self.shop_calls.into_iter().map(ShopCall::from).collect(),
            renewals: self.renewals.into_iter().map(Renewal::from).collect(),
            messages: self.messages.into_iter().map(Message::from).collect(),
            dispatches: self.dispatches.into_iter().map(Dispatch::from).collect(),
            territory_stopped: self.stopped.map(StoppedTerritory::from),
        }
    }
}
