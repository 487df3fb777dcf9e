//! What can be asked of the API and the token service, read off a request.

use std::sync::Arc;

use axum::http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::switches::Revision;
use crate::sandbox::call::{About, Service};
use crate::sandbox::faults::Fault;

pub(super) const SERVICES: [Service; 2] = [
    Service { path: "", name: "api_url", title: "API" },
    Service { path: "/iam", name: "iam_url", title: "token service" },
];
/// Their places among these.
pub(super) const API: usize = 0;
pub(super) const IAM: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Token,
    /// The list of subscriptions.
    Subscriptions,
    Subscription,
    Suspend,
    Reactivate,
    Cancel,
    /// The search for orders.
    Orders,
    Order,
    /// The order of a generation of a subscription.
    OrderOfGeneration,
    /// The search for line-item data.
    LineItemData,
    /// The line-item data of an order.
    OrderLineItemData,
    /// The reduced view of an order.
    Summary,
    /// The file that a summary points to.
    LicenceFile,
    Licences,
    /// Makes the cart of an offer to stay.
    OfferCart,
    /// Takes it.
    AcceptOffer,
    /// Makes the cart of another product in mid-term.
    UpgradeCart,
    /// Makes the cart of a boxed product.
    RetailCart,
    Cart,
    /// Makes a link that signs somebody in.
    Deeplink,
    Other,
}

impl Endpoint {
    /// With the id in its path, decoded.
    pub(super) fn of(service: usize, method: &Method, path: &str, revision: Revision) -> (Self, Option<String>) {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let (subscriptions, licences) = match revision {
            Revision::Newest => ("/subscription-manager/subscriptions", "/license-manager/license"),
            Revision::Older => ("/subscriptions", "/license-manager/licenses"),
        };
        if service == IAM {
            let resets = matches!((method.as_str(), path), ("DELETE", "/iam/tokens/reset" | "/iam/tokens/invalidate"));
            let posted = (method == Method::POST).then_some(path);
            let endpoint = match posted {
                _ if resets => Self::Token,
                Some("/iam/tokens") => Self::Token,
                Some("/iam/deeplink/") => Self::Deeplink,
                _ => Self::Other,
            };
            return (endpoint, None);
        }
        let (endpoint, id) = if let Some(rest) = path.strip_prefix(subscriptions) {
            Self::of_subscriptions(method, rest)
        } else if let Some(rest) = path.strip_prefix("/ordersv2") {
            Self::of_orders(rest)
        } else if path == licences {
            (Self::Licences, None)
        } else if let Some(rest) = path.strip_prefix("/carts") {
            Self::of_carts(method, rest)
        } else if path == "/purchases/prepareNextOrderFromOffer" {
            (Self::AcceptOffer, None)
        } else {
            (Self::Other, None)
        };
        if (method == Method::POST) != endpoint.is_posted() || !matches!(*method, Method::GET | Method::POST) {
            return (Self::Other, None);
        }
        (endpoint, id.map(decoded))
    }

    fn of_subscriptions<'a>(method: &Method, rest: &'a str) -> (Self, Option<&'a str>) {
        let parts: Vec<_> = rest.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", [""]) => (Self::Subscriptions, None),
            ("GET", ["", id]) => (Self::Subscription, Some(id)),
            ("POST", ["", id, "suspend"]) => (Self::Suspend, Some(id)),
            ("POST", ["", id, "reactivate"]) => (Self::Reactivate, Some(id)),
            ("POST", ["", id, "cancel"]) => (Self::Cancel, Some(id)),
            _ => (Self::Other, None),
        }
    }

    fn of_orders(rest: &str) -> (Self, Option<&str>) {
        let parts: Vec<_> = rest.split('/').collect();
        match parts.as_slice() {
            [""] => (Self::Orders, None),
            ["", "lineitemdata"] => (Self::LineItemData, None),
            ["", "lineitemdata", "order", id] => (Self::OrderLineItemData, Some(id)),
            ["", "subscription", id] => (Self::OrderOfGeneration, Some(id)),
            ["", "views", id, "summary"] => (Self::Summary, Some(id)),
            ["", "views", id, "activation-codes"] => (Self::LicenceFile, Some(id)),
            ["", id] => (Self::Order, Some(id)),
            _ => (Self::Other, None),
        }
    }

    fn of_carts<'a>(method: &Method, rest: &'a str) -> (Self, Option<&'a str>) {
        let parts: Vec<_> = rest.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", [""]) => (Self::RetailCart, None),
            ("POST", ["", "subscription-offers"]) => (Self::OfferCart, None),
            ("POST", ["", "mid-term-upgrade"]) => (Self::UpgradeCart, None),
            ("GET", ["", id]) => (Self::Cart, Some(id)),
            _ => (Self::Other, None),
        }
    }

    fn is_posted(self) -> bool {
        self.is_command() || matches!(self, Self::OfferCart | Self::AcceptOffer | Self::UpgradeCart | Self::RetailCart)
    }

    /// It changes how a subscription stands, and says no more than which.
    pub(super) fn is_command(self) -> bool {
        matches!(self, Self::Suspend | Self::Reactivate | Self::Cancel)
    }

    fn is_about_an_order(self) -> bool {
        matches!(self, Self::Order | Self::OrderLineItemData | Self::Summary | Self::LicenceFile)
    }
}

/// Whom a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// As asked for, in path, query or body, in lower case.
    pub subscription_id: Option<Arc<str>>,
    /// As asked for, in path or query, in upper case.
    pub order_id: Option<Arc<str>>,
    pub generation: Option<i64>,
    /// Of a list, from 0.
    pub page: Option<u64>,
}

impl Subject {
    pub(super) fn of(endpoint: Endpoint, id: Option<&str>, query: &Query, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Named {
            subscription_id: Option<String>,
        }
        let in_path = |is_it: bool| id.filter(|_| is_it);
        let named: Named = match endpoint.is_posted() {
            true => serde_json::from_slice(body).unwrap_or_default(),
            false => Named::default(),
        };
        let subscription = in_path(!endpoint.is_about_an_order() && endpoint != Endpoint::Cart);
        let subscription = subscription.or(named.subscription_id.as_deref());
        let subscription = subscription.or(query.get("subscriptionId")).or(query.get("checkout.subscriptionId"));
        let order = in_path(endpoint.is_about_an_order());
        let order = order.or(query.get("orderId")).or(query.get("checkout.orderId"));
        let generation = query.get("generation").or(query.get("generationId"));
        let is_list = matches!(
            endpoint,
            Endpoint::Subscriptions | Endpoint::Orders | Endpoint::LineItemData | Endpoint::Licences
        );
        Self {
            subscription_id: subscription.map(|id| id.to_lowercase().into()),
            order_id: order.map(|id| id.to_uppercase().into()),
            generation: generation.and_then(|text| text.parse().ok()),
            page: is_list.then(|| query.number("page", 0)),
        }
    }
}

impl About for Subject {
    fn fits(&self, rule: &Self) -> bool {
        (rule.subscription_id.is_none() || self.subscription_id == rule.subscription_id)
            && (rule.order_id.is_none() || self.order_id == rule.order_id)
            && (rule.generation.is_none() || self.generation == rule.generation)
            && (rule.page.is_none() || self.page == rule.page)
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

    pub fn page(mut self, page: u64) -> Self {
        self.about.page = Some(page);
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
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (decoded(n), decoded(v)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What is no number counts as if it were not there.
    pub(super) fn number(&self, name: &str, without: u64) -> u64 {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(without)
    }

    /// Whether a filter lets this through; one that is not there does.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    }

    /// A range of instants in milliseconds; `None` when there is none, `Err` for what is no range.
    pub(super) fn range(&self, name: &str) -> Result<Option<Range>, ()> {
        self.get(name).map(Range::read).transpose()
    }
}

/// `X<` is after X, `<X` before it, `X<<Y` between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    after: i64,
    before: i64,
}

impl Range {
    fn read(text: &str) -> Result<Self, ()> {
        let millis = |text: &str| text.parse::<i64>().map_err(|_| ());
        if let Some((after, before)) = text.split_once("<<") {
            return Ok(Self { after: millis(after)?, before: millis(before)? });
        }
        match (text.strip_suffix('<'), text.strip_prefix('<')) {
            (Some(after), None) => Ok(Self { after: millis(after)?, before: i64::MAX }),
            (None, Some(before)) => Ok(Self { after: i64::MIN, before: millis(before)? }),
            _ => Err(()),
        }
    }

    pub(super) fn holds(self, millis: i64) -> bool {
        self.after < millis && millis < self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_open_at_both_ends() {
        let query = Query::read("a=10%3C&b=%3C10&c=5<<10&d=10&e=<");
        let held = |name| {
            [4, 5, 6, 9, 10, 11]
                .into_iter()
                .filter(|at| query.range(name).unwrap().unwrap().holds(*at))
                .collect::<Vec<_>>()
        };
        assert_eq!((held("a"), held("b"), held("c")), (vec![11], vec![4, 5, 6, 9], vec![6, 9]));
        assert_eq!((query.range("d"), query.range("e"), query.range("f")), (Err(()), Err(()), Ok(None)));
    }

    #[test]
    fn paths_name_what_is_asked_for() {
        let of = |method: &str, path: &str| Endpoint::of(API, &method.parse().unwrap(), path, Revision::Newest);
        let id = || Some("A b".to_owned());
        assert_eq!(of("GET", "/subscription-manager/subscriptions"), (Endpoint::Subscriptions, None));
        assert_eq!(of("GET", "/subscription-manager/subscriptions/A%20b"), (Endpoint::Subscription, id()));
        assert_eq!(of("POST", "/subscription-manager/subscriptions/A%20b/cancel"), (Endpoint::Cancel, id()));
        assert_eq!(of("GET", "/ordersv2/A%20b"), (Endpoint::Order, id()));
        assert_eq!(of("GET", "/ordersv2/lineitemdata/order/A%20b"), (Endpoint::OrderLineItemData, id()));
        assert_eq!(of("GET", "/ordersv2/views/A%20b/summary"), (Endpoint::Summary, id()));
        assert_eq!(of("POST", "/carts"), (Endpoint::RetailCart, None));
        assert_eq!(of("GET", "/carts/A%20b"), (Endpoint::Cart, id()));
        assert_eq!(of("POST", "/carts/subscription-offers"), (Endpoint::OfferCart, None));
        assert_eq!(of("POST", "/purchases/prepareNextOrderFromOffer"), (Endpoint::AcceptOffer, None));
        for (method, path) in [
            ("POST", "/carts/A"),
            ("GET", "/carts"),
            ("GET", "/iam/deeplink/"),
            ("POST", "/ordersv2"),
            ("GET", "/subscriptions"),
            ("DELETE", "/ordersv2/A"),
            ("GET", "/ordersv2/A/b"),
        ] {
            assert_eq!(of(method, path), (Endpoint::Other, None), "{method} {path}");
        }
    }
}
