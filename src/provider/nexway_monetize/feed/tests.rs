//! What rows say, given what was seen before.

use serde_json::{Value, json};

use super::*;
use crate::provider::nexway_monetize::told::Orders;
use crate::provider::{Seen, Sighting};
use crate::renewal::HOUR;

const NOW: Timestamp = Timestamp::constant(1_780_000_000);

fn listed(count: i64, version: i64, status: &str) -> Value {
    json!({"id": "A-b", "dbVersion": version, "updateDate": 1_779_000_000_000_i64 + version * 1000,
           "createDate": 1_700_000_000_000_i64, "externalRefId": "P-1", "lifecycle": {"generation": count, "status": status}})
}

/// What a look noted that saw this and no orders.
fn noted(body: &Value) -> String {
    let subscription = subscription::read(body.to_string().as_bytes(), NOW).unwrap();
    let orders = Orders { all: Vec::new(), is_whole: true };
    sighting::sighting(&subscription, Some(&orders), None, NOW).memo.unwrap()
}

fn row_of(body: &Value) -> Row {
    row_at(body, NOW)
}

fn row_at(body: &Value, now: Timestamp) -> Row {
    let text = body.to_string();
    row(serde_json::from_str(&text).unwrap(), None, now).unwrap()
}

fn subject(memo: Option<&str>, generation: i64) -> Subject<'_> {
    Subject {
        territory: "default",
        partner_order_number: "a-b",
        subscription_id: "a-b",
        generation: Some(generation),
        memo,
        is_hinted: false,
    }
}

fn answer(says: Says) -> Sighting {
    match says {
        Says::Answer(sighting) => *sighting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_has_its_times_and_the_resellers_number() {
    let row = row_of(&listed(1, 5, "Active"));
    assert_eq!((row.subscription_id.as_str(), row.number.as_deref()), ("A-b", Some("P-1")));
    assert_eq!(row.changed_at, Some(Timestamp::from_unix(1_779_000_005)));
    assert_eq!(row.created_at, Some(Timestamp::from_unix(1_700_000_000)));
}

#[test]
fn a_row_that_has_not_moved_or_has_risen_is_an_answer_and_any_other_a_hint() {
    let before = listed(1, 5, "Active");
    let memo = noted(&before);
    let says = |body: &Value| row_of(body).says(subject(Some(&memo), 1));

    let same = answer(says(&before));
    assert_eq!(same.seen, Seen::Counted { generation: 1, doubt: None, besides: Vec::new() });
    assert_eq!((same.memo, same.as_of), (None, Some(Timestamp::from_unix(1_779_000_005))));

    let risen = answer(says(&listed(3, 6, "Active")));
    assert_eq!(risen.seen, Seen::Counted { generation: 3, doubt: None, besides: Vec::new() });
    // Its orders are read at the next row.
    let again = row_of(&listed(3, 6, "Active")).says(subject(risen.memo.as_deref(), 3));
    assert!(matches!(again, Says::Hint), "{again:?}");

    for moved in [listed(1, 6, "Active"), listed(1, 5, "Dunning"), listed(1, 5, "Suspended"), listed(0, 6, "Active")] {
        assert!(matches!(says(&moved), Says::Hint), "{moved}");
    }
    assert!(matches!(says(&listed(1, 4, "Active")), Says::Older));
    let uncounted = json!({"id": "A-b", "dbVersion": 6, "lifecycle": {"status": "Active"}});
    assert!(matches!(says(&uncounted), Says::Hint));
}

/// Otherwise what leaves the subscription as it was would never be seen while rows answer.
#[test]
fn whose_orders_were_read_long_ago_is_looked_at() {
    let body = listed(1, 5, "Active");
    let memo = noted(&body);
    let says = |hours: u32| row_at(&body, NOW + hours * HOUR).says(subject(Some(&memo), 1));
    assert!(matches!(says(23), Says::Answer(_)));
    assert!(matches!(says(25), Says::Hint));
}

#[test]
fn nobody_is_answered_for_whom_no_look_has_seen() {
    for memo in [None, Some("no memo")] {
        let says = row_of(&listed(2, 5, "Active")).says(subject(memo, 1));
        assert!(matches!(says, Says::Nothing), "{says:?}");
    }
}

#[test]
fn a_licence_says_where_to_look() {
    let read = |json: &str| {
        let json = json.to_owned();
        let licence: Licence<'_> = serde_json::from_str(&json).unwrap();
        super::licence(licence, NOW).map(|row| (row.subscription_id, row.changed_at))
    };
    let changed = r#"{"updateDate": 1779000000000, "checkout": {"subscriptionId": "S", "orderId": "O"}}"#;
    assert_eq!(read(changed), Some(("S".to_owned(), Some(Timestamp::from_unix(1_779_000_000)))));
    for odd in ["{}", r#"{"checkout": "S"}"#, r#"{"checkout": {"subscriptionId": []}}"#] {
        assert_eq!(read(odd), None, "{odd}");
    }
}

/// It would be taken for the last page, and the list for read.
#[test]
fn another_page_than_was_asked_for_is_a_fault() {
    let page = |number: i64| {
        let body = json!({"items": [listed(1, 5, "Active")], "number": number, "totalPages": 9});
        read(ALL, body.to_string().as_bytes(), 2, None, NOW).unwrap()
    };
    assert_eq!((page(2).fault, page(2).next.as_deref()), (None, Some("3")));
    assert!(page(0).fault.is_some());
}
