//! From settings to the rules of decisions, and to forecasts: settings know nothing of those, nor those of settings.

use std::time::Duration;

use crate::forecast::{Counts, Forecast};
use crate::renewal::Rules;
use crate::settings::{self, Settings};

impl Rules {
    /// With what this provider has of its own.
    pub fn of_provider(settings: &Settings, name: &str) -> Self {
        let notify_before = settings.providers.get(name).map(|provider| provider.notify_before).unwrap_or_default();
        Self { notify_before, ..Self::from_settings(settings) }
    }

    /// What all providers share.
    pub fn from_settings(settings: &Settings) -> Self {
        let Settings { poll, order_data, .. } = settings;
        Self {
            every: poll.every,
            window_before: poll.window_before,
            window_after: poll.window_after,
            ended_after: poll.ended_after,
            notify_before: Duration::ZERO,
            max_generation_jump: poll.max_generation_jump,
            retry_first: order_data.retry_first,
            retry_max: order_data.retry_max,
        }
    }
}

impl Forecast {
    /// For a provider of these settings, with whoever shares its budget; `counts` tells them of each.
    pub fn of_provider(settings: &Settings, name: &str, counts: impl Fn(&str) -> Counts) -> Self {
        let budget = settings.budget_of(name);
        let others: Vec<_> = budget.others(name).into_iter().map(&counts).collect();
        let mut forecast =
            Self::beside(counts(name), &others, &Rules::from_settings(settings), budget.requests_per_second);
        forecast.is_listed = settings.providers.get(name).is_some_and(settings::Provider::lists_answers);
        forecast
    }
}
