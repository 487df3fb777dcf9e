//! Scripts: what one order number answers before it answers with success, or instead of it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::variant::Variant;
use crate::sandbox::clock::optional_duration;
use crate::sandbox::nexway::script::{self, Lasting};

/// What a number answers. Codes are for *Get order data*, asked with exactly this number, once the order exists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Answered one after the other before the order data itself.
    pub steps: VecDeque<Step>,
    /// Instead of the order's own variant.
    pub variant: Option<Variant>,
    /// The whole body of *Get order data*, verbatim, whether the order exists or not.
    pub order_body: Option<String>,
    /// The whole body of *Get Subscription Status* asked with this number, verbatim.
    pub status_body: Option<String>,
    /// Codes of *Get Subscription Status*, one per request, before the real answer.
    pub status_codes: VecDeque<i64>,
}

impl Script {
    /// Answers these codes at order level, one per request, then the order data.
    pub fn codes(codes: impl IntoIterator<Item = i64>) -> Self {
        Self::steps(codes.into_iter().map(Step::order))
    }

    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// Answers 1010 until the order is this old by the sandbox's clock.
    pub fn readable_after(age: Duration) -> Self {
        Self::steps([Step::order(1010).lasting(age)])
    }

    /// Answers *Get order data* with this body.
    pub fn order_body(body: impl Into<String>) -> Self {
        Self { order_body: Some(body.into()), ..Self::default() }
    }

    /// Answers *Get Subscription Status* with this body.
    pub fn status_body(body: impl Into<String>) -> Self {
        Self { status_body: Some(body.into()), ..Self::default() }
    }

    /// The step for one request about an order of this age: `None` once the script is through.
    pub(super) fn next(&mut self, age: Duration) -> Option<Step> {
        script::next(&mut self.steps, age)
    }
}

impl Lasting for Step {
    fn lasts(&mut self) -> &mut Option<Duration> {
        &mut self.lasts
    }
}

/// One code at one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub code: i64,
    #[serde(default)]
    pub level: Level,
    /// At item level: only this subscription's item. At the others it means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<i64>,
    /// For so long by the sandbox's clock, counted from the order's beginning and after earlier timed steps; one
    /// request without it.
    #[serde(default, with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

impl Step {
    pub fn order(code: i64) -> Self {
        Self { code, level: Level::Order, subscription_id: None, lasts: None }
    }

    pub fn line(code: i64) -> Self {
        Self { level: Level::Line, ..Self::order(code) }
    }

    pub fn item(code: i64) -> Self {
        Self { level: Level::Item, ..Self::order(code) }
    }

    /// This code for one subscription's item, the others being ready.
    pub fn item_of(subscription_id: i64, code: i64) -> Self {
        Self { subscription_id: Some(subscription_id), ..Self::item(code) }
    }

    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts: Some(lasts), ..self }
    }

    pub fn forever(self) -> Self {
        self.lasting(Duration::MAX)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Order,
    Line,
    Item,
}

/// The provider's text for a code, where one is known.
pub(super) fn message(code: i64) -> &'static str {
    match code {
        0 => "OK",
        70 => "Secret is missing",
        71 => "Secret is not valid",
        100 => "Order number is missing",
        130 => "Partner order number is missing",
        1000 => "Internal error",
        1010 => "Order not found",
        1020 => "Product reference does not exist",
        1040 => "Error while making the download link",
        1051 => "Licences are currently not available",
        1052 => "Internal error",
        1060 => "Order is waiting for payment validation",
        1061 => "Order is waiting for fraud validation",
        1062 => "Order was cancelled for suspicion of fraud",
        1064 => "Order was cancelled, payment not validated",
        1065 => "Internal error on the payment transaction",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn codes(script: &mut Script, ages: &[Duration]) -> Vec<i64> {
        ages.iter().map(|age| script.next(*age).map_or(0, |step| step.code)).collect()
    }

    #[test]
    fn untimed_steps_go_with_one_request_each() {
        let mut script = Script::codes([1010, 1060, 1051]);
        assert_eq!(codes(&mut script, &[Duration::ZERO; 5]), [1010, 1060, 1051, 0, 0]);
    }

    #[test]
    fn timed_steps_follow_each_other_however_often_they_are_asked() {
        let mut script = Script::steps([Step::order(1010).lasting(HOUR), Step::item(1051).lasting(2 * HOUR)]);
        assert_eq!(
            codes(&mut script, &[Duration::ZERO, HOUR / 2, HOUR, 2 * HOUR, 3 * HOUR]),
            [1010, 1010, 1051, 1051, 0]
        );
    }

    #[test]
    fn a_long_absence_skips_timed_steps_only() {
        let mut script = Script::steps([Step::order(1010).lasting(HOUR), Step::order(1060)]);
        assert_eq!(codes(&mut script, &[10 * HOUR, 10 * HOUR]), [1060, 0]);
    }

    #[test]
    fn a_step_may_last_for_ever() {
        let mut script = Script::steps([Step::order(1051).forever()]);
        assert_eq!(codes(&mut script, &[Duration::from_secs(u64::MAX - 1)]), [1051]);
    }
}
