use super::*;

const NOW: Timestamp = Timestamp::constant(1_600_000_000); // 2020-09-13T12:26:40Z

fn status(body: &str) -> Result<Status, Error> {
    Status::read(body.as_bytes(), NOW)
}

fn order(body: &str) -> Result<OrderData, Error> {
    OrderData::read(body.as_bytes(), NOW)
}

fn is_unreadable<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unreadable { .. }))
}

const STATUS: &str = r#"{"partnerOrderNumber": "PARTNER689-1", "productRef": 811537, "period": "P1Y", "generation": 1,
    "technicalStatus": "ACTIVE", "creation_datetime": "2018-01-18T15:40:21+01:00",
    "expiration_datetime": "2020-01-18T15:40:21+01:00", "next_status_change_datetime": "2020-01-03T00:00:00+01:00",
    "currency": "USD", "amount": 29.99, "code": 0, "message": "OK"}"#;

const ORDER: &str = r#"{"partnerOrderNumber": "PARTNER689-1", "orderNumber": 12567638, "orderLines": [
    {"productRef": "811537", "dateEndDownload": "2019-02-08", "digitalLockerLink": "", "remark": "<b>50 %\r\n</b>",
     "responseCode": 0, "responseMessage": "",
     "files": [{"label": "Setup", "type": "install", "url": "http://cdn.example/f", "size": "0.96", "group": null},
               {"label": "Manual", "type": "install", "url": "http://cdn.example/m", "size": "", "group": ""}],
     "lineItems": [{"subscriptionId": "5618577", "responseCode": "0", "serials": [
        {"data": "XXXX-\u00e9\/\ud83d\ude00", "encoding": "text", "charset": "utf-8", "fileName": ""},
        {"data": 12345678901234567890123, "encoding": null}]}]}],
    "downloadManager": {"pc": "http://x/d.exe", "mac": ""}, "responseCode": 0, "responseMessage": "OK"}"#;

#[test]
fn a_status_is_read_field_by_field() {
    let status = status(STATUS).unwrap();
    assert_eq!(status.verdict, Verdict::success());
    assert_eq!(status.partner_order_number.as_deref(), Some("PARTNER689-1"));
    assert_eq!(status.generation, Some(1));
    assert_eq!(status.technical_status.as_deref(), Some("ACTIVE"));
    assert_eq!(status.expires_at.unwrap().to_string(), "2020-01-18T14:40:21Z");
}

#[test]
fn a_status_may_come_in_other_types() {
    let same = STATUS
        .replace(": 811537", ": {\"x\": [1]}")
        .replace("\"generation\": 1", "\"generation\": \"1\"")
        .replace("\"P1Y\"", "[[12]]")
        .replace("29.99", "\"x\"")
        .replace("\"code\": 0", "\"responseCode\": \"0\"");
    assert_eq!(status(&same).unwrap().generation, Some(1));
    assert_eq!(status(&format!("\u{feff} {STATUS} ")).unwrap().generation, Some(1));
    const ODD: Option<i64> = Some(UNREADABLE_GENERATION);
    for (json, generation) in [
        ("null", None),
        ("\" \"", None),
        ("-1", Some(-1)),
        ("1.0", Some(1)),
        ("\"x\"", ODD),
        ("{}", ODD),
        ("1.5", ODD),
        ("1e300", ODD),
        ("true", ODD),
    ] {
        let status = status(&STATUS.replace("\"generation\": 1", &format!("\"generation\": {json}"))).unwrap();
        assert_eq!((status.generation, status.verdict.class), (generation, Class::Success), "{json}");
    }
    let undated = status(&STATUS.replace("2020-01-18T15:40:21+01:00", "next year")).unwrap();
    assert_eq!(undated.expires_at, None);
}

#[test]
fn an_answer_without_any_known_field_is_never_no_change() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = format!("{{\"generation\":1,\"partnerOrderNumber\":{}", "{\"a\":".repeat(10_000));
    for body in [
        "",
        " ",
        "{}",
        "null",
        "[]",
        "0",
        "\"OK\"",
        "<html>",
        "{\"code\": 0}",
        "{\"code\": 0, \"generation\": null}",
        "[1, 2, 3]",
        "{\"status\": \"UP\"}",
        "{\"generation\": 1",
        "{\"generation\": 1} x",
        "\u{0}",
        "{\"generation\":1,\"generation\":2}",
        "[\"PARTNER689\", 3]",
        &deep,
        &nested,
    ] {
        assert!(is_unreadable(status(body)), "{}", &body[..body.len().min(60)]);
        assert!(is_unreadable(order(body)), "{}", &body[..body.len().min(60)]);
    }
    assert!(is_unreadable(Status::read(b"{\"partnerOrderNumber\": \"\xff\"}", NOW)));
    let aside = format!("{{\"generation\":1,\"x\":{deep}}}");
    assert_eq!(status(&aside).unwrap().generation, Some(1));
}

#[test]
fn a_status_without_code_can_be_used_but_not_one_with_an_odd_code() {
    assert_eq!(status("{\"generation\": 2}").unwrap().verdict, Verdict::success());
    assert_eq!(status("{\"partnerOrderNumber\": 1234}").unwrap().partner_order_number.as_deref(), Some("1234"));
    for code in ["\"E42\"", "true", "{}", "[0]", "0.5"] {
        assert!(is_unreadable(status(&format!("{{\"generation\": 2, \"code\": {code}}}"))), "{code}");
    }
    let both =
        status("{\"generation\": 2, \"code\": 0, \"responseCode\": 1010, \"responseMessage\": \"gone\"}").unwrap();
    assert_eq!((both.verdict.code, both.verdict.message.as_str()), (1010, "gone"));
}

#[test]
fn status_codes_have_classes() {
    use Class::*;
    for (code, class) in [(0, Success), (70, Configuration), (71, Configuration), (1010, NotFound), (1000, Transient)] {
        let body = format!("{{\"partnerOrderNumber\": \"P\", \"code\": {code}, \"message\": \"why\\u0007\"}}");
        assert_eq!(status(&body).unwrap().verdict.class, class, "{code}");
    }
    let refused = status("{\"code\": 71, \"message\": \"secret is not valid\\u0007\"}").unwrap().verdict;
    assert_eq!(refused.message, "secret is not valid\u{7}");
    let long = status(&format!("{{\"code\": 1, \"message\": \"{}\"}}", "é".repeat(5000))).unwrap().verdict;
    assert_eq!(long.message.chars().count(), 500);
}

#[test]
fn order_data_is_read_field_by_field() {
    let order = order(ORDER).unwrap();
    assert_eq!((order.verdict.code, order.order_number), (0, Some(12567638)));
    assert_eq!(order.download_manager, Some(DownloadManager { pc: Some("http://x/d.exe".into()), mac: None }));
    let line = &order.lines[0];
    assert_eq!((line.product_ref, line.remark.as_str()), (Some(811537), "<b>50 %\r\n</b>"));
    assert_eq!(line.download_until.as_deref(), Some("2019-02-08"));
    assert_eq!((line.files[0].size, line.files[1].size), (Some(0.96), None));
    let item = &line.items[0];
    assert_eq!(item.subscription_id, Some(5618577));
    let keys: Vec<_> = item.serials.iter().map(|serial| serial.data.reveal()).collect();
    assert_eq!(keys, ["XXXX-é/😀", "12345678901234567890123"]);
    assert_eq!(item.serials[1].encoding, "");
}

#[test]
fn order_data_may_lack_nearly_everything() {
    for lines in
        ["", ", \"orderLines\": null", ", \"orderLines\": []", ", \"orderLines\": \"\"", ", \"orderLines\": [null]"]
    {
        let order = order(&format!("{{\"responseCode\": 1060, \"orderNumber\": 0{lines}}}")).unwrap();
        assert_eq!((order.verdict.class, order.lines.len(), order.order_number), (Class::Waiting, 0, None), "{lines}");
    }
    for (id, read) in [("5618577.0", Some(5_618_577)), ("\"\"", None), ("null", None), ("\"0\"", None)] {
        let body =
            format!("{{\"responseCode\": 0, \"orderLines\": [{{\"lineItems\": [{{\"subscriptionId\": {id}}}]}}]}}");
        assert_eq!(order(&body).unwrap().lines[0].items[0].subscription_id, read, "{id}");
    }
    let bare = order("{\"orderLines\": [{\"files\": null, \"lineItems\": [{\"subscriptionId\": 0}]}]}").unwrap();
    assert_eq!(bare.verdict.class, Class::Success);
    assert_eq!(bare.lines[0].items[0].subscription_id, None);
    for manager in ["null", "\"\"", "[]", "5", "{}", "{\"pc\": null}"] {
        let body = format!("{{\"partnerOrderNumber\": \"P\", \"responseCode\": 0, \"downloadManager\": {manager}}}");
        assert_eq!(order(&body).unwrap().download_manager, None, "{manager}");
    }
}

#[test]
fn order_data_that_could_lose_a_key_or_hide_a_failure_is_unreadable() {
    for body in [
        r#"{"orderLines": [{"lineItems": []}]}"#,
        r#"{"partnerOrderNumber": "P-1"}"#,
        r#"{"responseCode": "x", "orderLines": [{"lineItems": [{}]}]}"#,
        r#"{"responseCode": 0, "orderLines": {"lineItems": []}}"#,
        r#"{"responseCode": 0, "orderLines": [{"responseCode": true}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"responseCode": "x"}]}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"subscriptionId": "8f14e45f-ceea"}]}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"subscriptionId": [5618577]}]}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"serials": "KEY"}]}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"serials": [{"data": {"a": 1}}]}]}]}"#,
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"serials": [{"data": true}]}]}]}"#,
    ] {
        assert!(is_unreadable(order(body)), "{body}");
    }
}

#[test]
fn codes_are_kept_apart_at_all_three_levels() {
    let body = r#"{"responseCode": 0, "orderLines": [{"responseCode": "1040", "responseMessage": "link", "lineItems": [
        {"responseCode": 1051, "responseMessage": "stock"}, {"responseCode": null}]}]}"#;
    let order = order(body).unwrap();
    let line = &order.lines[0];
    assert_eq!(
        (line.verdict.code, line.verdict.class, line.verdict.message.as_str()),
        (1040, Class::Transient, "link")
    );
    assert_eq!((line.items[0].verdict.class, line.items[1].verdict.class), (Class::Waiting, Class::Success));
}

#[test]
fn order_codes_have_classes() {
    use Class::*;
    for (class, codes) in [
        (Success, &[0][..]),
        (Waiting, &[1051, 1060, 1061]),
        (NotFound, &[1010, 404]),
        (Configuration, &[70, 71, 403]),
        (Permanent, &[100, 750, 751, 760, 1020, 1062, 1064]),
        (Transient, &[1000, 1030, 1031, 1032, 1033, 1034, 1040, 1052, 1063, 1065, 3011, -1, 99999]),
    ] {
        for code in codes {
            assert_eq!(OrderData::class(*code), class, "{code}");
        }
    }
}

#[test]
fn an_error_never_shows_the_content() {
    for body in [
        r#"{"responseCode": 0, "orderLines": [{"lineItems": [{"serials": [{"data": {"TOP-SECRET": 1}}]}]}]}"#,
        r#"{"responseCode": 0, "orderLines": ["TOP-SECRET"]}"#,
        r#"{"responseCode": 0, "orderLines": [TOP-SECRET"#,
        r#"{"responseCode": "TOP-SECRET"}"#,
    ] {
        let error = order(body).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
    }
    let debug = format!("{:?}", order(ORDER).unwrap());
    assert!(!debug.contains("XXXX"), "{debug}");
}

#[test]
fn refusals_are_read_from_error_answers() {
    let read = |status, body: &str| {
        refusal(status, body.as_bytes(), OrderData::class).map(|verdict| (verdict.class, verdict.code))
    };
    assert_eq!(read(400, r#"{"responseCode": 1010}"#), Some((Class::NotFound, 1010)));
    assert_eq!(read(500, r#"{"code": "1051", "message": "stock"}"#), Some((Class::Waiting, 1051)));
    assert_eq!(read(401, r#"{"responseCode": 71}"#), Some((Class::Configuration, 71)));
    assert_eq!(read(403, "<html>"), Some((Class::Configuration, 403)));
    assert_eq!(read(404, r#"{"status": 404, "error": "Not Found", "message": "m"}"#), Some((Class::NotFound, 404)));
    assert_eq!(read(404, r#"{"code": 404, "error": "Not Found"}"#), Some((Class::NotFound, 404)));
    for (status, body) in [
        (404, ""),
        (404, "<html>"),
        (404, r#"{"message": "no route matched"}"#),
        (500, r#"{"code": 0, "message": "OK"}"#),
        (503, r#"{"code": 503, "message": "down"}"#),
        (503, r#"{"code": 14, "message": "unavailable"}"#),
        (502, r#"{"status": 502, "error": "Bad Gateway"}"#),
    ] {
        assert_eq!(read(status, body), None, "{status} {body}");
    }
}

/// Section 5.4 of the page about this provider: code or codes, meaning, class.
#[test]
fn the_documents_tell_the_class_of_each_code() {
    let page = include_str!("../../../../docs/providers/nexway-connect.md");
    let section = &page[page.find("### 5.4 ").expect("the section of codes")..];
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut documented = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let class = match cells[3].split(',').next().unwrap_or_default() {
            "success" => Class::Success,
            "refused" => Class::Configuration,
            "not found" => Class::NotFound,
            "pending" => Class::Waiting,
            "permanent" => Class::Permanent,
            "passing" => Class::Transient,
            other => panic!("{other} is no class"),
        };
        let codes: Vec<i64> = match cells[1].split_once(" to ") {
            Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).collect(),
            None if cells[1] == "other" => vec![4711],
            None => cells[1].split(", ").map(|code| code.parse().unwrap()).collect(),
        };
        documented.extend(codes.into_iter().map(|code| (code, class)));
    }
    for (code, class) in &documented {
        assert_eq!(OrderData::class(*code), *class, "{code}");
    }
    let undocumented = |code: &i64| documented.iter().all(|(known, _)| known != code);
    let special = (1..=9999).filter(|code| OrderData::class(*code) != Class::Transient).filter(undocumented);
    assert_eq!(special.collect::<Vec<_>>(), [403, 404], "these are HTTP's");
}
