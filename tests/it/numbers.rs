//! Partner order numbers are data: whatever they hold, they are asked for and delivered byte for byte.

use crate::harness::{Site, about, keys, number};

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
    let site = Site::new();
    let ids = site.renewed_all(&numbers);
    site.catch_up();
    let messages = site.messages();
    assert_eq!(messages.len(), numbers.len());
    for (original, id) in numbers.iter().zip(ids) {
        let [message] = &about(&messages, id)[..] else { panic!("one message about {original:?}") };
        let expected = format!("{original}-1");
        assert_eq!(number(message), expected);
        assert_eq!(message.data()["subscription"]["partner_order_number"], *original);
        assert_eq!(message.json()["subject"], format!("{original}/{id}"));
        assert_eq!(keys(message), site.sandbox.expected_keys(&expected, id), "{original:?}");
    }
}
