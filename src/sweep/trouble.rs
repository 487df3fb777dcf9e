//! A provider's trouble: what its budget hears of answers and outages; what log and store are told of its breaker, its slow-down
//! and its pause, when they change and no oftener; and what a new budget is told of the pause.

use std::time::Duration;

use tokio::time::Instant;

use super::Account;
use crate::budget::{self, Budget, LONGEST_PAUSE, OPENS_AFTER};
use crate::clock::Timestamp;
use crate::provider::{Class, Error as ProviderError, Verdict};
use crate::renewal::DAY;
use crate::store::{self, BreakerState, ProviderTrouble, SlowedState, Store};

/// A day, and as much as chance adds to it.
const LONGEST_WITHOUT_PROBE: Duration = Duration::from_secs(86_400 * 11 / 10);

/// Both ends of a stored pause are whole seconds, and it is never to end too soon.
const ROUNDED_UP: Duration = Duration::from_secs(2);

/// How a request ended, as far as its provider's trouble is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<'a> {
    /// Everything that is none of the others, 429 included.
    Answer,
    /// The one that was asked about is not known, or may not be asked about.
    Unknown(&'a Verdict),
    Failure(&'a ProviderError),
}

impl<'a> Heard<'a> {
    pub fn of<T>(answer: &'a Result<T, ProviderError>, verdict: impl Fn(&'a T) -> &'a Verdict) -> Self {
        match answer {
            Ok(answer) => match verdict(answer) {
                unknown if matches!(unknown.class, Class::NotFound | Class::Configuration) => Self::Unknown(unknown),
                _ => Self::Answer,
            },
            Err(error) => Self::failure(Some(error)),
        }
    }

    pub fn failure(error: Option<&'a ProviderError>) -> Self {
        error.filter(|error| error.is_outage()).map_or(Self::Answer, Self::Failure)
    }
}

/// What this process has written so far.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    begun: bool,
    /// What a new process has to know of a provider that may have closed for good.
    keeps_failures: bool,
    written: Written,
    /// The last outage's.
    reason: String,
    /// When a look last brought a success; `None`: not read yet.
    answered_at: Option<Option<Timestamp>>,
}

/// What is worth a write when it changes. Instants, so that a step of the clock changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Written {
    failures: u32,
    breaker: Option<(Instant, Instant)>,
    slowed_until: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Trouble {
    /// What an earlier process left is over: each begins with a closed breaker and the whole rate. But a pause that the provider
    /// asked for goes on, and the slow-down after it; and so does the breaker of a provider that may have closed. Called again after a step of the clock, by which the times are then stored.
    pub async fn begin(
        &mut self,
        store: &Store,
        account: &Account,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let provider = account.name.as_str();
        self.keeps_failures = account.convention.may_have_closed;
        let left = if self.begun { None } else { store.provider_troubles().await?.remove(provider) };
        if self.keeps_failures {
            self.answered_at(store, provider).await?;
            if let Some(left) = &left {
                self.go_on(left, provider, budget, now);
            }
        }
        let pause = left.and_then(|trouble| trouble.paused_until).filter(|until| is_ahead(*until, now));
        if let Some(until) = pause {
            budget.slow_down(Some(until.since(now)));
            tracing::info!(%provider, "the pause that the provider asked for goes on until {until}");
        }
        self.begun = true;
        let state = budget.state();
        let trouble = self.describe(&state, now);
        // As it was: rounded up each time, one restart after the other would lengthen it.
        let trouble = ProviderTrouble { paused_until: pause.or(trouble.paused_until), ..trouble };
        store.set_provider_trouble(provider, trouble).await?;
        self.written = self.worth_writing(&state);
        Ok(())
    }

    fn go_on(&mut self, left: &ProviderTrouble, provider: &str, budget: &Budget, now: Timestamp) {
        let open = left.breaker.as_ref().map(|open| {
            let probe_in = open.next_probe_at.since(now);
            // Further ahead than any probe is: stored under a clock that has been set back since.
            (now.since(open.open_since), if probe_in > LONGEST_WITHOUT_PROBE { Duration::ZERO } else { probe_in })
        });
        budget.resume(left.failures, open);
        if let Some(open) = &left.breaker {
            self.reason.clone_from(&open.reason);
            tracing::warn!(%provider, error = %open.reason, "provider has not answered since {}: one probe at a time", open.open_since);
        }
    }

    /// A look at somebody has brought a success.
    pub fn answered(&mut self, now: Timestamp) {
        self.answered_at = Some(Some(now));
    }

    /// When that was last the case, also before this process.
    pub async fn answered_at(&mut self, store: &Store, provider: &str) -> Result<Option<Timestamp>, store::Error> {
        if self.answered_at.is_none() {
            self.answered_at = Some(store.last_answered(provider).await?);
        }
        Ok(self.answered_at.flatten())
    }

    /// A request that began at `started` ended like this. `is_old`: the same was asked before in vain. It may be all that the
    /// provider fails on, and opens no breaker.
    pub fn heard(
        &mut self,
        account: &Account,
        budget: &Budget,
        started: Instant,
        heard: Heard<'_>,
        is_old: bool,
        now: Timestamp,
    ) {
        let (provider, may_be_gone) = (&account.name, account.convention.may_have_closed);
        // Many that are not known in a row are an import gone wrong, as long as anybody else is.
        let is_answering = self.answered_at.flatten().is_some_and(|at| at <= now && now < at + DAY);
        let (is_refused, reason) = match heard {
            Heard::Failure(error) => (matches!(error, ProviderError::Unauthorized { .. }), crate::chain(error)),
            Heard::Unknown(verdict) if may_be_gone && !is_answering => {
                (verdict.class == Class::Configuration, format!("code {}: {}", verdict.code, verdict.message))
            }
            Heard::Unknown(_) | Heard::Answer => {
                if budget.report_success() {
                    tracing::info!(%provider, "provider answers again");
                }
                return;
            }
        };
        self.reason = crate::text::visible(&reason);
        let before = budget.state();
        let opened = match is_refused {
            true if !may_be_gone => budget.report_lockout(),
            _ if is_old && before.breaker.is_none() => return,
            _ if may_be_gone => budget.report_absence(started),
            _ => budget.report_outage(started),
        };
        let failures = budget.state().failures;
        if opened {
            let what = match is_refused {
                true => "provider refuses our credentials: one probe at a time until it takes them",
                false => "provider does not answer: one probe at a time until it does",
            };
            tracing::error!(%provider, error = %self.reason, "{what}");
        } else if let Some(open) = before.breaker
            && failures > before.failures
            && failures.is_power_of_two()
        {
            // At growing distance: an outage may last for days.
            tracing::warn!(%provider, error = %self.reason,
                "provider still does not answer, {failures} times within {} s", open.since.elapsed().as_secs());
        }
    }

    /// Writes what has changed since it was last told.
    pub async fn tell(
        &mut self,
        store: &Store,
        provider: &str,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let state = budget.state();
        let present = self.worth_writing(&state);
        if present == self.written {
            return Ok(());
        }
        store.set_provider_trouble(provider, self.describe(&state, now)).await?;
        self.written = present;
        Ok(())
    }

    fn describe(&self, state: &budget::State, now: Timestamp) -> ProviderTrouble {
        let ahead = |at: Instant| now + at.saturating_duration_since(Instant::now());
        ProviderTrouble {
            breaker: state.breaker.map(|open| BreakerState {
                open_since: now - open.since.elapsed(),
                next_probe_at: ahead(open.next_probe_at),
                reason: self.reason.clone(),
            }),
            slowed: state
                .slowed_until
                .map(|until| SlowedState { requests_per_second: state.rate, until: ahead(until) }),
            paused_until: state.paused_until.map(|until| ahead(until) + ROUNDED_UP),
            failures: self.failures(state),
        }
    }

    /// While the breaker is closed they bring its opening nearer; then they are no more than a count.
    fn failures(&self, state: &budget::State) -> u32 {
        if self.keeps_failures { state.failures.min(OPENS_AFTER) } else { 0 }
    }

    fn worth_writing(&self, state: &budget::State) -> Written {
        Written {
            failures: self.failures(state),
            breaker: state.breaker.map(|open| (open.since, open.next_probe_at)),
            slowed_until: state.slowed_until,
            paused_until: state.paused_until,
        }
    }
}

/// Whether a stored pause lasts. One further ahead than any may be was stored under a clock that has been set back since.
fn is_ahead(until: Timestamp, now: Timestamp) -> bool {
    now < until && until.since(now) <= LONGEST_PAUSE + ROUNDED_UP
}
