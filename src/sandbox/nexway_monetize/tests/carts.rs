//! Carts over real sockets: what is offered, what rules forbid, and what paying does.

use super::*;

const STORE: &str = "a3c9e5d1-2b47-4e1f-8c36-90d7f1b2c302";

pub(super) fn retail() -> Value {
    json!({
        "storeId": STORE, "endUser": {"email": "jane@example.org", "country": "FR", "locale": "fr-FR"},
        "wantedProducts": [{"id": Product::default().id, "currentExpirationDate": 4_000_000_000_000_i64}],
        "externalContext": "eyJzaG9wIjogN30=", "scenario": "subscriptionimport",
    })
}

async fn post(client: &Client, path: &str, body: Value) -> (u16, Value) {
    client.send("POST", path, body).await
}

#[tokio::test]
async fn an_offer_is_a_cart_and_then_the_order_of_the_next_renewal() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let offer = json!({"subscriptionId": id});
    let (status, cart) = post(&client, "/carts/subscription-offers", offer.clone()).await;
    assert_eq!((status, &cart["totalAmount"], &cart["offerSubSource"]), (201, &json!(43.2), &json!("SUSPEND")));
    let price = &cart["product"]["price"];
    assert_eq!((&price["grossPrice"], &price["discountedPrice"]["discountRate"]), (&json!(54.0), &json!(0.2)));
    let accept = json!({"cartId": cart["cartId"], "subscriptionId": id});
    let (status, order) = post(&client, "/purchases/prepareNextOrderFromOffer", accept.clone()).await;
    assert_eq!((status, text(&order["source"]), &order["cartId"]), (201, "OFFER", &cart["cartId"]));
    let again = post(&client, "/purchases/prepareNextOrderFromOffer", accept).await.1;
    assert_ne!(again["id"], order["id"], "twice is two orders");
    sandbox.renew(&id).unwrap();
    assert_eq!((&*sandbox.renewals()[0].order_id, sandbox.renewals()[0].amount), (text(&again["id"]), 43.2));

    let unknown =
        post(&client, "/carts/subscription-offers", json!({"subscriptionId": id, "discountCode": "GO"})).await;
    assert_eq!((unknown.0, &unknown.1["details"][0]["resourceType"]), (404, &json!("DISCOUNT")));
    sandbox.prebill(&id).unwrap();
    let late = post(&client, "/carts/subscription-offers", offer.clone()).await;
    assert_eq!(late.0, 400);
    assert!(text(&late.1["message"]).contains("before the renewal is billed"), "{}", late.1);
    sandbox.switch(|switches| switches.version_conflicts = 1);
    assert_eq!(post(&client, "/carts/subscription-offers", offer.clone()).await.0, 412);
    assert_eq!(post(&client, "/carts/subscription-offers", offer).await.0, 400);
}

#[tokio::test]
async fn an_upgrade_is_paid_once_at_the_price_that_was_told() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let wanted = |product: &str| json!({"subscriptionId": id, "wantedProduct": {"id": product}});
    sandbox.advance(100 * DAY);
    let (status, cart) = post(&client, "/carts/mid-term-upgrade", wanted(&Product::bigger().id)).await;
    assert_eq!((status, &cart["totalAmount"]), (201, &json!(39.21)));
    assert_eq!(cart["price"]["discountedPrice"]["discountedGrossPrice"], cart["totalAmount"]);
    assert_eq!(
        post(&client, "/carts/mid-term-upgrade", wanted(&Product::default().id)).await.0,
        400,
        "it costs no more"
    );
    assert_eq!(post(&client, "/carts/mid-term-upgrade", wanted("nothing")).await.0, 404);
    let paid = sandbox.pay(text(&cart["id"])).unwrap();
    assert_eq!((paid[0].source, paid[0].amount), (Source::MidTermUpgrade, 39.21));
    assert!(sandbox.pay(text(&cart["id"])).is_err() && sandbox.pay("nothing").is_err());
    assert_eq!(sandbox.subscriptions()[0].product_id, Product::bigger().id);
}

#[tokio::test]
async fn a_boxed_product_becomes_a_subscription_that_keeps_its_expiry() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let url = format!("{}/carts", sandbox.api_url());
    let made = client.http.post(url).bearer_auth(&client.token).body(retail().to_string()).send().await.unwrap();
    assert_eq!(made.status().as_u16(), 201);
    let path = made.headers()["location"].to_str().unwrap().to_owned();
    sandbox.switch(|switches| switches.cart_status = 201);
    let (status, cart) = client.send("GET", &path, Value::Null).await;
    assert_eq!((status, text(&cart["endUser"]["email"])), (201, "jane@example.org"));
    assert!(text(&cart["checkoutUrl"]).starts_with("https://"), "{cart}");
    let order = &sandbox.pay(text(&cart["id"])).unwrap()[0];
    let subscription = client.subscription(&order.subscription_id).await;
    assert_eq!((&subscription["imported"], order.amount), (&json!(true), 0.0));
    assert_eq!(subscription["lifecycle"]["expirationDate"], json!(4_000_000_000_000_i64));
    assert_eq!(subscription["decodedExternalContext"]["shop"], 7);
    for (field, value) in [("storeId", json!("x")), ("endUser", json!({})), ("scenario", json!("purchase"))] {
        let mut wrong = retail();
        wrong[field] = value;
        assert!(post(&client, "/carts", wrong).await.0 >= 400, "{field}");
    }
}

#[tokio::test]
async fn a_link_is_made_in_one_spelling_only() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let enduser = client.subscription(&id).await["enduserId"].clone();
    let ask = async |life: &str, once: &str| {
        let body =
            json!({"storeId": STORE, "enduserId": enduser, "baseLink": "https://s.example/c", life: 60, once: true});
        let url = format!("{}/deeplink/", sandbox.iam_url());
        let answer = client.http.post(url).bearer_auth(&client.token).body(body.to_string()).send().await.unwrap();
        let location = answer.headers().get("location").map(|at| at.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    };
    let (status, link) = ask("expiration_time", "single_use").await;
    assert!(status == 201 && link.starts_with("https://s.example/c?deeplinkid="), "{status} {link}");
    assert_eq!(ask("linkDuration", "singleUse").await.0, 400);
    sandbox.switch(|switches| switches.deeplink_spelling = DeeplinkSpelling::OpenApi);
    assert_eq!(ask("expiration_time", "single_use").await.0, 400);
    assert_eq!(ask("linkDuration", "singleUse").await.0, 201);
}
