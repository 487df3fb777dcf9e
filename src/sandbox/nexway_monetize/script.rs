//! Scripts: what an order shows before it is complete, or instead of it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::product::Licence;
use crate::sandbox::clock::optional_duration;
use crate::sandbox::nexway::script::Lasting;

/// What an order shows once it has been charged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Statuses of the order, one after the other before COMPLETED.
    pub steps: VecDeque<Step>,
    /// States of its line-item data, asked for apart.
    pub data: VecDeque<DataStep>,
    /// Instead of the product's own.
    pub licence: Option<Licence>,
    /// The order's whole body, verbatim, where it is asked for alone.
    pub order_body: Option<String>,
    /// The whole body of its line-item data, verbatim.
    pub data_body: Option<String>,
}

impl Script {
    /// These statuses, one per request, then COMPLETED.
    pub fn statuses<'a>(statuses: impl IntoIterator<Item = &'a str>) -> Self {
        Self::steps(statuses.into_iter().map(Step::status))
    }

    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    pub fn data(data: impl IntoIterator<Item = DataStep>) -> Self {
        Self { data: data.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { steps, data, licence, order_body, data_body } = self;
        steps.is_empty() && data.is_empty() && licence.is_none() && order_body.is_none() && data_body.is_none()
    }
}

/// One status of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Any text.
    pub status: String,
    /// Instead of what goes with the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_cycle_status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_status: Option<String>,
    /// For so long by the sandbox's clock, counted from the charge and after earlier timed steps; one request without it.
    #[serde(default, with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

impl Step {
    pub fn status(status: &str) -> Self {
        Self { status: status.to_owned(), ..Self::default() }
    }

    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts: Some(lasts), ..self }
    }

    pub fn forever(self) -> Self {
        self.lasting(Duration::MAX)
    }
}

/// One state of an order's line-item data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataStep {
    /// The `processingStatus` of the entries; no entries at all without it.
    pub status: Option<String>,
    /// So many units are ready all the same.
    pub ready: u32,
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

impl DataStep {
    pub fn missing() -> Self {
        Self::default()
    }

    pub fn status(status: &str) -> Self {
        Self { status: Some(status.to_owned()), ..Self::default() }
    }

    pub fn lasting(self, lasts: Duration) -> Self {
        Self { lasts: Some(lasts), ..self }
    }
}

impl Lasting for Step {
    fn lasts(&mut self) -> &mut Option<Duration> {
        &mut self.lasts
    }
}

impl Lasting for DataStep {
    fn lasts(&mut self) -> &mut Option<Duration> {
        &mut self.lasts
    }
}
