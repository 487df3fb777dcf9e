//! What the API shows of a subscription and of what belongs to it.

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;

use super::books::{Books, Cycle, Decline, Event, Subscription, Transaction, decimal, uuid_in};
use super::switches::{AmountForm, IdForm, StatusForm, Switches};
use crate::clock::Timestamp;

/// An object with numbers as they are written.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Box<RawValue>)>);

impl Fields {
    pub(super) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        // Plain data with string keys: serde_json cannot fail on it.
        self.0.extend(to_raw_value(&value).ok().map(|value| (name, value)));
        self
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What is shown, and how.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) books: &'a Books,
    pub(super) switches: &'a Switches,
}

impl View<'_> {
    pub(super) fn id(self, kind: &str, id: Uuid) -> String {
        match self.switches.ids {
            IdForm::AsDocumented => format!("{kind}-{id}"),
            IdForm::Lower => format!("{}-{id}", kind.to_lowercase()),
            IdForm::Upper => format!("{kind}-{id}").to_uppercase(),
        }
    }

    fn amount(self, cents: i64) -> Box<RawValue> {
        let text = match self.switches.amounts {
            AmountForm::Number => decimal(cents),
            AmountForm::Text => format!("\"{}\"", decimal(cents)),
        };
        RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    pub(super) fn updated_at(self, subscription: &Subscription) -> Timestamp {
        let touches = self.switches.billing_touches_subscription;
        if touches { subscription.updated_at } else { subscription.changed_at }
    }

    pub(super) fn subscription(self, index: u32) -> Fields {
        let s = &self.books.subscriptions[index as usize];
        let zone = s.terms.timezone.as_deref();
        let payment = Fields::default()
            .with("description", "A subscription")
            .with("amount", self.amount(s.terms.cents))
            .with("currencyIsoCode", &s.terms.currency);
        let fields = Fields::default()
            .with("id", self.id("Subscription", s.id))
            .with("createdAt", written(s.created_at))
            .with("updatedAt", written(self.updated_at(s)))
            .with("deletedAt", s.deleted_at.map(written))
            .with("planId", self.id("SubscriptionPlan", Uuid::nil()))
            .with("status", s.status_shown.as_ref().map_or_else(|| json!(s.status), |shown| json!(shown)))
            .with("payment", payment)
            .with("startDate", s.created_at.to_string().replace('Z', "+00:00"))
            .with("trialStartDate", s.trial_ends_at.map(|_| day(s.created_at, zone)))
            .with("trialEndDate", s.trial_ends_at.map(|at| day(at, zone)))
            .with("nextBillingDate", day(s.next_billing_at, zone))
            .with("billingCyclesRemaining", s.remaining)
            .with("customerAccountId", format!("account-{}", index + 1))
            .with("externalMerchantId", &s.external_merchant_id)
            .with("merchantMetadata", s.terms.merchant_metadata.as_ref().map(Value::to_string))
            .with(
                "consumer",
                json!({"firstName": "Erika", "lastName": "Mustermann", "email": "erika@customer.example"}),
            );
        if zone.is_some() { fields.with("timezone", zone) } else { fields }
    }

    pub(super) fn cycle(self, s: &Subscription, cycle: &Cycle) -> Fields {
        let zone = s.terms.timezone.as_deref();
        let word = match cycle.declined {
            None => "Captured",
            Some(Decline::Failed) => "Failed",
            Some(Decline::Error) => "Error",
        };
        let word = match self.switches.cycle_status {
            StatusForm::Capitalised => word.to_owned(),
            StatusForm::Lower => word.to_lowercase(),
        };
        let paid_at = cycle.paid_at.filter(|_| !self.switches.paid_at_missing).map(written);
        let last = Timestamp::from_unix(cycle.ends_at.as_unix() - 86_400).max(cycle.starts_at);
        let card = if self.switches.short_card_num { "shortCardNum" } else { "shortCardNumber" };
        let mut fields = Fields::default()
            .with("id", self.id("BillingCycle", cycle.id))
            .with("createdAt", written(cycle.created_at))
            .with("updatedAt", written(cycle.updated_at))
            .with(if self.switches.cyrillic_paid_at { "paid\u{410}t" } else { "paidAt" }, paid_at)
            .with("billingDate", day(cycle.starts_at, zone))
            .with("billingPeriodStart", day(cycle.starts_at, zone))
            .with("billingPeriodEnd", day(last, zone))
            .with("status", word)
            .with("amount", self.amount(cycle.cents))
            .with("currency", &s.terms.currency)
            .with(card, "520000****0072")
            .with("billingAgreementName", "Mastercard");
        if self.switches.foreign_cycles {
            fields = fields.with("subscriptionId", self.id("Subscription", s.id));
        }
        if self.switches.embedded_transactions {
            let all: Vec<_> = cycle.transactions.iter().rev().map(|one| self.transaction(s, cycle, one)).collect();
            fields = fields.with("transactions", all);
        }
        fields
    }

    /// A retry by hand. What one tells is not documented; here more than anybody should keep.
    pub(super) fn retry(self, id: Uuid, index: u32, place: usize, at: Timestamp) -> Fields {
        let s = &self.books.subscriptions[index as usize];
        Fields::default()
            .with("id", self.id("Retry", id))
            .with("createdAt", written(at))
            .with("billingCycle", self.cycle(s, &s.cycles[place]))
            .with("consumer", json!({"email": "erika@customer.example"}))
    }

    pub(super) fn transaction(self, s: &Subscription, cycle: &Cycle, one: &Transaction) -> Fields {
        let payment = Fields::default()
            .with("description", "A charge")
            .with("amount", self.amount(cycle.cents))
            .with("currencyIsoCode", &s.terms.currency);
        let log = json!([{"id": self.id("TransactionLog", one.id), "createdAt": written(one.at), "updatedAt": written(one.at)}]);
        Fields::default()
            .with("id", self.id("Transaction", one.id))
            .with("transactionReferenceId", one.payment_id())
            .with("reconciliationReferenceId", one.is_captured.then(|| one.settlement_id()))
            .with("paymentStatus", one.is_captured.then_some("captured"))
            .with("payment", payment)
            .with("consumer", json!({"email": "erika@customer.example"}))
            .with("transactionLogs", log)
    }

    pub(super) fn event(self, event: &Event) -> Fields {
        let s = &self.books.subscriptions[event.subscription as usize];
        let cycle = s.cycles.iter().find(|cycle| Some(cycle.id) == uuid_in(&event.object_id));
        Fields::default()
            .with("id", self.id("Event", event.id))
            .with("createdAt", written(event.at))
            .with("origin", event.origin)
            .with("eventType", event.event_type)
            .with("objectType", event.object_type)
            .with("objectId", &event.object_id)
            .with("data", cycle.map_or_else(|| self.subscription(event.subscription), |cycle| self.cycle(s, cycle)))
    }

    /// The same as it is sent: with the switch of that name it says that all is over, and paid for.
    pub(super) fn notification(self, event: &Event) -> Value {
        let mut body = json!(self.event(event));
        body["sourceSystem"] = json!("subscription-module");
        if self.switches.notifications.forged {
            let is_cycle = event.object_type == "billing-cycle";
            body["data"]["status"] = json!(if is_cycle { "Captured" } else { "canceled" });
            body["data"]["externalMerchantId"] = json!("FORGED");
        }
        body
    }

    pub(super) fn plan(self) -> Fields {
        Fields::default()
            .with("id", self.id("SubscriptionPlan", Uuid::nil()))
            .with("name", "Sample plan")
            .with("recurrentAmount", self.amount(1000))
            .with("currencyIsoCode", "EUR")
            .with("billingOccurrence", 1)
            .with("billingUnit", "month")
            .with("prepaid", true)
    }
}

/// One of a type that nobody has heard of, about the same.
pub(super) fn unknown(body: &Value) -> Value {
    json!({"id": body["id"], "objectType": body["objectType"], "objectId": body["objectId"], "eventType": "reimagined"})
}

/// The same about ids that nobody knows.
pub(super) fn estranged(mut body: Value) -> Value {
    for path in ["/objectId", "/data/id", "/data/subscriptionId"] {
        if let Some(id) = body.pointer_mut(path) {
            let kind = id.as_str().unwrap_or_default().split('-').next().unwrap_or_default();
            *id = json!(format!("{kind}-{}", Uuid::max()));
        }
    }
    body
}

/// `2021-02-11T15:00:44.71Z`
fn written(at: Timestamp) -> String {
    at.to_string().replace('Z', ".71Z")
}

/// Where the subscription is.
fn day(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let instant = jiff::Timestamp::from_second(at.as_unix()).unwrap_or_default();
    instant.to_zoned(zone).date().to_string()
}
