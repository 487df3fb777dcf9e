//! Orders: how each came about, what it shows by its script, and its name.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::product::{Licence, Product};
use super::script::{DataStep, Script, Step};
use crate::clock::Timestamp;
use crate::sandbox::nexway::script;

/// How an order came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    Purchase,
    /// An automatic renewal, and a trial that is converted.
    Subscription,
    ManualRenewal,
    Offer,
    MidTermUpgrade,
}

impl Source {
    pub(super) fn is_upgrade(self) -> bool {
        self == Self::MidTermUpgrade
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Purchase => "PURCHASE",
            Self::Subscription => "SUBSCRIPTION",
            Self::ManualRenewal => "MANUAL_RENEWAL",
            Self::Offer => "OFFER",
            Self::MidTermUpgrade => "MID_TERM_UPGRADE",
        }
    }
}

pub(super) const CREATED: &str = "CREATED";
pub(super) const COMPLETED: &str = "COMPLETED";
pub(super) const ABORTED: &str = "ABORTED";
pub(super) const PAYMENT_REFUSED: &str = "PAYMENT_REFUSED";

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: u32,
    pub(super) subscription: u32,
    pub(super) generation: i64,
    pub(super) source: Source,
    /// Without its script.
    pub(super) status: &'static str,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) charged_at: Option<Timestamp>,
    pub(super) product: Arc<Product>,
    /// VAT included, after the discount.
    pub(super) amount: f64,
    /// The discount of an offer, as a fraction.
    pub(super) discount: f64,
    pub(super) script: Option<Box<Script>>,
    /// What it was made of.
    pub(super) cart: Option<Uuid>,
    /// The status that was last told of.
    pub(super) told: Cow<'static, str>,
}

impl Order {
    /// Whether it stands for its generation; an upgrade comes beside it.
    pub(super) fn begins_generation(&self) -> bool {
        !self.source.is_upgrade()
    }

    pub(super) fn id(&self) -> String {
        order_id(self.number)
    }

    pub(super) fn licence(&self) -> Licence {
        self.script.as_ref().and_then(|script| script.licence).unwrap_or(self.product.licence)
    }

    fn age(&self, now: Timestamp) -> Option<Duration> {
        self.charged_at.map(|charged_at| now.since(charged_at))
    }

    /// The step that it shows, without moving on.
    pub(super) fn peek(&mut self, now: Timestamp) -> Step {
        let age = self.age(now);
        let scripted = self.script.as_mut().zip(age).and_then(|(script, age)| {
            script::skip(&mut script.steps, age);
            script.steps.front().cloned()
        });
        scripted.unwrap_or_else(|| Step::status(self.status))
    }

    /// The same for one request: a step without a time is over with it.
    pub(super) fn next(&mut self, now: Timestamp) -> Step {
        let age = self.age(now);
        let scripted = self.script.as_mut().zip(age).and_then(|(script, age)| script::next(&mut script.steps, age));
        scripted.unwrap_or_else(|| Step::status(self.status))
    }

    /// What its line-item data shows to one request; `None` when that follows from the order.
    pub(super) fn next_data(&mut self, now: Timestamp) -> Option<DataStep> {
        let age = self.age(now);
        let (script, age) = self.script.as_mut().zip(age)?;
        script::next(&mut script.data, age)
    }

    /// When its script's timed steps change what it shows.
    pub(super) fn changes(&self) -> impl Iterator<Item = Timestamp> {
        let steps = self.script.iter().flat_map(|script| &script.steps).filter_map(|step| step.lasts);
        let begun = self.charged_at;
        steps
            .scan(Duration::ZERO, |sum, lasts| {
                *sum = sum.checked_add(lasts)?;
                Some(*sum)
            })
            .filter(|sum| *sum < Duration::from_secs(u32::MAX.into()))
            .filter_map(move |sum| Some(begun? + sum))
    }
}

/// 32 letters without those that are taken for others, the eleven of an id hold 55 bits.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MASK: u64 = (1 << 55) - 1;
/// Odd, so that multiplication by it can be undone.
const SPREAD: u64 = 0x0057_1f3a_9c4e_d6b5;

/// Numbers that follow each other get names that do not.
pub(super) fn order_id(number: u32) -> String {
    let mixed = (u64::from(number) + 1).wrapping_mul(SPREAD) & MASK;
    (0..11).rev().map(|nth| char::from(LETTERS[(mixed >> (5 * nth)) as usize & 31])).collect()
}

/// In either case.
pub(super) fn order_number(id: &str) -> Option<u32> {
    let digit = |letter: u8| LETTERS.iter().position(|known| *known == letter.to_ascii_uppercase());
    if id.len() != 11 {
        return None;
    }
    let mixed = id.bytes().try_fold(0, |sum: u64, letter| Some(sum << 5 | digit(letter)? as u64))?;
    let number = mixed.wrapping_mul(inverse(SPREAD)) & MASK;
    u32::try_from(number.checked_sub(1)?).ok()
}

/// Newton's steps, each of which doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_id_leads_back_to_its_number() {
        for number in [0, 1, 2, 41, 1_000_000, u32::MAX] {
            let id = order_id(number);
            assert_eq!(
                (id.len(), order_number(&id), order_number(&id.to_lowercase())),
                (11, Some(number), Some(number))
            );
        }
        assert_ne!(order_id(0)[..6], order_id(1)[..6]);
        for unknown in ["", "0", "00000000000", "UUUUUUUUUUU", "äääääö", "ZZZZZZZZZZZZ"] {
            assert_eq!(order_number(unknown), None, "{unknown}");
        }
    }
}
