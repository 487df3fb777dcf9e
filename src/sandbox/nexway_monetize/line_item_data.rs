//! What the API says of an order's units: the keys, links and pictures that each of them brings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

use super::books::Books;
use super::order_answer::View;
use super::orders::{ABORTED, CREATED, Order, PAYMENT_REFUSED};
use super::product::Licence;
use super::script::DataStep;
use super::subscription_answer::line_item_id;
use super::subscriptions::made_up;
use super::switches::QrForm;
use crate::sandbox::nexway::key;

impl View<'_> {
    /// One entry for each unit. What the order does not say, the step does.
    pub(super) fn line_item_data(&self, order: &Order, status: &str, step: Option<DataStep>) -> Vec<Value> {
        let units = order.product.units.max(1);
        let (processing, ready) = match step {
            Some(DataStep { status: None, .. }) => return Vec::new(),
            Some(DataStep { status: Some(status), ready, .. }) => (status, ready),
            None => match status {
                CREATED | PAYMENT_REFUSED => return Vec::new(),
                "COMPLETED" | "FORCE_COMPLETED" => ("COMPLETED".into(), units),
                "PARTIAL_COMPLETED" => ("FAILURE".into(), units / 2),
                "PARTIAL_CANCELED" => ("CANCELED".into(), units / 2),
                "CANCELED" | "CANCELED_WITH_ERROR" | "FORCE_CANCELED" | ABORTED => ("CANCELED".into(), 0),
                _ => ("PENDING".into(), 0),
            },
        };
        let entry = |unit| self.entry(order, unit, if unit < ready { "COMPLETED" } else { &processing });
        let mut entries: Vec<_> = (0..units).map(entry).collect();
        if let Some(stranger) = self.switches.foreign_lines.then(|| self.stranger_to(order)).flatten() {
            entries.push(self.entry(stranger, 0, "COMPLETED"));
        }
        entries
    }

    fn entry(&self, order: &Order, unit: u32, processing: &str) -> Value {
        let Self { books, switches } = *self;
        let (licence, done) = (order.licence(), processing == "COMPLETED");
        let mut body = json!({
            "id": switches.id(entry_id(order, unit)),
            "lineItemId": switches.id(line_item_id(order)),
            "orderId": switches.order_id(order.id()),
            "productId": order.product.id,
            "activationFileFulfillment": licence == Licence::File,
            "nexwayFulfillmentId": format!("NF-{}-{unit}", order.number),
            "processingStatus": processing,
            "fulfillmentProcessingStatus": if done { "CREATION_ACCEPTED" } else { "CREATION_PENDING" },
            "subscriptionProcessingStatus": "CREATION_ACCEPTED",
        });
        if switches.subscription_named {
            body["subscriptionId"] = switches.id(books.subscription(order.subscription).id).into();
        }
        if let Some(previous) = self.before(order) {
            body["previousLineItemDataId"] = switches.id(entry_id(previous, unit)).into();
        }
        if !done {
            return body;
        }
        if let Some(code) = activation_code(books, order, unit) {
            body["activationCode"] = code.into();
        }
        let link = activation_link(order, unit);
        match licence {
            Licence::Link | Licence::KeyAndLink => body["activationLink"] = link.into(),
            Licence::QrCode => {
                let code = BASE64.encode(format!("\u{89}PNG\r\n{link}"));
                body["qrCodeBase64"] = match switches.qr_code {
                    QrForm::Text => code.into(),
                    QrForm::List => json!([code]),
                };
            }
            _ => {}
        }
        body
    }

    fn before(&self, order: &Order) -> Option<&Order> {
        let orders = &self.books.subscription(order.subscription).orders;
        orders
            .iter()
            .rev()
            .map(|number| self.books.order(*number))
            .find(|other| other.number < order.number && other.charged_at.is_some() && other.status != ABORTED)
    }
}

fn entry_id(order: &Order, unit: u32) -> Uuid {
    made_up(&format!("lineitemdata{unit}"), order.number)
}

/// Where one unit is activated.
pub(super) fn activation_link(order: &Order, unit: u32) -> String {
    format!("https://activate.example/{}/{unit}", order.id())
}

/// The key of one unit, if the licence has one.
pub(super) fn activation_code(books: &Books, order: &Order, unit: u32) -> Option<String> {
    let id = books.subscription(order.subscription).id;
    match order.licence() {
        Licence::Key | Licence::KeyAndLink => Some(key(&format!("{id}\0{}\0{unit}", order.number))),
        Licence::SameKey => Some(key(&format!("{id}\0{}\0{unit}", order.product.id))),
        Licence::Link | Licence::QrCode | Licence::File | Licence::Nothing => None,
    }
}

/// The keys of all units.
pub(super) fn expected_keys(books: &Books, order: &Order) -> Vec<String> {
    (0..order.product.units.max(1)).filter_map(|unit| activation_code(books, order, unit)).collect()
}
