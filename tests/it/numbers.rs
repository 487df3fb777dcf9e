//! Partner order numbers are data: whatever they hold, they are asked for and delivered byte for byte.

use crate::fake_receiver::FakeReceiver;
use crate::harness::{Setup, Track, keys, number, order, sandbox};

#[test]
fn any_number_works_from_end_to_end() {
    let longest = "x".repeat(255);
    let utf8 = "€".repeat(84); // 252 bytes
    let numbers = [
        "a/b",
        "..%2f",
        "%2e%2e",
        " ",
        "  a",
        "#?&%",
        "Ünï",
        "+",
        "a%20b",
        "..\\",
        "-",
        "-1",
        "1",
        "A-0",
        "A-01",
        "🙂",
        "\u{202e}x",
        "\"'`$(x)",
        "{}",
        "null",
        "...",
        ".a",
        "order",
        "//",
        "a//b/",
        ";v=1",
        "@:",
        "\u{a0}",
        &longest,
        &utf8,
    ];
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    let ids: Vec<_> = numbers.iter().map(|number| order(&sandbox, number)).collect();
    site.track_all(numbers.iter().zip(&ids).map(|(number, id)| Track::new(number, *id)));
    numbers.iter().for_each(|number| sandbox.renew(number, None).unwrap());
    site.catch_up();
    let mut messages = receiver.messages();
    messages.sort_by_key(|message| message.data()["subscription"]["subscription_id"].as_i64());
    assert_eq!(messages.len(), numbers.len());
    for ((message, original), id) in messages.iter().zip(numbers).zip(ids) {
        let expected = format!("{original}-1");
        assert_eq!(number(message), expected);
        assert_eq!(message.data()["subscription"]["partner_order_number"], original);
        assert_eq!(message.json()["subject"], format!("{original}/{id}"));
        assert_eq!(keys(message), sandbox.expected_keys(&expected, id), "{original:?}");
    }
}
