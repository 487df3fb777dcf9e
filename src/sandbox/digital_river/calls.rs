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
    Subscriptions,
    Subscription,
    /// POST
    Change,
    Orders,
    Order,
    Events,
    Invoice,
    Plan,
    FileLinks,
    Other,
}

impl Endpoint {
    /// With the id in its path, decoded.
    pub(super) fn of(method: &Method, path: &str) -> (Self, Option<String>) {
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let (endpoint, id) = match (method.as_str(), parts.as_slice()) {
            ("GET", ["subscriptions"]) => (Self::Subscriptions, None),
            ("GET", ["subscriptions", id]) => (Self::Subscription, Some(id)),
            ("POST", ["subscriptions", id]) => (Self::Change, Some(id)),
            ("GET", ["orders"]) => (Self::Orders, None),
            ("GET", ["orders", id]) => (Self::Order, Some(id)),
            ("GET", ["events"]) => (Self::Events, None),
            ("GET", ["invoices", id]) => (Self::Invoice, Some(id)),
            ("GET", ["plans", id]) => (Self::Plan, Some(id)),
            ("POST", ["file-links"]) => (Self::FileLinks, None),
            _ => (Self::Other, None),
        };
        (endpoint, id.map(|id| percent_decode_str(id).decode_utf8_lossy().into_owned()))
    }
}

/// Whom a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// In path or query.
    pub subscription_id: Option<Arc<str>>,
    pub order_id: Option<Arc<str>>,
    pub customer_id: Option<Arc<str>>,
    /// Of a list: the id behind which it goes on.
    pub after: Option<Arc<str>>,
}

impl Subject {
    pub(super) fn of(endpoint: Endpoint, id: Option<&str>, query: &Query) -> Self {
        let own = |wanted: Endpoint| id.filter(|_| endpoint == wanted);
        let subscription = own(Endpoint::Subscription).or(own(Endpoint::Change));
        Self {
            subscription_id: subscription.or(query.get("subscriptionId")).map(Into::into),
            order_id: own(Endpoint::Order).map(Into::into),
            customer_id: query.get("customerId").map(Into::into),
            after: query.get("startingAfter").map(Into::into),
        }
    }
}

impl About for Subject {
    fn fits(&self, rule: &Self) -> bool {
        (rule.subscription_id.is_none() || self.subscription_id == rule.subscription_id)
            && (rule.order_id.is_none() || self.order_id == rule.order_id)
            && (rule.customer_id.is_none() || self.customer_id == rule.customer_id)
            && (rule.after.is_none() || self.after == rule.after)
    }
}

impl Fault<Endpoint, Subject> {
    pub fn subscription(mut self, id: impl Into<Arc<str>>) -> Self {
        self.about.subscription_id = Some(id.into());
        self
    }

    pub fn order(mut self, id: impl Into<Arc<str>>) -> Self {
        self.about.order_id = Some(id.into());
        self
    }
}

/// The parameters behind the question mark, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a filter lets this through; one that is not there does.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted == value)
    }
}
