//! Prices, digit by digit as they were sent. `vatDiscountAmount` is not among them: what it says is not what it is described as.

use std::fmt;

use serde::Deserialize;

use crate::provider::lenient::{Object, Written};
use crate::provider::nexway_monetize::order::Currency;

/// Characters. No amount has more, and nobody would read it.
const LONGEST: usize = 40;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PriceBody<'a> {
    #[serde(borrow)]
    currency: Currency<'a>,
    gross_price: Written,
    discounted_price: Object<Discounted>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Discounted {
    discount_rate: Written,
    cumulated_discount_rate: Written,
    discounted_gross_price: Written,
    gross_price_discount_amount: Written,
}

/// An amount with its currency, where that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    pub amount: String,
    pub currency: Option<String>,
}

/// VAT included.
#[derive(Debug, Default)]
pub struct Price {
    pub currency: Option<String>,
    full: Option<String>,
    reduced: Option<String>,
    /// A fraction.
    rate: Option<String>,
    saved: Option<String>,
}

impl Money {
    /// `None`: it is no number.
    pub fn of(amount: &str, currency: Option<&str>) -> Option<Self> {
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let amount = amount.trim();
        let is_it = amount.len() <= LONGEST && amount.chars().all(is_number) && amount.parse::<f64>().is_ok();
        let currency = currency.map(|code| code.chars().take(LONGEST).collect());
        is_it.then(|| Self { amount: amount.to_owned(), currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.amount)?;
        self.currency.as_ref().map_or(Ok(()), |currency| write!(f, " {currency}"))
    }
}

impl Price {
    pub fn of(body: PriceBody<'_>) -> Self {
        let discounted = body.discounted_price.into_option().unwrap_or_default();
        // The several discounts together, where there are several.
        let rate = discounted.cumulated_discount_rate.into_text().or_else(|| discounted.discount_rate.into_text());
        Self {
            currency: body.currency.text(),
            full: body.gross_price.into_text(),
            reduced: discounted.discounted_gross_price.into_text(),
            rate,
            saved: discounted.gross_price_discount_amount.into_text(),
        }
    }

    fn money(&self, amount: Option<&str>) -> Option<Money> {
        Money::of(amount?, self.currency.as_deref())
    }

    /// What is to be paid; `total` where the price does not tell.
    pub fn due(&self, total: Option<&str>) -> Option<Money> {
        self.money(self.reduced.as_deref()).or_else(|| self.money(total)).or_else(|| self.money(self.full.as_deref()))
    }

    /// The same with what it costs otherwise, and what is saved.
    pub fn compared(&self, total: Option<&str>) -> Option<String> {
        let due = self.due(total)?;
        let full = self.money(self.full.as_deref()).filter(|full| *full != due);
        let Some(full) = full else { return Some(due.to_string()) };
        let rate = self.rate.as_deref().and_then(percent).map(|percent| format!(": {percent} % less"));
        let saved = || self.money(self.saved.as_deref()).map(|saved| format!(": {saved} less"));
        Some(format!("{due} instead of {full}{}", rate.or_else(saved).unwrap_or_default()))
    }
}

/// Of a fraction in decimal digits, a hundred times as much, without any rounding; `None`: nothing, or another form.
fn percent(fraction: &str) -> Option<String> {
    let (whole, rest) = fraction.split_once('.').unwrap_or((fraction, ""));
    if whole.is_empty() || !whole.bytes().chain(rest.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest = format!("{rest:0<2}");
    let whole = format!("{whole}{}", &rest[..2]);
    let (whole, rest) = (whole.trim_start_matches('0'), rest[2..].trim_end_matches('0'));
    match (whole, rest) {
        ("", "") => None,
        (whole, "") => Some(whole.to_owned()),
        ("", rest) => Some(format!("0.{rest}")),
        (whole, rest) => Some(format!("{whole}.{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(json: &str) -> Price {
        Price::of(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_fraction_becomes_percents_by_its_digits() {
        let told = [("0.2", "20"), ("0.125", "12.5"), ("0.3333333333333333333", "33.33333333333333333"), ("1", "100")];
        for (fraction, expected) in told.into_iter().chain([("0.005", "0.5"), ("0.20", "20"), ("1.5", "150")]) {
            assert_eq!(percent(fraction).as_deref(), Some(expected), "{fraction}");
        }
        for odd in ["0", "0.0", "", ".2", "2e-1", "-0.2", "a", "0.ä"] {
            assert_eq!(percent(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_saved_is_told_with_every_digit() {
        let whole = r#"{"currency": {"currencyCode": "EUR"}, "grossPrice": 54.00, "discountedPrice":
            {"discountRate": 0.1, "cumulatedDiscountRate": 0.20, "discountedGrossPrice": 43.20, "vatDiscountAmount": 7.2}}"#;
        assert_eq!(price(whole).compared(None).as_deref(), Some("43.20 EUR instead of 54.00 EUR: 20 % less"));
        let by_amount = r#"{"currency": "EUR", "grossPrice": "54.00", "discountedPrice":
            {"discountedGrossPrice": 43.20, "grossPriceDiscountAmount": 10.80}}"#;
        assert_eq!(price(by_amount).compared(None).as_deref(), Some("43.20 EUR instead of 54.00 EUR: 10.80 EUR less"));
        assert_eq!(price(r#"{"grossPrice": 54}"#).compared(Some("43.20")).as_deref(), Some("43.20 instead of 54"));
        assert_eq!(price(r#"{"grossPrice": 54}"#).compared(None).as_deref(), Some("54"));
        for odd in ["{}", r#"{"grossPrice": "free", "discountedPrice": [1], "currency": 7}"#] {
            assert_eq!(price(odd).compared(Some("NaN")), None, "{odd}");
        }
    }
}
