//! From settings to the rules of decisions: settings know nothing of decisions, decisions nothing of settings.

use crate::renewal::Rules;
use crate::settings::Settings;

impl Rules {
    pub fn from_settings(settings: &Settings) -> Self {
        let Settings { poll, order_data, .. } = settings;
        Self {
            every: poll.every,
            window_before: poll.window_before,
            window_after: poll.window_after,
            ended_after: poll.ended_after,
            max_generation_jump: poll.max_generation_jump,
            retry_first: order_data.retry_first,
            retry_max: order_data.retry_max,
        }
    }
}
