//! What a pass has done so far: counted for its report, and told to the log, the meter and whoever waits for it.

use std::time::Duration;

use tokio::time::Instant;

use super::line::{Line, Said};
use super::settle::Settling;
use super::told::{self, Told};
use super::{Account, Progress, Report};
use crate::metrics::SweepMeter;
use crate::provider::{Error as ProviderError, Sighting};
use crate::renewal::{Outcome, Subscription, poll};

pub(super) struct Telling<'a> {
    account: &'a Account,
    told: &'a mut Told,
    meter: &'a SweepMeter,
    progress: Progress<'a>,
    /// The log is told of sums, while the pass goes on too: beyond the budget it never ends.
    sums_up: bool,
    /// What was done since `told_at`, and before.
    lately: Report,
    earlier: Report,
    told_at: Instant,
}

impl<'a> Telling<'a> {
    pub fn new(
        account: &'a Account,
        told: &'a mut Told,
        meter: &'a SweepMeter,
        progress: Progress<'a>,
        sums_up: bool,
    ) -> Self {
        let (lately, earlier) = (Report::default(), Report::default());
        Self { account, told, meter, progress, sums_up, lately, earlier, told_at: Instant::now() }
    }

    /// Requests made so far.
    pub fn calls(&self) -> u64 {
        self.earlier.calls + self.lately.calls
    }

    pub fn started(&mut self) {
        self.lately.calls += 1;
    }

    /// A poll was answered, or was not, and this is what follows from it. What is to be told of that once it is on disk.
    pub fn polled(
        &mut self,
        before: &Subscription,
        answer: &Result<Sighting, ProviderError>,
        decision: &poll::Decision,
        took: Duration,
    ) -> Vec<Line> {
        self.told.answered(&self.account.name, answer);
        let lately = &mut self.lately;
        lately.polls += 1;
        lately.answers += u64::from(answer.is_ok());
        lately.failures += u64::from(answer.is_err());
        if let Some(outcome) = decision.after.last_outcome {
            lately.refused += u64::from(outcome == Outcome::Refused);
            lately.unknown += u64::from(outcome == Outcome::NotFound);
            self.meter.polled(outcome, took);
        }
        (self.progress)(self.earlier.polls + self.lately.polls);
        told::of_poll(before, decision, &self.account.convention.advice)
    }

    /// A page was asked for.
    pub fn paged(&mut self, is_answered: bool) {
        self.lately.answers += u64::from(is_answered);
        self.lately.failures += u64::from(!is_answered);
        self.meter.paged(is_answered);
    }

    /// A row answered for a subscription. What is to be told of that once it is on disk.
    pub fn listed(&mut self, before: &Subscription, decision: &poll::Decision) -> Vec<Line> {
        self.lately.listed += 1;
        told::of_poll(before, decision, &self.account.convention.advice)
    }

    /// So many are tracked that nobody had tracked.
    pub fn discovered(&mut self, count: usize) {
        self.lately.discovered += count as u64;
        tracing::info!(provider = %self.account.name, count, "subscriptions of the provider's list are tracked now");
    }

    /// This is on disk.
    pub fn recorded(&mut self, lines: &[Line]) {
        let count = |is: fn(&Said) -> bool| lines.iter().filter(|line| is(&line.said)).count() as u64;
        let renewals = count(|said| matches!(said, Said::Seen));
        self.lately.renewals += renewals;
        self.meter.renewals(renewals);
        self.lately.surprises += count(|said| matches!(said, Said::Surprise { .. }));
        self.lately.not_renewed += count(|said| matches!(said, Said::NotRenewed { .. }));
        lines.iter().for_each(|line| self.told.tell(line));
    }

    /// A request for order data was answered, or was not.
    pub fn settled(&mut self, is_answered: bool, settling: &Settling) {
        self.lately.answers += u64::from(is_answered);
        self.lately.failures += u64::from(!is_answered);
        self.lately.queued += settling.queued;
        self.lately.warned.add(&settling.warned);
        self.lately.abandoned += settling.abandoned;
        settling.lines.iter().for_each(|line| self.told.tell(line));
    }

    /// Something due is left.
    pub fn interrupted(&mut self) {
        self.lately.interrupted = true;
    }

    /// The rest is left for the next run.
    pub fn given_up(&mut self) {
        self.lately.given_up = true;
    }

    pub fn sum_up(&mut self) {
        let report = std::mem::take(&mut self.lately);
        if self.sums_up {
            self.told.passed(&self.account.name, &report, self.told_at.elapsed());
        }
        self.told.count_rest(&self.account.name, false);
        self.told_at = Instant::now();
        self.earlier.add(&report);
    }

    pub fn end(mut self) -> Report {
        self.sum_up();
        self.earlier
    }
}
