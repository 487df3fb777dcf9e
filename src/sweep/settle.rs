//! From an answer with order data to the messages it becomes, for every tracked subscription that waits for it.

use super::request::Shared;
use crate::clock::Timestamp;
use crate::delivery::{self, About, Delivery, Event, Message, Renewal, Warning};
use crate::provider::{Claim, Class, Error as ProviderError, Fetched};
use crate::renewal::order::{self, Failed, Step};
use crate::renewal::poll;
use crate::retry::WAITING_WARNING;
use crate::store::{self, DueRenewal, NewMessage, Settled, Settlement};

/// What one answer settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    pub queued: u64,
    pub abandoned: u64,
    /// The asked subscription's territory refused us.
    pub refused: Option<String>,
    pub succeeded: bool,
    pub sinks: Vec<String>,
}

impl<P> Shared<'_, P> {
    /// Decides for each waiting sibling and writes all of it in one transaction.
    pub(super) async fn settle(
        &self,
        asked: &DueRenewal,
        answer: &Result<Fetched, ProviderError>,
    ) -> Result<Settling, store::Error> {
        let now = (self.now)();
        let mut result = Settling::default();
        if let Ok(fetched) = answer {
            match fetched.verdict.class {
                Class::Configuration => result.refused = Some(format!("code {}", fetched.verdict.code)),
                _ => result.succeeded = true,
            }
        }
        let name = &self.account.name;
        let (mut settlements, mut notes) = (Vec::new(), Vec::new());
        for renewal in self.store.waiting_with(name, asked).await? {
            let is_anothers = self.store.is_original_of_another(name, &renewal.reference, renewal.subscription).await?;
            let claim = Claim { subscription_id: &renewal.subscription_id, is_anothers };
            let part = answer.as_ref().map(|fetched| fetched.part(claim));
            let step = order::decide(&renewal.patience, part, &self.account.rules, now);
            let is_empty =
                matches!(&step, Step::Deliver { delivery, .. } if delivery.warnings.contains(&Warning::Empty));
            let settlement = self.settlement(renewal, step, now);
            notes.push(Note { is_empty, ..Note::of(&settlement) });
            settlements.push(settlement);
        }
        let written = self.store.settle_renewals(settlements).await?;
        for (note, _) in notes.into_iter().zip(written).filter(|(_, written)| *written) {
            note.log();
            result.queued += u64::from(note.queued);
            result.abandoned += u64::from(note.abandoned.is_some());
            result.sinks.extend(note.sinks);
        }
        Ok(result)
    }

    fn settlement(&self, renewal: DueRenewal, step: Step, now: Timestamp) -> Settlement {
        let outcome = match step {
            Step::AskAgain { at, patience, outcome, detail } => Settled::AskedAgain { at, patience, outcome, detail },
            Step::Deliver { delivery, partial } => {
                let mut messages = vec![self.ready(&renewal, delivery, now)];
                messages.extend(partial.map(|failed| self.failed(&renewal, failed, now)));
                Settled::Queued { messages }
            }
            Step::GiveUp(failed) => {
                let detail = match failed.code {
                    Some(code) if !failed.message.is_empty() => format!("code {code}: {}", failed.message),
                    Some(code) => format!("code {code}"),
                    None => failed.message.clone(),
                };
                Settled::Abandoned { messages: vec![self.failed(&renewal, failed, now)], detail }
            }
        };
        Settlement { renewal, outcome, at: now, polls_resume_at: now + self.account.rules.every }
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
        let about =
            self.about(&renewal.territory, &renewal.partner_order_number, &renewal.subscription_id, &renewal.metadata);
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
            let about = self.about(&after.territory, &after.partner_order_number, &after.subscription_id, &metadata);
            messages.push(NewMessage {
                message: Message::new(&about, event, now),
                subscription: after.row,
                territory: after.territory.clone(),
                generation: after.generation.unwrap_or(0),
                reference: String::new(),
                keys_hash: String::new(),
                sinks,
            });
        }
        Ok(messages)
    }

    fn about(&self, territory: &str, number: &str, subscription_id: &str, metadata: &str) -> About {
        let metadata = serde_json::value::RawValue::from_string(metadata.to_owned())
            // The column's CHECK lets nothing but JSON objects in.
            .unwrap_or_else(|_| serde_json::value::RawValue::NULL.to_owned());
        About {
            provider: self.account.name.clone(),
            territory: territory.to_owned(),
            partner_order_number: number.to_owned(),
            subscription_id: subscription_id.to_owned(),
            partner_reference: None,
            metadata,
            is_numbered: self.account.convention.is_numbered(),
        }
    }
}

/// What is worth a log line about a settlement, once it is on disk.
struct Note {
    order_number: String,
    territory: String,
    subscription_id: String,
    queued: bool,
    abandoned: Option<String>,
    partial: bool,
    is_empty: bool,
    /// Crossed the line after which a wait is worth a look: the detail to show.
    long_wait: Option<String>,
    ids: Vec<String>,
    sinks: Vec<String>,
}

impl Note {
    fn of(settlement: &Settlement) -> Self {
        let renewal = &settlement.renewal;
        let mut note = Self {
            order_number: crate::text::visible(&renewal.reference),
            territory: renewal.territory.clone(),
            subscription_id: crate::text::visible(&renewal.subscription_id),
            queued: false,
            abandoned: None,
            partial: false,
            is_empty: false,
            long_wait: None,
            ids: Vec::new(),
            sinks: Vec::new(),
        };
        match &settlement.outcome {
            Settled::AskedAgain { patience, detail, .. } => {
                let line = WAITING_WARNING.as_secs() as i64;
                let crossed = renewal.patience.waiting.seconds < line && patience.waiting.seconds >= line;
                note.long_wait = crossed.then(|| detail.clone());
            }
            Settled::Queued { messages } => {
                note.queued = true;
                note.partial = messages.len() > 1;
                note.take(messages);
            }
            Settled::Abandoned { messages, detail } => {
                note.abandoned = Some(detail.clone());
                note.take(messages);
            }
        }
        note
    }

    fn take(&mut self, messages: &[NewMessage]) {
        self.ids = messages.iter().map(|m| m.message.id.to_string()).collect();
        self.sinks = messages.iter().flat_map(|m| m.sinks.iter().cloned()).collect();
    }

    fn log(&self) {
        let (order, subscription, territory) = (&self.order_number, &self.subscription_id, &self.territory);
        let ids = self.ids.join(" ");
        if let Some(reason) = &self.abandoned {
            tracing::error!(%order, %subscription, %territory, message.id = %ids, %reason,
                "renewal abandoned: the customer has no key; `renewald refetch` asks again");
        } else if self.partial {
            tracing::warn!(%order, %subscription, %territory, message.id = %ids, "renewal queued in part; a line was refused");
        } else if self.is_empty {
            tracing::warn!(%order, %subscription, %territory, message.id = %ids,
                "renewal queued with a blank key, or without key, file, link and remark: the provider says that this is all");
        } else if self.queued {
            tracing::info!(%order, %subscription, %territory, message.id = %ids, "renewal queued");
        } else if let Some(detail) = &self.long_wait {
            tracing::warn!(%order, %subscription, %territory, %detail, "order data has been kept waiting for three days");
        }
    }
}
