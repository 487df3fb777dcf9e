//! Which providers share one budget: those whose limit the provider counts together, and those that name the same one.

use super::{Provider, Settings};

/// One budget and the accounts that share it.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedBudget<'a> {
    /// In the order of the settings; often one alone.
    pub providers: Vec<&'a str>,
    /// The lowest of theirs; 0 = no limit.
    pub requests_per_second: f64,
}

impl Settings {
    /// Each provider is in exactly one of them.
    pub fn budgets(&self) -> Vec<SharedBudget<'_>> {
        let mut groups: Vec<Vec<(&String, &Provider)>> = Vec::new();
        for one in &self.providers {
            // It may bring together what had nothing to do with each other so far.
            let (joined, apart): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| group.iter().any(|(_, other)| one.1.shares_budget_with(other)));
            groups = apart;
            groups.push(joined.into_iter().flatten().chain([one]).collect());
        }
        let mut budgets: Vec<_> = groups.into_iter().map(SharedBudget::of).collect();
        budgets.sort_by(|one, other| one.providers.cmp(&other.providers));
        budgets
    }

    /// The one that this provider draws from. Of a name that the settings do not have: one that nobody uses, without a limit.
    pub fn budget_of<'a>(&'a self, provider: &str) -> SharedBudget<'a> {
        let nobodys = SharedBudget { providers: Vec::new(), requests_per_second: 0.0 };
        self.budgets().into_iter().find(|budget| budget.providers.contains(&provider)).unwrap_or(nobodys)
    }
}

impl Provider {
    fn shares_budget_with(&self, other: &Self) -> bool {
        (self.budget.is_some() && self.budget == other.budget) || self.kind.shares_limit_with(&other.kind)
    }
}

impl<'a> SharedBudget<'a> {
    fn of(mut accounts: Vec<(&'a String, &'a Provider)>) -> Self {
        accounts.sort_by_key(|(name, _)| *name);
        let rates = accounts.iter().map(|(_, provider)| provider.requests_per_second).filter(|rate| *rate > 0.0);
        let requests_per_second = rates.reduce(f64::min).unwrap_or(0.0);
        Self { providers: accounts.into_iter().map(|(name, _)| name.as_str()).collect(), requests_per_second }
    }

    /// Those beside this one.
    pub fn others(&self, provider: &str) -> Vec<&'a str> {
        self.providers.iter().copied().filter(|other| *other != provider).collect()
    }
}
