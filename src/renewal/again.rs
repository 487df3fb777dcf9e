//! What an answer means for a delivery that was sent without all that belongs to it: send what has come since, or look again.

use super::order::{self, LACKS, complete};
use crate::clock::{Clock, Timestamp};
use crate::delivery::{Delivery, Warning, keys_hash};
use crate::provider::{Class, Error, Part};
use crate::retry;

/// What was sent last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub warnings: Vec<Warning>,
    pub keys_hash: String,
    /// When it was settled; what is sent later does not move it.
    pub settled_at: Timestamp,
}

/// What happens after a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// What has come is sent, as another revision.
    Deliver(Delivery),
    /// Nothing that would be new.
    Nothing { is_answered: bool, outcome: &'static str, detail: String },
}

/// Decides on one look. Whatever the provider says now, what was sent stays sent, and nothing is given up.
pub fn decide(sent: &Sent, answer: Result<Part, &Error>) -> Look {
    let part = match answer.map(complete) {
        Ok(part) => part,
        Err(error) => {
            let (outcome, detail) = order::no_answer(error);
            return Look::Nothing { is_answered: false, outcome, detail };
        }
    };
    let (outcome, detail) = order::not_ready(&part.verdict);
    match part.delivery {
        Some(delivery) if is_news(sent, &delivery) => Look::Deliver(delivery),
        Some(delivery) if part.verdict.class == Class::Success => {
            let lack = delivery.warnings.iter().find(|warning| warning.is_lack());
            let outcome = lack.map_or("ok", |lack| lack.as_str());
            Look::Nothing { is_answered: true, outcome, detail: LACKS.to_owned() }
        }
        _ => Look::Nothing { is_answered: true, outcome, detail },
    }
}

/// Whether it holds what the one before did not: other keys, or all of something of which a part was missing.
fn is_news(sent: &Sent, delivery: &Delivery) -> bool {
    let is_made_good = sent.warnings.iter().any(|lack| lack.is_lack() && !delivery.warnings.contains(lack));
    let has_key = delivery.serials().any(|serial| !serial.data.is_blank());
    // Where there are no keys, the order itself is what was missing.
    let had_no_order = sent.warnings.contains(&Warning::OrderMissing);
    let holds_it = !delivery.is_empty() || (had_no_order && delivery.charge.is_some());
    holds_it && (is_made_good || (has_key && keys_hash(delivery) != sent.keys_hash))
}

/// When a delivery with these warnings is looked at next; `None`: not any more. A clock that was set ends nothing.
pub fn next(warnings: &[Warning], settled_at: Timestamp, now: Timestamp, clock: Clock) -> Option<Timestamp> {
    let end = settled_at + retry::LOOK_AGAIN_FOR;
    let at = now + retry::look_again();
    let is_over = now >= end && clock == Clock::Believed;
    (warnings.iter().any(|warning| warning.is_lack()) && !is_over).then(|| if now < end { at.min(end) } else { at })
}

#[cfg(test)]
mod tests;
