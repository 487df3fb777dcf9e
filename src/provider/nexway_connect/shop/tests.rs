use super::*;
use crate::provider::http::answer_of;
use crate::provider::kinds::Given;

fn read_as(call: Name, status: u16, body: &str) -> Result<Reply, Error> {
    read(call, Some("P"), &answer_of(Given { status, body: body.as_bytes(), at: crate::clock::Timestamp::now() }))
}

/// As an order that was asked for is shown: one line with these items.
fn order_with(items: Value) -> String {
    let lines = json!([{ "productRef": 5, "lineItems": items }]);
    json!({ "partnerOrderNumber": "P", "orderNumber": 5, "responseCode": 0, "orderLines": lines }).to_string()
}

fn outcome(call: Name, code: i64) -> Outcome {
    let item = json!({ "lineItems": [{ "subscriptionId": 7 }] });
    let body =
        json!({ "partnerOrderNumber": "P", "responseCode": code, "responseMessage": "text", "orderLines": [item] });
    read_as(call, 200, &body.to_string()).unwrap().outcome
}

#[test]
fn the_same_number_means_different_things_per_call() {
    use Outcome::*;
    let of =
        |code| [Name::Order, Name::OrderData, Name::CancelOrder, Name::DownloadInfo].map(|call| outcome(call, code));
    assert_eq!(of(0), [Done; 4]);
    assert_eq!(of(1010), [Already, NotFound, NotFound, NotFound]);
    assert_eq!(of(1020), [Mend, Waiting, Refused, Later]);
    assert_eq!(of(1030), [Later, Waiting, Refused, Later]);
    assert_eq!(of(1060), [Waiting, Waiting, Later, Later]);
    assert_eq!(of(1000), [Later; 4]);
    assert_eq!(of(71), [Refused; 4]);
    assert_eq!(of(100), [Mend; 4]);
    assert_eq!((outcome(Name::CancelOrder, 1011), outcome(Name::ExtendDownload, 1011)), (Already, Refused));
}

#[test]
fn a_code_of_create_order_names_the_field() {
    let field = |code: i64| {
        let body = json!({ "responseCode": code.to_string(), "responseMessage": "bad" }).to_string();
        read_as(Name::Order, 201, &body).unwrap().field
    };
    assert_eq!(field(120), Some("currency"));
    assert_eq!(field(211), Some("orderLines[].productRef"));
    assert_eq!(field(1048), Some("customer.location….province"));
    assert_eq!(field(1000), None);
}

#[test]
fn what_an_order_brought_is_read_from_its_lines() {
    let body = json!({ "partnerOrderNumber": "P", "orderNumber": "12567638", "responseCode": 0, "orderLines": [
        { "lineItems": [{ "subscriptionId": 0 }, { "subscriptionId": null }] },
        { "lineItems": [{ "subscriptionId": "8" }, { "subscriptionId": 7 }, { "subscriptionId": 8 }] }] });
    let placed = read_as(Name::Order, 201, &body.to_string()).unwrap().placed.unwrap();
    let whole = |subscription_ids: &[&str]| {
        let subscription_ids = subscription_ids.iter().map(|id| (*id).to_owned()).collect();
        Placed { order_number: Some("12567638".to_owned()), subscription_ids, is_whole: true }
    };
    assert_eq!(placed, whole(&["8", "7"]));
    let cancelled = json!({ "partnerOrderNumber": "P", "orderNumber": 0, "responseCode": 1062, "orderLines": [] });
    let shown = read_as(Name::OrderData, 200, &cancelled.to_string()).unwrap();
    assert_eq!(shown.placed, Some(Placed { is_whole: true, ..Placed::default() }), "it is there, and dead");
    assert!(read_as(Name::Order, 200, &cancelled.to_string()).unwrap().placed.is_none(), "it was not made");
    let ours = json!({ "partnerOrderNumber": "P", "responseCode": 71, "orderLines": [] }).to_string();
    assert!(read_as(Name::OrderData, 200, &ours).unwrap().placed.is_none(), "our secret is no answer about it");
}

#[test]
fn an_order_whose_subscriptions_are_still_to_come_waits() {
    let waiting = json!({ "subscriptionId": 0, "responseCode": 1051 });
    for items in [
        json!([]),
        json!([waiting]),
        json!([{ "subscriptionId": 7 }, waiting]),
        json!([{ "subscriptionId": 7, "responseCode": 1051 }]),
        json!([{ "subscriptionId": 7 }, { "subscriptionId": null }]),
    ] {
        for call in [Name::Order, Name::OrderData] {
            let reply = read_as(call, 200, &order_with(items.clone())).unwrap();
            let is_whole = reply.placed.map(|placed| placed.is_whole);
            assert_eq!((reply.outcome, is_whole), (Outcome::Waiting, Some(false)), "{items}");
        }
    }
    let given_up = json!([{ "subscriptionId": 7 }, { "subscriptionId": 0, "responseCode": 1064 }]);
    assert_eq!(read_as(Name::Order, 200, &order_with(given_up)).unwrap().outcome, Outcome::Done);
    let bare = json!({ "partnerOrderNumber": "P", "responseCode": 0 }).to_string();
    assert_eq!(read_as(Name::Order, 200, &bare).unwrap().outcome, Outcome::Waiting);
}

/// Nothing is concluded of an order from what was not said about it.
#[test]
fn an_answer_that_may_be_about_another_order_tells_nothing() {
    let good = order_with(json!([{ "subscriptionId": 7 }]));
    for body in [
        good.replace("\"P\"", "\"Q\""),
        good.replace(":7", ":\"seven\""),
        good.replace("\"responseCode\":0", "\"responseCode\":\"none\",\"code\":0"),
        "{\"responseCode\": 0}".to_owned(),
    ] {
        for call in [Name::Order, Name::OrderData] {
            assert!(matches!(read_as(call, 200, &body), Err(Error::Unreadable { .. })), "{call} {body}");
        }
    }
}

#[test]
fn what_failed_inside_the_provider_may_have_been_made() {
    let with = |code: i64| json!({ "partnerOrderNumber": "P", "responseCode": code }).to_string();
    for code in [120, 999, 1044, 1064, 1000] {
        let answer = read_as(Name::Order, 500, &with(code));
        assert!(matches!(answer, Err(Error::Unavailable { .. })), "{code}: {answer:?}");
    }
    assert_eq!(read_as(Name::Order, 500, &with(1010)).unwrap().outcome, Outcome::Already);
    assert_eq!(read_as(Name::OrderData, 500, &with(1010)).unwrap().outcome, Outcome::NotFound);
    assert_eq!(outcome(Name::Order, 799), Outcome::Later, "a code of no list refuses nothing");
    assert_eq!(read_as(Name::Order, 400, &with(120)).unwrap().outcome, Outcome::Mend);
}

#[test]
fn what_tells_nothing_is_no_answer() {
    for (status, body) in
        [(200, "{}"), (200, ""), (200, "[]"), (200, "<html>"), (500, ""), (503, "{\"responseCode\": 1000}")]
    {
        assert!(read_as(Name::Order, status, body).is_err(), "{status} {body}");
    }
    // Refused before anybody looked at it, and not "no such order".
    assert_eq!(read_as(Name::Order, 404, "{\"status\": 404}").unwrap().outcome, Outcome::Refused);
    assert_eq!(read_as(Name::OrderData, 404, "{\"status\": 404}").unwrap().outcome, Outcome::NotFound);
    assert!(matches!(read_as(Name::Order, 404, "not here"), Err(Error::Rejected { status: 404 })));
    let stock = read_as(Name::Stock, 200, "{\"productStatus\": [{\"productRef\": 5, \"status\": 100}]}").unwrap();
    assert_eq!(stock.outcome, Outcome::Done);
}

#[test]
fn a_download_option_must_be_proposed() {
    let body = json!({ "responseCode": 0, "productsReturn": [
        { "ref": "1", "type": "Download extension", "name": "Extended Download" }, { "ref": "2", "type": "backup DVD" }] });
    let reply = read_as(Name::CrossSell, 200, &body.to_string()).unwrap();
    assert_eq!(reply.notes, ["Extended Download: a download option; with products of Microsoft it must be proposed"]);
}

#[test]
fn what_is_wrong_with_an_order_is_found_before_it_is_sent() {
    let good = json!({
        "partnerOrderNumber": "PARTNER689", "orderDate": "2018-01-18T15:40:21+01:00", "currency": "EUR",
        "orderLines": [{ "productRef": "811537", "quantity": 1 }],
        "customer": { "email": "a@example.org", "locationDelivery": { "country": "US", "province": "US-NY" },
                      "locationInvoice": { "country": "FR" } },
        "else": "is passed on" });
    assert_eq!(order::check(&good), Ok("PARTNER689".to_owned()));
    let fields = |change: &dyn Fn(&mut Value)| {
        let mut order = good.clone();
        change(&mut order);
        order::check(&order).unwrap_err().into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(&|order| order["partnerOrderNumber"] = json!("")), ["partnerOrderNumber"]);
    assert_eq!(fields(&|order| order["orderDate"] = json!("2018-01-18T15:40:21")), ["orderDate"]);
    assert_eq!(fields(&|order| order["orderLines"][0]["quantity"] = json!(0)), ["orderLines[0].quantity"]);
    let province = ["customer.locationDelivery.province"];
    assert_eq!(fields(&|order| order["customer"]["locationDelivery"]["province"] = json!("NY")), province);
    for (country, province) in [("us", "us-NY"), ("US", "US-"), ("US", "US-é"), ("U€", "U€-1")] {
        let location = json!({ "country": country, "province": province });
        assert_eq!(
            fields(&|order| order["customer"]["locationDelivery"] = location.clone()).len(),
            1,
            "{country} {province}"
        );
    }
    assert_eq!(fields(&|order| order["currency"] = json!("é1")), ["currency"]);
    assert_eq!(order::check(&json!({})).unwrap_err().len(), 5);
    assert_eq!(order::check(&json!([])).unwrap_err().len(), 1);
}
