//! One request to the provider, and what came of it.

use tokio::time::Instant;

use super::feed::Wanted;
use super::listing::subject_of;
use super::settle::Settling;
use super::{Account, Bells};
use crate::budget::{Budget, Slot};
use crate::clock::{Judge, Timestamp};
use crate::provider::{Error as ProviderError, Fetched, Page, Position, Provider, Sighting, Subject};
use crate::pulse::Pulse;
use crate::renewal::Subscription;
use crate::renewal::news::KnownDelivery;
use crate::settings::Settings;
use crate::store::{self, DueRenewal, Store};

/// What the requests of a pass share.
pub(super) struct Shared<'a, P> {
    pub store: &'a Store,
    pub provider: &'a P,
    pub budget: &'a Budget,
    pub account: &'a Account,
    pub settings: &'a Settings,
    pub bells: &'a Bells,
    pub pulse: &'a Pulse,
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
    pub judge: &'a Judge,
}

impl<P> Clone for Shared<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Shared<'_, P> {}

/// What came of it.
pub(super) enum Done {
    Poll {
        started: Instant,
        before: Box<Subscription>,
        answer: Result<Sighting, ProviderError>,
        /// The deliveries that are recorded, where the answer lists any.
        known: Result<Vec<KnownDelivery>, store::Error>,
    },
    /// Recorded already.
    OrderData {
        started: Instant,
        asked: Box<DueRenewal>,
        answer: Result<Fetched, ProviderError>,
        settling: Result<Settling, store::Error>,
    },
    Page {
        started: Instant,
        wanted: Wanted,
        answer: Result<Page, ProviderError>,
    },
}

impl<P: Provider> Shared<'_, P> {
    pub async fn order_data(self, asked: DueRenewal, slot: Slot) -> Done {
        let started = Instant::now();
        let subject = Subject {
            territory: &asked.territory,
            partner_order_number: &asked.partner_order_number,
            subscription_id: &asked.subscription_id,
            generation: Some(asked.generation),
            memo: asked.memo.as_deref(),
            is_hinted: false,
        };
        let answer = self.provider.fetch(subject, &asked.reference, slot).await;
        let settling = self.settle(&asked, &answer).await;
        Done::OrderData { started, asked: Box::new(asked), answer, settling }
    }

    pub async fn poll(self, before: Subscription, slot: Slot) -> Done {
        let started = Instant::now();
        let answer = self.look(&before, slot).await;
        let known = match &answer {
            // Rare, or a matter of kinds that list: who counts needs none.
            Ok(sighting) if sighting.lists() => self.store.recorded(before.row).await,
            _ => Ok(Vec::new()),
        };
        Done::Poll { started, before: Box::new(before), answer, known }
    }

    async fn look(&self, before: &Subscription, slot: Slot) -> Result<Sighting, ProviderError> {
        self.provider.look(subject_of(before), slot).await
    }

    pub async fn page(self, wanted: Wanted, slot: Slot) -> Done {
        let started = Instant::now();
        let walk = &wanted.walk;
        let position = Position { way: &walk.way, since: walk.since, until: walk.until, next: walk.next.as_deref() };
        let answer = self.provider.page(position, slot).await;
        Done::Page { started, wanted, answer }
    }
}
