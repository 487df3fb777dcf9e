//! Accounts of different kinds that share one budget: never above its rate together, and none that is left out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::site::Site;
use crate::daemon::Worker;
use crate::signals::Shutdown;

const RATE: usize = 20;
const EACH: usize = 30;

/// So many subscriptions of each kind, all due.
async fn site() -> Site {
    let site = Site::new().await;
    let mut file = "subscription_id,generation,provider\n".to_owned();
    for n in 0..EACH {
        site.counts(&format!("c{n}"), 0);
        site.account.says(&["lister", &format!("l{n}")], json!({"status": "live", "ends": null, "cycles": []}));
        file.push_str(&format!("c{n},0,counts\nl{n},0,lists\n"));
    }
    site.import("all.csv", &file).await;
    site
}

/// As the provider saw them: when each came, and whether from the first account.
async fn arrivals(site: &Site) -> Vec<(Instant, bool)> {
    site.account.arrivals();
    let mut worker = Worker::new(Arc::new(site.settings()), site.store()).unwrap();
    worker.catch_up(&Shutdown::manual(), &|_| {}).await.unwrap();
    worker.close().await;
    site.account.arrivals().into_iter().map(|(at, path)| (at, path.starts_with("/counter"))).collect()
}

#[tokio::test]
async fn two_that_name_the_same_budget_keep_to_its_lowest_rate_together_and_take_turns() {
    let site = site().await;
    site.change("kind = \"test-lister\"", "kind = \"test-lister\"\nbudget = \"x\"");
    site.change("kind = \"test-counter\"", "kind = \"test-counter\"\nbudget = \"x\"");
    site.change("requests_per_second = 0\n[sinks", &format!("requests_per_second = {RATE}\n[sinks"));
    let came = arrivals(&site).await;
    assert_eq!(came.len(), 2 * EACH);
    let within =
        |first: usize| came[first..].iter().filter(|(at, _)| *at < came[first].0 + Duration::from_secs(1)).count();
    let busiest = (0..came.len()).map(within).max().unwrap_or_default();
    // Sent 1.005 / rate apart, but stamped on arrival: a machine that pauses may push one more into a second. Two budgets would
    // bring twice as many.
    assert!(busiest <= RATE + 1, "{busiest} in one second");
    let firsts = came[..EACH].iter().filter(|(_, is_first)| *is_first).count();
    assert!((EACH / 3..=EACH * 2 / 3).contains(&firsts), "{firsts} of the first {EACH}");
}

#[tokio::test]
async fn check_and_status_say_who_shares_a_budget() {
    let site = site().await;
    let status = async || {
        let (store, settings) = (site.store(), site.settings());
        let status = crate::view::Status::read(&settings, &store, site.after(0)).await.unwrap();
        store.close().await;
        let text = crate::cli::status::text::of(&status, &settings);
        (serde_json::to_value(status).unwrap()["providers"]["counts"].take(), text)
    };
    let (alone, text) = status().await;
    assert_eq!((&alone["shares_budget_with"], &alone["forecast"]["beside_requests_a_day"]), (&json!([]), &json!(0.0)));
    assert!(!text.contains("shared with"), "{text}");
    site.change("requests_per_second = 0\n", "requests_per_second = 4\nbudget = \"x\"\n");
    let (shared, text) = status().await;
    assert_eq!(shared["shares_budget_with"], json!(["lists"]));
    assert_eq!(shared["requests_per_second"], json!(4.0));
    assert_eq!(shared["forecast"]["requests_a_day"], shared["forecast"]["beside_requests_a_day"]);
    assert!(text.contains("shared with lists"), "{text}");
}
