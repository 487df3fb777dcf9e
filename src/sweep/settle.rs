//! From an answer with order data to the messages it becomes, for every tracked subscription that waits for it.

use serde_json::value::RawValue;

use super::line::{Line, Said};
use super::record::sinks_of;
use super::request::Shared;
use crate::clock::Timestamp;
use crate::delivery::{self, About, Delivery, Event, Message, Renewal, Warned, Warning};
use crate::provider::{Claim, Error as ProviderError, Fetched};
use crate::renewal::again::{self, Look, Sent};
use crate::renewal::order::{self, Failed, Step};
use crate::renewal::poll;
use crate::store::{self, DueRenewal, NewMessage, Settled, Settlement, WithWarnings};

/// What one answer settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    pub queued: u64,
    pub warned: Warned,
    pub abandoned: u64,
    pub sinks: Vec<String>,
    /// What is to be told of it.
    pub lines: Vec<Line>,
}

impl<P> Shared<'_, P> {
    /// Decides for each waiting sibling and writes all of it in one transaction.
    pub(super) async fn settle(
        &self,
        asked: &DueRenewal,
        answer: &Result<Fetched, ProviderError>,
    ) -> Result<Settling, store::Error> {
        let now = (self.now)();
        let name = &self.account.name;
        let (mut settlements, mut told) = (Vec::new(), Vec::new());
        for renewal in self.store.waiting_with(name, asked).await? {
            let is_anothers = self.store.is_original_of_another(name, &renewal.reference, renewal.subscription).await?;
            let claim = Claim { subscription_id: &renewal.subscription_id, is_anothers };
            let part = answer.as_ref().map(|fetched| fetched.part(claim));
            let outcome = match &renewal.sent {
                None => self.answered(&renewal, order::decide(&renewal.patience, part, &self.account.rules, now), now),
                Some(sent) => self.looked(&renewal, sent, again::decide(sent, part), now),
            };
            let settlement = Settlement { renewal, outcome, at: now, polls_resume_at: now + self.account.rules.every };
            let warnings = settlement.outcome.warnings().to_vec();
            told.push((Line::settled(&settlement), warnings, sinks_of(settlement.outcome.messages())));
            settlements.push(settlement);
        }
        let written = self.store.settle_renewals(settlements).await?;
        let mut result = Settling::default();
        for ((line, warnings, sinks), _) in told.into_iter().zip(written).filter(|(_, written)| *written) {
            if let Some(line) = line {
                result.queued += u64::from(matches!(line.said, Said::Queued { .. }));
                result.abandoned += u64::from(matches!(line.said, Said::Abandoned { .. }));
                result.lines.push(line);
            }
            result.warned.count(&warnings);
            result.sinks.extend(sinks);
        }
        Ok(result)
    }

    fn answered(&self, renewal: &DueRenewal, step: Step, now: Timestamp) -> Settled {
        match step {
            Step::AskAgain { at, patience, outcome, detail } => Settled::AskedAgain { at, patience, outcome, detail },
            Step::Deliver { delivery, partial } => {
                let sent = self.with_warnings(&delivery.warnings, now, now);
                let mut messages = vec![self.ready(renewal, delivery, now)];
                messages.extend(partial.map(|failed| self.failed(renewal, failed, now)));
                Settled::Queued { messages, sent }
            }
            Step::GiveUp(failed) => {
                let detail = match failed.code {
                    Some(code) if !failed.message.is_empty() => format!("code {code}: {}", failed.message),
                    Some(code) => format!("code {code}"),
                    None => failed.message.clone(),
                };
                Settled::Abandoned { messages: vec![self.failed(renewal, failed, now)], detail }
            }
        }
    }

    fn looked(&self, renewal: &DueRenewal, before: &Sent, look: Look, now: Timestamp) -> Settled {
        match look {
            Look::Deliver(delivery) => {
                let sent = self.with_warnings(&delivery.warnings, before.settled_at, now);
                let next = DueRenewal { revision: renewal.revision + 1, ..renewal.clone() };
                let message = Some(self.ready(&next, delivery, now));
                Settled::Looked { message, sent, is_answered: true, outcome: "ok", detail: None }
            }
            Look::Nothing { is_answered, outcome, detail } => {
                let sent = self.with_warnings(&before.warnings, before.settled_at, now);
                Settled::Looked { message: None, sent, is_answered, outcome, detail: Some(detail) }
            }
        }
    }

    fn with_warnings(&self, warnings: &[Warning], settled_at: Timestamp, now: Timestamp) -> WithWarnings {
        let look_again_at = again::next(warnings, settled_at, now, self.judge.clock());
        WithWarnings { warnings: warnings.to_vec(), look_again_at }
    }

    fn ready(&self, renewal: &DueRenewal, delivery: Delivery, now: Timestamp) -> NewMessage {
        let keys_hash = delivery::keys_hash(&delivery);
        let event = Event::RenewalReady {
            renewal: self.told(renewal),
            occasion: renewal.occasion,
            late: renewal.late,
            detected_at: renewal.detected_at,
            expires_at: renewal.expires_at,
            delivery,
        };
        NewMessage { keys_hash, ..self.message(renewal, &event, now) }
    }

    fn failed(&self, renewal: &DueRenewal, failed: Failed, now: Timestamp) -> NewMessage {
        let event = Event::RenewalFailed {
            renewal: self.told(renewal),
            code: failed.code,
            reason: failed.reason,
            provider_message: failed.message,
        };
        self.message(renewal, &event, now)
    }

    fn told(&self, renewal: &DueRenewal) -> Renewal {
        let reference = renewal.reference.clone();
        Renewal {
            generation: renewal.generation,
            revision: renewal.revision,
            partner_order_number: self.account.convention.is_numbered().then(|| reference.clone()),
            reference,
        }
    }

    fn message(&self, renewal: &DueRenewal, event: &Event, now: Timestamp) -> NewMessage {
        let about = About {
            provider: self.account.name.clone(),
            territory: renewal.territory.clone(),
            partner_order_number: renewal.partner_order_number.clone(),
            subscription_id: renewal.subscription_id.clone(),
            partner_reference: renewal.partner_reference.clone(),
            metadata: stored(&renewal.metadata),
            is_numbered: self.account.convention.is_numbered(),
        };
        let message = Message::new(&about, event, now);
        NewMessage {
            sinks: self.takers(&message.event, &renewal.territory),
            message,
            subscription: renewal.subscription,
            territory: renewal.territory.clone(),
            generation: renewal.generation,
            reference: renewal.reference.clone(),
            keys_hash: String::new(),
        }
    }

    /// The sinks that want this event of this territory.
    pub(super) fn takers(&self, event: &str, territory: &str) -> Vec<String> {
        self.settings.sinks_for(event, territory).into_iter().map(str::to_owned).collect()
    }

    /// Messages for what a poll found out beside renewals. Those that no sink wants are not kept.
    pub(super) async fn event_messages(
        &self,
        decision: &poll::Decision,
        now: Timestamp,
    ) -> Result<Vec<NewMessage>, store::Error> {
        let mut messages = Vec::new();
        let after = &decision.after;
        for event in &decision.events {
            let sinks = self.takers(event.name(), &after.territory);
            if sinks.is_empty() {
                continue;
            }
            // Forgotten while it was asked: what the poll found has nowhere to go either.
            let Some(metadata) = self.store.metadata(after.row).await? else { return Ok(Vec::new()) };
            let about = About {
                provider: self.account.name.clone(),
                territory: after.territory.clone(),
                partner_order_number: after.partner_order_number.clone(),
                subscription_id: after.subscription_id.clone(),
                partner_reference: after.partner_reference.as_deref().map(str::to_owned),
                metadata: stored(&metadata),
                is_numbered: self.account.convention.is_numbered(),
            };
            messages.push(NewMessage {
                message: Message::new(&about, event, now),
                subscription: after.row,
                territory: after.territory.clone(),
                generation: event.generation(),
                reference: event.delivery().map(|one| one.reference.clone()).unwrap_or_default(),
                keys_hash: String::new(),
                sinks,
            });
        }
        Ok(messages)
    }

    /// One that was only just found.
    pub(super) fn about(&self, territory: &str, number: &str, subscription_id: &str, metadata: &str) -> About {
        About {
            provider: self.account.name.clone(),
            territory: territory.to_owned(),
            partner_order_number: number.to_owned(),
            subscription_id: subscription_id.to_owned(),
            partner_reference: None,
            metadata: stored(metadata),
            is_numbered: self.account.convention.is_numbered(),
        }
    }
}

fn stored(metadata: &str) -> Box<RawValue> {
    // The column's CHECK lets nothing but JSON objects in.
    RawValue::from_string(metadata.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
