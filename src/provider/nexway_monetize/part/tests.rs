//! Whose rows are handed over, and when.

use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::provider::nexway_monetize::{order, page::Page};

const NOW: Timestamp = Timestamp::constant(1_780_000_000);

fn answer(order: Value, rows: Value) -> Answer {
    let mut base = json!({"id": "O1", "subscriptionId": "s", "source": "SUBSCRIPTION", "status": "COMPLETED", "generationId": "1",
                          "lineItems": [{"id": "l1", "publisherRefId": "ACME"}]});
    base.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
    let order = order::read(base.to_string().as_bytes(), NOW).unwrap();
    let rows = rows.to_string();
    let page = Page::<rows::Body<'_>>::read(rows.as_bytes()).unwrap();
    Answer {
        order,
        is_named: false,
        rows: page.items.all.into_iter().map(Row::of).collect(),
        file_link: None,
        known_lines: Vec::new(),
    }
}

fn row(fields: Value) -> Value {
    let mut row = json!({"lineItemId": "l1", "orderId": "O1", "subscriptionId": "S", "processingStatus": "COMPLETED"});
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    row
}

fn key(key: &str) -> Value {
    row(json!({"activationCode": key}))
}

fn keys(part: &Part) -> Vec<String> {
    part.delivery.iter().flat_map(Delivery::serials).map(|serial| serial.data.reveal().to_owned()).collect()
}

#[test]
fn a_complete_order_is_handed_over_line_by_line() {
    let order = json!({"totalAmount": "49.90", "currency": {"currencyCode": "EUR"}, "paymentStatus": "COMPLETED",
        "payments": [{"id": "O11", "status": "FAILED"}, {"id": "O12", "status": "COMPLETED"}],
        "lineItems": [{"id": "l1", "publisherRefId": "ACME", "expirationDate": 1_811_536_000_000_i64}, {"id": "l2", "productId": "p2"}]});
    let rows = json!([
        key("K1"),
        row(json!({"lineItemId": "l2", "activationCode": 12345678901234567890_u64, "activationLink": "https://a"})),
        key("K2")
    ]);
    let part = part(&answer(order, rows), "s");
    assert_eq!((part.verdict.class, part.keys), (Class::Success, Keys::Expected));
    assert_eq!(keys(&part), ["K1", "K2", "12345678901234567890"]);
    let delivery = part.delivery.unwrap();
    assert_eq!(
        delivery.lines.iter().map(|line| line.product_ref.as_deref()).collect::<Vec<_>>(),
        [Some("ACME"), Some("p2")]
    );
    assert_eq!(delivery.lines[1].files[0].r#type, "activation");
    assert_eq!(delivery.period.unwrap().end, Some(Timestamp::from_unix(1_811_536_000)));
    let charge = *delivery.charge.unwrap();
    assert_eq!(
        (charge.amount.as_deref(), charge.currency.as_deref(), charge.attempts),
        (Some("49.90"), Some("EUR"), Some(2))
    );
    assert_eq!((charge.state.as_deref(), charge.reference.as_deref()), (Some("COMPLETED"), Some("O12")));
    assert!(delivery.warnings.is_empty() && delivery.order_number.as_deref() == Some("O1"));
}

#[test]
fn only_rows_that_are_ours_beyond_doubt_come_out() {
    let others = json!([
        key("OURS"),
        row(json!({"activationCode": "OTHERS", "subscriptionId": "other"})),
        row(json!({"activationCode": "UNREADABLE", "subscriptionId": {"id": "s"}})),
        row(json!({"activationCode": "OF ANOTHER ORDER", "orderId": "O2"})),
        row(json!({"activationCode": "OF NO ORDER", "orderId": ["O1"]})),
        row(json!({"activationCode": "NOBODYS LINE", "subscriptionId": null, "lineItemId": "l9"})),
        row(json!({"activationCode": "NO LINE", "subscriptionId": "", "lineItemId": null})),
    ]);
    assert_eq!(keys(&part(&answer(json!({}), others), "s")), ["OURS"]);
    let unnamed = json!([row(json!({"activationCode": "K", "subscriptionId": null}))]);
    assert_eq!(keys(&part(&answer(json!({}), unnamed.clone()), "s")), ["K"], "the order's own line");
    let anothers = json!({"lineItems": [{"id": "l1", "subscriptionId": "other"}]});
    assert_eq!(keys(&part(&answer(anothers, unnamed.clone()), "s")), [""; 0]);
    let bought = json!({"source": "PURCHASE", "lineItems": [{"id": "l1"}, {"id": "l2"}]});
    assert_eq!(keys(&part(&answer(bought.clone(), unnamed.clone()), "s")), [""; 0], "perhaps the other subscription's");
    let known = Answer { known_lines: vec!["L1".to_owned()], ..answer(bought, unnamed) };
    assert_eq!(keys(&part(&known, "s")), ["K"]);
    let foreign = part(&answer(json!({"subscriptionId": "other"}), json!([key("K")])), "s");
    assert_eq!((foreign.verdict.class, foreign.delivery), (Class::NotFound, None));
}

#[test]
fn a_key_that_is_missing_beside_others_is_still_to_come() {
    let of = |lines: Value, rows: Value| part(&answer(json!({"lineItems": lines}), rows), "s").keys;
    let two = json!([{"id": "l1"}, {"id": "l2"}]);
    let second = |code: &str| row(json!({"lineItemId": "L2", "activationCode": code}));
    assert_eq!(of(two.clone(), json!([key("K1"), second("K2")])), Keys::Expected);
    assert_eq!(of(two.clone(), json!([key("K1")])), Keys::Outstanding, "the other line's row comes later");
    assert_eq!(of(two.clone(), json!([key("K1"), second(" ")])), Keys::Outstanding);
    assert_eq!(of(json!([{"id": "l1"}]), json!([key("K1"), key("")])), Keys::Outstanding, "a unit without its key");
    let untold = row(json!({"lineItemId": null, "activationCode": "K1"}));
    assert_eq!(of(two, json!([untold])), Keys::Expected, "rows that do not tell their lines");
    let others = json!([{"id": "l1"}, {"id": "l2", "subscriptionId": "other"}]);
    assert_eq!(of(others, json!([key("K1")])), Keys::Expected, "another's line");
}

#[test]
fn every_row_of_ours_must_be_complete() {
    for (status, waits) in [
        ("COMPLETED", false),
        ("CANCELED", false),
        ("INITIALIZED", true),
        ("PENDING", true),
        ("FAILURE", true),
        ("PARTIALLY_CANCELED", true),
        ("NEW", true),
        ("", true),
    ] {
        let rows = json!([key("K1"), row(json!({"activationCode": "K2", "processingStatus": status}))]);
        let part = part(&answer(json!({}), rows), "s");
        let expected = if waits { Class::Waiting } else { Class::Success };
        assert_eq!(part.verdict.class, expected, "{status}");
        let second = matches!(status, "COMPLETED" | "PARTIALLY_CANCELED").then_some("K2");
        assert_eq!(keys(&part), ["K1"].into_iter().chain(second).collect::<Vec<_>>(), "{status}");
        let delivery = part.delivery.unwrap();
        assert_eq!(delivery.warnings.contains(&Warning::Partial), waits, "{status}");
    }
    let others = json!([key("K1"), row(json!({"subscriptionId": "other", "processingStatus": "PENDING"}))]);
    assert_eq!(part(&answer(json!({}), others), "s").verdict.class, Class::Success, "another's holds up nobody");
    let none = part(&answer(json!({}), json!([row(json!({"processingStatus": "PENDING"}))])), "s");
    assert_eq!((none.verdict.class, none.delivery), (Class::Waiting, None), "nothing to hand over in the end");
}

#[test]
fn what_is_partly_complete_waits_with_what_there_is() {
    for status in ["PARTIAL_COMPLETED", "PARTIAL_CANCELED"] {
        let part = part(&answer(json!({"status": status}), json!([key("K1")])), "s");
        assert_eq!((part.verdict.class, keys(&part)), (Class::Waiting, vec!["K1".to_owned()]), "{status}");
        assert_eq!(part.delivery.unwrap().warnings, [Warning::Partial]);
    }
}

#[test]
fn a_complete_order_without_keys_is_not_taken_for_complete() {
    for rows in [json!([]), json!([row(json!({}))]), json!([row(json!({"activationCode": "", "qrCodeBase64": []}))])] {
        let part = part(&answer(json!({}), rows), "s");
        assert!(part.keys == Keys::Expected && part.delivery.unwrap().is_empty());
    }
    let odd = part(&answer(json!({}), json!([row(json!({"activationCode": {"key": "K"}}))])), "s");
    assert_eq!(odd.verdict.class, Class::Transient, "a key that cannot be read is no missing one");
}

#[test]
fn codes_to_be_scanned_and_links_stand_for_keys() {
    let rows = json!([row(json!({"activationLink": {"enabled": true, "url": "https://a"},
                                 "qrCodeBase64": ["QUJD", "data:image/gif;base64,REVG"]}))]);
    let delivery = part(&answer(json!({}), rows), "s").delivery.unwrap();
    let line = &delivery.lines[0];
    let serials: Vec<_> = line
        .serials
        .iter()
        .map(|serial| (serial.data.reveal(), serial.encoding.as_str(), serial.file_name.as_str()))
        .collect();
    assert_eq!(serials, [("QUJD", "base64", "qr-code-1.png"), ("REVG", "base64", "qr-code-2.gif")]);
    assert_eq!(line.files[0].url, "https://a");
}

#[test]
fn a_licence_file_is_told_with_the_place_where_it_is() {
    let rows = json!([row(json!({"activationFileFulfillment": true}))]);
    let bare = answer(json!({}), rows);
    assert!(has_file(&bare, "s") && !has_file(&bare, "other"));
    let without = part(&bare, "s").delivery.unwrap();
    assert!(without.is_empty() && without.warnings == [Warning::FileNotFetched]);
    let with = part(&Answer { file_link: Some("https://files".to_owned()), ..bare }, "s").delivery.unwrap();
    assert_eq!(
        (with.lines[0].files[0].url.as_str(), with.lines[0].files[0].r#type.as_str()),
        ("https://files", "licence")
    );
}

#[test]
fn an_order_that_is_not_good_is_waited_for_while_it_may_become_so() {
    for (status, is_named, class) in [
        ("CREATED", false, Class::Waiting),
        ("PAYMENT_PENDING", false, Class::Waiting),
        ("FRAUD_PENDING", true, Class::Waiting),
        ("PENDING_WITH_ERROR", false, Class::Waiting),
        ("CANCEL_PENDING", true, Class::Waiting),
        ("PAYMENT_REFUSED", false, Class::Waiting),
        ("SOMETHING_NEW", true, Class::Waiting),
        ("ABORTED", false, Class::NotFound),
        ("CANCELED", true, Class::Permanent),
    ] {
        let answer = answer(json!({"status": status}), json!([]));
        let Step::Over(verdict) = step(&answer.order, is_named) else { panic!("{status}") };
        assert_eq!((verdict.class, verdict.message), (class, format!("order O1 is {status}")));
    }
    assert!(matches!(step(&answer(json!({}), json!([])).order, false), Step::Keys));
}
