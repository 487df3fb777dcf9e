//! Whether all is well, in one sentence: what stands first on the page.

use std::time::Duration;

use serde::Serialize;

use super::status::{Account, Status};
use crate::settings::format_duration;
use crate::store::counted;
use crate::text::{number_of, thousands};

/// What the sentence is made of, over all providers and sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub alerts: usize,
    pub watched: i64,
    pub overdue: i64,
    /// Late, but only because the budget is too small.
    pub delayed: i64,
    /// Renewals whose order data is awaited.
    pub renewals: i64,
    /// That wait for their sinks.
    pub messages: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub is_well: bool,
    pub sentence: String,
}

impl Sums {
    pub fn of(status: &Status) -> Self {
        let sum = |of: fn(&Account) -> i64| status.providers.values().map(of).sum();
        Self {
            alerts: status.alerts.len(),
            watched: sum(|account| account.subscriptions.get("watching").copied().unwrap_or_default()),
            overdue: sum(|account| account.late.overdue),
            delayed: sum(|account| account.late.delayed),
            renewals: sum(|account| account.waiting.renewals),
            messages: status.sinks.iter().map(|sink| sink.pending).sum(),
        }
    }

    /// `every`: how often each is to be answered for.
    pub fn verdict(self, every: Duration) -> Verdict {
        let sentence = match self.alerts {
            0 => self.well(&format_duration(every)),
            1 => "One thing needs you.".to_owned(),
            more => format!("{more} things need you."),
        };
        Verdict { is_well: self.alerts == 0, sentence }
    }

    fn well(self, every: &str) -> String {
        let Self { watched, overdue, delayed, .. } = self;
        let answered = match (watched, overdue, delayed) {
            (0, ..) => return "Nothing is tracked yet.".to_owned(),
            (_, 1.., _) => {
                let (overdue, watched) = (counted(overdue), thousands(watched));
                return format!("{overdue} of {watched} were not answered for within {every}, and are being asked.");
            }
            (1, ..) => format!("The one subscription was answered for within {every}"),
            (_, _, 0) => format!("All {} subscriptions were answered for within {every}", thousands(watched)),
            _ => format!(
                "{} of {} subscriptions were answered for within {every}, the others as soon as the budget allows",
                thousands(watched - delayed),
                thousands(watched)
            ),
        };
        let waiting = |count: i64, what: &str, for_what: &str| {
            let wait = if count == 1 { "waits" } else { "wait" };
            (count > 0).then(|| format!("{} {wait} for {for_what}", number_of(count, what)))
        };
        let waiting = [waiting(self.renewals, "renewal", "order data"), waiting(self.messages, "message", "a sink")];
        let waiting: Vec<_> = waiting.into_iter().flatten().collect();
        let waiting = if waiting.is_empty() { "nothing waits".to_owned() } else { waiting.join(", ") };
        format!("{answered}; {waiting}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sums: Sums) -> String {
        sums.verdict(Duration::from_secs(4 * 3600)).sentence
    }

    #[test]
    fn one_sentence_says_whether_all_is_well() {
        let all = Sums { watched: 71_204, ..Sums::default() };
        assert_eq!(said(all), "All 71,204 subscriptions were answered for within 4h; nothing waits.");
        assert_eq!(said(Sums::default()), "Nothing is tracked yet.");
        let waiting = Sums { watched: 1, renewals: 1, messages: 2, ..all };
        let sentence = "The one subscription was answered for within 4h; 1 renewal waits for order data, 2 messages wait for a sink.";
        assert_eq!(said(waiting), sentence);
        let delayed = said(Sums { delayed: 1_204, ..all });
        assert!(
            delayed.starts_with("70,000 of 71,204 subscriptions were answered for within 4h, the others"),
            "{delayed}"
        );
        assert!(said(Sums { overdue: 20_000, ..all }).starts_with("20000 or more of 71,204 were not answered for"));
    }

    #[test]
    fn whatever_else_there_is_an_alert_comes_first() {
        let verdict = Sums { alerts: 2, watched: 5, ..Sums::default() }.verdict(Duration::from_secs(3600));
        assert_eq!(verdict, Verdict { is_well: false, sentence: "2 things need you.".to_owned() });
        assert_eq!(said(Sums { alerts: 1, ..Sums::default() }), "One thing needs you.");
    }
}
