//! Over real loopback sockets: what is asked, in which order, and what becomes of it.

mod whole;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::delivery::{Occasion, OfferState, Warning};
use crate::provider::connection::Connection;
use crate::provider::tests::account::Account as Platform;
use crate::provider::{Claim, Class, Keys, Level, Part, Payment, Seen};
use crate::tls;

const ID: &str = "sub";
const SUBJECT: Subject<'_> = Subject {
    territory: "default",
    partner_order_number: ID,
    subscription_id: ID,
    generation: Some(0),
    memo: None,
    is_hinted: false,
};

struct Site {
    platform: Platform,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let (platform, url) = Platform::open().await;
        platform.says(&["iam", "tokens"], json!({"access_token": "t", "expires_in": 300}));
        let config = nexway::Config {
            api_url: url.clone(),
            iam_url: format!("{url}/iam"),
            realm: "acme".to_owned(),
            client_secret: "hush".into(),
            connection: Connection {
                timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                ca_file: None,
                proxy: None,
                connection_life: tls::CONNECTION_LIFE,
                concurrency: 4,
            },
        };
        let paths = Paths {
            subscriptions: "/subscriptions".to_owned(),
            orders: "/ordersv2".to_owned(),
            licences: "/licences".to_owned(),
        };
        let client = Client::new(&config, paths, None, Budget::new(0.0)).unwrap();
        drop(client.account.tokens.current(client.account.http.budget.slot().await).await.unwrap());
        platform.asked();
        Self { platform, client }
    }

    async fn slot(&self) -> Slot {
        self.client.account.http.budget.slot().await
    }

    async fn look(&self, memo: Option<&str>) -> Result<Sighting, Error> {
        self.client.look(Subject { memo, ..SUBJECT }, self.slot().await).await
    }

    async fn fetch(&self, reference: &str) -> Part {
        let fetched = self.client.fetch(SUBJECT, reference, self.slot().await).await.unwrap();
        let other = fetched.part(Claim { subscription_id: "other", is_anothers: false });
        assert!(other.delivery.is_none(), "for whom it was asked, and for nobody else");
        fetched.part(Claim { subscription_id: "SUB", is_anothers: false })
    }

    fn stands(&self, count: i64, line: &str) {
        let lifecycle = json!({"status": "Active", "generation": count, "anniversaryDate": 1_811_536_000_000_i64});
        let body = json!({"id": "SUB", "externalRefId": "PARTNER-1", "dbVersion": 1, "updateDate": 1_780_000_000_000_i64,
                          "products": [{"id": "p", "lineItemId": line}], "lifecycle": lifecycle});
        self.platform.says(&["subscriptions", ID], body);
    }

    /// A list that keeps to no filter.
    fn lists(&self, orders: &[Value]) {
        self.platform.says(&["ordersv2"], json!({"items": orders, "last": true}));
    }

    fn has_keys(&self, order: &str, rows: Value) {
        self.platform.says(&["ordersv2", "lineitemdata", "order", order], rows);
    }

    fn asked(&self) -> Vec<String> {
        let short = |path: String| path.split('?').next().unwrap().to_owned();
        let mut asked: Vec<_> = self.platform.asked().into_iter().map(short).collect();
        asked.sort();
        asked
    }
}

fn order(id: &str, source: &str, status: &str, generation: i64) -> Value {
    json!({"id": id, "subscriptionId": "SUB", "source": source, "status": status, "generationId": generation.to_string(),
           "createDate": 1_779_000_000_000_i64, "totalAmount": "49.90", "currency": "EUR",
           "lineItems": [{"id": format!("l-{id}"), "publisherRefId": "ACME"}]})
}

fn row(key: &str, of: &str) -> Value {
    json!({"activationCode": key, "subscriptionId": of, "processingStatus": "COMPLETED"})
}

/// As the platform says that there is no such thing.
fn unknown() -> Value {
    json!({"status": 404, "error": "Not Found", "message": "item not found"})
}

fn keys(part: &Part) -> Vec<&str> {
    part.delivery.iter().flat_map(|delivery| delivery.serials()).map(|serial| serial.data.reveal()).collect()
}

#[tokio::test]
async fn orders_are_read_at_first_and_when_something_has_moved() {
    let site = Site::new().await;
    site.stands(0, "l1");
    site.lists(&[order("U1", "MID_TERM_UPGRADE", "COMPLETED", 0)]);
    let first = site.look(None).await.unwrap();
    assert_eq!(site.asked(), ["/ordersv2", "/subscriptions/sub"]);
    assert_eq!((first.words.as_deref(), first.partner_reference.as_deref()), (Some("Active"), Some("PARTNER-1")));
    assert!(first.expires_at.is_some() && first.payment == Payment::Fine);
    let Seen::Counted { generation: 0, besides, .. } = &first.seen else { panic!("{:?}", first.seen) };
    assert_eq!((besides[0].reference.as_str(), besides[0].occasion), ("U1", Occasion::Upgrade));

    let second = site.look(first.memo.as_deref()).await.unwrap();
    assert_eq!(site.asked(), ["/subscriptions/sub"]);
    assert_eq!((second.payment, &second.memo), (Payment::Untold, &first.memo));

    let hinted = Subject { memo: first.memo.as_deref(), is_hinted: true, ..SUBJECT };
    site.client.look(hinted, site.slot().await).await.unwrap();
    assert_eq!(site.asked(), ["/ordersv2", "/subscriptions/sub"], "an offer may leave the subscription as it was");

    site.stands(0, "l2");
    let upgrades = [order("U1", "MID_TERM_UPGRADE", "COMPLETED", 0), order("U2", "MID_TERM_UPGRADE", "PENDING", 0)];
    site.lists(&upgrades);
    let third = site.look(second.memo.as_deref()).await.unwrap();
    assert_eq!(site.asked(), ["/ordersv2", "/subscriptions/sub"]);
    site.look(third.memo.as_deref()).await.unwrap();
    assert_eq!(site.asked(), ["/ordersv2", "/subscriptions/sub"], "until the upgrade is settled");
}

#[tokio::test]
async fn orders_that_cannot_be_read_hide_no_renewal_and_are_read_later() {
    let site = Site::new().await;
    site.stands(0, "l1");
    site.lists(&[]);
    let memo = site.look(None).await.unwrap().memo;
    site.stands(1, "l2");
    for status in [500, 403, 404] {
        site.platform.refuses(&["ordersv2"], status);
        let seen = site.look(memo.as_deref()).await.unwrap();
        assert!(matches!(seen.seen, Seen::Counted { generation: 1, .. }), "{status}");
        site.lists(&[order("O", "OFFER", "CREATED", 2)]);
        let next = site.look(seen.memo.as_deref()).await.unwrap();
        assert_eq!(next.offers.iter().map(|offer| offer.state).collect::<Vec<_>>(), [OfferState::Accepted], "{status}");
    }
    // A page of others is no better than none.
    let mut foreign = order("F", "PURCHASE", "COMPLETED", 0);
    foreign["subscriptionId"] = json!("other");
    site.lists(&[foreign]);
    let seen = site.look(memo.as_deref()).await.unwrap();
    site.asked();
    site.look(seen.memo.as_deref()).await.unwrap();
    assert_eq!(site.asked(), ["/ordersv2", "/subscriptions/sub"]);
    // Without them a first look would not know what is over.
    site.platform.refuses(&["ordersv2"], 500);
    assert!(matches!(site.look(None).await, Err(Error::Unavailable { status: 500, .. })));
    site.platform.refuses(&["ordersv2"], 403);
    assert_eq!(site.look(None).await.unwrap().verdict.class, Class::Configuration);
}

#[tokio::test]
async fn what_is_odd_about_a_subscription_is_told_apart() {
    let site = Site::new().await;
    site.lists(&[]);
    site.platform.says(&["subscriptions", ID], json!({"id": "other", "lifecycle": {"generation": 7}}));
    assert!(matches!(site.look(None).await.unwrap().seen, Seen::Foreign(why) if why.contains("other")));
    for lifecycle in [json!({}), json!({"generation": -2}), json!({"generation": [1]})] {
        site.platform.says(&["subscriptions", ID], json!({"id": "sub", "lifecycle": lifecycle}));
        assert!(matches!(site.look(None).await.unwrap().seen, Seen::Unclear(_)), "{lifecycle}");
    }
    site.platform.says(&["subscriptions", ID], json!({"lifecycle": {"generation": 0}}));
    assert!(matches!(site.look(None).await, Err(Error::Unreadable { .. })));
    for (status, class) in [(403, Class::Configuration), (401, Class::Configuration)] {
        site.platform.refuses(&["subscriptions", ID], status);
        assert_eq!(site.look(None).await.unwrap().verdict.class, class);
    }
    site.platform.refuses(&["subscriptions", ID], 404);
    assert!(matches!(site.look(None).await, Err(Error::Rejected { status: 404 })), "a wrong address");
}

#[tokio::test]
async fn an_answer_that_is_older_than_the_last_is_none() {
    let site = Site::new().await;
    site.stands(1, "l1");
    site.lists(&[]);
    let memo = site.look(None).await.unwrap().memo;
    let stale = json!({"id": ID, "dbVersion": 0, "updateDate": 1_779_000_000_000_i64, "lifecycle": {"generation": 0}});
    site.platform.says(&["subscriptions", ID], stale);
    let seen = site.look(memo.as_deref()).await.unwrap();
    assert!(matches!(seen.seen, Seen::Unclear("the answer is older than the one before it")), "{:?}", seen.seen);
}

#[tokio::test]
async fn the_order_of_a_generation_is_chosen_among_those_that_name_it() {
    let site = Site::new().await;
    let anothers = json!({"id": "X", "subscriptionId": "other", "source": "SUBSCRIPTION", "status": "COMPLETED", "generationId": "1"});
    site.lists(&[
        anothers,
        order("U", "MID_TERM_UPGRADE", "COMPLETED", 1),
        order("N", "SUBSCRIPTION", "CREATED", 2),
        order("A", "SUBSCRIPTION", "ABORTED", 1),
        order("R", "OFFER", "PAYMENT_REFUSED", 1),
        order("G", "SUBSCRIPTION", "COMPLETED", 1),
    ]);
    site.has_keys("G", json!([row("OTHERS", "other"), row("OURS", "sub")]));
    let part = site.fetch("1").await;
    assert_eq!((part.verdict.class, keys(&part)), (Class::Success, vec!["OURS"]));
    assert_eq!(site.asked(), ["/ordersv2", "/ordersv2/lineitemdata/order/G"]);
    assert_eq!(part.delivery.unwrap().charge.unwrap().amount.as_deref(), Some("49.90"));

    let waits = site.fetch("2").await;
    assert_eq!((waits.verdict.class, waits.verdict.message.as_str()), (Class::Waiting, "order N is CREATED"));
    site.lists(&[order("A", "SUBSCRIPTION", "ABORTED", 1)]);
    assert_eq!(site.fetch("1").await.verdict.class, Class::NotFound, "another order may come");
}

#[tokio::test]
async fn what_the_search_does_not_find_is_asked_for_by_its_generation() {
    let site = Site::new().await;
    site.lists(&[]);
    site.platform.says(&["ordersv2", "subscription", ID], order("G", "SUBSCRIPTION", "COMPLETED", 1));
    site.has_keys("G", json!({"items": [row("OURS", "sub")], "totalPages": 1}));
    assert_eq!(keys(&site.fetch("1").await), ["OURS"]);
    site.platform.refuses(&["ordersv2"], 403);
    assert_eq!(keys(&site.fetch("1").await), ["OURS"]);
    site.platform.says(&["ordersv2", "subscription", ID], order("U", "MID_TERM_UPGRADE", "COMPLETED", 1));
    assert_eq!(site.fetch("1").await.verdict.class, Class::Configuration);
    site.lists(&[]);
    let missing = site.fetch("1").await;
    assert_eq!((missing.verdict.class, missing.keys), (Class::NotFound, Keys::Expected));
}

#[tokio::test]
async fn a_search_that_is_broken_hides_no_order_that_can_be_asked_for() {
    let site = Site::new().await;
    let mut silent = order("G", "SUBSCRIPTION", "COMPLETED", 1);
    silent["generationId"] = Value::Null;
    site.platform.says(&["ordersv2", "subscription", ID], silent);
    site.has_keys("G", json!([row("OURS", "sub")]));
    site.platform.says(&["ordersv2"], json!("no list"));
    assert_eq!(keys(&site.fetch("1").await), ["OURS"]);
    site.platform.refuses(&["ordersv2"], 400);
    assert_eq!(keys(&site.fetch("1").await), ["OURS"]);
    site.platform.refuses(&["ordersv2", "subscription", ID], 400);
    assert!(site.client.fetch(SUBJECT, "1", site.slot().await).await.is_err(), "the search's own trouble");
}

#[tokio::test]
async fn an_order_whose_keys_are_not_known_yet_is_found_all_the_same() {
    let site = Site::new().await;
    site.lists(&[order("G", "SUBSCRIPTION", "COMPLETED", 1), order("W", "SUBSCRIPTION", "PARTIAL_COMPLETED", 2)]);
    for id in ["G", "W"] {
        site.platform.answers(&["ordersv2", "lineitemdata", "order", id], 404, unknown());
    }
    assert_eq!(site.fetch("1").await.verdict.class, Class::Success, "empty, and asked for again as such");
    assert_eq!(site.fetch("2").await.verdict.class, Class::Waiting);
}

#[tokio::test]
async fn a_subscription_without_any_order_is_known_from_its_first_look_on() {
    let site = Site::new().await;
    site.stands(0, "l1");
    site.platform.answers(&["ordersv2"], 404, unknown());
    let seen = site.look(None).await.unwrap();
    assert!(matches!(seen.seen, Seen::Counted { generation: 0, .. }) && seen.memo.is_some(), "{seen:?}");
}

#[tokio::test]
async fn an_upgrade_is_fetched_by_the_id_of_its_order() {
    let site = Site::new().await;
    let mut upgrade = order("42WRNTVCTVJ", "MID_TERM_UPGRADE", "COMPLETED", 1);
    site.platform.says(&["ordersv2", "42WRNTVCTVJ"], upgrade.clone());
    site.has_keys("42WRNTVCTVJ", json!([row("NEW", "SUB")]));
    assert_eq!(keys(&site.fetch("42WRNTVCTVJ").await), ["NEW"]);
    assert_eq!(site.asked(), ["/ordersv2/42WRNTVCTVJ", "/ordersv2/lineitemdata/order/42WRNTVCTVJ"]);
    upgrade["status"] = json!("CANCELED");
    site.platform.says(&["ordersv2", "42WRNTVCTVJ"], upgrade.clone());
    assert_eq!(site.fetch("42WRNTVCTVJ").await.verdict.class, Class::Permanent);
    upgrade["subscriptionId"] = json!("other");
    site.platform.says(&["ordersv2", "42WRNTVCTVJ"], upgrade);
    assert_eq!(site.fetch("42WRNTVCTVJ").await.verdict.class, Class::NotFound);
    site.platform.says(&["ordersv2", "42WRNTVCTVJ"], order("ANOTHER", "MID_TERM_UPGRADE", "COMPLETED", 1));
    assert_eq!(site.fetch("42WRNTVCTVJ").await.verdict.class, Class::NotFound);
    // A platform that spells its ids otherwise, and knows no other spelling.
    site.platform.answers(&["ordersv2", "42WRNTVCTVJ"], 404, json!({"status": 404, "error": "Not Found"}));
    site.lists(&[]);
    assert_eq!(site.fetch("42WRNTVCTVJ").await.verdict.class, Class::NotFound);
    site.lists(&[order("42wrntvctvj", "MID_TERM_UPGRADE", "COMPLETED", 1)]);
    site.has_keys("42wrntvctvj", json!([row("SMALL", "sub")]));
    assert_eq!(keys(&site.fetch("42WRNTVCTVJ").await), ["SMALL"]);
}

#[tokio::test]
async fn the_row_of_a_list_that_was_shortened_is_read_in_full() {
    let site = Site::new().await;
    let full = order("G", "SUBSCRIPTION", "COMPLETED", 1);
    let mut short = full.clone();
    short["lineItems"] = json!(null);
    site.lists(&[short]);
    let unnamed = json!([{"activationCode": "OURS", "lineItemId": "l-G", "processingStatus": "COMPLETED"}]);
    site.has_keys("G", unnamed);
    assert_eq!(keys(&site.fetch("1").await), [""; 0], "nobody's, as far as is known");
    site.platform.says(&["ordersv2", "G"], full);
    let part = site.fetch("1").await;
    assert_eq!(keys(&part), ["OURS"]);
    assert_eq!(part.delivery.unwrap().lines[0].product_ref.as_deref(), Some("ACME"));
}

#[tokio::test]
async fn a_licence_file_comes_with_the_place_where_people_find_it() {
    let site = Site::new().await;
    site.lists(&[order("G", "SUBSCRIPTION", "COMPLETED", 1)]);
    let rows = json!([{"subscriptionId": "sub", "processingStatus": "COMPLETED", "activationFileFulfillment": true}]);
    site.has_keys("G", rows);
    let without = site.fetch("1").await.delivery.unwrap();
    assert!(without.is_empty() && without.warnings == [Warning::FileNotFetched]);
    let summary = json!({"exportActivationCodeFileUrl": "https://files.example/G"});
    site.platform.says(&["ordersv2", "views", "G", "summary"], summary);
    assert_eq!(site.fetch("1").await.delivery.unwrap().lines[0].files[0].url, "https://files.example/G");
}

#[tokio::test]
async fn pages_are_read_to_the_last_and_no_further() {
    let site = Site::new().await;
    // A server that sends the same page for ever, and one that does not filter.
    let ours = order("G", "SUBSCRIPTION", "COMPLETED", 1);
    site.platform.says(&["ordersv2"], json!({"items": [ours], "last": false, "totalPages": 9}));
    site.has_keys("G", json!([row("OURS", "sub")]));
    assert_eq!(keys(&site.fetch("1").await), ["OURS"]);
    assert_eq!(site.asked().iter().filter(|path| *path == "/ordersv2").count(), 2, "the second brought nothing new");
    let foreign: Vec<_> = (0..100).map(|n| json!({"id": format!("X{n}"), "subscriptionId": "other"})).collect();
    site.platform.says(&["ordersv2"], json!({"items": foreign, "last": false}));
    site.stands(0, "l1");
    let seen = site.look(None).await.unwrap();
    assert_eq!((site.asked().len(), seen.payment), (2, Payment::Untold));
}

#[tokio::test]
async fn a_check_says_what_the_account_may_read() {
    let site = Site::new().await;
    let known =
        || vec![LastAsked { territory: "default".to_owned(), last_asked: Some((ID.to_owned(), ID.to_owned())) }];
    let check = async |known| {
        let (findings, is_answered) = site.client.check(known, &site.client.account.http.budget).await;
        let worst = findings.iter().any(|finding| finding.level != Level::Ok);
        (findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>(), worst, is_answered)
    };
    site.platform.says(&["subscriptions"], json!({"items": [{"id": "first"}], "totalItems": 7}));
    site.platform.says(&["ordersv2", "subscription", ID], order("G", "SUBSCRIPTION", "COMPLETED", 1));
    let (texts, worst, is_answered) = check(known()).await;
    assert_eq!(
        texts[1..],
        [
            "list of subscriptions: may be read, 7 in all",
            "orders: may be read; the newest of sub is G, status COMPLETED"
        ]
    );
    assert!(!worst && is_answered && site.asked().len() == 2);
    let mut firsts = order("F", "SUBSCRIPTION", "COMPLETED", 1);
    firsts["subscriptionId"] = json!("first");
    site.platform.says(&["ordersv2", "subscription", "first"], firsts);
    assert!(check(Vec::new()).await.0[2].contains("the newest of first is F"));
    site.platform.refuses(&["subscriptions"], 403);
    let (texts, worst, is_answered) = check(Vec::new()).await;
    assert!(texts[1].contains("ask the provider for the right to read it") && worst && is_answered, "{texts:?}");
    assert_eq!(texts[2], "orders: were not tried: no subscription is known");
    site.platform.refuses(&["subscriptions"], 500);
    let (texts, _, is_answered) = check(known()).await;
    assert_eq!(texts[2], "orders: were not tried: the API gave no answer");
    assert!(!is_answered);
}
