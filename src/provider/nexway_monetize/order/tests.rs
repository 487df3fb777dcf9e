//! What a status, a sum and a line of an order mean, however oddly they come.

use super::*;

const NOW: Timestamp = Timestamp::constant(1_780_000_000);

fn read(json: &str) -> Order {
    super::read(json.as_bytes(), NOW).unwrap()
}

#[test]
fn each_status_has_its_meaning_and_unknown_ones_wait() {
    for (status, standing) in [
        ("COMPLETED", Standing::Good),
        ("FORCE_COMPLETED", Standing::Good),
        ("PARTIAL_COMPLETED", Standing::Partial),
        ("PARTIAL_CANCELED", Standing::Partial),
        ("PAYMENT_REFUSED", Standing::Refused),
        ("CANCELED", Standing::Dead),
        ("CANCELED_WITH_ERROR", Standing::Dead),
        ("FORCE_CANCELED", Standing::Dead),
        ("ABORTED", Standing::Dead),
    ] {
        assert_eq!(read(&format!(r#"{{"id": "a", "status": "{status}"}}"#)).standing(), standing, "{status}");
    }
    let waiting =
        ["CREATED", "PAYMENT_PENDING", "FRAUD_PENDING", "PENDING", "PENDING_WITH_ERROR", "CANCEL_PENDING", "NEW"];
    for status in waiting {
        assert_eq!(read(&format!(r#"{{"id": "a", "status": "{status}"}}"#)).standing(), Standing::Open, "{status}");
    }
    for odd in ["null", "7", "[]", "{}", "true", "\"\""] {
        assert_eq!(read(&format!(r#"{{"id": "a", "status": {odd}}}"#)).standing(), Standing::Open, "{odd}");
    }
    assert_eq!(read(r#"{"id": "a", "lifeCycleStatus": "COMPLETED"}"#).standing(), Standing::Good);
}

#[test]
fn money_keeps_its_digits_and_its_currency() {
    for (currency, amount, expected) in [
        ("\"EUR\"", "9007199254740993.10", (Some("EUR"), Some("9007199254740993.10"))),
        (r#"{"currencyCode": "EUR", "symbol": "x"}"#, "\"49.90\"", (Some("EUR"), Some("49.90"))),
        ("null", "null", (None, None)),
        ("[]", "{}", (None, None)),
        ("{}", "1e2", (None, Some("1e2"))),
    ] {
        let order = read(&format!(r#"{{"id": "a", "currency": {currency}, "totalAmount": {amount}}}"#));
        assert_eq!((order.currency.as_deref(), order.amount.as_deref()), expected, "{currency} {amount}");
    }
}

#[test]
fn a_failed_payment_is_told_by_any_of_three_signs_until_it_is_paid() {
    for (fields, failure) in [
        (r#""status": "PAYMENT_REFUSED""#, Some("PAYMENT_REFUSED")),
        (r#""status": "CREATED", "lifeCycleStatus": "PREBILLING_FAILED""#, Some("PREBILLING_FAILED")),
        (r#""status": "PENDING", "paymentStatus": "FAILED""#, Some("payment FAILED")),
        (r#""status": "PENDING", "payments": [{"status": "COMPLETED"}, {"status": "FAILED"}]"#, Some("payment FAILED")),
        (r#""status": "PENDING", "payments": [{"status": "FAILED"}, {"status": "PENDING"}]"#, None),
        (r#""status": "PENDING", "paymentStatus": "PENDING", "payments": [{"status": "FAILED"}]"#, None),
        (r#""status": "COMPLETED", "paymentStatus": "FAILED""#, None),
        (r#""status": "ABORTED", "lifeCycleStatus": "PREBILLING_FAILED""#, None),
        (r#""status": "CREATED", "lifeCycleStatus": "PREBILLING_PENDING""#, None),
    ] {
        assert_eq!(read(&format!(r#"{{"id": "a", {fields}}}"#)).failure(), failure, "{fields}");
    }
}

#[test]
fn a_line_is_ours_by_its_own_word_or_where_there_is_no_doubt() {
    let ours = |order: &str, known: &[&str]| {
        let (order, known) = (read(order), known.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        order.lines.iter().map(|line| order.has_line(line, "s", &known)).collect::<Vec<_>>()
    };
    let renewal =
        r#"{"id": "a", "subscriptionId": "S", "source": "SUBSCRIPTION", "lineItems": [{"id": "1"}, {"id": "2"}]}"#;
    assert_eq!(ours(renewal, &[]), [true, true]);
    let purchase = renewal.replace("SUBSCRIPTION", "PURCHASE");
    assert_eq!(ours(&purchase, &[]), [false, false]);
    assert_eq!(ours(&purchase, &["2"]), [false, true]);
    let anothers = renewal.replace("\"S\"", "\"other\"");
    assert_eq!(ours(&anothers, &["1", "2"]), [false, false]);
    let named = r#"{"id": "a", "subscriptionId": "s", "source": "SUBSCRIPTION",
                    "lineItems": [{"id": "1", "subscriptionId": "other"}, {"id": "2", "subscriptionId": {}}]}"#;
    assert_eq!(ours(named, &["1", "2"]), [false, false]);
    assert!(read(r#"{"id": "a", "lineItems": [{"subscriptionId": "S"}]}"#).is_of("s"));
    assert!(!read(r#"{"id": "a", "lineItems": [{}]}"#).is_of("s"));
}
