//! One subscription as a list shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::delivery::{OfferState, Warning};
use crate::forecast::Forecast;
use crate::renewal::aside::{Episode, LastOffer};
use crate::renewal::{Outcome, Pace, Rules, State};
use crate::settings::Settings;
use crate::store::{self, ListFilter, Listed, Store, SubscriptionRow, counts_of};
use crate::text::visible;

/// What `list --json` prints.
#[derive(Serialize, ToSchema)]
pub struct SubscriptionPage {
    pub items: Vec<Item>,
    /// Asks for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl SubscriptionPage {
    /// One page of what `filter` finds. Whom the budget lets wait is not overdue.
    pub async fn read(
        mut filter: ListFilter,
        settings: &Settings,
        store: &Store,
        now: Timestamp,
    ) -> Result<Self, store::Error> {
        let rules = Rules::from_settings(settings);
        let only_overdue = filter.overdue.is_some();
        if only_overdue {
            filter.forecasts = Forecasts::read(settings, store).await?.0;
        }
        let Listed { items: rows, next } = store.list(filter, now).await?;
        let mut items: Vec<Item> = rows.iter().map(|row| Item::new(row, &rules, now)).collect();
        if !only_overdue && items.iter().any(|item| item.overdue) {
            let forecasts = Forecasts::read(settings, store).await?;
            items.iter_mut().zip(&rows).for_each(|(item, row)| item.excuse(row, &forecasts, now));
        }
        Ok(Self { items, next_cursor: next.map(|row| row.to_string()) })
    }
}

/// What names one in a path. Only its shape: a path is read as [`store::Identity`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "nobody makes one")]
pub struct InPath {
    provider: String,
    /// The original number, in a path percent-encoded.
    partner_order_number: String,
    subscription_id: String,
}

/// One subscription, without metadata.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct Item {
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    /// What the reseller calls it at the provider, where the provider tells.
    pub partner_reference: Option<String>,
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
    /// As late, but only because the budget is too small: asked about once in so many seconds.
    pub expected_wait_seconds: Option<u64>,
    pub not_renewed: bool,
    /// `null`: none fails, as far as the provider tells.
    pub payment_failing: Option<PaymentFailing>,
    /// What became of an offer last.
    pub offer: Option<Offer>,
    /// What the last usable answer said that nobody expected.
    pub surprise: Option<String>,
    /// With which something was delivered in the last 30 days: `partial`, `empty`, `unknown_encoding`, `lines_unmatched`,
    /// `file_not_fetched`, `order_missing`.
    pub warnings: Vec<Warning>,
    /// The last that is over, and when it was answered last: until the next renewal, or until what it was about is fetched again.
    pub past_surprise: Option<String>,
    pub past_surprise_at: Option<Timestamp>,
}

/// The coming term could not be charged.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PaymentFailing {
    /// Of the delivery that is not paid for.
    pub generation: i64,
    /// At the provider, where it tells.
    pub since: Option<Timestamp>,
    pub seen_at: Timestamp,
    /// In the provider's words.
    pub reason: String,
}

impl From<Episode> for PaymentFailing {
    fn from(Episode { generation, since, seen_at, reason }: Episode) -> Self {
        Self { generation, since, seen_at, reason }
    }
}

/// A discount for somebody who wanted to leave.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Offer {
    /// The order that carries it.
    pub order_number: String,
    pub state: OfferState,
    pub seen_at: Timestamp,
}

impl From<LastOffer> for Offer {
    fn from(LastOffer { order_number, state, seen_at }: LastOffer) -> Self {
        Self { order_number, state, seen_at }
    }
}

/// `PARTNER689, subscription 5618577 (nexway/eu)`, safe to show.
pub fn label(row: &SubscriptionRow) -> String {
    let subscription = &row.subscription;
    visible(&format!(
        "{}, subscription {} ({}/{})",
        subscription.partner_order_number, subscription.subscription_id, row.provider, subscription.territory
    ))
}

impl Item {
    pub fn new(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> Self {
        let subscription = row.subscription.clone();
        Self {
            provider: row.provider.clone(),
            overdue: is_overdue(row, rules, now),
            expected_wait_seconds: None,
            not_renewed: subscription.state == State::Watching
                && subscription.not_renewed_term.is_some()
                && subscription.not_renewed_term == subscription.expires_at,
            territory: subscription.territory,
            partner_order_number: subscription.partner_order_number,
            subscription_id: subscription.subscription_id,
            partner_reference: subscription.partner_reference.map(Into::into),
            payment_failing: subscription.failing.map(|episode| (*episode).into()),
            offer: subscription.offer.map(|offer| (*offer).into()),
            state: subscription.state,
            generation: subscription.generation,
            expires_at: subscription.expires_at,
            technical_status: subscription.technical_status,
            tracked_at: subscription.tracked_at,
            last_asked_at: subscription.last_asked_at,
            last_answer_at: subscription.last_answer_at,
            last_outcome: subscription.last_outcome,
            last_detail: subscription.last_detail,
            next_poll_at: subscription.due_at,
            waiting_renewals: row.waiting,
            surprise: subscription.surprise,
            warnings: row.warned.lately(now).to_vec(),
            past_surprise: subscription.past_surprise.map(Into::into),
            past_surprise_at: subscription.past_surprise_at,
        }
    }

    /// Tells one that is overdue from one that the budget lets wait.
    pub fn excuse(&mut self, row: &SubscriptionRow, forecasts: &Forecasts, now: Timestamp) {
        let wait = forecasts.expected_wait(row, now).filter(|_| self.overdue);
        self.expected_wait_seconds = wait.map(|wait| wait.as_secs());
        self.overdue &= wait.is_none();
    }
}

/// What every provider's budget makes of its subscriptions. Made only when somebody is late.
#[derive(Default)]
pub struct Forecasts(pub BTreeMap<String, Forecast>);

impl Forecasts {
    pub async fn read(settings: &Settings, store: &Store) -> Result<Self, store::Error> {
        let groups = store.subscription_groups().await?;
        let forecast =
            |name: &String| (name.clone(), Forecast::of_provider(settings, name, |name| counts_of(&groups, name)));
        Ok(Self(settings.providers.keys().map(forecast).collect()))
    }

    /// The wait between two polls, for a subscription whose last answer is no older than that makes one expect.
    pub fn expected_wait(&self, row: &SubscriptionRow, now: Timestamp) -> Option<Duration> {
        let subscription = &row.subscription;
        let wait = self.0.get(&row.provider)?.wait(subscription.lane, subscription.pace);
        let since = subscription.last_answer_at.unwrap_or(subscription.tracked_at);
        (subscription.failures == 0 && since >= now - wait.mul_f64(1.1)).then_some(wait)
    }
}

/// As the store's filter has it: watched, not awaiting order data, and without an answer for 1.1 × its interval.
pub fn is_overdue(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> bool {
    let subscription = &row.subscription;
    let pace = if subscription.pace == Pace::Regular { Pace::Regular } else { Pace::Daily };
    subscription.state == State::Watching
        && row.waiting == 0
        && subscription.last_answer_at.unwrap_or(subscription.tracked_at) < now - rules.interval(pace).mul_f64(1.1)
}
