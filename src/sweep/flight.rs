//! The requests of a pass that are under way: which may start, and how many connections each kind may take.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tracing::Instrument;

use super::feed::Feed;
use super::gate::Gate;
use super::line::{Whom, span};
use super::queues::Queues;
use super::request::{Done, Shared};
use crate::budget::Slot;
use crate::choice::{Choice, Demand, Lane, Want};
use crate::provider::Provider;

/// Connections that stalled ordinary polls cannot take: order data and asked-for polls have them. Nor can stalled order data.
const RESERVED: usize = 2;

pub(super) struct Flight<'a> {
    choice: &'a mut Choice,
    /// Connections.
    concurrency: usize,
    requests: FuturesUnordered<BoxFuture<'a, Done>>,
    /// Of the polls, those that nobody asked for.
    ordinary: usize,
    order_data: usize,
}

impl<'a> Flight<'a> {
    pub fn new(choice: &'a mut Choice, concurrency: usize) -> Self {
        Self { choice, concurrency, requests: FuturesUnordered::new(), ordinary: 0, order_data: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.requests.len() < self.concurrency
    }

    /// Of what waits, what may take a connection now.
    pub fn startable(&self, demand: Demand) -> Demand {
        let most = self.concurrency.saturating_sub(RESERVED).max(1);
        let (ordinary_may, order_data_may) = (self.ordinary < most, self.order_data < most);
        Demand {
            hinted: demand.hinted && ordinary_may,
            order_data: demand.order_data && order_data_may,
            urgent: demand.urgent && ordinary_may,
            other: demand.other && ordinary_may,
            ..demand
        }
    }

    /// Gives a slot to what is next. False when nothing takes it.
    pub fn start<P: Provider>(
        &mut self,
        demand: Demand,
        slot: Slot,
        shared: Shared<'a, P>,
        queues: &mut Queues,
        feed: Option<&mut Feed<'_>>,
        gate: &mut Gate,
    ) -> bool {
        // Boxed one by one: a poll's future is a fraction of the size of one that also settles order data.
        let request: BoxFuture<'a, Done> = match self.choice.next(demand) {
            Some(Want::Poll(lane)) => {
                let Some(subscription) = queues.pop_poll(lane, gate) else { return false };
                gate.sent(&subscription.territory);
                self.ordinary += usize::from(subscription.lane != Lane::AskedFor);
                let span = span!("poll", Whom::of(&subscription));
                Box::pin(shared.poll(subscription, slot).instrument(span))
            }
            Some(Want::OrderData) => {
                let Some(renewal) = queues.pop_renewal() else { return false };
                gate.sent(&renewal.territory);
                self.order_data += 1;
                let span = span!("order_data", Whom::waiting(&renewal));
                Box::pin(shared.order_data(renewal, slot).instrument(span))
            }
            Some(Want::Feed) => {
                let Some(wanted) = feed.and_then(|feed| feed.take((shared.now)())) else { return false };
                let span = tracing::debug_span!("page", way = %wanted.walk.way, page = wanted.walk.pages);
                Box::pin(shared.page(wanted, slot).instrument(span))
            }
            None => return false,
        };
        self.requests.push(request);
        true
    }

    /// The next that is answered, or fails; `None` when none is under way. Cancel-safe.
    pub async fn next(&mut self) -> Option<Done> {
        let done = self.requests.next().await?;
        match &done {
            Done::Poll { before, .. } => self.ordinary -= usize::from(before.lane != Lane::AskedFor),
            Done::OrderData { .. } => self.order_data -= 1,
            Done::Page { .. } => {}
        }
        Some(done)
    }

    /// All of them are sent again some time.
    pub fn cancel(&mut self) {
        self.requests.clear();
        (self.ordinary, self.order_data) = (0, 0);
    }
}
