//! Lists: pages, order, filters, and how they lie.

use std::collections::BTreeSet;

use super::*;

/// Every id on the pages from the first on, until one is empty or said to be the last.
async fn walk(client: &Client, path: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for page in 0.. {
        let answer = client.get(&format!("{path}&page={page}")).await;
        let rows = column(&answer["items"], "id");
        ids.extend(rows.iter().map(|id| text(id).to_owned()));
        if answer["last"] == true || rows.is_empty() {
            break;
        }
    }
    ids
}

fn ten(sandbox: &Sandbox) -> Vec<String> {
    sandbox.create(NewSubscriptions { count: 10, apart: DAY, ..Default::default() }).unwrap()
}

const LIST: &str = "/subscription-manager/subscriptions?size=4";

#[tokio::test]
async fn pages_hold_everybody_once_and_in_order() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    assert_eq!(walk(&client, LIST).await, ids);
    let descending: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(walk(&client, &format!("{LIST}&sort=createDate,desc")).await, descending);
    let page = client.get(&format!("{LIST}&page=2")).await;
    let said = [&page["number"], &page["size"], &page["totalItems"], &page["totalPages"], &page["last"]];
    assert_eq!(said, [&json!(2), &json!(4), &json!(10), &json!(3), &json!(true)]);
    assert_eq!(client.get("/subscription-manager/subscriptions?size=9999").await["size"], 500);
    assert_eq!(client.get("/subscription-manager/subscriptions").await["size"], 20);

    sandbox.advance(DAY);
    sandbox.renew(&ids[3]).unwrap();
    let newest = client.get(&format!("{LIST}&sort=updateDate,desc")).await;
    assert_eq!(newest["items"][0]["id"], json!(ids[3]));
    sandbox.switch(|switches| switches.renewal_touches_subscription = false);
    let newest = client.get(&format!("{LIST}&sort=updateDate,desc")).await;
    assert_eq!(newest["items"][0]["id"], json!(ids[9]));
    assert_eq!(client.subscription(&ids[3]).await["lifecycle"]["generation"], 1);
}

#[tokio::test]
async fn lists_lie_as_switched() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    let walk_with = async |change: fn(&mut Switches)| {
        sandbox.switch(|switches| *switches = Switches { rate_limit: 0, ..Switches::default() });
        sandbox.switch(change);
        walk(&client, LIST).await
    };
    let unsorted = walk_with(|switches| switches.sort_honoured = false).await;
    assert_ne!(unsorted, ids);
    assert_eq!(unsorted.iter().collect::<BTreeSet<_>>(), ids.iter().collect());
    let skipping = walk_with(|switches| switches.page_shift = 1).await;
    assert_eq!(skipping, [&ids[..4], &ids[5..]].concat());
    let repeating = walk_with(|switches| switches.page_shift = -1).await;
    assert_eq!(repeating, [&ids[..4], &ids[3..7], &ids[7..]].concat());
    assert_eq!(walk_with(|switches| switches.empty_page = Some(1)).await, ids[..4]);
    assert_eq!(walk_with(|switches| switches.last = LastForm::AlwaysTrue).await, ids[..4]);
    assert_eq!(walk_with(|switches| switches.most_rows = 3).await, ids);
    assert_eq!(client.get(LIST).await["size"], 3);
    sandbox.switch(|switches| switches.last_page_again = true);
    let again = client.get(&format!("{LIST}&page=9")).await;
    assert_eq!((&again["number"], &again["items"][0]["id"]), (&json!(9), &json!(ids[9])));
    sandbox.set_listed(&ids[0], false).unwrap();
    assert_eq!(walk_with(|_| ()).await, ids[1..]);
    assert_eq!(client.subscription(&ids[0]).await["id"], json!(ids[0]));
    sandbox.set_listed(&ids[0], true).unwrap();
    assert_eq!(walk_with(|switches| switches.last = LastForm::Missing).await, ids);
    sandbox.switch(|switches| switches.totals = TotalsForm::TooFew);
    let page = client.get(LIST).await;
    assert_eq!((&page["totalPages"], page.get("last")), (&json!(1), None));
}

#[tokio::test]
async fn a_lagging_list_shows_what_was() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    sandbox.advance(DAY);
    sandbox.renew(&ids[0]).unwrap();
    sandbox.advance(DAY / 24);
    sandbox.switch(|switches| switches.list_lag = DAY / 12);
    let row = async || client.get(&format!("{LIST}&sort=createDate,asc")).await["items"][0].clone();
    let stale = row().await;
    assert_eq!((&stale["id"], &stale["lifecycle"]["generation"]), (&json!(ids[0]), &json!(0)));
    assert_eq!(client.subscription(&ids[0]).await["lifecycle"]["generation"], 1);
    sandbox.advance(DAY / 24);
    let fresh = row().await;
    assert_eq!(fresh["lifecycle"]["generation"], 1);
    assert!(fresh["updateDate"].as_i64() > stale["updateDate"].as_i64());
}

#[tokio::test]
async fn the_update_filter_of_the_subscription_list_is_honoured_only_by_switch() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    let since = client.subscription(&ids[6]).await["updateDate"].as_i64().unwrap();
    let path = format!("{LIST}&updateDate={since}%3C");
    assert_eq!(walk(&client, &path).await, ids);
    sandbox.switch(|switches| switches.update_filter = UpdateFilter::Honoured);
    assert_eq!(walk(&client, &path).await, ids[7..]);
    assert_eq!(walk(&client, &format!("{LIST}&updateDate=%3C{since}")).await, ids[..6]);
    assert_eq!(client.send("GET", &format!("{LIST}&updateDate=x"), Value::Null).await.0, 400);
    sandbox.switch(|switches| switches.update_filter = UpdateFilter::Refused);
    assert_eq!(client.send("GET", &path, Value::Null).await.0, 400);
}

#[tokio::test]
async fn licences_are_listed_by_when_they_were_touched() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    sandbox.advance(DAY);
    sandbox.renew(&ids[2]).unwrap();
    let since = client.subscription(&ids[9]).await["updateDate"].as_i64().unwrap();
    let path = format!("/license-manager/license?updateDate={since}%3C&sort=updateDate,asc");
    let found = client.get(&path).await;
    let order_id = &sandbox.renewals()[0].order_id;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let checkout = &found["items"][0]["checkout"];
    assert_eq!((&checkout["subscriptionId"], &checkout["orderId"]), (&json!(ids[2]), &json!(order_id)));
    sandbox.switch(|switches| switches.renewal_touches_licence = false);
    assert_eq!(client.get(&path).await["totalItems"], 0);
    let of_one = client.get(&format!("/license-manager/license?checkout.subscriptionId={}", ids[5])).await;
    assert_eq!(of_one["totalItems"], 1);
    sandbox.switch(|switches| switches.licence_list = false);
    assert_eq!(client.send("GET", &path, Value::Null).await.0, 403);
}

#[tokio::test]
async fn filters_that_are_ignored_bring_everybodys() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    sandbox.renew(&ids[0]).unwrap();
    let orders = format!("/ordersv2?subscriptionId={}", ids[0]);
    let data = format!("/ordersv2/lineitemdata?subscriptionId={}", ids[0]);
    assert_eq!(
        (client.get(&orders).await["totalItems"].clone(), client.get(&data).await["totalItems"].clone()),
        (json!(2), json!(2))
    );
    assert_eq!(client.get(&format!("{orders}&status=CREATED")).await["totalItems"], 0);
    sandbox.switch(|switches| switches.filters_honoured = false);
    assert_eq!(
        (client.get(&orders).await["totalItems"].clone(), client.get(&data).await["totalItems"].clone()),
        (json!(11), json!(11))
    );
    sandbox.switch(|switches| switches.foreign_lines = true);
    let order_id = &sandbox.renewals()[0].order_id;
    let owners = column(&client.data(order_id).await, "subscriptionId");
    assert_eq!((owners.len(), &owners[0], owners[1] == owners[0]), (2, &json!(ids[0]), false));
    assert_eq!(client.get(&format!("/ordersv2/{order_id}")).await["lineItems"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_older_revision_has_paths_and_pages_of_its_own() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    ten(&sandbox);
    sandbox.switch(|switches| switches.revision = Revision::Older);
    assert_eq!(client.send("GET", LIST, Value::Null).await.0, 404);
    let short = client.get("/subscriptions").await;
    assert_eq!((&short["size"], short["items"][0].get("products")), (&json!(50), None));
    assert!(client.get("/subscriptions?format=full").await["items"][0]["products"].is_array());
    assert_eq!(client.get("/license-manager/licenses").await["totalItems"], 10);
    assert_eq!(client.get("/ordersv2/00000000000").await["path"], "/ordersv2/00000000000");
}

#[tokio::test]
async fn rules_pick_out_a_page_or_a_subscription() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = ten(&sandbox);
    let gone = FaultKind::Status { status: 404, body: ErrorBody::Json, retry_after: None };
    sandbox.fault(Fault::new(gone.clone()).at(Endpoint::Subscriptions).page(1));
    sandbox.fault(Fault::new(gone).at(Endpoint::Subscription).subscription(ids[1].as_str()));
    let mut statuses = Vec::new();
    for path in [LIST.into(), format!("{LIST}&page=1"), format!("{LIST}&page=2")] {
        statuses.push(client.send("GET", &path, Value::Null).await.0);
    }
    for id in &ids[..2] {
        let path = format!("/subscription-manager/subscriptions/{}", id.to_uppercase());
        statuses.push(client.send("GET", &path, Value::Null).await.0);
    }
    assert_eq!(statuses, [200, 404, 200, 200, 404]);
    let asked = sandbox.requests().into_iter().filter(|request| request.subscription_id.as_deref() == Some(&*ids[1]));
    assert_eq!(asked.count(), 1);
}
