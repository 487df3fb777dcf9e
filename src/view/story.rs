//! All that is known of one subscription. Never keys, never metadata.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::next::{self, Next};
use super::subscription::{Forecasts, Item, is_overdue};
use crate::clock::Timestamp;
use crate::renewal::Rules;
use crate::settings::{Settings, SinkKind};
use crate::store::{self, DispatchRow, MessageRow, QueueFilter, RenewalRow, StoppedTerritory, Store, SubscriptionRow};

/// More than a subscription ever has: a message or two for each generation and sink.
const MOST_DISPATCHES: usize = 10_000;

/// What `explain --json` prints.
#[derive(Serialize, ToSchema)]
pub struct Story {
    pub subscription: Item,
    /// `track`, `order` or `import`.
    pub tracked_by: String,
    /// Oldest generation first.
    pub renewals: Vec<RenewalRow>,
    /// In the order of queueing.
    pub messages: Vec<MessageRow>,
    pub dispatches: Vec<DispatchRow>,
    /// Why the whole territory is not asked; `null` when it is.
    pub territory_stopped: Option<StoppedTerritory>,
    pub next: Next,
}

/// What the story is told from.
pub struct Known {
    pub row: SubscriptionRow,
    pub renewals: Vec<RenewalRow>,
    pub messages: Vec<MessageRow>,
    pub dispatches: Vec<DispatchRow>,
    pub stopped: Option<StoppedTerritory>,
    /// The sinks whose messages are pulled.
    pub pulled: Vec<String>,
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
        let ours = |s: &StoppedTerritory| s.provider == row.provider && s.territory == row.subscription.territory;
        let pulled = settings.sinks.iter().filter(|(_, sink)| matches!(sink.kind, SinkKind::Queue));
        Ok(Self {
            renewals: store.renewals_of(key).await?,
            messages: store.messages_of(key).await?,
            dispatches: store.dispatches(filter).await?,
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
            renewals: self.renewals,
            messages: self.messages,
            dispatches: self.dispatches,
            territory_stopped: self.stopped,
        }
    }
}
