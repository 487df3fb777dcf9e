//! What a pass, or several, came to.

use crate::delivery::Warned;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub polls: u64,
    /// Subscriptions that the provider's own lists have answered for.
    pub listed: u64,
    /// Of these lists, those that are tracked now and were not.
    pub discovered: u64,
    /// Calls that brought an answer of any kind, order data included.
    pub answers: u64,
    pub calls: u64,
    pub renewals: u64,
    pub queued: u64,
    /// Of these, what was queued with a warning.
    pub warned: Warned,
    pub abandoned: u64,
    pub failures: u64,
    /// Polls that were refused.
    pub refused: u64,
    /// Polls of what the provider does not know.
    pub unknown: u64,
    pub surprises: u64,
    /// Terms that ended without a renewal, told for the first time.
    pub not_renewed: u64,
    /// Territories that refuse every subscription, at the end of the pass.
    pub stopped_territories: Vec<String>,
    /// Shutdown was requested, or the time was up, with due work left.
    pub interrupted: bool,
    /// A one-shot run's provider stayed away, or wanted a pause, so long that the rest was left for the next run.
    pub given_up: bool,
}

impl Report {
    /// Adds up the passes of several providers, or several passes of one.
    pub fn add(&mut self, other: &Report) {
        self.polls += other.polls;
        self.listed += other.listed;
        self.discovered += other.discovered;
        self.answers += other.answers;
        self.calls += other.calls;
        self.renewals += other.renewals;
        self.queued += other.queued;
        self.warned.add(&other.warned);
        self.abandoned += other.abandoned;
        self.failures += other.failures;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.surprises += other.surprises;
        self.not_renewed += other.not_renewed;
        for territory in &other.stopped_territories {
            if !self.stopped_territories.contains(territory) {
                self.stopped_territories.push(territory.clone());
            }
        }
        self.interrupted |= other.interrupted;
        self.given_up |= other.given_up;
    }
}
