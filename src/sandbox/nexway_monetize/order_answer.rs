//! What the API says of an order, and of the licence behind it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::books::Books;
use super::forms::cents;
use super::line_item_data::{activation_link, expected_keys};
use super::orders::{ABORTED, CREATED, Order, PAYMENT_REFUSED, Source};
use super::product::Licence;
use super::script::Step;
use super::subscription_answer::{CUSTOMER, STORE, line_item_id, model_id};
use super::subscriptions::{Status, made_up};
use super::switches::{PrebillingGeneration, Switches};
use crate::clock::Timestamp;

const VAT: f64 = 0.2;

fn net(amount: f64) -> f64 {
    cents(amount / (1.0 + VAT))
}

/// What everything is read from, and how it is written.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) books: &'a Books,
    pub(super) switches: &'a Switches,
}

impl View<'_> {
    /// An order that shows this step.
    pub(super) fn order(&self, order: &Order, step: &Step) -> Value {
        let Self { books, switches } = *self;
        let subscription = books.subscription(order.subscription);
        let mut body = json!({
            "id": switches.order_id(order.id()),
            "source": order.source.name(),
            "status": step.status,
            "lifeCycleStatus": step.life_cycle_status.as_deref().unwrap_or_else(|| life_cycle_status(&step.status)),
            "paymentStatus": step.payment_status.as_deref().unwrap_or_else(|| payment_status(&step.status)),
            "fulfillmentStatus": fulfillment_status(&step.status),
            "customer": {"id": CUSTOMER},
            "store": {"id": STORE},
            "endUser": {
                "id": switches.id(made_up("enduser", order.subscription)),
                "email": format!("user{}@example.org", order.subscription),
                "country": "FR",
            },
            "lineItems": [self.line_item(order)],
            "payments": self.payments(order, step),
            "totalAmount": cents(order.amount),
            "currency": order.product.currency,
            "salesFlags": [],
            "testOrder": false,
            "createDate": switches.date(order.created_at),
            "updateDate": switches.date(order.updated_at),
            "dbVersion": 1,
        });
        if let Some(generation) = self.generation_of(order) {
            body["generationId"] = generation.to_string().into();
        }
        if let Some(cart) = order.cart {
            body["cartId"] = switches.id(cart).into();
        }
        if switches.subscription_named {
            body["subscriptionId"] = switches.id(subscription.id).into();
        }
        match order.source {
            Source::Offer => body["offerSubSource"] = "SUSPEND".into(),
            Source::Subscription if order.generation == 0 => body["subscriptionSubSource"] = "TRIAL_CONVERSION".into(),
            Source::Subscription => body["subscriptionSubSource"] = "RENEWAL".into(),
            _ => {}
        }
        if let Some(context) = &subscription.terms.external_context {
            body["externalContext"] = BASE64.encode(context.to_string()).into();
        }
        if let (true, Some(stranger), Some(lines)) =
            (switches.foreign_lines, self.stranger_to(order), body["lineItems"].as_array_mut())
        {
            lines.push(self.line_item(stranger));
        }
        body
    }

    /// As it is shown.
    pub(super) fn generation_of(&self, order: &Order) -> Option<i64> {
        if order.charged_at.is_some() {
            return Some(order.generation);
        }
        match self.switches.prebilling_generation {
            PrebillingGeneration::Coming => Some(order.generation),
            PrebillingGeneration::Current => Some(order.generation - 1),
            PrebillingGeneration::Missing => None,
        }
    }

    /// A line that is somebody else's, where lines of his are mixed in.
    pub(super) fn stranger_to(&self, order: &Order) -> Option<&Order> {
        let other =
            |number: u32| self.books.orders.get(number as usize).filter(|o| o.subscription != order.subscription);
        let after = order.number.checked_add(1).and_then(other);
        after.or_else(|| self.books.orders.iter().find(|other| other.subscription != order.subscription))
    }

    fn line_item(&self, order: &Order) -> Value {
        let Self { books, switches } = *self;
        let subscription = books.subscription(order.subscription);
        let (product, units) = (&order.product, f64::from(order.product.units.max(1)));
        let (gross, initial) = (order.amount, product.price * units);
        let offered = (order.discount > 0.0).then_some((gross, order.discount));
        json!({
            "id": switches.id(line_item_id(order)),
            "productId": product.id,
            "name": product.name,
            "publisherRefId": product.reference,
            "productType": "SOFTWARE",
            "quantity": product.units,
            "lifeTime": match model_id(subscription) { "NEXWAY_1M" => "1MONTH", _ => "1YEAR" },
            "expirationDate": switches.date(subscription.state.expires_at),
            "licenseId": switches.id(made_up("licence", order.subscription)),
            "subscriptionTemplate": model_id(subscription),
            "subscriptionId": switches.subscription_named.then(|| switches.id(subscription.id)),
            "multipleLicensesFulfillment": product.units > 1,
            "amount": cents(gross),
            "netAmount": net(gross),
            "vatAmount": cents(gross - net(gross)),
            "vatRate": VAT,
            "discountRate": order.discount,
            "initialAmount": cents(initial),
            "currency": product.currency,
            "price": self.price(&product.currency, initial, offered),
            "renewingPrice": self.price(&product.currency, initial, None),
            "trial": order.generation < 0,
            "activationLink": self.links(order),
        })
    }

    /// VAT included; what it is with a discount, and the discount's rate.
    pub(super) fn price(&self, currency: &str, gross: f64, discounted: Option<(f64, f64)>) -> Value {
        let mut price = json!({
            "currency": self.switches.currency(currency),
            "netPrice": net(gross), "grossPrice": cents(gross), "vatIncluded": true, "vatRate": VAT,
            "vatAmount": cents(gross - net(gross)), "source": "INTERNAL",
        });
        if let Some((discounted, rate)) = discounted {
            price["discountedPrice"] = json!({
                "discountRate": rate, "cumulatedDiscountRate": rate,
                "discountedGrossPrice": cents(discounted), "discountedNetPrice": net(discounted),
                "grossPriceDiscountAmount": cents(gross - discounted),
                "vatDiscountAmount": cents(discounted - net(discounted)),
            });
        }
        price
    }

    fn links(&self, order: &Order) -> Value {
        match order.licence() {
            Licence::Link | Licence::KeyAndLink | Licence::QrCode if order.charged_at.is_some() => {
                json!({"enabled": true, "providerId": "sandbox", "url": activation_link(order, 0), "qrCodeDisabled": false})
            }
            _ => json!({"enabled": false}),
        }
    }

    fn payments(&self, order: &Order, step: &Step) -> Value {
        let status = match step.status.as_str() {
            CREATED | ABORTED => return json!([]),
            PAYMENT_REFUSED => "FAILED",
            "PAYMENT_PENDING" | "FRAUD_PENDING" => "PENDING",
            _ => "COMPLETED",
        };
        let mut payment = json!({
            "id": format!("{}1", self.switches.order_id(order.id())),
            "method": "CREDIT_CARD",
            "amount": cents(order.amount),
            "status": status,
            "transitionPaymentDate": self.switches.date(order.updated_at),
            "automaticBilling": order.source == Source::Subscription,
        });
        if status == "FAILED" {
            payment["lastError"] = json!({"code": "51", "message": "insufficient funds"});
        }
        json!([payment])
    }

    /// The reduced view of an order, which alone knows where the file of a licence is.
    pub(super) fn summary(&self, order: &Order, status: &str, host: &str) -> Value {
        let file = format!("http://{host}/ordersv2/views/{}/activation-codes", self.switches.order_id(order.id()));
        json!({
            "id": self.switches.order_id(order.id()),
            "status": status,
            "source": order.source.name(),
            "createDate": self.switches.date(order.created_at),
            "totalAmount": cents(order.amount),
            "exportActivationCodeFileUrl": (order.licence() == Licence::File).then_some(file),
        })
    }

    pub(super) fn licence(&self, index: u32, updated_at: Timestamp) -> Value {
        let Self { books, switches } = *self;
        let subscription = books.subscription(index);
        let order = books.order(subscription.state.order);
        let codes: Vec<_> = expected_keys(books, order);
        json!({
            "id": switches.id(made_up("licence", index)),
            "customerId": CUSTOMER,
            "status": match subscription.state.status {
                Status::Canceled => "Canceled",
                Status::Expired => "Expired",
                _ => "Running",
            },
            "expirationTimestamp": switches.date(subscription.state.expires_at),
            "processingInProgress": false,
            "additionalData": {"activationCode": codes},
            "checkout": {
                "orderId": switches.order_id(order.id()),
                "orderLineId": switches.id(line_item_id(order)),
                "subscriptionId": switches.id(subscription.id),
                "trialContext": subscription.state.generation < 0,
            },
            "product": {"id": order.product.id, "name": order.product.name},
            "createDate": switches.date(subscription.created_at),
            "updateDate": switches.date(updated_at),
            "dbVersion": subscription.state.version,
        })
    }
}

fn life_cycle_status(status: &str) -> &'static str {
    match status {
        CREATED => "PREBILLING_PENDING",
        PAYMENT_REFUSED => "WAITING_FOR_PAYMENT",
        "PAYMENT_PENDING" | "FRAUD_PENDING" => "PAYMENT_PENDING",
        "COMPLETED" => "COMPLETED",
        "PENDING_WITH_ERROR" | "PARTIAL_COMPLETED" => "COMPLETED_WITH_ERROR",
        "FORCE_COMPLETED" => "FORCE_COMPLETED",
        "CANCEL_PENDING" => "CANCEL_PENDING",
        "CANCELED" => "CANCELED",
        ABORTED => "FORCE_ABORTED",
        _ => "FULFILLMENT_PENDING",
    }
}

fn payment_status(status: &str) -> &'static str {
    match status {
        CREATED => "NONE",
        PAYMENT_REFUSED => "FAILED",
        "PAYMENT_PENDING" | "FRAUD_PENDING" => "PENDING",
        "CANCELED" => "REFUNDED",
        ABORTED => "ABORTED",
        _ => "COMPLETED",
    }
}

fn fulfillment_status(status: &str) -> &'static str {
    match status {
        CREATED | PAYMENT_REFUSED | "PAYMENT_PENDING" | "FRAUD_PENDING" => "NONE",
        "COMPLETED" | "FORCE_COMPLETED" => "CREATION_ACCEPTED",
        "PARTIAL_COMPLETED" | "PENDING_WITH_ERROR" => "CREATION_FAILURE",
        "CANCELED" => "CANCEL_ACCEPTED",
        _ => "CREATION_PENDING",
    }
}
