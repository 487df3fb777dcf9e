//! What a sweep tells the operator: one line for what changed, repeated failures summed up, and a summary every few minutes.
//!
//! What concerns a whole provider or territory is told where it is decided, in [`super::trouble`] and [`super::gate`]; what is
//! told of one subscription is [`super::line`]'s.

use std::time::Duration;

use tokio::time::Instant;

use super::Report;
use super::line::{Line, Said, Topic, Whom, line};
use crate::convention::Advice;
use crate::delivery::{Event, Occasion};
use crate::flood::Flood;
use crate::provider::{Error, Sighting};
use crate::renewal::{Outcome, Subscription, poll};

/// How often the passes are summed up.
const SUM_UP_EVERY: Duration = Duration::from_secs(300);
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
    flood: Flood<Topic>,
}

impl Told {
    /// Answers that cannot be used may mean that the provider has changed its API: said once, until none came for a while. That
    /// others can be used means nothing: one subscription may be all that the provider answers for wrongly.
    pub fn answered(&mut self, provider: &str, answer: &Result<Sighting, Error>) {
        let Err(error @ (Error::Unreadable { .. } | Error::Rejected { .. })) = answer else { return };
        self.broken_lately = true;
        if !std::mem::replace(&mut self.contract_broken, true) {
            tracing::error!(%provider, error = %crate::chain(error),
                "an answer cannot be used; has the provider's API changed? `renewald list` notes who is concerned");
        }
    }

    /// What it says is on disk.
    pub fn tell(&mut self, line: &Line) {
        if line.topic().is_none_or(|topic| self.flood.admits(topic, Instant::now())) {
            line.tell();
        }
    }

    /// A pass is over, or goes on for long: how many lines of each kind were too many. `is_last`: nobody asks again.
    pub fn count_rest(&mut self, provider: &str, is_last: bool) {
        let rest = if is_last { self.flood.last() } else { self.flood.rest(Instant::now()) };
        for (topic, more) in rest {
            topic.tell_more(provider, more);
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
        self.contract_broken = std::mem::take(&mut self.broken_lately);
        if self.passes.calls == 0 {
            return;
        }
        self.summed_up = Some(now);
        let Report { polls, listed, renewals, queued, abandoned, failures, surprises, .. } =
            std::mem::take(&mut self.passes);
        let seconds = std::mem::take(&mut self.took).as_secs_f64().round();
        // Of a provider that lists nothing the line does not say so.
        let listed = (listed > 0).then_some(listed);
        tracing::info!(%provider, polls, listed, renewals, queued, abandoned, failures, surprises, seconds, "swept");
    }
}

/// What is to be told of a poll once it is on disk. Only what changed is worth a line: an outage is the breaker's to tell.
pub(super) fn of_poll(before: &Subscription, decision: &poll::Decision, advice: &Advice) -> Vec<Line> {
    let after = &decision.after;
    let whom = Whom::of(after);
    let said = [oddity(before, decision), end_of_term(before, decision), how_it_went(before, after, advice)];
    let mut lines: Vec<_> = said.into_iter().flatten().map(|said| Line::new(whom, said)).collect();
    lines.extend(aside(before, decision).map(|said| Line::new(whom, said)));
    let seen = decision.renewals.iter().map(|one| Whom { order: &one.reference, ..whom });
    lines.extend(seen.map(|whom| Line::new(whom, Said::Seen)));
    lines
}

fn oddity(before: &Subscription, decision: &poll::Decision) -> Option<Said> {
    let after = &decision.after;
    if let Some(what) = decision.new_surprise {
        return Some(Said::Surprise { surprise: after.surprise.clone().unwrap_or_default(), what });
    }
    // Where it was renewed since, or is not known, that is told.
    let is_over = before.surprise.is_some() && after.surprise.is_none() && after.last_outcome == Some(Outcome::Ok);
    after.past_surprise.as_deref().filter(|_| is_over).map(|surprise| Said::SurpriseOver { surprise: surprise.into() })
}

fn how_it_went(before: &Subscription, after: &Subscription, advice: &Advice) -> Option<Said> {
    let outcome = after.last_outcome?;
    let is_new = after.last_outcome != before.last_outcome;
    let is_repeated = after.failures >= REPEATED && after.failures.is_power_of_two();
    let is_recovered = after.failures == 0 && (before.failures >= REPEATED || was_lost(before));
    let detail = after.last_detail.clone().unwrap_or_default();
    Some(match outcome {
        Outcome::NotFound if is_new => Said::Unknown { detail, next: after.due_at },
        Outcome::Refused if is_new => Said::Refused { detail, advice: advice.refused },
        Outcome::Ok if is_recovered => Said::AnsweredAgain { failures: before.failures },
        _ if is_repeated => {
            Said::StillFailing { outcome, detail, failures: after.failures, since: after.last_answer_at }
        }
        _ if is_new && after.failures > 0 => {
            line!(debug, Whom::of(after), %outcome, detail, "no usable answer");
            return None;
        }
        _ => return None,
    })
}

/// A customer who stays away needs a person, once per term.
fn end_of_term(before: &Subscription, decision: &poll::Decision) -> Option<Said> {
    let not_renewed = decision.events.iter().find_map(|event| match event {
        Event::NotRenewed { expires_at, .. } => Some(Said::NotRenewed { expired_at: *expires_at }),
        _ => None,
    });
    not_renewed.or_else(|| {
        let was_told = before.not_renewed_term.is_some() && before.not_renewed_term == before.expires_at;
        // An upgrade, or an older delivery, makes no new term.
        let is_renewed = decision.renewals.iter().any(|one| !one.late && one.occasion != Occasion::Upgrade);
        (was_told && is_renewed).then_some(Said::RenewedAfterAll)
    })
}

/// What an answer told beside deliveries.
fn aside(before: &Subscription, decision: &poll::Decision) -> impl Iterator<Item = Said> {
    let said = decision.events.iter().filter_map(|event| match event {
        Event::PaymentFailing { generation, since, reason, .. } => {
            Some(Said::PaymentFailing { generation: *generation, since: *since, reason: reason.clone() })
        }
        // A poll asks for no delivery: this one is told of because it cannot come any more.
        Event::RenewalFailed { renewal, provider_message, .. } => {
            Some(Said::NeverPaid { generation: renewal.generation, reason: provider_message.clone() })
        }
        Event::Offer { order_number, state, .. } => Some(Said::Offer { number: order_number.clone(), state: *state }),
        _ => None,
    });
    let is_fine = before.failing.is_some() && decision.after.failing.is_none();
    said.chain(is_fine.then_some(Said::PaymentFine))
}

/// Whether the operator was told that the provider does not know it, or refuses it.
fn was_lost(subscription: &Subscription) -> bool {
    matches!(subscription.last_outcome, Some(Outcome::NotFound | Outcome::Refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::renewal::fixtures::{COUNTS, watched};
    use crate::renewal::news::NewRenewal;

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
    fn only_a_new_term_makes_one_renewed_after_all() {
        let end = Timestamp::constant(1_795_291_200);
        let before = Subscription { expires_at: Some(end), not_renewed_term: Some(end), ..watched(1, end) };
        for (occasion, late, told) in
            [(Occasion::Renewal, false, 1), (Occasion::Renewal, true, 0), (Occasion::Upgrade, false, 0)]
        {
            let renewals = vec![NewRenewal { occasion, late, ..NewRenewal::counted(2, "P-2".into()) }];
            let (after, had, events, new_surprise) = (before.clone(), Vec::new(), Vec::new(), None);
            let decision = poll::Decision { after, renewals, had, events, new_surprise };
            let lines = of_poll(&before, &decision, &COUNTS.advice);
            let after_all = lines.iter().filter(|line| matches!(line.said, Said::RenewedAfterAll)).count();
            assert_eq!((after_all, lines.len()), (told, told + 1), "{occasion}, late: {late}");
        }
    }
}
