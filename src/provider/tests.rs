//! Two kinds that the core has never heard of, through all of it: settings, `import`, `track`, sweep, store, relay, `explain`,
//! `list`, `refetch`, `export` and `check --online`.

pub mod account;
mod feeds;
mod lists;
mod notifications;
mod sharing;
pub mod site;
pub mod wire;

use serde_json::{Value, json};

use crate::cli::Exit;
use crate::store::{NewSubscription, fixtures};
use site::{Site, TURN, message_id, told};

const FIRST: &str = "Sub-ä/1";
const SECOND: &str = "Sub-ä/2";
const TRIAL: &str = "100 % \"Try\"";
const LISTED: &str = "cycle-of-élan";
const MONTH: i64 = 2_592_000;
const ENDS: i64 = 12 * MONTH;

impl Site {
    fn counts(&self, id: &str, count: i64) {
        self.account.says(&["counter", id], json!({"id": id, "count": count, "status": "live"}));
    }

    /// A key named after whom it is for, among those of others and of nobody.
    fn has_keys(&self, id: &str, reference: &str) {
        let ours = json!({"id": id, "key": format!("{id}#{reference}")});
        let rows = json!([{"id": "Sub-ä/other", "key": "OTHERS"}, ours, {"key": "NOBODYS"}]);
        self.account.says(&["counter", id, "keys", reference], rows);
    }

    /// Its cycles, each paid for so many seconds after this began.
    fn lists(&self, id: &str, cycles: &[(&str, i64)]) {
        let at = |seconds| self.after(seconds).as_unix();
        let listed: Vec<_> = cycles.iter().map(|(id, paid)| json!({"id": id, "paid": at(*paid)})).collect();
        self.account.says(&["lister", id], json!({"status": "live", "ends": at(ENDS), "cycles": listed}));
        for (cycle, paid) in cycles {
            let charge = json!({"id": id, "amount": "9.90", "from": at(*paid), "to": at(paid + MONTH),
                                "invoice": format!("https://bills.example/{cycle}")});
            self.account.says(&["lister", id, "charges", cycle], charge);
        }
    }
}

#[tokio::test]
async fn subscriptions_whose_deliveries_have_the_same_name_are_each_fetched_and_served_alone() {
    let mut site = Site::new().await;
    let file = format!("subscription_id,generation,provider\n{FIRST},0,counts\n{SECOND},0,counts\n");
    site.import("counted.csv", &file).await;
    [FIRST, SECOND].iter().for_each(|id| site.counts(id, 0));
    assert_eq!(site.turn().await, Vec::<Value>::new());
    assert_eq!(site.account.asked(), ["/counter/Sub%2D%C3%A4%2F1", "/counter/Sub%2D%C3%A4%2F2"]);

    for id in [FIRST, SECOND] {
        site.counts(id, 1);
        site.has_keys(id, "1");
    }
    let messages = site.turn().await;
    let keys = |id: &str| json!([id, 1, "1", "renewal", false, [format!("{id}#1")]]);
    assert_eq!(told(&messages), [keys(FIRST), keys(SECOND)]);
    let fetched = ["/counter/Sub%2D%C3%A4%2F1/keys/1", "/counter/Sub%2D%C3%A4%2F2/keys/1"];
    let asked = site.account.asked();
    assert_eq!(
        asked.iter().filter(|path| path.contains("keys")).collect::<Vec<_>>(),
        fetched.iter().collect::<Vec<_>>()
    );
    let first = &messages[0];
    assert_eq!(first["id"], message_id("counts", FIRST, "1", 0));
    assert_eq!(first["source"], json!("/renewald/counts/default"));
    assert_eq!(first["data"]["partner_order_number"], Value::Null);
    assert_eq!(first["data"]["subscription"]["partner_order_number"], json!(FIRST), "left out, it is the id");
    assert_eq!(site.turn().await, Vec::<Value>::new(), "once");
}

#[tokio::test]
async fn one_that_is_not_ready_holds_up_no_other_of_the_same_name() {
    let mut site = Site::new().await;
    for id in [FIRST, SECOND] {
        site.done(&["track", id, id, "--provider", "counts", "--generation", "0"]).await;
        site.counts(id, 1);
    }
    site.account.refuses(&["counter", FIRST, "keys", "1"], 409);
    site.has_keys(SECOND, "1");
    assert_eq!(told(&site.turn().await), [json!([SECOND, 1, "1", "renewal", false, [format!("{SECOND}#1")]])]);
    // Rows of others only are as good as none.
    site.account.says(&["counter", FIRST, "keys", "1"], json!([{"id": SECOND, "key": "OTHERS"}]));
    assert_eq!(site.turn().await, Vec::<Value>::new());
    let story = site.story(FIRST).await;
    assert_eq!(story["renewals"][0]["last_outcome"], json!("not_found"), "{story:#}");
    site.has_keys(FIRST, "1");
    assert_eq!(told(&site.turn().await), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
}

#[tokio::test]
async fn where_keys_are_expected_none_is_not_ready_and_where_there_is_a_charge_alone_it_is_all() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--generation", "0"]).await;
    site.counts(FIRST, 1);
    site.account.says(&["counter", FIRST, "keys", "1"], json!([]));
    site.lists(LISTED, &[("a", 0), ("b", MONTH)]);
    let messages = site.turn().await;
    assert_eq!(told(&messages), [json!(["cycle-of-élan", 1, "b", "renewal", false, []])]);
    assert_eq!(messages[0]["data"]["warnings"], json!([]));
    let renewal = site.story(FIRST).await["renewals"][0].clone();
    assert_eq!((&renewal["state"], &renewal["last_outcome"]), (&json!("awaiting_order_data"), &json!("empty")));

    let mut late = Vec::new();
    for turns in 1.. {
        late = site.turn().await;
        if !late.is_empty() {
            let hours = turns * TURN.as_secs() / 3600;
            assert!((72..78).contains(&hours), "{hours} h");
            break;
        }
    }
    assert_eq!(late[0]["data"]["warnings"], json!(["empty"]));
    site.has_keys(FIRST, "1");
    let mut later = Vec::new();
    while later.is_empty() {
        later = site.turn().await;
    }
    assert_eq!(told(&later), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
    assert_eq!(later[0]["id"], message_id("counts", FIRST, "1", 1));
}

#[tokio::test]
async fn the_first_term_after_a_trial_is_delivered() {
    let mut site = Site::new().await;
    site.done(&["track", TRIAL, TRIAL, "--provider", "counts", "--generation", "-1"]).await;
    site.counts(TRIAL, -1);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.counts(TRIAL, 1);
    ["0", "1"].iter().for_each(|reference| site.has_keys(TRIAL, reference));
    let delivered = |reference: &str, label: i64, occasion: &str| {
        json!([TRIAL, label, reference, occasion, false, [format!("{TRIAL}#{reference}")]])
    };
    let messages = site.turn().await;
    assert_eq!(told(&messages), [delivered("0", 0, "trial_conversion"), delivered("1", 1, "renewal")]);
    site.done(&["explain", TRIAL]).await;
    assert_eq!(site.story(TRIAL).await["subscription"]["generation"], json!(1));
}

#[tokio::test]
async fn a_trial_that_is_tracked_again_is_still_one() {
    let mut site = Site::new().await;
    site.done(&["track", TRIAL, TRIAL, "--provider", "counts", "--adopt"]).await;
    site.done(&["untrack", TRIAL]).await;
    site.done(&["track", TRIAL, TRIAL, "--provider", "counts", "--generation", "-1"]).await;
    site.counts(TRIAL, 0);
    site.has_keys(TRIAL, "0");
    let converted = json!([TRIAL, 0, "0", "trial_conversion", false, [format!("{TRIAL}#0")]]);
    assert_eq!(told(&site.turn().await), [converted]);
}

#[tokio::test]
async fn the_memo_of_one_look_is_shown_to_the_next() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    let stamped = json!({"id": FIRST, "count": 0, "status": "live", "stamp": "v7"});
    site.account.says(&["counter", FIRST], stamped);
    site.turn().await;
    site.counts(FIRST, 0);
    site.turn().await;
    site.turn().await;
    let path = "/counter/Sub%2D%C3%A4%2F1";
    assert_eq!(site.account.asked(), [path.to_owned(), format!("{path}?stamp=v7"), format!("{path}?stamp=v7")]);
}

#[tokio::test]
async fn an_upgrade_beside_the_count_is_fetched_by_its_own_name() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "1"]).await;
    let (old, new) = (("U-old", 1_700_000_000), ("U/new", site.after(60).as_unix()));
    let upgraded = |all: &[(&str, i64)]| {
        let upgrades: Vec<_> = all.iter().map(|(name, done)| json!({"name": name, "done": done})).collect();
        json!({"id": FIRST, "count": 1, "status": "live", "upgrades": upgrades})
    };
    // What cannot be right tells nothing, and so does not make the next look a later one.
    site.account.says(&["counter", FIRST], json!({"id": SECOND, "count": 1, "status": "live"}));
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.account.says(&["counter", FIRST], upgraded(&[old]));
    assert_eq!(site.turn().await, Vec::<Value>::new(), "known at tracking");
    site.account.says(&["counter", FIRST], upgraded(&[old, new]));
    site.has_keys(FIRST, "U/new");
    let upgrade = [json!([FIRST, 1, "U/new", "upgrade", false, [format!("{FIRST}#U/new")]])];
    assert_eq!(told(&site.turn().await), upgrade);

    // The label is that of the first renewal too, which has a name of its own.
    site.has_keys(FIRST, "1");
    site.done(&["refetch", FIRST, "--generation", "1"]).await;
    assert_eq!(told(&site.turn().await), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
    site.done(&["refetch", FIRST, "--reference", "U/new"]).await;
    let again = site.turn().await;
    assert_eq!((&told(&again)[..], &again[0]["id"]), (&upgrade[..], &message_id("counts", FIRST, "U/new", 1)));
}

#[tokio::test]
async fn an_upgrade_that_is_still_awaited_is_awaited_where_the_subscription_is_taken() {
    let mut site = Site::new().await;
    let days_ago = |days: i64| site.after(-days * 86_400);
    let row = json!({"subscription_id": FIRST, "generation": 0, "provider": "counts", "known_before": days_ago(2)});
    let upgrades = [("U-old", 3), ("U", 1)].map(|(name, days)| json!({"name": name, "done": days_ago(days).as_unix()}));
    site.import(
        "taken.jsonl",
        &format!(
            "{row}
"
        ),
    )
    .await;
    // Of those before it none has to be named for that to be so.
    site.account.says(&["counter", FIRST], stands(FIRST, 0, json!({"upgrades": upgrades[1..]})));
    site.account.refuses(&["counter", FIRST, "keys", "U"], 409);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    let file = site.path("export.jsonl");
    site.done(&["export", "--output", file.to_str().unwrap()]).await;
    let mut other = site.another();
    other.done(&["import", file.to_str().unwrap()]).await;
    site.account.says(&["counter", FIRST], stands(FIRST, 0, json!({"upgrades": upgrades})));
    site.has_keys(FIRST, "U");
    assert_eq!(told(&other.turn().await), [json!([FIRST, 0, "U", "upgrade", false, [format!("{FIRST}#U")]])]);
}

#[tokio::test]
async fn what_an_adopted_one_has_is_not_delivered() {
    let mut site = Site::new().await;
    for (id, provider) in [(FIRST, "counts"), ("Cycle-of-ÉLAN", "lists")] {
        site.done(&["track", id, id, "--provider", provider, "--adopt"]).await;
    }
    site.counts(FIRST, 7);
    site.lists(LISTED, &[("a", 10), ("b", 20)]);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.counts(FIRST, 8);
    site.has_keys(FIRST, "8");
    site.lists(LISTED, &[("a", 10), ("b", 20), ("c", 30)]);
    let expected = [
        json!([FIRST, 8, "8", "renewal", false, [format!("{FIRST}#8")]]),
        json!([LISTED, 2, "c", "renewal", false, []]),
    ];
    assert_eq!(told(&site.turn().await), expected);
    site.done(&["list", "--provider", "lists"]).await;

    site.done(&["untrack", LISTED]).await;
    site.lists(LISTED, &[("a", 10), ("b", 20), ("c", 30), ("d", 40)]);
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--adopt"]).await;
    assert_eq!(site.turn().await, Vec::<Value>::new(), "nor is what came while it was untracked");
    site.lists(LISTED, &[("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50)]);
    assert_eq!(told(&site.turn().await), [json!([LISTED, 4, "e", "renewal", false, []])]);
}

#[tokio::test]
async fn an_order_number_that_is_left_out_leaves_the_stored_one_alone() {
    let mut site = Site::new().await;
    site.import(
        "with.csv",
        &format!("partner_order_number,subscription_id,generation,provider\nOrder 7,{FIRST},0,counts\n"),
    )
    .await;
    let file = site.path("without.csv");
    std::fs::write(&file, format!("subscription_id,generation,provider\n{FIRST},0,counts\n")).unwrap();
    site.done(&["import", "--update", file.to_str().unwrap()]).await;
    let stored = site.known(FIRST).await.row.subscription;
    let given = |number| NewSubscription { subscription_id: FIRST.to_owned(), ..fixtures::subscription(number, 0) };
    assert_eq!(given("Order 8").other_number(&stored), Some("Order 8"), "told");
    assert_eq!([FIRST, "Order 7"].map(|number| given(number).other_number(&stored).is_some()), [false; 2]);
    site.counts(FIRST, 1);
    site.has_keys(FIRST, "1");
    let messages = site.turn().await;
    assert_eq!(messages[0]["data"]["subscription"]["partner_order_number"], json!("Order 7"));
}

#[tokio::test]
async fn more_at_once_than_is_believed_is_a_surprise() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--generation", "0"]).await;
    site.counts(FIRST, 9);
    site.has_keys(FIRST, "9");
    site.lists(LISTED, &[("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50)]);
    assert_eq!(site.turn().await, Vec::<Value>::new());
    for (id, accepted_by) in [(FIRST, "; `refetch` accepts it"), (LISTED, "; raise it to accept them")] {
        let surprise = site.story(id).await["subscription"]["surprise"].take();
        let text = format!("more than max_generation_jump = 3{accepted_by}");
        assert!(surprise.as_str().is_some_and(|surprise| surprise.ends_with(&text)), "{surprise}");
    }
    site.done(&["refetch", FIRST, "--generation", "9"]).await;
    assert_eq!(told(&site.turn().await), [json!([FIRST, 9, "9", "renewal", false, [format!("{FIRST}#9")]])]);
}

#[tokio::test]
async fn what_nobody_has_seen_is_not_fetched_again() {
    let mut site = Site::new().await;
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--generation", "0"]).await;
    site.lists(LISTED, &[("a", 10), ("b", 20)]);
    assert_eq!(told(&site.turn().await), [json!([LISTED, 1, "b", "renewal", false, []])]);
    let refused = async |words: &[&str]| site.run(&[&["refetch", LISTED], words].concat()).await.unwrap_err();
    let unknown = refused(&["--reference", "x"]).await;
    assert_eq!((unknown.exit, &*unknown.text), (Exit::BadInput, "no delivery \"x\" is known; `explain` lists them"));
    let unknown = refused(&["--generation", "2"]).await;
    let text = "no delivery with the label 2 is known; `explain` lists them";
    assert_eq!((unknown.exit, &*unknown.text), (Exit::BadInput, text));
    // What was had at tracking has a name, and may be wanted after all.
    site.done(&["refetch", LISTED, "--generation", "0"]).await;
    assert_eq!(told(&site.turn().await), [json!([LISTED, 0, "a", "renewal", false, []])]);
}

#[tokio::test]
async fn deliveries_that_are_listed_have_labels_that_stay_and_may_come_late() {
    let mut site = Site::new().await;
    let known = json!([{"reference": "a", "generation": 0}, {"reference": "b", "generation": 1}]);
    let row = json!({"subscription_id": "Cycle-of-ÉLAN", "generation": 1, "provider": "lists", "known": known,
                     "partner_order_number": "Order 7", "metadata": {"shop": 1}});
    site.import("listed.jsonl", &format!("{row}\n")).await;
    site.lists(LISTED, &[("c", 30), ("a", 10), ("b", 20)]);
    let messages = site.turn().await;
    assert_eq!(told(&messages), [json!([LISTED, 2, "c", "renewal", false, []])]);
    let message = &messages[0];
    assert_eq!(message["id"], message_id("lists", LISTED, "c", 0));
    let data = &message["data"];
    assert_eq!(data["partner_order_number"], Value::Null);
    assert_eq!(data["subscription"]["partner_order_number"], json!("Order 7"), "an attribute");
    let charge = json!({"amount": "9.90", "currency": "EUR", "state": "captured", "attempts": 1, "reference": "c"});
    assert_eq!((&data["charge"], &data["lines"], &data["warnings"]), (&charge, &json!([]), &json!([])));
    assert_eq!(data["period"], json!({"start": site.after(30), "end": site.after(30 + MONTH)}));
    assert_eq!(data["documents"], json!([{"label": "invoice", "url": "https://bills.example/c"}]));

    site.lists(LISTED, &[("a", 10), ("late", 15), ("b", 20), ("c", 30)]);
    assert_eq!(data["expires_at"], json!(site.after(ENDS)));
    let messages = site.turn().await;
    assert_eq!(told(&messages), [json!([LISTED, 3, "late", "renewal", true, []])]);
    assert_eq!(messages[0]["data"]["expires_at"], Value::Null, "of a term that is over");
    let (known, queued) = ("known".to_owned(), "queued".to_owned());
    let labels = [(0, "a", &known), (1, "b", &known), (2, "c", &queued), (3, "late", &queued)];
    let labels = labels.map(|(label, reference, state)| (label, reference.to_owned(), state.clone()));
    assert_eq!(site.deliveries(LISTED).await, labels);
    // As the other kind would store it, it is another id.
    site.done(&["explain", "CYCLE-OF-ÉLAN", "--subscription-id", "CYCLE-OF-ÉLAN"]).await;
}

#[tokio::test]
async fn what_is_taken_elsewhere_is_not_delivered_again() {
    let mut site = Site::new().await;
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--generation", "0"]).await;
    site.done(&["track", TRIAL, TRIAL, "--provider", "counts", "--generation", "-1"]).await;
    site.lists(LISTED, &[("a", 10), ("b", 20)]);
    site.counts(TRIAL, 0);
    site.account.refuses(&["counter", TRIAL, "keys", "0"], 409);
    assert_eq!(told(&site.turn().await), [json!([LISTED, 1, "b", "renewal", false, []])]);

    let mut other = site.another();
    let file = other.path("export.jsonl");
    site.done(&["export", "--output", file.to_str().unwrap()]).await;
    other.done(&["import", file.to_str().unwrap()]).await;
    let known = "known".to_owned();
    let expected = [(0, "a".to_owned(), known.clone()), (1, "b".to_owned(), known)];
    assert_eq!(other.deliveries(LISTED).await, expected);
    site.lists(LISTED, &[("a", 10), ("b", 20), ("c", 30)]);
    site.has_keys(TRIAL, "0");
    // What was still awaited there is awaited here.
    let expected = [
        json!([TRIAL, 0, "0", "trial_conversion", false, [format!("{TRIAL}#0")]]),
        json!([LISTED, 2, "c", "renewal", false, []]),
    ];
    assert_eq!(told(&other.turn().await), expected);
}

#[tokio::test]
async fn a_check_asks_each_kind_in_its_own_way() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.done(&["track", LISTED, LISTED, "--provider", "lists", "--generation", "0"]).await;
    site.counts(FIRST, 0);
    site.lists(LISTED, &[("a", 10)]);
    site.turn().await;
    site.account.asked();
    let checked = site.run(&["check", "--online"]).await.map_err(|error| error.text);
    assert_eq!(site.account.asked(), ["/counter/Sub%2D%C3%A4%2F1", "/lister/cycle%2Dof%2D%C3%A9lan"]);
    assert_eq!(checked, Ok(Exit::Done));
    site.account.refuses(&["counter", FIRST], 403);
    assert_ne!(site.run(&["check", "--online"]).await.map_err(|error| error.text), Ok(Exit::Done));
}

#[tokio::test]
async fn one_answer_that_is_about_another_changes_nothing() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.account.says(&["counter", FIRST], json!({"id": SECOND, "count": 1, "status": "gone"}));
    assert_eq!(site.turn().await, Vec::<Value>::new());
    let subscription = site.story(FIRST).await["subscription"].take();
    assert_eq!((&subscription["generation"], &subscription["state"]), (&json!(0), &json!("watching")));
    assert!(subscription["surprise"].to_string().contains("is about"), "{subscription:#}");
}

#[tokio::test]
async fn what_brings_nothing_is_told_too() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.counts(FIRST, 0);
    site.turn().await;
    site.account.says(&["counter", FIRST], json!({"id": FIRST, "count": 1, "status": "gone"}));
    site.account.refuses(&["counter", FIRST, "keys", "1"], 410);
    let mut messages = site.turn().await;
    messages.sort_by_key(|message| message["type"].to_string());
    let types: Vec<_> = messages.iter().map(|message| &message["type"]).collect();
    assert_eq!(types, ["renewald.renewal.failed.v1", "renewald.subscription.status_changed.v1"]);
    let failed = &messages[0]["data"];
    assert_eq!(
        (&failed["reference"], &failed["code"], &failed["reason"]),
        (&json!("1"), &json!(410), &json!("refused"))
    );
    assert_eq!(failed["partner_order_number"], Value::Null);
    // A key comes after all.
    site.has_keys(FIRST, "1");
    site.done(&["refetch", FIRST, "--reference", "1"]).await;
    assert_eq!(told(&site.turn().await), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
}

/// How it stands, with what else the answer tells.
fn stands(id: &str, count: i64, more: Value) -> Value {
    let mut stands = json!({"id": id, "count": count, "status": "live"});
    for (name, value) in more.as_object().unwrap() {
        stands[name] = value.clone();
    }
    stands
}

fn fails(count: i64, since: Option<i64>) -> Value {
    json!({"pays": {"fails": {"count": count, "since": since, "again": true, "why": "card\u{1b} refused"}}})
}

/// The types of messages, without prefix and version, sorted.
fn types(messages: &[Value]) -> Vec<&str> {
    let whole = messages.iter().map(|message| message["type"].as_str().unwrap());
    let mut names: Vec<_> = whole.map(|name| &name["renewald.".len()..name.len() - ".v1".len()]).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_payment_that_fails_is_told_once_an_episode() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    let since = site.after(-60).as_unix();
    let path = ["counter", FIRST];
    site.account.says(&path, stands(FIRST, 0, fails(1, Some(since))));
    let messages = site.turn().await;
    assert_eq!(types(&messages), ["renewal.payment_failing"]);
    let told = &messages[0];
    let name = json!(["counts", FIRST, FIRST, "1", "renewald.renewal.payment_failing", since.to_string()]);
    assert_eq!(told["id"], site::uuid_of(&name));
    let data = &told["data"];
    assert_eq!(
        (&data["generation"], &data["since"], &data["will_retry"]),
        (&json!(1), &json!(site.after(-60)), &json!(true))
    );
    assert_eq!(data["reason"], json!("card\\u{1b} refused"), "made harmless");
    assert_eq!(site.turn().await, Vec::<Value>::new(), "once");
    let shown = site.story(FIRST).await["subscription"]["payment_failing"].take();
    assert_eq!((&shown["generation"], &shown["since"]), (&json!(1), &json!(site.after(-60))));
    site.done(&["explain", FIRST]).await;
    site.done(&["list", "--payment-failing"]).await;

    // It is paid for after all.
    site.account.says(&path, stands(FIRST, 1, json!({"pays": "fine"})));
    site.has_keys(FIRST, "1");
    assert_eq!(self::told(&site.turn().await), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
    assert_eq!(site.story(FIRST).await["subscription"]["payment_failing"], Value::Null);
}

#[tokio::test]
async fn an_offer_is_told_once_for_each_of_its_states_with_the_memo_that_knows_it() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    let offers = |states: &[(&str, &str)], stamp: &str| {
        let offers: Vec<_> =
            states.iter().map(|(order, state)| json!({"order": order, "state": state, "rate": "0.2"})).collect();
        stands(FIRST, 0, json!({"offers": offers, "stamp": stamp}))
    };
    let path = ["counter", FIRST];
    site.account.says(&path, offers(&[("O-1", "accepted")], "1"));
    let messages = site.turn().await;
    assert_eq!(types(&messages), ["subscription.offer"]);
    let name = json!(["counts", FIRST, FIRST, "O-1", "renewald.subscription.offer", "accepted"]);
    assert_eq!(messages[0]["id"], site::uuid_of(&name));
    let discount = json!({"code": null, "label": null, "rate": "0.2", "amount": null, "currency": null});
    let data = &messages[0]["data"];
    assert_eq!(
        (&data["state"], &data["order_number"], &data["discount"]),
        (&json!("accepted"), &json!("O-1"), &discount)
    );
    // One that forgets what it has told tells nobody anything twice.
    assert_eq!(site.turn().await, Vec::<Value>::new());
    site.account.says(&path, offers(&[("O-1", "used"), ("O-2", "accepted")], "2"));
    let messages = site.turn().await;
    assert_eq!(types(&messages), ["subscription.offer"; 2]);
    assert_eq!(site.known(FIRST).await.row.subscription.memo.as_deref(), Some("2"));
    let shown = site.story(FIRST).await["subscription"]["offer"].take();
    assert_eq!((&shown["order_number"], &shown["state"]), (&json!("O-2"), &json!("accepted")));
    site.done(&["explain", FIRST]).await;
}

#[tokio::test]
async fn what_the_reseller_calls_it_is_in_every_message_from_the_answer_that_tells_it_on() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    site.has_keys(FIRST, "1");
    let path = ["counter", FIRST];
    site.account.says(&path, stands(FIRST, 1, json!({"shop": "PARTNER-2024-000123", "pays": fails(2, None)["pays"]})));
    let messages = site.turn().await;
    assert_eq!(types(&messages), ["renewal.payment_failing", "renewal.ready"]);
    for message in &messages {
        assert_eq!(message["data"]["subscription"]["partner_reference"], json!("PARTNER-2024-000123"));
    }
    // Who does not tell it takes nothing back.
    site.counts(FIRST, 2);
    site.has_keys(FIRST, "2");
    let messages = site.turn().await;
    assert_eq!(messages[0]["data"]["subscription"]["partner_reference"], json!("PARTNER-2024-000123"));
    assert_eq!(site.story(FIRST).await["subscription"]["partner_reference"], json!("PARTNER-2024-000123"));
}

#[tokio::test]
async fn one_that_ends_unpaid_is_told_as_failed_and_its_key_comes_all_the_same_should_it_be_paid_later() {
    let mut site = Site::new().await;
    site.done(&["track", FIRST, FIRST, "--provider", "counts", "--generation", "0"]).await;
    let ended = site.after(-40 * 86_400).as_unix();
    let path = ["counter", FIRST];
    let mut gone = stands(FIRST, 0, fails(1, None));
    (gone["status"], gone["ends"]) = (json!("gone"), json!(ended));
    site.account.says(&path, gone);
    assert_eq!(types(&site.turn().await), ["renewal.payment_failing"]);
    let mut last = Vec::new();
    for _ in 0..12 {
        last = site.turn().await;
        if !last.is_empty() {
            break;
        }
    }
    assert_eq!(types(&last), ["renewal.failed", "subscription.ended"]);
    let failed = &last.iter().find(|message| message["type"] == json!("renewald.renewal.failed.v1")).unwrap()["data"];
    assert_eq!(
        (&failed["generation"], &failed["reference"], &failed["reason"]),
        (&json!(1), &json!("1"), &json!("refused"))
    );
    assert_eq!(failed["provider_message"], json!("card\\u{1b} refused"));

    // Its order has nothing for ever, and then a key: each is told under an id of its own.
    site.counts(FIRST, 1);
    site.account.refuses(&["counter", FIRST, "keys", "1"], 410);
    site.done(&["poll", FIRST]).await;
    let again = site.turn().await;
    assert!(types(&again).contains(&"renewal.failed"), "{again:#?}");
    site.has_keys(FIRST, "1");
    site.done(&["refetch", FIRST, "--generation", "1"]).await;
    assert_eq!(told(&site.turn().await), [json!([FIRST, 1, "1", "renewal", false, [format!("{FIRST}#1")]])]);
}
