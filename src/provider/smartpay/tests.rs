//! Over real loopback sockets: what is asked, in which order, and what becomes of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::life::Life;
use crate::provider::tests::account::Account;
use crate::provider::{Claim, Class, Level, Listed, Part, Payment};
use crate::tls;

const ID: &str = "subscription-a1";
const SPELLED: &str = "Subscription-a1";
const SUBJECT: Subject<'_> = Subject {
    territory: "default",
    partner_order_number: ID,
    subscription_id: ID,
    generation: Some(0),
    memo: None,
    is_hinted: false,
};

struct Site {
    api: Account,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(keys_pointer: Option<&str>) -> Self {
        crate::tls::install_crypto_provider();
        let (api, url) = Account::open().await;
        let config = Config {
            api_url: url,
            merchant_key: "merchant".into(),
            authentication_key: Some("hush".into()),
            origin: Some("https://shop.example".to_owned()),
            first_cycle_is_purchase: true,
            keys_pointer: keys_pointer.map(str::to_owned),
            connection: Connection {
                timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                ca_file: None,
                proxy: None,
                connection_life: tls::CONNECTION_LIFE,
                concurrency: 4,
            },
        };
        Self { api, client: Client::new(&config, Budget::new(0.0)).unwrap() }
    }

    async fn look(&self, memo: Option<&str>) -> Sighting {
        let slot = self.client.http.budget.slot().await;
        self.client.look(Subject { memo, ..SUBJECT }, slot).await.unwrap()
    }

    async fn fetch(&self, reference: &str, memo: Option<&str>) -> Part {
        let slot = self.client.http.budget.slot().await;
        let fetched = self.client.fetch(Subject { memo, ..SUBJECT }, reference, slot).await.unwrap();
        let other = fetched.part(Claim { subscription_id: "other", is_anothers: false });
        assert!(other.delivery.is_none(), "for whom it was asked, and for nobody else");
        fetched.part(Claim { subscription_id: "SUBSCRIPTION-A1", is_anothers: false })
    }

    /// How it stands; `spelled` in its address, too.
    fn stands(&self, spelled: &str, change: Value) {
        let mut body = json!({"id": spelled, "status": "active", "updatedAt": "2026-05-01T10:00:00.12Z", "timezone": "UTC",
                              "nextBillingDate": day(20), "billingCyclesRemaining": 7, "externalMerchantId": "SHOP-1"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.api.says(&["subscriptions", spelled], body);
    }

    fn lists(&self, spelled: &str, cycles: &[Value]) {
        let page = json!({"page": 0, "pageSize": 100, "count": cycles.len(), "totalPages": 1, "data": cycles});
        self.api.says(&["subscriptions", spelled, "billing-cycles"], page);
    }
}

/// So many days from now.
fn day(days: i64) -> String {
    Timestamp::from_unix(Timestamp::now().as_unix() + days * 86_400).to_string()[..10].to_owned()
}

fn cycle(id: &str, status: &str, days: i64) -> Value {
    let paid = (status == "Captured").then(|| format!("{}T10:00:00.12Z", day(days)));
    json!({"id": id, "status": status, "paidAt": paid, "updatedAt": format!("{}T10:00:00.12Z", day(days)),
           "billingDate": day(days), "amount": 10, "currency": "EUR", "shortCardNumber": "520000****0072"})
}

fn listed(sighting: &Sighting) -> &[Listed] {
    match &sighting.seen {
        Seen::Listed { first: 0, deliveries, doubt: None } => deliveries,
        other => panic!("{other:?}"),
    }
}

fn names(sighting: &Sighting) -> Vec<&str> {
    listed(sighting).iter().map(|one| one.reference.as_str()).collect()
}

#[tokio::test]
async fn cycles_are_read_at_first_and_when_something_has_moved() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    site.lists(SPELLED, &[cycle("BillingCycle-2", "Captured", -10), cycle("billingcycle-1", "captured", -40)]);
    let first = site.look(None).await;
    assert_eq!(names(&first), ["billingcycle-1", "billingcycle-2"], "in the order in which they were paid for");
    assert_eq!(
        site.api.asked(),
        ["/subscriptions/Subscription-a1", "/subscriptions/Subscription-a1/billing-cycles?page=0&pageSize=100"]
    );
    assert_eq!((first.words.as_deref(), first.life), (Some("active"), Some(Life::Running)));
    assert_eq!(first.expires_at.unwrap().to_string(), format!("{}T00:00:00Z", day(20)));
    assert!(first.next_look.is_some_and(|rest| rest > Duration::from_secs(18 * 86_400)));
    assert_eq!((first.payment.clone(), first.partner_reference.as_deref()), (Payment::Fine, Some("SHOP-1")));
    let memo = first.memo.as_deref();
    assert!(!memo.unwrap().contains("5200"), "of a card nothing is kept");
    let second = site.look(memo).await;
    assert_eq!((names(&second), site.api.asked().len()), (vec![], 1));
    assert!(second.next_look.is_some());
    site.stands(SPELLED, json!({"billingCyclesRemaining": 6}));
    assert_eq!(names(&site.look(memo).await).len(), 2);
    site.stands(SPELLED, json!({"nextBillingDate": day(0)}));
    let due = site.look(memo).await;
    assert_eq!((names(&due).len(), due.next_look), (2, None));
    site.stands(SPELLED, json!({}));
    let asked = Subject { memo, is_hinted: true, ..SUBJECT };
    let hinted = site.client.look(asked, site.client.http.budget.slot().await).await.unwrap();
    assert_eq!(names(&hinted).len(), 2, "who is asked for leaves no request out");
}

#[tokio::test]
async fn an_id_is_asked_for_as_the_api_spells_it() {
    let site = Site::new().await;
    site.stands(ID, json!({}));
    site.lists(ID, &[cycle("billingcycle-1", "Captured", -10)]);
    site.api.says(&["subscriptions", ID, "billing-cycles", "billingcycle-1"], cycle("billingcycle-1", "Captured", -10));
    let seen = site.look(None).await;
    assert_eq!(names(&seen), ["billingcycle-1"]);
    site.api.asked();
    let memo = seen.memo.as_deref();
    site.look(memo).await;
    assert_eq!(site.api.asked(), ["/subscriptions/subscription-a1"], "once it is known nothing else is tried");
    let part = site.fetch("billingcycle-1", memo).await;
    assert_eq!(part.delivery.unwrap().charge.unwrap().amount.as_deref(), Some("10"));
    site.stands(ID, json!({"id": "Subscription-b2"}));
    assert!(matches!(site.look(memo).await.seen, Seen::Foreign(_)));
    site.api.refuses(&["subscriptions", ID], 404);
    let gone = site.look(memo).await;
    assert_eq!((gone.verdict.class, gone.verdict.code), (Class::NotFound, 404));
}

#[tokio::test]
async fn a_list_that_is_not_whole_settles_nothing() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    let path = ["subscriptions", SPELLED, "billing-cycles"];
    let half = json!({"page": 0, "pageSize": 1, "count": 3, "totalPages": 1, "data": [cycle("c2", "Captured", -10)]});
    site.api.says(&path, half.clone());
    let first = site.look(None).await;
    assert!(matches!(first.seen, Seen::Unclear(_)) && first.memo.is_none());
    site.lists(SPELLED, &[cycle("c1", "Captured", -40)]);
    let memo = site.look(None).await.memo;
    site.stands(SPELLED, json!({"billingCyclesRemaining": 6}));
    site.api.says(&path, half);
    let second = site.look(memo.as_deref()).await;
    assert_eq!((names(&second), second.next_look), (vec!["c2"], None));
    site.api.asked();
    site.lists(SPELLED, &[cycle("c1", "Captured", -40), cycle("c2", "Captured", -10)]);
    let third = site.look(second.memo.as_deref()).await;
    assert_eq!((names(&third).len(), site.api.asked().len()), (2, 2), "it is read again");
    site.api.refuses(&path, 500);
    let slot = site.client.http.budget.slot().await;
    assert!(site.client.look(Subject { is_hinted: true, ..SUBJECT }, slot).await.is_err());
}

#[tokio::test]
async fn a_payment_fails_until_it_is_captured_and_the_late_one_is_listed() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    site.lists(SPELLED, &[cycle("c1", "Captured", -40)]);
    let memo = site.look(None).await.memo;
    site.stands(SPELLED, json!({"status": "Overdue"}));
    site.lists(SPELLED, &[cycle("c1", "Captured", -40), cycle("c2", "Failed", -10)]);
    let failing = site.look(memo.as_deref()).await;
    let Payment::Failing(told) = &failing.payment else { panic!("{:?}", failing.payment) };
    assert_eq!((told.generation, told.will_retry, told.reason.as_str()), (1, Some(true), "overdue: failed"));
    assert_eq!(told.since.unwrap().to_string(), format!("{}T00:00:00Z", day(-10)));
    assert_eq!((failing.life, failing.next_look), (Some(Life::Running), None));
    // The next one fails, too: the same episode.
    site.lists(SPELLED, &[cycle("c1", "Captured", -40), cycle("c2", "Failed", -10), cycle("c3", "Error", -1)]);
    let still = site.look(failing.memo.as_deref()).await;
    assert_eq!(still.payment, failing.payment);
    site.stands(SPELLED, json!({}));
    site.lists(SPELLED, &[cycle("c1", "Captured", -40), cycle("c2", "Captured", 0), cycle("c3", "Error", -1)]);
    let fine = site.look(still.memo.as_deref()).await;
    assert_eq!((fine.payment.clone(), names(&fine), fine.next_look), (Payment::Fine, vec!["c1", "c2"], None));
    site.api.asked();
    site.look(fine.memo.as_deref()).await;
    assert_eq!(site.api.asked().len(), 2, "what is unpaid is watched");
}

#[tokio::test]
async fn the_first_capture_is_the_purchase_or_ends_the_trial() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    site.lists(SPELLED, &[cycle("c2", "Captured", -10), cycle("c1", "Captured", -40)]);
    let occasions = async |generation| {
        let slot = site.client.http.budget.slot().await;
        let seen = site.client.look(Subject { generation, ..SUBJECT }, slot).await.unwrap();
        listed(&seen).iter().map(|one| one.occasion).collect::<Vec<_>>()
    };
    assert_eq!(occasions(Some(-1)).await, [Occasion::Purchase, Occasion::Renewal]);
    assert_eq!(occasions(Some(0)).await, [Occasion::Renewal, Occasion::Renewal]);
    site.stands(SPELLED, json!({"trialEndDate": day(-40)}));
    assert_eq!(occasions(Some(-1)).await, [Occasion::TrialConversion, Occasion::Renewal]);
}

#[tokio::test]
async fn a_delivery_is_the_charge_and_a_key_where_the_operator_put_one() {
    let site = Site::with(Some("/key")).await;
    site.stands(SPELLED, json!({"merchantMetadata": "{\"key\": \"K-1\"}", "planId": "SubscriptionPlan-1"}));
    let path = ["subscriptions", SPELLED, "billing-cycles", "BillingCycle-1"];
    site.api.says(&path, cycle("BillingCycle-1", "Captured", -10));
    let rows = json!([{"id": "Transaction-1", "paymentStatus": "captured", "transactionReferenceId": "P-1", "reconciliationReferenceId": "R-1"}]);
    site.api.says(&[&path[..], &["transactions"]].concat(), json!({ "data": rows }));
    let part = site.fetch("billingcycle-1", None).await;
    assert_eq!(part.verdict.class, Class::Success);
    let delivery = part.delivery.unwrap();
    assert_eq!(delivery.serials().map(|serial| serial.data.reveal()).collect::<Vec<_>>(), ["K-1"]);
    let charge = delivery.charge.as_deref().unwrap();
    assert_eq!((charge.attempts, charge.reference.as_deref()), (Some(1), Some("R-1")));
    assert_eq!(delivery.order_number.as_deref(), Some("P-1"));
    site.api.says(&path, cycle("BillingCycle-1", "Failed", -10));
    assert_eq!(site.fetch("billingcycle-1", None).await.verdict.class, Class::Waiting);
    site.api.says(&path, cycle("BillingCycle-2", "Captured", -10));
    assert_eq!(site.fetch("billingcycle-1", None).await.verdict.class, Class::NotFound);
    // The API spells it otherwise, and minds.
    site.api.refuses(&path, 404);
    site.lists(SPELLED, &[cycle("billingCycle-1", "Captured", -10)]);
    let part = site.fetch("billingcycle-1", None).await;
    assert_eq!(part.verdict.class, Class::Success, "there are no transactions of that");
    let charge = part.delivery.unwrap().charge.unwrap();
    assert_eq!((charge.attempts, charge.reference.as_deref(), charge.amount.as_deref()), (None, None, Some("10")));
}

#[tokio::test]
async fn what_only_tells_of_attempts_keeps_no_charge_back() {
    let site = Site::new().await;
    let path = ["subscriptions", SPELLED, "billing-cycles", "BillingCycle-1"];
    site.api.says(&path, cycle("BillingCycle-1", "Captured", -10));
    for (status, class) in [(403, Class::Success), (400, Class::Success), (503, Class::Transient)] {
        site.api.refuses(&[&path[..], &["transactions"]].concat(), status);
        let part = site.fetch("billingcycle-1", None).await;
        assert_eq!((part.verdict.class, part.delivery.is_some()), (class, true), "{status}");
    }
}

#[tokio::test]
async fn a_first_list_that_counts_more_than_it_shows_must_show_the_same_again() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    let page = json!({"page": 0, "pageSize": 100, "count": 2, "totalPages": 1, "data": [cycle("BillingCycle-1", "Captured", -40)]});
    site.api.says(&["subscriptions", SPELLED, "billing-cycles"], page);
    assert_eq!(names(&site.look(None).await), ["billingcycle-1"], "its count is wrong each time");
    let path = format!("/subscriptions/{SPELLED}/billing-cycles?page=0&pageSize=100");
    assert_eq!(site.api.asked().iter().filter(|asked| **asked == path).count(), 2);
}

#[tokio::test]
async fn one_that_is_there_is_not_deleted_because_its_cycles_are_not_found() {
    let site = Site::new().await;
    site.stands(SPELLED, json!({}));
    site.api.refuses(&["subscriptions", SPELLED, "billing-cycles"], 404);
    assert_eq!(site.look(None).await.verdict.class, Class::Transient);
}

#[tokio::test]
async fn check_says_what_may_be_read_and_which_setting_is_wrong() {
    let site = Site::new().await;
    let check = async |known: &str| {
        let known =
            LastAsked { territory: "default".to_owned(), last_asked: Some((known.to_owned(), known.to_owned())) };
        let (findings, is_answered) = site.client.check(vec![known], &site.client.http.budget).await;
        assert!(is_answered);
        findings.into_iter().map(|one| (one.level, one.text)).collect::<Vec<_>>()
    };
    site.api.says(&["subscriptions"], json!({"page": 0, "count": 7, "data": [{"id": SPELLED}]}));
    site.lists(SPELLED, &[]);
    let ok = |text: &str| (Level::Ok, text.to_owned());
    assert_eq!(
        check(ID).await,
        [ok("list of subscriptions: may be read, 7 in all"), ok("billing cycles of Subscription-a1: may be read")]
    );
    site.api.refuses(&["subscriptions"], 403);
    let refused = "list of subscriptions: answered 403, look at merchant_key_file and authentication_key_file";
    assert_eq!(check(ID).await, [(Level::Problem, refused.to_owned())]);
    site.api.refuses(&["subscriptions"], 400);
    let (findings, _) = site.client.check(Vec::new(), &site.client.http.budget).await;
    assert!(findings[0].text.ends_with("whether origin is the one that is registered"), "{}", findings[0].text);
}
