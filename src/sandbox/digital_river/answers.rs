//! Bodies: how the books are written down, in the forms that the switches say.

use serde_json::{Value, json};

use super::books::{Books, Order, State, Subscription};
use super::events::Event;
use super::switches::{Switches, TimeForm};
use crate::clock::Timestamp;

pub(super) const PLAN: &str = "82cbf763-fa27-401a-aa69-5e6640539ce7";

/// The books as the switches show them.
pub(super) struct View<'a> {
    pub(super) books: &'a Books,
    pub(super) switches: &'a Switches,
}

impl View<'_> {
    pub(super) fn time(&self, at: Timestamp) -> String {
        let plain = at.to_string();
        match self.switches.times {
            TimeForm::Plain => plain,
            TimeForm::Offset => plain.replace('Z', ".061+0000"),
            TimeForm::Fraction => plain.replace('Z', ".1077785Z"),
        }
    }

    pub(super) fn id(&self, id: &str) -> Value {
        match id.parse::<u64>() {
            Ok(number) if self.switches.numeric_ids => json!(number),
            _ => json!(id),
        }
    }

    fn state(&self, one: &Subscription, state: State) -> Value {
        let shown = self.switches.state.as_ref().or(one.shown_state.as_ref());
        shown.map_or_else(|| json!(state), |shown| json!(shown))
    }

    pub(super) fn subscription(&self, one: &Subscription, state: State) -> Value {
        let mut body = json!({
            "id": one.id, "customerId": self.id(&one.customer.to_string()), "planId": PLAN, "currency": "USD", "liveMode": false,
            "createdTime": self.time(one.created_at), "updatedTime": self.time(one.updated_at),
            "state": self.state(one, state), "stateTransitions": {}, "metadata": {},
            "items": [{"skuId": "sku-sample-sec", "price": f64::from(self.cents(one)) / 100.0, "quantity": 1}],
        });
        if let Some(name) = &one.upstream_id {
            body["metadata"]["upstreamId"] = json!(name);
        }
        if state == State::Draft {
            return body;
        }
        let name = match state {
            State::Active | State::ActivePendingInvoice | State::Draft => "activated",
            State::ActiveFree => "activatedFree",
            State::Failed => "failed",
            State::Lapsed => "lapsed",
            State::Cancelled => "cancelled",
            State::Ended => "ended",
        };
        body["stateTransitions"][name] = json!(self.time(one.since));
        body["currentPeriodEndDate"] = json!(self.time(one.end));
        body["nextInvoiceDate"] = json!(self.time(one.next_invoice_at));
        if self.switches.period_start {
            body["currentPeriodStartDate"] = json!(self.time(one.start));
        }
        body
    }

    fn cents(&self, one: &Subscription) -> u32 {
        one.orders.first().map_or(0, |order| self.books.orders[*order].cents)
    }

    pub(super) fn order(&self, order: &Order) -> Value {
        let one = &self.books.subscriptions[order.subscription];
        let mut info = json!({"subscriptionId": one.id, "planId": PLAN, "autoRenewal": true, "freeTrial": false});
        if self.switches.order_terms {
            (info["startTime"], info["endTime"]) = (json!(self.time(order.start)), json!(self.time(order.end)));
        }
        let mut item = json!({"id": format!("{}1", order.id), "skuId": "sku-sample-sec", "quantity": 1, "subscriptionInfo": info, "metadata": {}});
        if self.switches.keys {
            item["metadata"]["licence_key"] = json!(key_of(&order.id));
        }
        let amount = f64::from(order.cents) / 100.0;
        let kind = if order.is_renewal { "merchant_initiated" } else { "customer_initiated" };
        let mut charges: Vec<_> =
            order.failures.iter().map(|code| self.charge(order, "failed", kind, Some(code))).collect();
        charges.push(self.charge(order, "complete", kind, None));
        json!({
            "id": self.id(&order.id), "upstreamId": null, "state": order.state, "createdTime": self.time(order.created_at),
            "updatedTime": self.time(order.created_at), "currency": "USD", "totalAmount": amount, "totalTax": 0.0,
            "capturedAmount": 0.0, "customerId": self.id(&one.customer.to_string()), "email": "customer@example.com",
            "billTo": {"name": "A Customer"}, "liveMode": false, "items": [item],
            "payment": {"charges": charges, "sources": [{"type": "creditCard", "creditCard": {"brand": "Visa", "lastFourDigits": "1111"}}]},
            "invoicePDFs": if order.cents == 0 { Value::Null } else { json!([{"id": format!("file-{}", order.id)}]) },
        })
    }

    fn charge(&self, order: &Order, state: &str, kind: &str, failure: Option<&str>) -> Value {
        json!({"id": format!("charge-{}", order.id), "createdTime": self.time(order.created_at), "state": state, "type": kind,
               "amount": f64::from(order.cents) / 100.0, "failureCode": failure})
    }

    /// The invoice of an order, or the one that is open.
    pub(super) fn invoice(&self, id: &str) -> Option<Value> {
        let of = id.strip_prefix("invoice-")?;
        if let Some(order) = self.books.find_order(of).map(|at| &self.books.orders[at]) {
            return Some(
                json!({"id": id, "orderId": order.id, "state": "paid", "attemptCount": order.failures.len() + 1}),
            );
        }
        let one = &self.books.subscriptions[self.books.find(of).ok()?];
        let info = json!({"subscriptionId": one.id});
        (one.state == State::ActivePendingInvoice).then(|| {
            json!({"id": id, "state": "open", "attemptCount": one.attempts.len(), "items": [{"subscriptionInfo": info}]})
        })
    }

    pub(super) fn event(&self, event: &Event) -> Value {
        let one = &self.books.subscriptions[event.subscription];
        let subscription = self.subscription(one, event.state);
        let data = match (event.invoice, event.what.as_str()) {
            (Some(state), _) => json!({"object": {"subscription": subscription, "invoice": {"state": state}}}),
            (None, "deleted") => json!({"object": {}, "previousAttributes": {"id": one.id}}),
            (None, _) => json!({"object": subscription}),
        };
        json!({"id": event.id, "type": format!("subscription.{}", event.what), "createdTime": self.time(event.at),
               "liveMode": false, "data": data})
    }

    /// The same as it is sent: with the switch of that name it says that all is over.
    pub(super) fn notification(&self, event: &Event) -> Value {
        let mut body = self.event(event);
        if self.switches.notifications.forged {
            for path in ["/data/object/state", "/data/object/subscription/state"] {
                if let Some(state) = body.pointer_mut(path) {
                    *state = json!("cancelled");
                }
            }
            if let Some(invoice) = body.pointer_mut("/data/object/invoice") {
                *invoice = json!({"state": "paid", "orderId": "FORGED"});
            }
        }
        body
    }
}

/// One of a type that nobody has heard of, about the same.
pub(super) fn unknown(body: &Value) -> Value {
    json!({"id": body["id"], "type": "subscription.reimagined", "createdTime": body["createdTime"], "data": body["data"]})
}

/// The same about a subscription that nobody knows.
pub(super) fn estranged(mut body: Value) -> Value {
    let data = &mut body["data"];
    for path in ["/object/id", "/object/subscription/id", "/previousAttributes/id"] {
        if let Some(id) = data.pointer_mut(path) {
            *id = json!("DR_stranger");
        }
    }
    body
}

pub(super) fn key_of(order_id: &str) -> String {
    format!("KEY-{order_id}")
}
