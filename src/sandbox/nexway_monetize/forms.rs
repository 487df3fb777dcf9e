//! How values are written, by the switches.

use serde_json::{Value, json};
use uuid::Uuid;

use super::switches::{CurrencyForm, DateForm, GenerationForm, IdForm, Switches};
use crate::clock::Timestamp;

pub(super) fn millis(instant: Timestamp) -> i64 {
    instant.as_unix().saturating_mul(1000)
}

impl Switches {
    pub(super) fn date(&self, instant: Timestamp) -> Value {
        match self.dates {
            DateForm::Millis => millis(instant).into(),
            DateForm::MillisText => millis(instant).to_string().into(),
            DateForm::Iso => instant.to_string().into(),
            DateForm::IsoOffset => instant.to_string().replace('Z', ".000+0000").into(),
            DateForm::Unreadable => "next Tuesday".into(),
            DateForm::Null => Value::Null,
        }
    }

    pub(super) fn id(&self, id: Uuid) -> String {
        match self.ids {
            IdForm::AsDocumented => id.to_string(),
            IdForm::OtherCase => id.to_string().to_uppercase(),
        }
    }

    pub(super) fn order_id(&self, id: String) -> String {
        match self.ids {
            IdForm::AsDocumented => id,
            IdForm::OtherCase => id.to_lowercase(),
        }
    }

    /// Inside objects of prices.
    pub(super) fn currency(&self, code: &str) -> Value {
        match self.currency {
            CurrencyForm::Text => code.into(),
            CurrencyForm::Object => json!({
                "currencyCode": code,
                "defaultFractionDigits": 2,
                "displayName": code,
                "numericCode": 978,
                "numericCodeAsString": "978",
                "symbol": "¤",
            }),
        }
    }

    /// `None` is not sent at all.
    pub(super) fn generation(&self, generation: i64) -> Option<Value> {
        match self.generation {
            GenerationForm::Number => Some(generation.into()),
            GenerationForm::Text => Some(generation.to_string().into()),
            GenerationForm::Missing => None,
            GenerationForm::Null => Some(Value::Null),
        }
    }
}

/// To the cent.
pub(super) fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
