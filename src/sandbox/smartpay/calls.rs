//! What can be asked of the API, read off a request.

use std::sync::Arc;

use axum::http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::sandbox::call::{About, Service};
use crate::sandbox::faults::Fault;

pub(super) const SERVICES: [Service; 1] = [Service { path: "", name: "api_url", title: "API" }];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The list of subscriptions.
    Subscriptions,
    Subscription,
    /// PATCH
    Change,
    /// DELETE
    Cancel,
    BillingCycles,
    BillingCycle,
    Transactions,
    Transaction,
    ManualRetry,
    Events,
    Event,
    Plans,
    Plan,
    Other,
}

impl Endpoint {
    /// With the ids in its path, decoded.
    pub(super) fn of(method: &Method, path: &str) -> (Self, Vec<String>) {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let (endpoint, ids): (Self, &[&str]) = match (method.as_str(), parts.as_slice()) {
            ("GET", ["subscriptions"]) => (Self::Subscriptions, &[]),
            ("GET", ["subscriptions", id]) => (Self::Subscription, &[id]),
            ("PATCH", ["subscriptions", id]) => (Self::Change, &[id]),
            ("DELETE", ["subscriptions", id]) => (Self::Cancel, &[id]),
            ("GET", ["subscriptions", id, "billing-cycles"]) => (Self::BillingCycles, &[id]),
            ("GET", ["subscriptions", id, "billing-cycles", cycle]) => (Self::BillingCycle, &[id, cycle]),
            ("GET", ["subscriptions", id, "billing-cycles", cycle, "transactions"]) => {
                (Self::Transactions, &[id, cycle])
            }
            ("GET", ["subscriptions", id, "billing-cycles", cycle, "transactions", one]) => {
                (Self::Transaction, &[id, cycle, one])
            }
            ("POST", ["subscriptions", id, "billing-cycles", cycle, "manual-retries"]) => {
                (Self::ManualRetry, &[id, cycle])
            }
            ("GET", ["events"]) => (Self::Events, &[]),
            ("GET", ["events", id]) => (Self::Event, &[id]),
            ("GET", ["plans"]) => (Self::Plans, &[]),
            ("GET", ["plans", id]) => (Self::Plan, &[id]),
            _ => (Self::Other, &[]),
        };
        (endpoint, ids.iter().map(|id| decoded(id)).collect())
    }
}

/// Whom a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// As asked for, in lower case.
    pub subscription_id: Option<Arc<str>>,
    /// As asked for, in lower case.
    pub cycle_id: Option<Arc<str>>,
    /// Of a list, from 0.
    pub page: Option<u64>,
}

impl Subject {
    pub(super) fn of(endpoint: Endpoint, ids: &[String], query: &Query) -> Self {
        let of_subscription = !matches!(endpoint, Endpoint::Event | Endpoint::Plan);
        let folded = |n: usize| ids.get(n).filter(|_| of_subscription).map(|id| id.to_lowercase().into());
        let is_list = matches!(
            endpoint,
            Endpoint::Subscriptions
                | Endpoint::BillingCycles
                | Endpoint::Transactions
                | Endpoint::Events
                | Endpoint::Plans
        );
        let page = is_list.then(|| query.number("page").unwrap_or(0));
        Self { subscription_id: folded(0), cycle_id: folded(1), page }
    }
}

impl About for Subject {
    fn fits(&self, rule: &Self) -> bool {
        (rule.subscription_id.is_none() || self.subscription_id == rule.subscription_id)
            && (rule.cycle_id.is_none() || self.cycle_id == rule.cycle_id)
            && (rule.page.is_none() || self.page == rule.page)
    }
}

impl Fault<Endpoint, Subject> {
    pub fn subscription(mut self, id: &str) -> Self {
        self.about.subscription_id = Some(id.to_lowercase().into());
        self
    }
}

/// The parameters behind the question mark, decoded. What is unknown or cannot be read is as if it were not there.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(split.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// What lies between `NAMEGte` and `NAMELte`, each as `read` reads it.
    pub(super) fn range<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Range<T> {
        let bound = |end: &str| self.get(&format!("{name}{end}")).and_then(&read);
        Range { from: bound("Gte"), to: bound("Lte") }
    }
}

/// Both ends belong to it; without one it goes on for ever.
#[derive(Debug)]
pub(super) struct Range<T> {
    from: Option<T>,
    to: Option<T>,
}

impl<T: PartialOrd> Range<T> {
    pub(super) fn holds(&self, value: &T) -> bool {
        self.from.as_ref().is_none_or(|from| value >= from) && self.to.as_ref().is_none_or(|to| value <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_is_asked_for() {
        let of = |method: &str, path: &str| Endpoint::of(&method.parse().unwrap(), path);
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(of("GET", "/subscriptions"), (Endpoint::Subscriptions, ids(&[])));
        assert_eq!(of("GET", "/subscriptions/A%20b"), (Endpoint::Subscription, ids(&["A b"])));
        assert_eq!(of("DELETE", "/subscriptions/A"), (Endpoint::Cancel, ids(&["A"])));
        assert_eq!(
            of("GET", "/subscriptions/A/billing-cycles/B/transactions"),
            (Endpoint::Transactions, ids(&["A", "B"]))
        );
        assert_eq!(
            of("POST", "/subscriptions/A/billing-cycles/B/manual-retries"),
            (Endpoint::ManualRetry, ids(&["A", "B"]))
        );
        for (method, path) in
            [("POST", "/subscriptions"), ("GET", "/"), ("GET", "/subscriptions/A/b"), ("PUT", "/plans")]
        {
            assert_eq!(of(method, path), (Endpoint::Other, ids(&[])), "{method} {path}");
        }
    }

    #[test]
    fn bounds_are_closed_and_what_is_none_is_as_if_not_there() {
        let holds = |query: &str| {
            let range = Query::read(query).range("n", |text| text.parse::<i64>().ok());
            [4, 5, 6].into_iter().filter(|n| range.holds(n)).collect::<Vec<_>>()
        };
        assert_eq!(holds("nGte=5"), [5, 6]);
        assert_eq!(holds("nLte=5&nGte=x"), [4, 5]);
        assert_eq!(holds("n=5&page=1"), [4, 5, 6]);
    }
}
