//! What a sweep tells the operator: one line for what changed, repeated failures summed up, and a summary every few minutes.
//!
//! What concerns a whole provider or territory is told where it is decided, in [`super::trouble`] and [`super::gate`]; what
//! became of a delivery in [`super::line`].

use std::time::Duration;

use tokio::time::Instant;

use super::Report;
use super::line::{Whom, line};
use crate::convention::Advice;
use crate::delivery::Event;
use crate::provider::{Error, Sighting};
use crate::renewal::{Outcome, Subscription, poll};

/// How often the passes are summed up, and the lines about single subscriptions counted anew.
const SUM_UP_EVERY: Duration = Duration::from_secs(300);
/// So many lines about single subscriptions in that time: more of them have one common reason, which is told elsewhere.
const MOST_LINES: u32 = 20;
/// By then the short delays are used up, and whoever fails waits for its interval.
const REPEATED: u32 = 4;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Of answers outside the contract, until none came for a while.
    contract_broken: bool,
    /// One came since the last sum.
    broken_lately: bool,
    passes: Report,
    took: Duration,
    summed_up: Option<Instant>,
    lines: u32,
    /// Lines that would have been too many.
    untold: u64,
}

impl Told {
    /// Answers that cannot be used may mean that the provider has changed its API: said once, until none came for a while. That
    /// others can be used means nothing: one subscription may be all that the provider answers for wrongly.
    pub fn answered(&mut self, provider: &str, answer: &Result<Sighting, Error>) {
        let Err(error @ (Error::Unreadable { .. } | Error::Rejected { .. })) = answer else { return };
        self.broken_lately = true;
        if !std::mem::replace(&mut self.contract_broken, true) {
            tracing::error!(%provider, error = %crate::chain(error),
                "an answer cannot be used; has the provider's API changed? `renewald explain` shows who is concerned");
        }
    }

    /// Only what changed is worth a line: an outage is the breaker's to tell, a renewal is told once it is recorded.
    pub fn polled(&mut self, before: &Subscription, decision: &poll::Decision, advice: &Advice) {
        let after = &decision.after;
        let whom = Whom::of(after);
        if decision.new_surprise {
            let surprise = after.surprise.as_deref().unwrap_or_default();
            line!(warn, whom, surprise, "an answer outside the contract; nothing is delivered from it");
        }
        self.end_of_term(before, decision);
        let changed = after.last_outcome != before.last_outcome;
        let repeated = after.failures >= REPEATED && after.failures.is_power_of_two();
        let recovered = after.failures == 0 && (before.failures >= REPEATED || was_lost(before));
        let detail = after.last_detail.as_deref().unwrap_or_default();
        match after.last_outcome {
            Some(Outcome::NotFound) if changed && self.may_tell() => {
                line!(warn, whom, detail, "the provider does not know this subscription; it is asked daily");
            }
            Some(Outcome::Refused) if changed && self.may_tell() => {
                line!(warn, whom, detail, "refused: {}", advice.refused);
            }
            Some(Outcome::Ok) if recovered && self.may_tell() => {
                line!(info, whom, failures = before.failures, "answered for again");
            }
            Some(outcome) if repeated && self.may_tell() => {
                let since = after.last_answer_at.map_or("it was tracked".to_owned(), |at| at.to_string());
                line!(warn, whom, %outcome, detail, "still no usable answer, {} times since {since}", after.failures);
            }
            Some(outcome) if changed && after.failures > 0 => {
                line!(debug, whom, %outcome, detail, "no usable answer");
            }
            _ => {}
        }
    }

    /// A customer who stays away needs a person, once per term.
    fn end_of_term(&self, before: &Subscription, decision: &poll::Decision) {
        let after = &decision.after;
        let whom = Whom::of(after);
        if let Some(Event::NotRenewed { expires_at, .. }) =
            decision.events.iter().find(|event| matches!(event, Event::NotRenewed { .. }))
        {
            line!(error, whom, expired_at = %expires_at, "not renewed");
        } else if before.not_renewed_term.is_some()
            && before.not_renewed_term == before.expires_at
            && !decision.renewals.is_empty()
        {
            line!(info, whom, "renewed after all");
        }
    }

    /// A pass is over, or goes on for long: the first one that did something, and then all that did within a few minutes, make one
    /// line.
    pub fn passed(&mut self, provider: &str, report: &Report, took: Duration) {
        if report.calls > 0 {
            self.passes.add(report);
            self.took += took;
        }
        let now = Instant::now();
        if self.summed_up.is_some_and(|before| now < before + SUM_UP_EVERY) {
            return;
        }
        self.lines = 0;
        self.contract_broken = std::mem::take(&mut self.broken_lately);
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            tracing::warn!(%provider, subscriptions = untold,
                "more subscriptions had such news; `renewald list --overdue` and `renewald explain` show them");
        }
        if self.passes.calls == 0 {
            return;
        }
        self.summed_up = Some(now);
        let Report { polls, renewals, queued, abandoned, failures, surprises, .. } = std::mem::take(&mut self.passes);
        let seconds = std::mem::take(&mut self.took).as_secs_f64().round();
        tracing::info!(%provider, polls, renewals, queued, abandoned, failures, surprises, seconds, "swept");
    }

    fn may_tell(&mut self) -> bool {
        let may = self.lines < MOST_LINES;
        self.lines += u32::from(may);
        self.untold += u64::from(!may);
        may
    }
}

/// Whether the operator was told that the provider does not know it, or refuses it.
fn was_lost(subscription: &Subscription) -> bool {
    matches!(subscription.last_outcome, Some(Outcome::NotFound | Outcome::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_bad_subscription_among_good_ones_is_no_change_of_the_api_at_each_of_its_polls() {
        let (mut told, bad) = (Told::default(), Err(Error::Unreadable { reason: "no JSON".into() }));
        let report = Report { calls: 1, ..Report::default() };
        for _ in 0..3 {
            told.answered("nexway", &bad);
            assert!(told.contract_broken);
            told.passed("nexway", &report, Duration::ZERO);
        }
        tokio::time::advance(SUM_UP_EVERY).await;
        told.passed("nexway", &report, Duration::ZERO);
        assert!(told.contract_broken, "bad ones came meanwhile");
        tokio::time::advance(SUM_UP_EVERY).await;
        told.passed("nexway", &report, Duration::ZERO);
        assert!(!told.contract_broken, "none for as long");
    }

    #[test]
    fn a_flood_about_single_subscriptions_is_cut_and_begins_anew() {
        let mut told = Told::default();
        let may = |told: &mut Told| (0..50).filter(|_| told.may_tell()).count();
        assert_eq!((may(&mut told), told.untold), (MOST_LINES as usize, 30));
        told.passed("nexway", &Report::default(), Duration::ZERO);
        assert_eq!((may(&mut told), told.untold), (MOST_LINES as usize, 30));
    }
}
