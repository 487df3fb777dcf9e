//! A subscription as the platform tells it, alone or as a row of the list (nexway-monetize.md, section 2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::convention::MOST;
use crate::clock::Timestamp;
use crate::life::Life;
use crate::provider::Error;
use crate::provider::body;
use crate::provider::lenient::{Object, Objects, Scalar};

/// Characters. Names of a status have a dozen; what is longer is none, and would be stored for each subscription.
const LONGEST_STATUS: usize = 120;
/// Bytes. A name that was cut would be another one.
const LONGEST_NAME: usize = 255;

/// Each value may be missing or of another type; then it is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    external_ref_id: Scalar<'a>,
    /// What the shop gave along; base64 of JSON.
    #[serde(borrow)]
    external_context: Scalar<'a>,
    #[serde(borrow)]
    decoded_external_context: Option<&'a RawValue>,
    #[serde(borrow)]
    create_date: Scalar<'a>,
    #[serde(borrow)]
    update_date: Scalar<'a>,
    #[serde(borrow)]
    db_version: Scalar<'a>,
    #[serde(borrow)]
    payment_method_is_no_longer_replayable: Scalar<'a>,
    #[serde(borrow)]
    payment_method_is_no_longer_replayable_reason: Scalar<'a>,
    #[serde(borrow)]
    products: Objects<Product<'a>>,
    #[serde(borrow)]
    lifecycle: Object<Lifecycle<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Product<'a> {
    #[serde(borrow)]
    line_item_id: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle<'a> {
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    generation: Scalar<'a>,
    #[serde(borrow)]
    anniversary_date: Scalar<'a>,
    #[serde(borrow)]
    expiration_date: Scalar<'a>,
    #[serde(borrow)]
    next_billing_date: Scalar<'a>,
    #[serde(borrow)]
    first_charge_attempt_date: Scalar<'a>,
}

#[derive(Debug)]
pub struct Subscription {
    pub id: String,
    /// `None`: missing, or nothing that this platform counts.
    pub generation: Option<i64>,
    /// As it was sent: values that nobody knows are kept.
    pub status: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub next_billing_at: Option<Timestamp>,
    pub first_charge_at: Option<Timestamp>,
    pub partner_reference: Option<String>,
    /// The payment method cannot be charged again, perhaps with the reason.
    pub unreplayable: Option<Option<String>>,
    pub line_items: Vec<String>,
    pub version: Option<i64>,
    /// As it was written, to be compared for being the same.
    pub updated: Option<String>,
    pub updated_at: Option<Timestamp>,
}

/// What the body of an answer that came at `now` says.
pub fn read(bytes: &[u8], now: Timestamp) -> Result<Subscription, Error> {
    Subscription::of(body::parse(bytes)?, now).ok_or_else(|| body::unreadable("a subscription without id"))
}

impl Body<'_> {
    pub fn created_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.create_date.instant(now)
    }

    /// The reseller's number for it: `externalRefId`, or what stands at `pointer` in the context that the shop gave along.
    pub fn number(&self, pointer: Option<&str>) -> Option<String> {
        let Some(pointer) = pointer else { return self.external_ref_id.text() };
        let at = |context: &[u8]| match serde_json::from_slice::<Value>(context).ok()?.pointer(pointer)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let decoded = self.decoded_external_context.and_then(|context| at(context.get().as_bytes()));
        decoded.or_else(|| at(&BASE64.decode(self.external_context.text()?.trim()).ok()?))
    }
}

impl Subscription {
    /// `None`: it has no id.
    pub fn of(body: Body<'_>, now: Timestamp) -> Option<Self> {
        let lifecycle = body.lifecycle.into_option().unwrap_or_default();
        let instant = |scalar: &Scalar<'_>| scalar.instant(now);
        let short =
            |scalar: &Scalar<'_>| scalar.text().map(|text| text.chars().take(LONGEST_STATUS).collect::<String>());
        let is_unreplayable = body.payment_method_is_no_longer_replayable.flag() == Some(true);
        Some(Self {
            id: body.id.text().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())?,
            generation: lifecycle.generation.integer().filter(|count| (-1..=MOST).contains(count)),
            status: short(&lifecycle.status).filter(|status| !status.trim().is_empty()),
            expires_at: instant(&lifecycle.anniversary_date).or_else(|| instant(&lifecycle.expiration_date)),
            next_billing_at: instant(&lifecycle.next_billing_date),
            first_charge_at: instant(&lifecycle.first_charge_attempt_date),
            partner_reference: body.external_ref_id.text().filter(|name| name.len() <= LONGEST_NAME),
            unreplayable: is_unreplayable.then(|| short(&body.payment_method_is_no_longer_replayable_reason)),
            line_items: body.products.all.iter().filter_map(|product| product.line_item_id.text()).collect(),
            version: body.db_version.integer(),
            updated: short(&body.update_date),
            updated_at: instant(&body.update_date),
        })
    }

    pub fn is(&self, status: &str) -> bool {
        self.status.as_ref().is_some_and(|own| own.trim().eq_ignore_ascii_case(status))
    }

    pub fn life(&self) -> Option<Life> {
        self.status.as_ref()?;
        Some(if self.is("Canceled") || self.is("Cancelled") {
            Life::Cancelled
        } else if self.is("Expired") {
            Life::Expired
        } else {
            Life::Running
        })
    }

    /// Whether its orders can change while it stays as it is: it is being charged, or nobody knows what it is.
    pub fn is_on_the_move(&self) -> bool {
        let at_rest = ["Active", "Trial", "Suspended", "Canceled", "Cancelled", "Expired"];
        !at_rest.iter().any(|status| self.is(status))
    }

    /// What is told as a status: with the payment method that cannot be charged again, for the customer must act on that.
    pub fn words(&self) -> Option<String> {
        let status = self.status.as_ref()?;
        Some(match &self.unreplayable {
            None => status.clone(),
            Some(None) => format!("{status}, payment method no longer replayable"),
            Some(Some(reason)) => format!("{status}, payment method no longer replayable ({reason})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);

    fn read(json: &str) -> Subscription {
        super::read(json.as_bytes(), NOW).unwrap()
    }

    #[test]
    fn dates_come_in_three_forms() {
        for date in ["1786780800000", "\"2026-08-15T08:00:00Z\"", "\"1786780800000\""] {
            let told =
                read(&format!(r#"{{"id": "a", "updateDate": {date}, "lifecycle": {{"expirationDate": {date}}}}}"#));
            let at = Some(Timestamp::from_unix(1_786_780_800));
            assert_eq!((told.expires_at, told.updated_at), (at, at), "{date}");
            assert_eq!(told.updated.as_deref(), Some(date.trim_matches('"')));
        }
        let both =
            read(r#"{"id": "a", "lifecycle": {"anniversaryDate": 1786780800000, "expirationDate": 1786780900000}}"#);
        assert_eq!(both.expires_at, Some(Timestamp::from_unix(1_786_780_800)));
        let odd = r#"{"id": "a", "lifecycle": {"anniversaryDate": {"a": 1}, "expirationDate": 1786780800000}}"#;
        assert!(read(odd).expires_at.is_some());
    }

    #[test]
    fn all_but_the_id_may_be_missing_or_odd() {
        let bare = read(r#"{"id": "a"}"#);
        assert_eq!((bare.generation, bare.words(), bare.life(), bare.expires_at), (None, None, None, None));
        let odd = r#"{"id": 7, "externalRefId": [], "dbVersion": "x", "updateDate": {}, "lifecycle": [1], "products": "none",
                      "currency": {"currencyCode": "EUR"}, "paymentMethodIsNoLongerReplayable": "perhaps"}"#;
        let odd = read(odd);
        assert_eq!((odd.id.as_str(), odd.version, odd.line_items.len()), ("7", None, 0));
        assert!(odd.unreplayable.is_none() && odd.partner_reference.is_none());
        for json in ["{}", r#"{"id": ""}"#, r#"{"id": " "}"#, r#"{"id": {}}"#, "[]", "", "null", r#"{"id": "a""#] {
            assert!(super::read(json.as_bytes(), NOW).is_err(), "{json}");
        }
    }

    #[test]
    fn a_count_that_none_is_is_not_told() {
        let count = |generation: &str| {
            read(&format!(r#"{{"id": "a", "lifecycle": {{"generation": {generation}}}}}"#)).generation
        };
        for (generation, expected) in [("-1", Some(-1)), ("0", Some(0)), ("\"3\"", Some(3)), ("2.0", Some(2))] {
            assert_eq!(count(generation), expected, "{generation}");
        }
        for odd in ["-2", "null", "true", "[1]", "{}", "\"\"", "1.5", "\"one\"", "9223372036854775807"] {
            assert_eq!(count(odd), None, "{odd}");
        }
    }

    #[test]
    fn each_status_is_kept_and_the_final_ones_are_known() {
        let told = |status: &str| read(&format!(r#"{{"id": "a", "lifecycle": {{"status": "{status}"}}}}"#));
        for (status, life, is_on_the_move) in [
            ("Active", Life::Running, false),
            ("Trial", Life::Running, false),
            ("TrialConversion", Life::Running, true),
            ("Dunning", Life::Running, true),
            ("Renewing", Life::Running, true),
            ("Suspended", Life::Running, false),
            ("Canceled", Life::Cancelled, false),
            ("CANCELLED", Life::Cancelled, false),
            ("Expired", Life::Expired, false),
            ("Frozen", Life::Running, true),
        ] {
            let told = told(status);
            assert_eq!((told.life(), told.is_on_the_move()), (Some(life), is_on_the_move), "{status}");
            assert_eq!(told.words().as_deref(), Some(status));
        }
    }

    #[test]
    fn the_resellers_number_is_where_the_settings_say() {
        let number = |rest: &str, pointer: Option<&str>| {
            let json = format!(r#"{{"id": "a", "externalRefId": "P-1", {rest}}}"#);
            serde_json::from_str::<Body<'_>>(&json).unwrap().number(pointer)
        };
        let decoded = r#""decodedExternalContext": {"shop": {"order": 17, "name": "N"}}"#;
        assert_eq!(number(decoded, None).as_deref(), Some("P-1"));
        assert_eq!(number(decoded, Some("/shop/order")).as_deref(), Some("17"));
        assert_eq!(number(decoded, Some("/shop/name")).as_deref(), Some("N"));
        // base64 of {"shop": {"order": "18"}}
        let encoded = r#""decodedExternalContext": null, "externalContext": "eyJzaG9wIjogeyJvcmRlciI6ICIxOCJ9fQ==""#;
        assert_eq!(number(encoded, Some("/shop/order")).as_deref(), Some("18"));
        for odd in [r#""x": 1"#, r#""decodedExternalContext": [7], "externalContext": "%""#, r#""externalContext": {}"#]
        {
            assert_eq!(number(odd, Some("/shop/order")), None, "{odd}");
        }
        assert_eq!(number(decoded, Some("/shop")), None, "an object is no number");
    }

    #[test]
    fn a_payment_method_that_is_used_up_is_told_with_the_status() {
        let told = |rest: &str| {
            let json = format!(
                r#"{{"id": "a", "lifecycle": {{"status": "Active"}}, "paymentMethodIsNoLongerReplayable": {rest}}}"#
            );
            read(&json).words().unwrap()
        };
        assert_eq!(told("false"), "Active");
        assert_eq!(told("true"), "Active, payment method no longer replayable");
        let reason = r#"true, "paymentMethodIsNoLongerReplayableReason": "card_expired""#;
        assert_eq!(told(reason), "Active, payment method no longer replayable (card_expired)");
    }
}
