//! From a subscription, and its orders where they were read, to what the core is told.

use super::convention::is_same;
use super::memo::Memo;
use super::subscription::Subscription;
use super::told::{self, News, Orders};
use crate::clock::Timestamp;
use crate::provider::{Payment, Seen, Sighting};
use crate::text::visible;

/// Characters of a foreign id that are shown.
const SHOWN: usize = 100;

/// Why an answer tells nothing about the subscription that was asked for, if so.
pub fn unusable(asked: &str, subscription: &Subscription, memo: Option<&Memo>) -> Option<Seen> {
    if !is_same(asked, &subscription.id) {
        let shown = visible(&subscription.id.chars().take(SHOWN).collect::<String>());
        return Some(Seen::Foreign(format!("answered for the foreign subscription {shown:?}")));
    }
    if subscription.generation.is_none() {
        return Some(Seen::Unclear("the answer does not tell the generation"));
    }
    let is_old = memo.is_some_and(|memo| memo.is_newer_than(subscription));
    is_old.then_some(Seen::Unclear("the answer is older than the one before it"))
}

/// What a usable answer tells. `orders`: where they were read.
pub fn sighting(subscription: &Subscription, orders: Option<&Orders>, memo: Option<&Memo>, now: Timestamp) -> Sighting {
    let Some(generation) = subscription.generation else {
        return Sighting::of(Seen::Unclear("the answer does not tell the generation"));
    };
    let news = match orders {
        Some(orders) => told::read(orders, generation, subscription, memo, now),
        None => unread(memo, subscription, now),
    };
    // A first look is one that has read the orders: what they hold by then is over and known.
    let is_noted = orders.is_some() || memo.is_some();
    Sighting {
        words: subscription.words(),
        life: subscription.life(),
        expires_at: subscription.expires_at,
        as_of: subscription.updated_at,
        memo: is_noted.then(|| news.memo.noting(subscription).written()).flatten(),
        partner_reference: subscription.partner_reference.as_deref().map(Into::into),
        payment: news.payment,
        offers: news.offers,
        ..Sighting::of(Seen::Counted { generation, doubt: None, besides: news.besides })
    }
}

/// Orders that were to be read and were not have to be read next time.
fn unread(memo: Option<&Memo>, subscription: &Subscription, now: Timestamp) -> News {
    let mut memo = memo.cloned().unwrap_or_default();
    memo.listed_at = memo.listed_at.filter(|_| !memo.is_stale(subscription, now));
    News { besides: Vec::new(), payment: Payment::Untold, offers: Vec::new(), memo }
}
