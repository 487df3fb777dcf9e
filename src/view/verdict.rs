//! Whether all is well, in one sentence: what stands first on the page.

use std::time::Duration;

use serde::Serialize;

use super::status::Status;
use crate::settings::format_duration;
use crate::store::counted;
use crate::text::{number_of, thousands};

#[derive(Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub is_well: bool,
    pub sentence: String,
}

impl Verdict {
    /// `every`: how often each is to be answered for.
    pub fn of(status: &Status, every: Duration) -> Self {
        let sum = |of: &dyn Fn(&super::Account) -> i64| status.providers.values().map(of).sum::<i64>();
        let watched = sum(&|account| account.subscriptions.get("watching").copied().unwrap_or_default());
        let (overdue, delayed) = (sum(&|account| account.late.overdue), sum(&|account| account.late.delayed));
        let alerts = status.alerts.len();
        if alerts > 0 {
            let sentence = match alerts {
                1 => "One thing needs you.".to_owned(),
                more => format!("{more} things need you."),
            };
            return Self { is_well: false, sentence };
        }
        let every = format_duration(every);
        let answered = match (watched, overdue, delayed) {
            (0, ..) => return Self { is_well: true, sentence: "Nothing is tracked yet.".to_owned() },
            (_, overdue @ 1.., _) => {
                let sentence = format!(
                    "{} of {} not answered for within {every}: it is being caught up.",
                    counted(overdue),
                    thousands(watched)
                );
                return Self { is_well: true, sentence };
            }
            (1, ..) => format!("The one subscription was answered for within {every}"),
            (_, _, 0) => format!("All {} subscriptions were answered for within {every}", thousands(watched)),
            (_, _, delayed) => format!(
                "{} of {} subscriptions were answered for within {every}, the others as soon as the budget allows",
                thousands(watched - delayed),
                thousands(watched)
            ),
        };
        let renewals = sum(&|account| account.waiting.renewals);
        let messages: i64 = status.sinks.iter().map(|sink| sink.pending).sum();
        let waits = |count: i64, what: &str, for_what: &str| {
            let wait = if count == 1 { "waits" } else { "wait" };
            (count > 0).then(|| format!("{} {wait} for {for_what}", number_of(count, what)))
        };
        let waiting: Vec<_> = [waits(renewals, "renewal", "order data"), waits(messages, "message", "a sink")]
            .into_iter()
            .flatten()
            .collect();
        let waiting = if waiting.is_empty() { "nothing waits".to_owned() } else { waiting.join(", ") };
        Self { is_well: true, sentence: format!("{answered}; {waiting}.") }
    }
}
