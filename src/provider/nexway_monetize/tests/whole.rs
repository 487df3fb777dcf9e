//! From the settings to the message, through all of the core.

use serde_json::{Value, json};

use super::{order, row};
use crate::provider::tests::site::{Site, message_id, told};

const ID: &str = "sub";

async fn site() -> Site {
    let site = Site::with(|url| {
        format!(
            "[providers.seller]\nkind = \"nexway-monetize\"\napi_url = \"{url}\"\niam_url = \"{url}/iam\"\nrealm = \"acme\"\n\
             client_secret = \"hush\"\nsubscriptions_path = \"/subscriptions\"\nrequests_per_second = 0\n"
        )
    });
    let site = site.await;
    site.account.says(&["iam", "tokens"], json!({"access_token": "t", "expires_in": 300}));
    site
}

impl Site {
    fn stands_at(&self, count: i64, version: i64) {
        let ends = (self.after(300 * 86_400).as_unix()) * 1000;
        let lifecycle = json!({"status": "Active", "generation": count, "anniversaryDate": ends});
        let body = json!({"id": "SUB", "externalRefId": "PARTNER-1", "dbVersion": version, "lifecycle": lifecycle});
        self.account.says(&["subscriptions", ID], body);
    }

    /// All orders there are, whatever was asked for; and a key for each, among others.
    fn orders(&self, orders: &[Value]) {
        self.account.says(&["ordersv2"], json!({"items": orders, "last": true}));
        for order in orders {
            let id = order["id"].as_str().unwrap();
            self.account.says(&["ordersv2", id], order.clone());
            let keys =
                json!([row("OTHERS", "other"), row(&format!("key of {id}"), "SUB"), {"activationCode": "NOBODYS"}]);
            self.account.says(&["ordersv2", "lineitemdata", "order", id], keys);
        }
    }
}

fn delivered(label: i64, reference: &str, occasion: &str, order: &str) -> Value {
    json!([ID, label, reference, occasion, false, [format!("key of {order}")]])
}

#[tokio::test]
async fn a_trial_that_is_paid_for_renewed_and_upgraded_brings_each_key_once() {
    let mut site = site().await;
    site.done(&["track", "SUB", "SUB", "--provider", "seller", "--generation", "-1"]).await;
    let bought = order("P", "PURCHASE", "COMPLETED", -1);
    let converted = |status| order("C", "SUBSCRIPTION", status, 0);
    site.stands_at(-1, 1);
    site.orders(&[bought.clone(), converted("COMPLETED")]);
    assert_eq!(site.turn().await, Vec::<Value>::new(), "before the count has risen an order is nothing");

    site.stands_at(0, 2);
    site.orders(&[bought.clone(), converted("FRAUD_PENDING")]);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.orders(&[bought.clone(), converted("COMPLETED")]);
    let messages = site.turn().await;
    assert_eq!(told(&messages), [delivered(0, "0", "trial_conversion", "C")]);
    assert_eq!(messages[0]["id"], message_id("seller", ID, "0", 0));
    let charge = &messages[0]["data"]["charge"];
    assert_eq!((&charge["amount"], &charge["currency"]), (&json!("49.90"), &json!("EUR")));

    let upgrade = |status| order("U", "MID_TERM_UPGRADE", status, 0);
    let coming = order("R", "SUBSCRIPTION", "CREATED", 1);
    site.stands_at(0, 3);
    site.orders(&[bought.clone(), converted("COMPLETED"), upgrade("PAYMENT_PENDING"), coming.clone()]);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.orders(&[bought.clone(), converted("COMPLETED"), upgrade("COMPLETED"), coming]);
    assert_eq!(told(&site.turn().await), [delivered(0, "U", "upgrade", "U")]);
    assert_eq!(site.turn().await, Vec::<Value>::new(), "once");

    // Two terms at once, the first of them refused and then paid for by hand.
    site.stands_at(2, 4);
    site.orders(&[
        upgrade("COMPLETED"),
        order("R", "SUBSCRIPTION", "PAYMENT_REFUSED", 1),
        order("M", "MANUAL_RENEWAL", "COMPLETED", 1),
        order("S", "SUBSCRIPTION", "COMPLETED", 2),
    ]);
    assert_eq!(told(&site.turn().await), [delivered(1, "1", "renewal", "M"), delivered(2, "2", "renewal", "S")]);
    site.done(&["explain", ID]).await;
    site.done(&["refetch", ID, "--reference", "U"]).await;
    assert_eq!(told(&site.turn().await), [delivered(0, "U", "upgrade", "U")]);
}

#[tokio::test]
async fn upgrades_of_before_it_was_tracked_are_not_delivered() {
    let mut site = site().await;
    site.done(&["track", "SUB", "SUB", "--provider", "seller", "--adopt"]).await;
    site.stands_at(3, 1);
    let old = order("OLD", "UPGRADE", "COMPLETED", 1);
    site.orders(std::slice::from_ref(&old));
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.stands_at(3, 2);
    site.orders(&[old, order("NEW", "UPGRADE", "COMPLETED", 3)]);
    assert_eq!(told(&site.turn().await), [delivered(3, "NEW", "upgrade", "NEW")]);
}
