//! Subscriptions: how they begin, how each stands and stood, and what happens to it next by itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::product::Product;
use super::script::Script;
use crate::clock::Timestamp;
use crate::sandbox::clock::{Period, duration, optional_timestamp, signed_duration};
use crate::sandbox::random::Random;

/// Subscriptions to be made, all alike. [`Default`] fills in what matters to nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSubscriptions {
    pub count: u32,
    /// Their ids, chosen by the caller; the others get made-up ones.
    pub ids: Vec<String>,
    /// -1 is a trial, 0 the first paid term.
    pub generation: i64,
    pub product: Product,
    /// The term: each renewal adds one.
    pub period: Period,
    /// When the last of them was made; now without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub created_at: Option<Timestamp>,
    /// Each was made so long after the one before it.
    #[serde(with = "duration")]
    pub apart: Duration,
    /// End of the present term; one term after it was made without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub expires_at: Option<Timestamp>,
    pub auto_renew: bool,
    /// The renewal's order is there so long before the end of the term.
    #[serde(with = "duration")]
    pub prebilled_before: Duration,
    /// When the automatic renewal happens, as seen from the end of the term: `-2h` is before it.
    #[serde(with = "signed_duration")]
    pub renew_offset: SignedDuration,
    /// A refused payment is tried again so often,
    #[serde(with = "duration")]
    pub retry_every: Duration,
    /// until so long after the end of the term.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// What each renewal's order shows before it is complete.
    pub renewal_script: Script,
    /// The reseller's own reference; of several, each has a number behind it.
    pub external_ref_id: Option<String>,
    /// Sent in base64, and as it is.
    pub external_context: Option<Value>,
    /// Bought elsewhere: the first order costs nothing.
    pub imported: bool,
}

impl Default for NewSubscriptions {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            count: 1,
            ids: Vec::new(),
            generation: 0,
            product: Product::default(),
            period: Period::years(1),
            created_at: None,
            apart: Duration::ZERO,
            expires_at: None,
            auto_renew: true,
            prebilled_before: 7 * DAY,
            renew_offset: SignedDuration::ZERO,
            retry_every: DAY,
            grace: 14 * DAY,
            renewal_script: Script::default(),
            external_ref_id: None,
            external_context: None,
            imported: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Active,
    Trial,
    TrialConversion,
    Dunning,
    Renewing,
    Suspended,
    Canceled,
    Expired,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Trial => "Trial",
            Self::TrialConversion => "TrialConversion",
            Self::Dunning => "Dunning",
            Self::Renewing => "Renewing",
            Self::Suspended => "Suspended",
            Self::Canceled => "Canceled",
            Self::Expired => "Expired",
        }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Canceled | Self::Expired)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: Uuid,
    pub(super) terms: Arc<NewSubscriptions>,
    pub(super) external_ref_id: Option<Box<str>>,
    pub(super) created_at: Timestamp,
    pub(super) state: State,
    /// Older ones, oldest first, for lists that lag behind.
    pub(super) past: Vec<State>,
    pub(super) orders: Vec<u32>,
    /// The offer that was accepted and not used yet.
    pub(super) offer: Option<u32>,
    /// The order of the generation to come, once it is there.
    pub(super) prebilled: Option<u32>,
    pub(super) charge_again_at: Option<Timestamp>,
    /// So many charges to come are refused.
    pub(super) refusals: u32,
}

/// What changes in time.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) status: Status,
    /// Shown instead of it.
    pub(super) shown_status: Option<Box<str>>,
    pub(super) generation: i64,
    pub(super) expires_at: Timestamp,
    pub(super) auto_renew: bool,
    pub(super) replayable: bool,
    pub(super) product: Arc<Product>,
    /// The order whose line items its products name, and the one before.
    pub(super) order: u32,
    pub(super) previous_order: Option<u32>,
    pub(super) updated_at: Timestamp,
    /// The same, renewals left out.
    pub(super) changed_at: Timestamp,
    pub(super) version: u32,
}

/// What happens next by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Prebill,
    Charge,
    Expire,
}

impl Subscription {
    pub(super) fn prebills_at(&self) -> Timestamp {
        earlier(self.state.expires_at, self.terms.prebilled_before)
    }

    /// When it renews by itself; `None` when it will not.
    pub(super) fn renews_at(&self) -> Option<Timestamp> {
        if !self.state.auto_renew || self.state.status.is_over() {
            return None;
        }
        let due = self.state.expires_at.as_unix().saturating_add(self.terms.renew_offset.as_secs());
        Some(self.charge_again_at.unwrap_or(Timestamp::from_unix(due)))
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.state.expires_at + self.terms.grace
    }

    pub(super) fn next(&self) -> Option<(Timestamp, Next)> {
        match (self.state.status, self.renews_at()) {
            (Status::Canceled | Status::Expired, _) => None,
            (_, None) => Some((self.state.expires_at, Next::Expire)),
            (Status::Dunning, Some(again)) if again > self.deadline() => Some((self.deadline(), Next::Expire)),
            (_, Some(renews_at)) if self.prebilled.is_none() => {
                Some((self.prebills_at().min(renews_at), Next::Prebill))
            }
            (_, Some(renews_at)) => Some((renews_at, Next::Charge)),
        }
    }

    /// Changes it, and keeps how it was.
    pub(super) fn change(&mut self, at: Timestamp, change: impl FnOnce(&mut State)) {
        const KEPT: usize = 16;
        let mut next = self.state.clone();
        change(&mut next);
        next.version += 1;
        next.updated_at = at;
        next.changed_at = if next.generation == self.state.generation { at } else { self.state.changed_at };
        if self.past.len() == KEPT {
            self.past.remove(0);
        }
        self.past.push(std::mem::replace(&mut self.state, next));
    }

    /// How it stood at that time, as far as that is still known.
    pub(super) fn state_at(&self, at: Timestamp) -> &State {
        let all = [&self.state].into_iter().chain(self.past.iter().rev());
        all.clone().find(|state| state.updated_at <= at).or(all.last()).unwrap_or(&self.state)
    }
}

/// The end of the calendar stays where it is.
fn earlier(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_unix(than.as_unix().saturating_sub(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
}

/// An id that depends on nothing but what it is for.
pub(super) fn made_up(what: &str, number: u32) -> Uuid {
    let kind = what.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = Random::new(kind << 32 | u64::from(number));
    let (high, low) = (random.draw(), random.draw());
    uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid()
}
