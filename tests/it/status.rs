//! `renewald status`: counts, the forecast and what the renewals taught, as a person and as a program reads them.

use renewald::sandbox::nexway_connect::Script;
use serde_json::{Value, json};

use crate::harness::{DAY, Site, Track, numbered};

#[test]
fn status_counts_what_there_is_and_what_is_late() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = 5.0);
    site.order_all(&["A", "B", "C"]);
    site.renew("A");
    site.renew("B");
    site.sandbox.script("B-1", Script::codes([1051; 4]));
    site.command(&["once", "--max-time", "5s"]);
    site.command(&["untrack", "C"]).expect_code(0);

    let told = || -> Value {
        serde_json::from_str(&site.command(&["status", "--json"]).expect_code(0).stdout).expect("one object")
    };
    let status = told();
    let account = &status["providers"]["nexway"];
    assert_eq!(status["running"], false);
    assert_eq!(account["subscriptions"], json!({"watching": 2, "paused": 0, "ended": 0, "untracked": 1}));
    assert_eq!(account["waiting"]["renewals"], 1);
    assert_eq!((&account["overdue"], &account["load"]), (&json!(0), &json!("fits")));
    assert_eq!(account["forecast"]["requests_a_day"], 12.0);
    assert_eq!(status["sinks"][0]["pending"], 1);
    site.let_pass(DAY);
    assert_eq!(told()["providers"]["nexway"]["overdue"], 1, "B waits for its order data");

    let text = site.command(&["status"]).expect_code(0).stdout;
    assert!(text.contains("not running") && text.contains("2 watching") && text.contains("1 renewal waits"), "{text}");
    let learnt = site.command(&["status", "--renewals"]).expect_code(0).stdout;
    assert!(learnt.contains("Order data readable") && learnt.contains("####"), "{learnt}");
}

#[test]
fn beyond_the_budget_those_far_from_their_expiry_are_delayed_not_overdue() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = 0.001);
    // 86 requests a day, and 50 subscriptions that need 300: each is asked about every 14 hours.
    let numbers = numbered("N", 50);
    site.track_all(numbers.iter().zip(1..).map(|(number, id)| Track::new(number, id)));
    site.execute(
        "UPDATE subscriptions SET last_asked_at = unixepoch() - 10 * 3600, last_answer_at = unixepoch() - 10 * 3600,
             last_outcome = 'ok';
         UPDATE subscriptions SET failures = 3 WHERE id = 1;
         UPDATE subscriptions SET last_answer_at = unixepoch() - 20 * 3600 WHERE id = 2",
    );
    let told = site.command(&["status", "--json"]).expect_code(0).json();
    let account = &told["providers"]["nexway"];
    assert_eq!((&account["delayed"], &account["overdue"]), (&json!(48), &json!(2)), "{account}");
    assert_eq!(account["load"], "others_wait");
    let listed = |arguments: &[&str]| -> Vec<(String, bool, Option<u64>)> {
        let page = site.command(arguments).expect_code(0).json();
        let row = |item: &Value| {
            let number = item["partner_order_number"].as_str().unwrap_or_default().to_owned();
            (number, item["overdue"] == true, item["expected_wait_seconds"].as_u64())
        };
        page["items"].as_array().unwrap().iter().map(row).collect()
    };
    let overdue = listed(&["list", "--overdue", "--json"]);
    assert_eq!(overdue, [("N0".to_owned(), true, None), ("N1".to_owned(), true, None)]);
    let all = listed(&["list", "--json"]);
    assert_eq!(all[..2], overdue);
    assert!(all[2..].iter().all(|(_, overdue, wait)| !overdue && *wait == Some(50_000)), "{all:?}");
    let story = site.command(&["explain", "N7"]).expect_code(0).stdout;
    assert!(story.contains("by the budget: it is asked about every 13 h") && !story.contains("overdue"), "{story}");
    let check = site.command(&["check"]).stdout;
    assert!(check.contains("the others about every 13h54m"), "{check}");
}
