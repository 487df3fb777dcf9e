//! What can be asked of the API and the token service, read off a request.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shop;
use crate::sandbox::call::{About, Service};
use crate::sandbox::faults::Fault;

pub(super) const SERVICES: [Service; 2] = [
    Service { path: "/connect", name: "api_url", title: "API" },
    Service { path: "/iam", name: "iam_url", title: "token service" },
];
/// Their places among these.
pub(super) const API: usize = 0;
pub(super) const IAM: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Token,
    /// *Get Subscription Status*
    Status,
    /// *Get order data*
    Order,
    /// *Create order*
    Create,
    /// *Cancel subscription*
    Cancel,
    /// *Renew subscription*
    Renew,
    Stock,
    CrossSell,
    Categories,
    Systems,
    /// *Get download info*
    Download,
    /// *Update download time*
    ExtendDownload,
    /// *Cancel order*
    CancelOrder,
    Other,
}

impl Endpoint {
    pub(super) fn of(service: usize, method: &Method, path: &str) -> Self {
        match (service, method.as_str(), path) {
            (IAM, "POST", "/iam/tokens") => Self::Token,
            (IAM, "DELETE", "/iam/tokens/reset" | "/iam/tokens/invalidate") => Self::Token,
            (API, "POST", "/connect/subscription") => Self::Status,
            (API, "PUT", "/connect/subscription") => Self::Cancel,
            (API, "POST" | "PUT", "/connect/subscription/renew") => Self::Renew,
            (API, "POST", "/connect/order/new") => Self::Create,
            (API, "GET", path) if order_segment(path).is_some() => Self::Order,
            (API, ..) => shop::endpoint(method, path).unwrap_or(Self::Other),
            _ => Self::Other,
        }
    }

    /// It is about no order.
    pub(super) fn is_catalogue(self) -> bool {
        matches!(self, Self::Stock | Self::CrossSell | Self::Categories | Self::Systems)
    }
}

/// Whom a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// As asked for, suffix included, decoded.
    pub partner_order_number: Option<Arc<str>>,
    pub subscription_id: Option<i64>,
    /// The territory whose secret was sent; `None` for a missing or wrong one.
    pub territory: Option<Arc<str>>,
}

impl About for Subject {
    fn fits(&self, rule: &Self) -> bool {
        (rule.partner_order_number.is_none() || self.partner_order_number == rule.partner_order_number)
            && (rule.subscription_id.is_none() || self.subscription_id == rule.subscription_id)
            && (rule.territory.is_none() || self.territory == rule.territory)
    }
}

impl Fault<Endpoint, Subject> {
    pub fn number(mut self, partner_order_number: impl Into<Arc<str>>) -> Self {
        self.about.partner_order_number = Some(partner_order_number.into());
        self
    }

    pub fn territory(mut self, territory: impl Into<Arc<str>>) -> Self {
        self.about.territory = Some(territory.into());
        self
    }
}

/// The body of everything that is about one subscription, and of *Create order*.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named<'a> {
    #[serde(borrow)]
    partner_order_number: Option<Cow<'a, str>>,
    subscription_id: Value,
}

/// The number and the subscription that a request names.
pub(super) fn named(endpoint: Endpoint, path: &str, body: &[u8]) -> (Option<Arc<str>>, Option<i64>) {
    match endpoint {
        Endpoint::Token | Endpoint::Other => (None, None),
        _ if endpoint.is_catalogue() => (None, None),
        Endpoint::Order => (order_number(path).map(Arc::from), None),
        Endpoint::Download => (path.strip_suffix("/download").and_then(order_number).map(Arc::from), None),
        _ => match serde_json::from_slice::<Named<'_>>(body) {
            Ok(named) => (
                Some(Arc::from(named.partner_order_number.as_deref().unwrap_or_default())),
                integer(&named.subscription_id),
            ),
            Err(_) => (None, None),
        },
    }
}

/// The one raw segment behind `/order/`. A slash inside a number must come encoded.
fn order_segment(path: &str) -> Option<&str> {
    path.strip_prefix("/connect/order/").filter(|segment| !segment.is_empty() && !segment.contains('/'))
}

/// `None` when it does not decode to UTF-8.
fn order_number(path: &str) -> Option<String> {
    percent_decode_str(order_segment(path)?).decode_utf8().ok().map(Cow::into_owned)
}

/// A number, or one in quotes.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decoded_from_the_raw_path() {
        let decoded = |segment: &str| order_number(&format!("/connect/order/{segment}"));
        assert_eq!(decoded("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(decoded("..%2f").as_deref(), Some("../"));
        assert_eq!(decoded("a%20b+c").as_deref(), Some("a b+c"));
        assert_eq!(decoded("%C3%A4").as_deref(), Some("ä"));
        assert_eq!(decoded("%23%3F%26%25").as_deref(), Some("#?&%"));
        assert_eq!(decoded("%FF"), None);
        assert_eq!(decoded("a/b"), None);
        assert_eq!(decoded(""), None);
    }
}
