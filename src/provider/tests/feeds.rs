//! What the provider lists by itself: answered for by it, hinted at by it, found in it, and lied to by it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::lists::Lie;
use super::site::{Site, TURN, told};
use crate::choice::Lane;
use crate::daemon::Worker;
use crate::renewal::State;
use crate::renewal::walk::{End, What};
use crate::renewal::ways::Trust;
use crate::store::{FeedState, Named};
use crate::view::Status;

/// In it a walk over everything gets due, and nobody alone.
const BEFORE_ALONE: Duration = Duration::from_secs(3 * 3600 + 2000);
const MINUTE: Duration = Duration::from_secs(60);
const FEED: &str = "feed_every = \"10m\"";

fn id(number: usize) -> String {
    format!("Sub-ä/{number}")
}

impl Site {
    /// So many that were bought and not renewed, tracked and listed alike.
    async fn fleet(settings: &str, count: usize) -> Self {
        let mut site = Self::counting(settings).await;
        let rows: String = (0..count).map(|number| format!("{},0,counts\n", id(number))).collect();
        site.import("fleet.csv", &format!("subscription_id,generation,provider\n{rows}")).await;
        for number in 0..count {
            site.both(&id(number), 0, 90_000 + 1000 * number as i64);
        }
        assert_eq!(site.turn().await, Vec::<Value>::new());
        // Rows of the first walks are held against looks.
        assert_eq!(site.turn_after(2 * MINUTE).await, Vec::<Value>::new());
        site.account.asked();
        site
    }

    /// What a look and the list say alike: changed so many seconds ago.
    fn both(&self, id: &str, count: i64, age: i64) {
        let stands = self.stands(id, count, age);
        self.account.says(&["counter", id], stands.clone());
        self.list(stands);
        (0..=count).for_each(|count| self.has_keys(id, &count.to_string()));
    }

    fn stands(&self, id: &str, count: i64, age: i64) -> Value {
        let (changed, stamp) = (self.ago(age), self.ago(age).to_string());
        json!({"id": id, "count": count, "status": "live", "changed": changed, "stamp": stamp, "created": self.ago(9_999_999)})
    }

    /// In the place of the row that there was.
    fn list(&self, row: Value) {
        self.account.lists(|lists| {
            match lists.rows.iter_mut().find(|other| other["id"] == row["id"]) {
                Some(other) => *other = row,
                None => lists.rows.push(row),
            };
        });
    }

    fn lies(&self, lies: &[Lie]) {
        self.account.lists(|lists| lists.lies = lies.to_vec());
    }

    /// Requests about single subscriptions, and pages, since this was last asked.
    fn asked(&self) -> (Vec<String>, Vec<String>) {
        let asked = self.account.asked().into_iter().filter(|path| !path.contains("/keys/"));
        asked.partition(|path| path.starts_with("/counter/"))
    }

    /// Somebody asks for a look.
    async fn wants_to_know(&self, id: &str) {
        let store = self.store();
        let row = store.find(Named::new(id, [])).await.unwrap().remove(0).subscription.row;
        assert!(store.ask_now(row, self.now).await.unwrap());
        store.close().await;
    }

    async fn feed(&self) -> FeedState {
        let store = self.store();
        let feed = store.feed("counts").await.unwrap();
        store.close().await;
        feed
    }

    /// How its walks ended.
    async fn ends(&self) -> Vec<(What, Option<End>)> {
        self.feed().await.rows.iter().map(|row| (row.walk.what, row.ended)).collect()
    }

    async fn distrusted(&self) -> Vec<(String, Trust)> {
        self.feed().await.distrusted.into_iter().map(|one| (one.way, one.trust)).collect()
    }
}

fn renewal(number: usize, count: i64) -> Value {
    json!([id(number), count, count.to_string(), "renewal", false, [format!("{}#{count}", id(number))]])
}

#[tokio::test]
async fn who_is_listed_is_not_asked_about_alone() {
    let mut site = Site::fleet(FEED, 9).await;
    site.both(&id(3), 1, 60);
    assert_eq!(told(&site.turn_after(BEFORE_ALONE).await), [renewal(3, 1)]);
    let (alone, pages) = site.asked();
    assert_eq!(alone, Vec::<String>::new());
    assert_eq!(
        pages.iter().map(|path| path.split('?').next().unwrap()).collect::<Vec<_>>(),
        ["/feed/all", "/feed/sorted"]
    );
    // For whoever was answered for, the next look has moved on as with a poll.
    assert_eq!(site.turn_after(TURN - BEFORE_ALONE).await, Vec::<Value>::new());
    assert_eq!(site.asked().0, Vec::<String>::new());
    let story = site.story(&id(5)).await;
    assert_eq!(story["subscription"]["last_outcome"], json!("ok"), "{story:#}");
}

#[tokio::test]
async fn a_change_is_seen_in_the_list_of_the_latest_without_reading_the_others() {
    let mut site = Site::fleet(FEED, 9).await;
    site.account.lists(|lists| lists.size = 2);
    site.both(&id(7), 2, 1);
    assert_eq!(told(&site.turn_after(11 * MINUTE).await), [renewal(7, 1), renewal(7, 2)]);
    let (alone, pages) = site.asked();
    assert_eq!((alone.len(), pages.len()), (0, 2), "the page with it, and one with nothing new: {pages:?}");
    assert_eq!(site.ends().await[0], (What::Changes, Some(End::Whole)));
    assert_eq!(site.turn_after(11 * MINUTE).await, Vec::<Value>::new(), "once");
}

#[tokio::test]
async fn who_does_not_come_in_the_list_is_asked_about_alone() {
    let mut site = Site::fleet(FEED, 9).await;
    site.account.lists(|lists| lists.rows.retain(|row| row["id"] != json!(id(4))));
    site.account.says(&["counter", &id(4)], site.stands(&id(4), 1, 60));
    site.has_keys(&id(4), "1");
    assert_eq!(site.turn_after(BEFORE_ALONE).await, Vec::<Value>::new());
    assert_eq!(told(&site.turn_after(TURN - BEFORE_ALONE).await), [renewal(4, 1)]);
    assert_eq!(site.asked().0.len(), 1);
}

#[tokio::test]
async fn a_walk_goes_on_behind_the_last_page_that_is_on_disk() {
    for (way, rest) in [("all", vec!["/feed/all?page=1", "/feed/all?page=2"]), ("sorted", vec!["/feed/sorted?page=1"])]
    {
        let mut site = Site::fleet(FEED, 9).await;
        site.account.lists(|lists| lists.size = 3);
        site.lies(&[Lie::Fails(way, 1)]);
        site.both(&id(0), 1, 60);
        site.both(&id(8), 1, 30);
        let first = site.turn_after(BEFORE_ALONE).await;
        site.asked();
        // What was learnt is kept by the database alone: each turn opens it anew.
        site.lies(&[]);
        let second = site.turn_after(MINUTE).await;
        let mut all = told(&[first, second].concat());
        all.sort_by_key(|one| one[0].to_string());
        assert_eq!(all, [renewal(0, 1), renewal(8, 1)], "{way}");
        let (alone, pages) = site.asked();
        let pages: Vec<_> = pages.iter().map(|path| path.split('&').next().unwrap()).collect();
        assert_eq!(pages.iter().filter(|path| path.contains(way)).copied().collect::<Vec<_>>(), rest);
        assert_eq!(alone, Vec::<String>::new());
        let ends = [(What::Changes, Some(End::Whole)), (What::Everything, Some(End::Whole))];
        assert_eq!(site.ends().await, ends);
    }
}

#[tokio::test]
async fn a_row_that_only_hints_makes_its_subscription_be_looked_at() {
    let mut site = Site::fleet(FEED, 9).await;
    let hint = json!({"status": "look", "count": 77, "id": id(2), "changed": site.ago(5), "stamp": "4000000000"});
    site.list(hint);
    site.account.says(&["counter", &id(2)], site.stands(&id(2), 1, 5));
    site.has_keys(&id(2), "1");
    let mut worker = Worker::new(Arc::new(site.settings()), site.store()).unwrap();
    for (minutes, looks, why) in [(11, 1, "hinted at"), (22, 0, "the same row again is no news")] {
        let now = site.now + minutes * MINUTE;
        worker.sweep(&|| now).await.unwrap();
        assert_eq!(site.asked().0.len(), looks, "{why}");
    }
    worker.close().await;
    assert_eq!(told(&site.turn_after(23 * MINUTE).await), [renewal(2, 1)]);
}

#[tokio::test]
async fn an_older_row_is_no_answer_and_no_surprise() {
    let mut site = Site::fleet(FEED, 9).await;
    site.account.says(&["counter", &id(1)], site.stands(&id(1), 1, 50));
    site.has_keys(&id(1), "1");
    site.wants_to_know(&id(1)).await;
    assert_eq!(told(&site.turn_after(MINUTE).await), [renewal(1, 1)], "by a look of its own; the list lags behind");
    site.asked();
    for _ in 0..2 {
        assert_eq!(site.turn().await, Vec::<Value>::new());
        assert!(site.asked().0.iter().any(|path| path.starts_with("/counter/Sub%2D%C3%A4%2F1?")), "asked alone");
    }
    let story = site.story(&id(1)).await;
    assert_eq!((&story["subscription"]["surprise"], &story["subscription"]["generation"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn a_row_that_never_changes_hides_no_renewal_for_long() {
    let mut site = Site::fleet(FEED, 9).await;
    let mut frozen = site.stands(&id(5), 0, 100_000);
    frozen["ends"] = json!(site.ago(-3600));
    site.list(frozen.clone());
    site.account.says(&["counter", &id(5)], frozen);
    site.turn_after(BEFORE_ALONE).await;
    site.account.says(&["counter", &id(5)], site.stands(&id(5), 1, 50));
    site.has_keys(&id(5), "1");
    let mut messages = Vec::new();
    for _ in 0..80 {
        messages.extend(site.turn_after(BEFORE_ALONE).await);
        messages.extend(site.turn_after(2 * MINUTE).await);
        if !messages.is_empty() {
            break;
        }
    }
    let ready =
        messages.into_iter().filter(|one| one["type"] == json!("renewald.renewal.ready.v1")).collect::<Vec<_>>();
    assert_eq!(told(&ready), [renewal(5, 1)]);
}

#[tokio::test]
async fn a_list_that_lies_loses_nobody() {
    let all = |trust| vec![("all".to_owned(), trust), ("sorted".to_owned(), trust)];
    let off = |ways: &[&str]| ways.iter().map(|way| ((*way).to_owned(), Trust::Off)).collect::<Vec<_>>();
    for (lies, distrusted) in [
        (vec![Lie::IgnoresSort], off(&["sorted"])),
        (vec![Lie::Refused("sorted"), Lie::Refused("all")], all(Trust::Off)),
        (vec![Lie::Refused("sorted"), Lie::Refused("all"), Lie::IgnoresFilter], off(&["all", "recent", "sorted"])),
        (vec![Lie::Repeats], vec![]),
        (vec![Lie::EndlessAndEmpty], vec![]),
        (vec![Lie::Shrinks], vec![]),
        (vec![Lie::Fails("sorted", 0), Lie::Fails("all", 0)], vec![]),
    ] {
        let mut site = Site::fleet(FEED, 9).await;
        site.account.lists(|lists| lists.size = 3);
        site.lies(&lies);
        // The row that is listed first is not the one that changed last.
        site.both(&id(8), 1, 10);
        site.both(&id(2), 2, 20);
        let messages = told(&site.turn().await);
        let late = told(&site.turn().await);
        let mut all = [messages, late].concat();
        all.sort_by_key(|one| one[0].to_string());
        assert_eq!(all, [renewal(2, 1), renewal(2, 2), renewal(8, 1)], "{lies:?}");
        assert_eq!(site.distrusted().await, distrusted, "{lies:?}");
        // Once it is honest it is believed again, a day later.
        site.lies(&[]);
        for _ in 0..6 {
            assert_eq!(site.turn().await, Vec::<Value>::new());
        }
        assert_eq!(site.distrusted().await.iter().filter(|(way, _)| way == "sorted").count(), 0, "{lies:?}");
    }
}

#[tokio::test]
async fn a_list_that_is_behind_answers_for_nobody() {
    let mut site = Site::counting(FEED).await;
    site.import("fleet.csv", "subscription_id,generation,provider\na,0,counts\nb,0,counts\nc,0,counts\n").await;
    for id in ["a", "b", "c"] {
        site.both(id, 0, 90_000);
    }
    let begun = site.now;
    let mut worker = Worker::new(Arc::new(site.settings()), site.store()).unwrap();
    worker.sweep(&|| begun).await.unwrap();
    // It was renewed an hour before the list was read, which does not show it.
    for id in ["a", "b", "c"] {
        site.account.says(&["counter", id], site.stands(id, 1, 3600));
        site.has_keys(id, "1");
    }
    // Rows are held against looks daily; until then they answer, and nobody is asked about alone.
    for walk in 1..=7 {
        worker.sweep(&|| begun + walk * BEFORE_ALONE).await.unwrap();
        site.now = begun + walk * BEFORE_ALONE;
    }
    worker.close().await;
    assert_eq!(
        site.distrusted().await,
        [("all".to_owned(), Trust::HintsOnly), ("sorted".to_owned(), Trust::HintsOnly)]
    );
    // What it says is worth a look, and no more.
    site.turn_after(5 * MINUTE).await;
    site.asked();
    site.list(site.stands("b", 9, 0));
    assert_eq!(site.turn_after(11 * MINUTE).await, Vec::<Value>::new());
    let (alone, _) = site.asked();
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert_eq!(site.story("b").await["subscription"]["generation"], json!(1));
}

#[tokio::test]
async fn somebody_who_waits_for_a_look_gets_one() {
    let mut site = Site::fleet(FEED, 9).await;
    site.wants_to_know(&id(6)).await;
    site.turn_after(11 * MINUTE).await;
    assert_eq!(site.asked().0.len(), 1);
    assert_eq!(site.known(&id(6)).await.row.subscription.lane, Lane::Other);
}

#[tokio::test]
async fn whoever_is_listed_and_not_tracked_is_counted() {
    let mut site = Site::fleet(FEED, 9).await;
    site.both("stranger", 3, 60);
    site.done(&["untrack", &id(0)]).await;
    assert_eq!(site.turn_after(BEFORE_ALONE).await, Vec::<Value>::new());
    assert_eq!(site.asked().0, Vec::<String>::new());
    let store = site.store();
    let found: Vec<_> = store.discovered(None).await.unwrap().into_iter().map(|one| one.subscription_id).collect();
    assert_eq!(found, ["stranger"], "and not who was untracked on purpose");
    store.close().await;
    let untracked: Vec<_> = site.feed().await.rows.iter().map(|row| row.whole_untracked).collect();
    assert_eq!(untracked, [Some(1), Some(1)]);
    for words in [&["discover"][..], &["discover", "--provider", "counts"], &["--json", "discover"], &["status"]] {
        site.done(words).await;
    }
    let store = site.store();
    let status = Status::read(&site.settings(), &store, site.now).await.unwrap();
    store.close().await;
    let status = serde_json::to_value(status).unwrap();
    let walk = &status["providers"]["counts"]["feed"]["everything"];
    assert_eq!((&walk["way"], &walk["ended"], &walk["untracked"]), (&json!("all"), &json!("whole"), &json!(1)));
    assert_eq!(status["providers"]["lists"]["feed"], Value::Null);
    site.done(&["track", "stranger", "stranger", "--provider", "counts", "--adopt"]).await;
    assert_eq!(site.store().discovered(Some("counts")).await.unwrap().len(), 0);
}

fn discovered(messages: &[Value]) -> Vec<&Value> {
    let is_it = |message: &&Value| message["type"] == json!("renewald.subscription.discovered.v1");
    messages.iter().filter(is_it).map(|message| &message["data"]["subscription"]["subscription_id"]).collect()
}

#[tokio::test]
async fn whoever_is_adopted_has_what_there_is_and_gets_what_comes() {
    let mut site = Site::fleet("feed_every = \"10m\"\ndiscover = \"adopt\"", 1).await;
    site.done(&["untrack", &id(0)]).await;
    site.both("stranger", 3, 60);
    let messages = site.turn_after(BEFORE_ALONE).await;
    assert_eq!(discovered(&messages), [&json!("stranger")]);
    assert_eq!(messages.len(), 1);
    assert_eq!(site.asked().0, Vec::<String>::new(), "the list says what it has");
    assert_eq!(site.known(&id(0)).await.row.subscription.state, State::Untracked, "on purpose");
    let row = site.known("stranger").await.row;
    assert_eq!((row.subscription.generation, row.tracked_by.as_str()), (Some(3), "discovery"));
    site.both("stranger", 4, 5);
    let renewed = json!(["stranger", 4, "4", "renewal", false, ["stranger#4"]]);
    assert_eq!(told(&site.turn_after(11 * MINUTE).await), [renewed]);
}

#[tokio::test]
async fn whoever_a_notification_names_is_looked_for_in_the_list_of_changes_once_a_minute() {
    let mut site = Site::fleet("feed_every = \"10m\"\ndiscover = \"adopt\"", 1).await;
    site.turn_after(10 * MINUTE).await;
    site.list(site.stands("stranger", 3, 5));
    assert!(discovered(&site.turn_after(MINUTE).await).is_empty(), "nobody has named it");
    site.store().hint_at_stranger("counts", site.now).await.unwrap();
    assert_eq!(discovered(&site.turn_after(Duration::ZERO).await), [&json!("stranger")]);
    site.store().hint_at_stranger("counts", site.now).await.unwrap();
    site.list(site.stands("another", 3, 5));
    assert!(discovered(&site.turn_after(MINUTE / 2).await).is_empty());
    assert_eq!(discovered(&site.turn_after(MINUTE / 2).await), [&json!("another")]);
}

#[tokio::test]
async fn only_who_was_made_after_discovery_began_gets_what_there_is() {
    let mut site = Site::fleet("feed_every = \"10m\"\ndiscover = \"deliver\"", 1).await;
    site.both("older", 2, 60);
    let mut newer = site.stands("newer", 0, 0);
    newer["created"] = json!(site.ago(-60));
    site.list(newer.clone());
    site.account.says(&["counter", "newer"], newer);
    site.has_keys("newer", "0");
    let messages = site.turn_after(BEFORE_ALONE).await;
    assert_eq!(discovered(&messages), [&json!("newer"), &json!("older")]);
    let delivered: Vec<_> =
        messages.iter().filter(|one| one["type"] == json!("renewald.renewal.ready.v1")).cloned().collect();
    assert_eq!(told(&delivered), [json!(["newer", 0, "0", "purchase", false, ["newer#0"]])]);
    assert_eq!(site.turn().await, Vec::<Value>::new());
}

/// Adopted, it would never get what it was sold with.
#[tokio::test]
async fn whose_list_does_not_tell_when_it_was_made_waits_for_one_that_does() {
    let mut site = Site::fleet("feed_every = \"10m\"\ndiscover = \"deliver\"", 1).await;
    let mut newer = site.stands("newer", 0, 0);
    newer["created"] = Value::Null;
    site.list(newer.clone());
    assert_eq!(site.turn_after(BEFORE_ALONE).await, Vec::<Value>::new());
    newer["created"] = json!(site.ago(-60));
    newer["upgrades"] = json!([{"name": "U", "done": site.ago(-70)}]);
    site.list(newer.clone());
    site.account.says(&["counter", "newer"], newer);
    site.has_keys("newer", "0");
    site.has_keys("newer", "U");
    let messages = site.turn_after(2 * BEFORE_ALONE).await;
    let ready = messages.iter().filter(|one| one["type"] == json!("renewald.renewal.ready.v1")).cloned();
    let expected = [
        json!(["newer", 0, "0", "purchase", false, ["newer#0"]]),
        json!(["newer", 0, "U", "upgrade", false, ["newer#U"]]),
    ];
    assert_eq!(told(&ready.collect::<Vec<_>>()), expected);
}
