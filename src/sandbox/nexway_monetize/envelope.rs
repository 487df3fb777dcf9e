//! What a notification says, by the switches.

use serde_json::{Value, json};

use super::books::News;
use super::forms::{cents, millis};
use super::line_item_data::activation_code;
use super::order_answer::View;
use super::orders::{Order, Source, order_id};
use super::subscription_answer::{CUSTOMER, STORE, line_item_id, model_id};
use super::subscriptions::made_up;
use super::switches::{NotedDates, Spelling, Switches};
use crate::clock::Timestamp;

/// One of a type that nobody has heard of, about the same.
pub(super) fn unknown(body: &Value) -> Value {
    json!({"subject": body["subject"], "type": "somethingElse", "objectId": body["objectId"]})
}

/// The same about ids that nobody knows.
pub(super) fn estranged(mut body: Value) -> Value {
    let (subscription, order) = (made_up("stranger", 0).to_string(), order_id(u32::MAX));
    let subject = body["subject"].as_str().unwrap_or_default().to_owned();
    body["objectId"] = if subject == "order" { order.clone() } else { subscription.clone() }.into();
    if subject == "order" {
        body["order"]["id"] = order.into();
        body["order"]["items"][0]["subscriptionId"] = subscription.clone().into();
        body["order"]["items"][0]["subscription"]["id"] = subscription.into();
    } else {
        body["subscription"]["id"] = subscription.into();
    }
    body
}

pub(super) fn envelope(news: &News, view: &View<'_>, now: Timestamp) -> Value {
    let switches = view.switches;
    match news {
        News::Order { number, what } => {
            let order = view.books.order(*number);
            let mut body = json!({
                "subject": "order",
                "type": spelt(what, switches.noted_spelling),
                "objectId": order.id(),
                "eventDate": noted(now, switches),
                "order": order_body(order, view),
            });
            if matches!(*what, "prebillingStarted" | "renewCompleted") {
                body["subscription"] = subscription_body(order.subscription, view);
            }
            body
        }
        News::Subscription { index, what } => json!({
            "subject": "subscription",
            "type": spelt(what, switches.noted_spelling),
            "objectId": view.books.subscription(*index).id,
            "eventDate": noted(now, switches),
            "subscription": subscription_body(*index, view),
        }),
    }
}

fn spelt(what: &'static str, spelling: Spelling) -> String {
    match (spelling, what) {
        (Spelling::Reference, what) => what.into(),
        (Spelling::Prose | Spelling::Spaced, "expired") => "expiredsubscription".into(),
        (Spelling::Spaced, "prebillingStarted") => "created".into(),
        (Spelling::Spaced, "expirationDateUpdated") => "expiration date updated".into(),
        (Spelling::Prose, "expirationDateUpdated") => "expirationdateupdated".into(),
        (Spelling::Prose | Spelling::Spaced, what) => what.into(),
    }
}

fn noted(at: Timestamp, switches: &Switches) -> Value {
    match switches.noted_dates {
        NotedDates::Iso => at.to_string().into(),
        NotedDates::MillisText => millis(at).to_string().into(),
    }
}

/// A generation that is not so, where content is forged.
fn generation(generation: i64, switches: &Switches) -> i64 {
    if switches.notifications.forged { generation + 7 } else { generation }
}

fn subscription_body(index: u32, view: &View<'_>) -> Value {
    let (subscription, switches) = (view.books.subscription(index), view.switches);
    let state = &subscription.state;
    let enduser = if switches.noted_spelling == Spelling::Prose { "endUserId" } else { "enduserId" };
    json!({
        "id": subscription.id,
        "createDate": noted(subscription.created_at, switches),
        "modelId": model_id(subscription),
        "name": state.product.name,
        "storeId": STORE,
        enduser: made_up("enduser", index),
        "lifecycle": {
            "id": (9_141_850 + u64::from(index)).to_string(),
            "anniversaryDate": noted(state.expires_at, switches),
            "generation": generation(state.generation, switches),
            "status": if switches.notifications.forged { "Canceled" } else { state.status.name() },
        },
        "products": [{"id": state.product.id, "lineItemId": line_item_id(view.books.order(state.order))}],
        "paymentMethodIsNoLongerReplayable": !state.replayable,
    })
}

fn order_body(order: &Order, view: &View<'_>) -> Value {
    let (product, switches) = (&order.product, view.switches);
    let subscription = view.books.subscription(order.subscription);
    let code = match (switches.notifications.forged, order.charged_at) {
        (true, _) => Some("FORGED-KEY-OF-NOBODY".to_owned()),
        (false, Some(_)) => activation_code(view.books, order, 0),
        (false, None) => None,
    };
    let net = cents(order.amount / 1.2);
    let mut body = json!({
        "id": order.id(),
        "status": if switches.notifications.forged { "COMPLETED" } else { &order.told },
        "source": order.source.name(),
        "creationDate": noted(order.created_at, switches),
        "currency": product.currency,
        "totalPriceIncVAT": cents(order.amount),
        "totalPriceExclVAT": net,
        "customer": {"id": CUSTOMER},
        "user": {"email": format!("user{}@example.org", order.subscription), "country": "FRA", "language": "fr"},
        "items": [{
            "id": line_item_id(order),
            "product": {
                "name": product.name, "uniqueReference": product.id, "publisherReference": product.reference,
            },
            "quantity": product.units,
            "activationCode": code,
            "expirationDate": noted(subscription.state.expires_at, switches),
            "subscriptionId": subscription.id,
            "subscription": subscription_body(order.subscription, view),
            "unitPriceIncVAT": cents(order.amount),
            "unitPriceExclVAT": net,
            "VATRate": 0.2,
            "trial": order.generation < 0,
            "subItems": [],
        }],
    });
    if order.source == Source::Offer {
        body["offerSubSource"] = "SUSPEND".into();
    }
    body
}
