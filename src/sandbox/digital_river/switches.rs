//! The switches: how the sandbox behaves where the reference leaves it open, and the sins of common servers.

use serde::{Deserialize, Serialize};

use crate::sandbox::notifications::Notifications;

/// Every open question of the reference, answered one way. The default is what the reference thinks most likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    pub list_order: ListOrder,
    pub times: TimeForm,
    /// Whether ids that are digits come as numbers.
    pub numeric_ids: bool,
    /// Whether orders can be filtered by subscription; else 400.
    pub subscription_filter: bool,
    /// Whether events can be filtered by time; else 400.
    pub event_filter: bool,
    /// Whether each event is listed twice, under the same id.
    pub events_twice: bool,
    /// Whether subscriptions tell when their period began.
    pub period_start: bool,
    /// Whether orders tell the term that they pay for.
    pub order_terms: bool,
    /// A new order is not to be seen in so many answers that would show it.
    pub order_hidden_for: u32,
    /// Whether the items of orders have a licence key in their metadata, under `licence_key`.
    pub keys: bool,
    /// Shown instead of every subscription's own state.
    pub state: Option<String>,
    pub notifications: Notifications,
    /// Requests let through in any second of real time; 0 = no limit.
    pub rate_limit: u32,
    /// The `Retry-After` of a 429, verbatim; none without.
    pub retry_after: Option<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            list_order: ListOrder::default(),
            times: TimeForm::default(),
            numeric_ids: false,
            subscription_filter: true,
            event_filter: true,
            events_twice: false,
            period_start: true,
            order_terms: false,
            order_hidden_for: 0,
            keys: false,
            state: None,
            notifications: Notifications::default(),
            rate_limit: 25,
            retry_after: Some("120".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeForm {
    /// `2022-08-25T21:09:48Z`
    #[default]
    Plain,
    /// `2022-08-25T21:09:39.061+0000`
    Offset,
    /// `2022-08-25T21:10:10.1077785Z`
    Fraction,
}
