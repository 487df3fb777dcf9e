//! What came of a call, for whoever asked: the answer, or one of three ways to fail. Mend the request, try later, refused.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::call::Name;
use crate::convention::Wrong;
use crate::listen::problem::Problem;
use crate::provider::Error;
use crate::provider::shop::{Outcome, Placed, Reply};
use crate::store;
use crate::text::visible;

/// What the provider answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    #[schema(value_type = String)]
    pub call: Name,
    /// `done`; `already`: it was so before; `waiting`: the order is there, and waits for its payment, a check or stock.
    pub outcome: &'static str,
    /// The provider's.
    pub code: i64,
    /// What whoever reads the answer must know besides.
    pub notes: Vec<String>,
    /// The provider's own number of the order, where the answer is about one.
    pub order_number: Option<String>,
    /// The subscriptions that the order brought. After `order` they are tracked.
    pub subscriptions: Vec<String>,
    /// The provider's answer, digit by digit as it came; of a cart what is no person's.
    #[schema(value_type = Object)]
    pub answer: Option<Box<RawValue>>,
}

/// Why a call was not done.
#[derive(Debug)]
pub enum Failure {
    /// Mend the request: what is wrong, and the provider's code where it says so.
    Mend {
        wrong: Vec<Wrong>,
        code: Option<i64>,
    },
    /// Passes by itself.
    Later {
        why: String,
        after: Duration,
    },
    /// Never, as it is.
    Refused {
        why: String,
        code: Option<i64>,
    },
    NotThere(String),
    /// Ours to mend.
    Settings(String),
    Store(store::Error),
}

pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Already => "already",
        Outcome::Waiting => "waiting",
        Outcome::Mend => "mend",
        Outcome::Later => "later",
        Outcome::Refused => "refused",
        Outcome::NotFound => "not_found",
    }
}

impl Answer {
    /// # Errors
    /// What the provider did not do.
    pub fn of(call: Name, reply: Reply) -> Result<Self, Failure> {
        match reply.outcome {
            Outcome::Done | Outcome::Already | Outcome::Waiting => {
                let Placed { order_number, subscription_ids, .. } = reply.placed.unwrap_or_default();
                Ok(Self {
                    call,
                    outcome: word(reply.outcome),
                    code: reply.code,
                    notes: reply.notes,
                    order_number,
                    subscriptions: subscription_ids,
                    answer: reply.body,
                })
            }
            _ => Err(Failure::by(reply)),
        }
    }
}

impl Failure {
    /// What the provider did not do.
    pub fn by(reply: Reply) -> Self {
        let told = visible(reply.message.chars().take(300).collect::<String>().trim());
        let told = if told.is_empty() { "no reason given".to_owned() } else { told };
        match reply.outcome {
            Outcome::Mend => {
                let field = reply.field.unwrap_or("request").to_owned();
                Self::Mend { wrong: vec![Wrong { field, why: told }], code: Some(reply.code) }
            }
            Outcome::Later => Self::later(format!("the provider answered code {}: {told}", reply.code)),
            Outcome::NotFound => Self::NotThere(format!("the provider does not know it (code {}: {told})", reply.code)),
            // A rule that is known here: the provider was not asked.
            _ if reply.code == 0 => Self::Refused { why: told, code: None },
            _ => Self::Refused { why: format!("the provider refused it: {told}"), code: Some(reply.code) },
        }
    }

    /// There is no answer that could be used.
    pub fn of(error: &Error) -> Self {
        let after = match error {
            Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => *retry_after,
            _ => None,
        };
        let why = crate::chain(error);
        match error {
            Error::Rejected { status } => {
                Self::Mend { wrong: vec![Wrong { field: "request".to_owned(), why }], code: Some(i64::from(*status)) }
            }
            Error::Unauthorized { .. } => Self::Settings(why),
            _ => Self::Later { why, after: after.unwrap_or(AGAIN) },
        }
    }

    /// As the metrics have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mend { .. } => "mend",
            Self::Later { .. } => "later",
            Self::Refused { .. } => "refused",
            Self::NotThere(_) => "not_found",
            Self::Settings(_) => "unauthorized",
            Self::Store(_) => "failed",
        }
    }

    pub fn later(why: String) -> Self {
        Self::Later { why, after: AGAIN }
    }

    /// The turn did not come.
    pub fn paused(until: Option<Instant>) -> Self {
        let after = until.map(|until| until.saturating_duration_since(Instant::now()));
        let why = "the provider has asked for a pause, or too many calls wait: nothing was sent".to_owned();
        Self::Later { why, after: after.unwrap_or(AGAIN).max(AGAIN) }
    }

    pub fn wrong(field: &str, why: String) -> Self {
        Self::Mend { wrong: vec![Wrong { field: field.to_owned(), why }], code: None }
    }

    pub fn refused(why: &str) -> Self {
        Self::Refused { why: why.to_owned(), code: None }
    }

    pub fn not_there(why: String) -> Self {
        Self::NotThere(why)
    }

    pub fn settings(why: String) -> Self {
        Self::Settings(why)
    }

    pub fn not_offered(call: Name, kind: &str, offered: &[Name]) -> Self {
        let offered = offered.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let offered = if offered.is_empty() { "none".to_owned() } else { offered };
        Self::NotThere(format!("{kind} has no call `{call}`; it has {offered}"))
    }
}

/// Where the provider does not say when.
const AGAIN: Duration = Duration::from_secs(10);

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub fn problem(self) -> Problem {
        match self {
            Self::Mend { wrong, code } => {
                let detail: Vec<_> = wrong.iter().map(|one| format!("{}: {}", one.field, one.why)).collect();
                let fields = wrong.into_iter().map(|one| one.field).collect();
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail.join("; ")).of_code(code).in_fields(fields)
            }
            Self::Later { why, after } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).after(after),
            Self::Refused { why, code } => Problem::conflict(why).of_code(code),
            Self::NotThere(why) => Problem::not_found(why),
            Self::Settings(why) => Problem::new(StatusCode::BAD_GATEWAY, why),
            Self::Store(error) => error.into(),
        }
    }
}
