//! What a log line about one subscription is made of, and what is said of one of its deliveries once that is on disk.

use crate::delivery::Warning;
use crate::renewal::Subscription;
use crate::retry::WAITING_WARNING;
use crate::store::{DueRenewal, PollRecord, Settled, Settlement};

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

/// What is said of a delivery.
pub(super) enum Said {
    Seen,
    /// `ids`: of the messages.
    Queued {
        ids: String,
        warnings: Vec<Warning>,
        /// It completes what was queued before.
        is_again: bool,
    },
    Abandoned {
        ids: String,
        reason: String,
    },
    /// The wait has crossed the line after which it is worth a look.
    Waits {
        detail: String,
    },
}

/// A line about a delivery that is on its way to the disk.
pub(super) struct Line {
    order: String,
    subscription_id: String,
    territory: String,
    pub said: Said,
}

impl Line {
    fn new(whom: Whom<'_>, said: Said) -> Self {
        let Whom { order, subscription_id, territory } = whom;
        Self { order: order.into(), subscription_id: subscription_id.into(), territory: territory.into(), said }
    }

    /// One for each renewal that a poll has seen; nearly every poll has seen none.
    pub fn seen(record: &PollRecord) -> Vec<Self> {
        let whom = Whom::of(&record.after);
        let seen = record.renewals.iter();
        seen.map(|renewal| Self::new(Whom { order: &renewal.reference, ..whom }, Said::Seen)).collect()
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
            Settled::Abandoned { detail, .. } => Said::Abandoned { ids, reason: detail.clone() },
        };
        Some(Self::new(Whom::waiting(renewal), said))
    }

    /// What it tells is on disk.
    pub fn tell(&self) {
        let Self { order, subscription_id, territory, said } = self;
        let whom = Whom { order, subscription_id, territory };
        match said {
            Said::Seen => line!(info, whom, "renewal seen"),
            Said::Abandoned { ids, reason } => {
                line!(error, whom, message.id = %ids, %reason,
                    "renewal abandoned: the customer has no key; `renewald refetch` asks again");
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
