//! The state behind one lock: a kind's own, and what stands between it and its callers.

use std::time::Instant;

use axum::http::header::RETRY_AFTER;

use super::call::{Answer, CallOf, Fake};
use super::clock::Clock;
use super::faults::{Faults, Suffering};
use super::log::Log;
use super::random::Random;
use super::rate::Window;

#[derive(Debug)]
pub(super) struct World<F: Fake> {
    pub(super) provider: F,
    pub(super) clock: Clock,
    pub(super) faults: Faults<F::Endpoint, F::About>,
    pub(super) log: Log<F::Endpoint, F::About>,
    random: Random,
    rate: Window,
}

impl<F: Fake> World<F> {
    pub(super) fn new(clock: Clock, account: F::Account, seed: u64, log_limit: usize) -> Self {
        let mut random = Random::new(seed);
        Self {
            provider: F::open(account, Random::new(random.draw())),
            clock,
            faults: Faults::new(),
            log: Log::new(log_limit),
            random,
            rate: Window::default(),
        }
    }

    /// Logs a request; says what it suffers, or that it is one too many.
    pub(super) fn arrive(&mut self, call: &CallOf<F>) -> (u64, Result<Suffering, Answer>) {
        let at = Instant::now();
        let seq = self.log.arrived(call, at, self.clock.now());
        let (limit, retry_after) = self.provider.rate_limit();
        if self.rate.admits(at, limit) {
            return (seq, Ok(self.faults.strike(call, &mut self.random)));
        }
        let refusal = F::error(429, "API rate limit exceeded", &call.path);
        let refusal = match retry_after {
            Some(value) => refusal.with_header(RETRY_AFTER, value),
            None => refusal,
        };
        (seq, Err(refusal))
    }

    /// The true answer.
    pub(super) fn answer(&mut self, call: &CallOf<F>) -> Answer {
        self.provider.answer(call, self.clock.now())
    }
}
