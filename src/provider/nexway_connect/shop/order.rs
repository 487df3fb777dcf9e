//! What is known to be wrong with an order before it is sent (nexway-connect.md, section 6). Everything else is passed on: the
//! provider knows better. What a field holds is never repeated.

use serde_json::Value;

use super::super::convention::CONVENTION;
use crate::convention::Wrong;

/// Where a province is needed.
const WITH_PROVINCES: [&str; 4] = ["US", "CA", "BR", "AU"];

/// The order's number.
pub fn check(order: &Value) -> Result<String, Vec<Wrong>> {
    let mut wrong = Mistakes::default();
    if !order.is_object() {
        return Err(vec![Wrong { field: "order".to_owned(), why: "must be a JSON object".to_owned() }]);
    }
    let number = match &order["partnerOrderNumber"] {
        Value::String(number) => CONVENTION.number(number).map_err(|_| ()),
        _ => Err(()),
    };
    if number.is_err() {
        wrong.add(
            "partnerOrderNumber",
            "must be text that is not empty, 255 bytes at the most, unique among your orders",
        );
    }
    match order["orderDate"].as_str() {
        Some(date) if date.parse::<jiff::Timestamp>().is_ok() => {}
        _ => wrong.add("orderDate", "must be a time with its offset, such as 2018-01-18T15:40:21+01:00"),
    }
    if !is_capitals(&order["currency"], 3) {
        wrong.add("currency", "must be one of ISO 4217, three capital letters, such as EUR");
    }
    lines(order, &mut wrong);
    customer(&order["customer"], &mut wrong);
    match (wrong.0.is_empty(), number) {
        (true, Ok(number)) => Ok(number),
        _ => Err(wrong.0),
    }
}

#[derive(Default)]
struct Mistakes(Vec<Wrong>);

impl Mistakes {
    fn add(&mut self, field: impl Into<String>, why: &str) {
        self.0.push(Wrong { field: field.into(), why: why.to_owned() });
    }
}

fn lines(order: &Value, wrong: &mut Mistakes) {
    let Some(lines) = order["orderLines"].as_array().filter(|lines| !lines.is_empty()) else {
        return wrong.add("orderLines", "must be a list with at least one line");
    };
    for (at, line) in lines.iter().enumerate() {
        let is_given = |value: &Value| super::whole(value).is_some_and(|number| number > 0);
        if !is_given(&line["productRef"]) {
            wrong.add(format!("orderLines[{at}].productRef"), "must be the product's reference, a whole number");
        }
        if !is_given(&line["quantity"]) {
            wrong.add(format!("orderLines[{at}].quantity"), "must be a whole number from 1");
        }
    }
}

fn customer(customer: &Value, wrong: &mut Mistakes) {
    if !customer.is_object() {
        return wrong.add("customer", "must be an object");
    }
    for location in ["locationDelivery", "locationInvoice"] {
        let (at, field) = (&customer[location], format!("customer.{location}"));
        if !at.is_object() {
            wrong.add(field, "must be an object");
            continue;
        }
        let country = at["country"].as_str().unwrap_or_default();
        if !is_capitals(&at["country"], 2) {
            wrong.add(format!("{field}.country"), "must be one of ISO 3166, two capital letters");
        }
        if WITH_PROVINCES.contains(&country) && !is_province(country, &at["province"]) {
            wrong.add(format!("{field}.province"), "must be given in this country, such as US-NY");
        }
    }
}

fn is_province(country: &str, province: &Value) -> bool {
    let rest = province.as_str().and_then(|province| province.strip_prefix(country)?.strip_prefix('-'));
    rest.is_some_and(|rest| (1..=3).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn is_capitals(value: &Value, so_many: usize) -> bool {
    value.as_str().is_some_and(|text| text.len() == so_many && text.bytes().all(|byte| byte.is_ascii_uppercase()))
}
