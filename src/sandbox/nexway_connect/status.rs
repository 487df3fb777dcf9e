//! What *Get Subscription Status* answers, with its mixed names and in every form the switches know.

use std::borrow::Cow;

use jiff::tz::Offset;
use serde::Serialize;
use serde_json::Value;

use super::orders::{Order, Subscription};
use super::script::message;
use super::switches::{DateForm, GenerationForm, ResultNames, ReturnedNumber, Switches};
use crate::clock::Timestamp;

/// The flat object. A field that is `None` is not sent at all; an inner `None` is sent as null.
#[derive(Default, Serialize)]
pub(super) struct StatusAnswer<'a> {
    #[serde(rename = "partnerOrderNumber", skip_serializing_if = "Option::is_none")]
    partner_order_number: Option<Cow<'a, str>>,
    #[serde(rename = "productRef", skip_serializing_if = "Option::is_none")]
    product_ref: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    #[serde(rename = "technicalStatus", skip_serializing_if = "Option::is_none")]
    technical_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_datetime: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_datetime: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_datetime: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_status_change_datetime: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(rename = "responseCode", skip_serializing_if = "Option::is_none")]
    response_code: Option<i64>,
    #[serde(rename = "responseMessage", skip_serializing_if = "Option::is_none")]
    response_message: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Generation {
    Number(i64),
    Text(String),
    Null(()),
}

impl<'a> StatusAnswer<'a> {
    /// A code, the number asked for, and nothing else.
    pub(super) fn refused(number: &'a str, code: i64, switches: &Switches) -> Self {
        let answer = Self { partner_order_number: Some(number.into()), ..Self::default() };
        answer.with_code(code, switches)
    }

    pub(super) fn of(order: &'a Order, subscription: &'a Subscription, switches: &'a Switches, now: Timestamp) -> Self {
        let date = |instant: Timestamp| Some(write_date(instant, switches.dates));
        let changes_at = match subscription.renews_at() {
            Some(renews_at) => date(renews_at),
            None if subscription.cancelled || subscription.expires_at <= now => Some(Value::Null),
            None => date(subscription.expires_at),
        };
        let answer = Self {
            partner_order_number: returned_number(order, subscription.generation, switches.returned_number),
            product_ref: Some(order.product_ref),
            period: Some(order.period.to_string()),
            generation: write_generation(subscription.generation, switches.generation),
            technical_status: Some(technical_status(subscription, switches, now)),
            creation_datetime: date(subscription.created_at),
            update_datetime: date(subscription.updated_at),
            expiration_datetime: date(subscription.expires_at),
            next_status_change_datetime: changes_at,
            currency: Some(&order.currency),
            amount: Some(order.amount),
            ..Self::default()
        };
        answer.with_code(0, switches)
    }

    fn with_code(self, code: i64, switches: &Switches) -> Self {
        let (code, message) = (Some(code), Some(message(code)));
        match switches.result_names {
            ResultNames::Code => Self { code, message, ..self },
            ResultNames::ResponseCode => Self { response_code: code, response_message: message, ..self },
        }
    }
}

fn returned_number(order: &Order, generation: i64, form: ReturnedNumber) -> Option<Cow<'_, str>> {
    match form {
        ReturnedNumber::Suffixed if generation > 0 => Some(order.number_of(generation).into()),
        ReturnedNumber::Suffixed | ReturnedNumber::Original => Some(order.number.as_str().into()),
        ReturnedNumber::Foreign => Some(format!("FOREIGN-{generation}").into()),
        ReturnedNumber::Missing => None,
    }
}

fn write_generation(generation: i64, form: GenerationForm) -> Option<Generation> {
    match form {
        GenerationForm::Number => Some(Generation::Number(generation)),
        GenerationForm::String => Some(Generation::Text(generation.to_string())),
        GenerationForm::Null => Some(Generation::Null(())),
        GenerationForm::Missing => None,
    }
}

fn technical_status<'a>(subscription: &'a Subscription, switches: &'a Switches, now: Timestamp) -> &'a str {
    match (&switches.technical_status, &subscription.technical_status) {
        (Some(status), _) | (None, Some(status)) => status,
        _ if subscription.cancelled => "CANCELED",
        _ if subscription.expires_at <= now && subscription.renews_at().is_none() => "EXPIRED",
        _ => "ACTIVE",
    }
}

fn write_date(instant: Timestamp, form: DateForm) -> Value {
    let local = |format| {
        let utc = jiff::Timestamp::from_second(instant.as_unix()).unwrap_or_default();
        Value::String(Offset::constant(1).to_datetime(utc).strftime(format).to_string())
    };
    let utc = instant.to_string();
    match form {
        DateForm::Offset => local("%Y-%m-%dT%H:%M:%S+01:00"),
        DateForm::OffsetWithoutColon => local("%Y-%m-%dT%H:%M:%S+0100"),
        DateForm::Utc => Value::String(utc),
        DateForm::Space => Value::String(utc.trim_end_matches('Z').replace('T', " ")),
        DateForm::DateOnly => Value::String(utc.chars().take("2026-11-21".len()).collect()),
        DateForm::UnixSeconds => instant.as_unix().into(),
        DateForm::UnixMillis => (instant.as_unix() * 1000).into(),
        DateForm::Unreadable => "next Tuesday".into(),
        DateForm::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_form_is_written_as_documented() {
        let instant = Timestamp::from_unix(1_795_291_200);
        let written = |form| write_date(instant, form);
        assert_eq!(written(DateForm::Offset), "2026-11-21T21:00:00+01:00");
        assert_eq!(written(DateForm::OffsetWithoutColon), "2026-11-21T21:00:00+0100");
        assert_eq!(written(DateForm::Utc), "2026-11-21T20:00:00Z");
        assert_eq!(written(DateForm::Space), "2026-11-21 20:00:00");
        assert_eq!(written(DateForm::DateOnly), "2026-11-21");
        assert_eq!(written(DateForm::UnixSeconds), 1_795_291_200_i64);
        assert_eq!(written(DateForm::UnixMillis), 1_795_291_200_000_i64);
    }
}
