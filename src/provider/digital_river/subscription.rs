//! A subscription as the API tells it (digital-river.md, sections 2 and 3).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::life::Life;
use crate::provider::lenient::{Object, Scalar};
use crate::provider::{Error, body};

/// Characters. States have twenty; what is longer is none, and would be stored for each subscription.
const LONGEST_STATE: usize = 60;
/// Bytes. A name that was cut would be another one.
const LONGEST_NAME: usize = 255;

/// Each value may be missing or of another type; then it is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    customer_id: Scalar<'a>,
    #[serde(borrow)]
    state: Scalar<'a>,
    #[serde(borrow)]
    state_transitions: Object<Transitions<'a>>,
    #[serde(borrow)]
    created_time: Scalar<'a>,
    #[serde(borrow)]
    updated_time: Scalar<'a>,
    #[serde(borrow)]
    current_period_start_date: Scalar<'a>,
    #[serde(borrow)]
    current_period_end_date: Scalar<'a>,
    #[serde(borrow)]
    next_invoice_date: Scalar<'a>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Transitions<'a> {
    #[serde(borrow)]
    active_pending_invoice: Scalar<'a>,
    #[serde(borrow)]
    failed: Scalar<'a>,
    #[serde(borrow)]
    lapsed: Scalar<'a>,
}

/// What a state is to us; each in one word of the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Draft,
    Active,
    ActiveFree,
    PendingInvoice,
    /// Not paid for: given up by the API, or for want of a means of payment.
    Unpaid,
    Cancelled,
    Ended,
    /// A word that nobody knows, or none.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: String,
    pub customer: Option<String>,
    /// As it was sent.
    pub word: Option<String>,
    pub state: State,
    pub created_at: Option<Timestamp>,
    /// As it was written, to be compared for being the same.
    pub updated: Option<String>,
    pub updated_at: Option<Timestamp>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub next_invoice_at: Option<Timestamp>,
    /// When the invoice that is not paid was opened.
    pub opened_at: Option<Timestamp>,
    /// When it was given up.
    pub failed_at: Option<Timestamp>,
    pub partner_reference: Option<String>,
    pub metadata: Value,
}

/// What the body of an answer that came at `now` says.
pub fn read(bytes: &[u8], now: Timestamp) -> Result<Subscription, Error> {
    Subscription::of(body::parse(bytes)?, now).ok_or_else(|| body::unreadable("a subscription without id"))
}

impl Subscription {
    fn of(body: Body<'_>, now: Timestamp) -> Option<Self> {
        let instant = |scalar: &Scalar<'_>| scalar.instant(now);
        let short = |scalar: &Scalar<'_>| {
            let text = scalar.text()?.trim().chars().take(LONGEST_STATE).collect::<String>();
            (!text.is_empty()).then_some(text)
        };
        let word = short(&body.state);
        let transitions = body.state_transitions.into_option().unwrap_or_default();
        let metadata = value(body.metadata);
        Some(Self {
            id: body.id.text().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())?,
            customer: body.customer_id.text(),
            state: word.as_deref().map_or(State::Unknown, State::of),
            word,
            created_at: instant(&body.created_time),
            updated: short(&body.updated_time),
            updated_at: instant(&body.updated_time),
            start: instant(&body.current_period_start_date),
            end: instant(&body.current_period_end_date),
            next_invoice_at: instant(&body.next_invoice_date),
            opened_at: instant(&transitions.active_pending_invoice),
            failed_at: instant(&transitions.failed).or_else(|| instant(&transitions.lapsed)),
            partner_reference: upstream_id(&metadata),
            metadata,
        })
    }

    /// `None`: nobody knows.
    pub fn life(&self) -> Option<Life> {
        match self.state {
            State::Draft => Some(Life::Paused),
            State::Active | State::ActiveFree | State::PendingInvoice => Some(Life::Running),
            State::Unpaid | State::Cancelled => Some(Life::Cancelled),
            State::Ended => Some(Life::Expired),
            State::Unknown => None,
        }
    }

    /// How long before the end of a period the next one is billed.
    pub fn billed_ahead(&self) -> Option<Duration> {
        let (end, next) = (self.end?, self.next_invoice_at?);
        (next <= end).then(|| end.since(next))
    }
}

impl State {
    fn of(word: &str) -> Self {
        let plain: String = word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        match plain.as_str() {
            "draft" => Self::Draft,
            "active" => Self::Active,
            "activefree" => Self::ActiveFree,
            "activependinginvoice" => Self::PendingInvoice,
            "failed" | "lapsed" => Self::Unpaid,
            "cancelled" | "canceled" => Self::Cancelled,
            "ended" => Self::Ended,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing comes after it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Unpaid | Self::Cancelled | Self::Ended)
    }
}

/// Whatever was sent under `metadata`.
pub fn value(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn upstream_id(metadata: &Value) -> Option<String> {
    let name =
        ["upstreamId", "upstream-id", "upstream_id"].iter().find_map(|key| super::event::text(&metadata[*key]))?;
    (!name.is_empty() && name.len() <= LONGEST_NAME).then_some(name)
}
