//! What the API says of a subscription. A list holds many of these: they are written without a detour.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::Value;

use super::books::Books;
use super::forms::cents;
use super::orders::Order;
use super::subscriptions::{State, Subscription, made_up};
use super::switches::Switches;
use crate::clock::Timestamp;

/// The seller and his store, the same for all.
pub(super) const CUSTOMER: &str = "a3c9e5d1-2b47-4e1f-8c36-90d7f1b2c301";
pub(super) const STORE: &str = "a3c9e5d1-2b47-4e1f-8c36-90d7f1b2c302";

/// A field that is `None` is not sent at all.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscriptionAnswer<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_ref_id: Option<&'a str>,
    name: &'a str,
    create_date: Value,
    update_date: Value,
    db_version: u32,
    lifecycle: Lifecycle<'a>,
    #[serde(flatten)]
    rest: Option<Rest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle<'a> {
    id: u32,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<Value>,
    anniversary_date: Value,
    expiration_date: Value,
    creation_date: Value,
    next_billing_date: Option<Value>,
    prebilling_date: Option<Value>,
    payment_deadline: Option<Value>,
}

/// What short rows leave out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest<'a> {
    customer_id: &'static str,
    store_id: &'static str,
    enduser_id: String,
    model_id: &'a str,
    products: [ProductAnswer<'a>; 1],
    currency: &'a str,
    initial_order_id: String,
    imported: bool,
    source: &'static str,
    payment_method_is_no_longer_replayable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method_is_no_longer_replayable_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded_external_context: Option<&'a Value>,
    mandate_value: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProductAnswer<'a> {
    id: &'a str,
    line_item_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_line_item_id: Option<String>,
    license_id: String,
    model_id: &'a str,
}

impl<'a> SubscriptionAnswer<'a> {
    /// As it was in that state.
    pub(super) fn of(
        index: u32,
        state: &'a State,
        updated_at: Timestamp,
        books: &'a Books,
        switches: &'a Switches,
        short: bool,
    ) -> Self {
        let subscription = books.subscription(index);
        Self {
            id: switches.id(subscription.id),
            external_ref_id: subscription.external_ref_id.as_deref(),
            name: &state.product.name,
            create_date: switches.date(subscription.created_at),
            update_date: switches.date(updated_at),
            db_version: state.version,
            lifecycle: Lifecycle::of(index, state, subscription, switches),
            rest: (!short).then(|| Rest::of(index, state, books, switches)),
        }
    }
}

impl<'a> Lifecycle<'a> {
    fn of(index: u32, state: &'a State, subscription: &Subscription, switches: &'a Switches) -> Self {
        let own = state.shown_status.as_deref().unwrap_or(state.status.name());
        let renews = state.auto_renew && !state.status.is_over();
        let date = |instant| renews.then(|| switches.date(instant));
        Self {
            id: 9_141_850u32.wrapping_add(index),
            status: switches.subscription_status.as_deref().unwrap_or(own),
            generation: switches.generation(state.generation),
            anniversary_date: switches.date(state.expires_at),
            expiration_date: switches.date(state.expires_at),
            creation_date: switches.date(subscription.created_at),
            next_billing_date: date(subscription.renews_at().unwrap_or(state.expires_at)),
            prebilling_date: date(subscription.prebills_at()),
            payment_deadline: date(subscription.deadline()),
        }
    }
}

impl<'a> Rest<'a> {
    fn of(index: u32, state: &'a State, books: &'a Books, switches: &Switches) -> Self {
        let subscription = books.subscription(index);
        let context = subscription.terms.external_context.as_ref();
        let line = |order: &Order| switches.id(line_item_id(order));
        let first = subscription.orders.first().map(|number| books.order(*number).id());
        Self {
            customer_id: CUSTOMER,
            store_id: STORE,
            enduser_id: switches.id(made_up("enduser", index)),
            model_id: model_id(subscription),
            products: [ProductAnswer {
                id: &state.product.id,
                line_item_id: line(books.order(state.order)),
                previous_line_item_id: state.previous_order.map(|number| line(books.order(number))),
                license_id: switches.id(made_up("licence", index)),
                model_id: model_id(subscription),
            }],
            currency: &state.product.currency,
            initial_order_id: switches.order_id(first.unwrap_or_default()),
            imported: subscription.terms.imported,
            source: if subscription.terms.imported { "PARTNER" } else { "Nexway" },
            payment_method_is_no_longer_replayable: !state.replayable,
            payment_method_is_no_longer_replayable_reason: (!state.replayable).then_some("card_expired"),
            external_context: context.map(|context| BASE64.encode(context.to_string())),
            decoded_external_context: context,
            mandate_value: cents(state.product.price * f64::from(state.product.units)),
        }
    }
}

/// The one line item of an order.
pub(super) fn line_item_id(order: &Order) -> uuid::Uuid {
    made_up("lineitem", order.number)
}

/// Terms of a year and of a month have names.
pub(super) fn model_id(subscription: &Subscription) -> &'static str {
    match subscription.terms.period.to_string().as_str() {
        "P1Y" => "NEXWAY_1Y",
        "P1M" => "NEXWAY_1M",
        _ => "7c0b0a0e-55aa-4d6e-9d0b-2f8d4c1e7a01",
    }
}
