//! A log line about one subscription: whom it is about, and what is said once that is on disk.
//!
//! How many of a kind are written is [`super::told`]'s.

use crate::clock::Timestamp;
use crate::delivery::{OfferState, Warning};
use crate::renewal::poll::Surprising;
use crate::renewal::{Outcome, Subscription};
use crate::retry::WAITING_WARNING;
use crate::store::{DueRenewal, Settled, Settlement};

/// Whom a line is about. `order` is the number of the order it is about: a renewal's own, else the original's.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub order: &'a str,
    pub subscription_id: &'a str,
    pub territory: &'a str,
}

/// One line: its level, whom it is about, what belongs to it beside that, and its text. Nothing is written for a level that
/// nobody wants.
macro_rules! line {
    ($level:ident, $whom:expr, $($rest:tt)+) => {{
        let whom = $whom;
        tracing::$level!(order = %crate::text::visible(whom.order),
            subscription = %crate::text::visible(whom.subscription_id), territory = %whom.territory, $($rest)+)
    }};
}

/// What everything that is logged within a request says of whom it is about.
macro_rules! span {
    ($name:literal, $whom:expr) => {{
        let whom = $whom;
        tracing::debug_span!($name, order = %crate::text::visible(whom.order),
            subscription = %crate::text::visible(whom.subscription_id))
    }};
}

pub(super) use {line, span};

impl<'a> Whom<'a> {
    pub fn of(subscription: &'a Subscription) -> Self {
        let Subscription { partner_order_number, subscription_id, territory, .. } = subscription;
        Self { order: partner_order_number, subscription_id, territory }
    }

    pub fn waiting(renewal: &'a DueRenewal) -> Self {
        let DueRenewal { reference, subscription_id, territory, .. } = renewal;
        Self { order: reference, subscription_id, territory }
    }
}

/// What is said.
#[derive(Debug)]
pub(super) enum Said {
    Surprise {
        surprise: String,
        what: Surprising,
    },
    /// Answers are within the contract again.
    SurpriseOver {
        surprise: String,
    },
    /// `next`: when it is asked again.
    Unknown {
        detail: String,
        next: Option<Timestamp>,
    },
    Refused {
        detail: String,
        advice: &'static str,
    },
    AnsweredAgain {
        failures: u32,
    },
    /// `since`: the last usable answer.
    StillFailing {
        outcome: Outcome,
        detail: String,
        failures: u32,
        since: Option<Timestamp>,
    },
    NotRenewed {
        expired_at: Timestamp,
    },
    RenewedAfterAll,
    /// `since`: at the provider, where it tells.
    PaymentFailing {
        generation: i64,
        since: Option<Timestamp>,
        reason: String,
    },
    PaymentFine,
    /// It has ended, and what would have come was never paid for.
    NeverPaid {
        generation: i64,
        reason: String,
    },
    Offer {
        number: String,
        state: OfferState,
    },
    Seen,
    /// `ids`: of the messages.
    Queued {
        ids: String,
        warnings: Vec<Warning>,
        /// It completes what was queued before.
        is_again: bool,
    },
    /// `was_queued`: when it was fetched before this time.
    Abandoned {
        ids: String,
        reason: String,
        was_queued: bool,
    },
    /// The wait has crossed the line after which it is worth a look.
    Waits {
        detail: String,
    },
}

/// What many may meet at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Surprise,
    SurpriseOver,
    Unknown,
    Refused,
    AnsweredAgain,
    StillFailing,
    NotRenewed,
    RenewedAfterAll,
    PaymentFailing,
    PaymentFine,
    NeverPaid,
    Offer,
    Partial,
    Empty,
    Abandoned,
    Waits,
}

/// A line about what is on its way to the disk.
#[derive(Debug)]
pub(super) struct Line {
    order: String,
    subscription_id: String,
    territory: String,
    pub said: Said,
}

impl Line {
    pub fn new(whom: Whom<'_>, said: Said) -> Self {
        let Whom { order, subscription_id, territory } = whom;
        Self { order: order.into(), subscription_id: subscription_id.into(), territory: territory.into(), said }
    }

    pub fn settled(settlement: &Settlement) -> Option<Self> {
        let Settlement { renewal, outcome, .. } = settlement;
        let ids = outcome.messages().iter().map(|new| new.message.id.to_string()).collect::<Vec<_>>().join(" ");
        let said = match outcome {
            Settled::AskedAgain { patience, detail, .. } => {
                let line = WAITING_WARNING.as_secs() as i64;
                let crossed = renewal.patience.kept_waiting() < line && patience.kept_waiting() >= line;
                crossed.then(|| Said::Waits { detail: detail.clone() })?
            }
            Settled::Looked { message: None, .. } => return None,
            Settled::Queued { .. } | Settled::Looked { .. } => Said::Queued {
                ids,
                warnings: outcome.warnings().to_vec(),
                is_again: matches!(outcome, Settled::Looked { .. }),
            },
            Settled::Abandoned { detail, .. } => {
                Said::Abandoned { ids, reason: detail.clone(), was_queued: renewal.was_queued }
            }
        };
        Some(Self::new(Whom::waiting(renewal), said))
    }

    /// `None`: one of those that a delivery has, which are written however many there are.
    pub fn topic(&self) -> Option<Topic> {
        Some(match &self.said {
            Said::Seen => return None,
            Said::Surprise { .. } => Topic::Surprise,
            Said::SurpriseOver { .. } => Topic::SurpriseOver,
            Said::Unknown { .. } => Topic::Unknown,
            Said::Refused { .. } => Topic::Refused,
            Said::AnsweredAgain { .. } => Topic::AnsweredAgain,
            Said::StillFailing { .. } => Topic::StillFailing,
            Said::NotRenewed { .. } => Topic::NotRenewed,
            Said::RenewedAfterAll => Topic::RenewedAfterAll,
            Said::PaymentFailing { .. } => Topic::PaymentFailing,
            Said::PaymentFine => Topic::PaymentFine,
            Said::NeverPaid { .. } => Topic::NeverPaid,
            Said::Offer { .. } => Topic::Offer,
            Said::Queued { warnings, .. } if warnings.contains(&Warning::Partial) => Topic::Partial,
            Said::Queued { warnings, .. } if warnings.contains(&Warning::Empty) => Topic::Empty,
            Said::Queued { .. } => return None,
            Said::Abandoned { .. } => Topic::Abandoned,
            Said::Waits { .. } => Topic::Waits,
        })
    }

    /// What it tells is on disk.
    pub fn tell(&self) {
        let Self { order, subscription_id, territory, said } = self;
        let whom = Whom { order, subscription_id, territory };
        match said {
            Said::Surprise { surprise, what: Surprising::Dropped } => {
                line!(warn, whom, surprise, "an answer outside the contract; nothing is delivered from it");
            }
            Said::Surprise { surprise, what: Surprising::Used } => {
                line!(warn, whom, surprise, "an answer outside the contract; it is used all the same");
            }
            Said::SurpriseOver { surprise } => {
                line!(
                    warn,
                    whom,
                    surprise,
                    "answered for within the contract again; `renewald explain` keeps what was odd"
                );
            }
            Said::Unknown { detail, next } => {
                let next = next.map_or("it is not asked again".to_owned(), |at| format!("asked again at {at}"));
                line!(warn, whom, detail, "the provider does not know this subscription; {next}");
            }
            Said::Refused { detail, advice } => line!(warn, whom, detail, "refused: {advice}"),
            Said::AnsweredAgain { failures } => line!(info, whom, failures, "answered for again"),
            Said::StillFailing { outcome, detail, failures, since } => {
                let since = since.map_or("it was tracked".to_owned(), |at| at.to_string());
                line!(warn, whom, %outcome, detail, "still no usable answer, {failures} times since {since}");
            }
            Said::NotRenewed { expired_at } => line!(error, whom, %expired_at, "not renewed"),
            Said::RenewedAfterAll => line!(info, whom, "renewed after all"),
            Said::PaymentFailing { generation, since, reason } => {
                let since = since.map_or(String::new(), |at| format!(" since {at}"));
                line!(warn, whom, generation, reason, "the payment for the coming term fails{since}");
            }
            Said::PaymentFine => line!(info, whom, "the payment for the coming term fails no more"),
            Said::NeverPaid { generation, reason } => {
                line!(
                    warn,
                    whom,
                    generation,
                    reason,
                    "it has ended, and its payment was refused: nothing is delivered for it"
                );
            }
            Said::Offer { number, state } => {
                line!(info, whom, offer = %crate::text::visible(number), "an offer was {state}");
            }
            Said::Seen => line!(info, whom, "renewal seen"),
            Said::Abandoned { ids, reason, was_queued: false } => {
                line!(error, whom, message.id = %ids, %reason,
                    "renewal abandoned: nothing is delivered for it; `renewald refetch` asks again");
            }
            Said::Abandoned { ids, reason, was_queued: true } => {
                line!(error, whom, message.id = %ids, %reason,
                    "renewal abandoned as it was fetched again: what was queued before stays; `renewald refetch` asks again");
            }
            Said::Queued { ids, warnings, .. } if warnings.contains(&Warning::Partial) => {
                line!(warn, whom, message.id = %ids,
                    "renewal queued in part: a line was refused or is not ready; it is looked at again daily");
            }
            Said::Queued { ids, warnings, .. } if warnings.contains(&Warning::Empty) => {
                line!(warn, whom, message.id = %ids,
                    "renewal queued with a blank key, or without key, file, link and remark: the provider says that this is \
                     all; it is looked at again daily");
            }
            Said::Queued { ids, is_again: true, .. } => {
                line!(info, whom, message.id = %ids, "renewal queued again: what was missing has come");
            }
            Said::Queued { ids, .. } => line!(info, whom, message.id = %ids, "renewal queued"),
            Said::Waits { detail } => line!(warn, whom, %detail, "order data has been kept waiting for three days"),
        }
    }
}

impl Topic {
    /// So many more lines would have been too many: at their level, and where to see whom they were about.
    pub fn tell_more(self, provider: &str, more: u64) {
        match self {
            Self::Surprise => {
                tracing::warn!(%provider, "{more} more answers outside the contract: `renewald list --surprise` shows them");
            }
            Self::SurpriseOver => {
                tracing::warn!(%provider, "{more} more answered for within the contract again: `renewald explain` keeps what was odd");
            }
            Self::Unknown => {
                tracing::warn!(%provider, "{more} more not known to the provider: `renewald list --unknown` shows them");
            }
            Self::Refused => tracing::warn!(%provider, "{more} more refused: `renewald list --refused` shows them"),
            Self::AnsweredAgain => tracing::info!(%provider, "{more} more answered for again"),
            Self::StillFailing => {
                tracing::warn!(%provider, "{more} more still without a usable answer: `renewald list --overdue` shows who is late");
            }
            Self::NotRenewed => {
                tracing::error!(%provider, "{more} more not renewed: `renewald list --not-renewed` shows them");
            }
            Self::RenewedAfterAll => tracing::info!(%provider, "{more} more renewed after all"),
            Self::PaymentFailing => {
                tracing::warn!(%provider, "{more} more whose payment fails: `renewald list --payment-failing` shows them");
            }
            Self::PaymentFine => tracing::info!(%provider, "{more} more whose payment fails no more"),
            Self::NeverPaid => {
                tracing::warn!(%provider, "{more} more have ended unpaid: `renewald queue list --type renewal.failed` shows them");
            }
            Self::Offer => {
                tracing::info!(%provider, "{more} more offers: `renewald queue list --type subscription.offer` shows them");
            }
            Self::Partial => {
                tracing::warn!(%provider, "{more} more queued in part: `renewald list --warned` shows them")
            }
            Self::Empty => {
                tracing::warn!(%provider, "{more} more queued without content: `renewald list --warned` shows them")
            }
            Self::Abandoned => {
                tracing::error!(%provider, "{more} more abandoned: `renewald queue list --type renewal.failed` shows them");
            }
            Self::Waits => {
                tracing::warn!(%provider, "{more} more kept waiting for their order data: `renewald list` notes who awaits it");
            }
        }
    }
}
