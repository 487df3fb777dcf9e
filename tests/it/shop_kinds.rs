//! A shop's calls at the other kinds: each changes the provider's books, the next look shows it, and twice is once.

use renewald::sandbox::smartpay::{Decline, Endpoint, Status};
use serde_json::{Value, json};

use crate::harness::{DAY, Site, about};
use crate::smartpay::site;

fn outcome<P>(site: &Site<P>, call: &str, id: &str) -> Value {
    site.command(&["shop", call, id, "--yes", "--json"]).expect_code(0).json()["outcome"].clone()
}

fn shown<P>(site: &Site<P>, id: &str) -> Value {
    site.catch_up();
    site.command(&["explain", id, "--json"]).expect_code(0).json()["subscription"]["technical_status"].clone()
}

#[test]
fn smartpay_pauses_resumes_and_cancels_and_the_next_look_shows_it() {
    let site = site();
    let id = site.subscribe();
    assert_eq!((outcome(&site, "pause", &id), outcome(&site, "pause", &id)), (json!("done"), json!("already")));
    assert_eq!(shown(&site, &id), "paused");
    assert_eq!((outcome(&site, "resume", &id), outcome(&site, "resume", &id)), (json!("done"), json!("already")));
    assert_eq!(shown(&site, &id), "active");
    assert_eq!((outcome(&site, "cancel", &id), outcome(&site, "cancel", &id)), (json!("done"), json!("already")));
    assert_eq!(shown(&site, &id), "canceled");
    let refused = site.command(&["shop", "resume", &id, "--yes"]).expect_code(1);
    assert!(refused.stderr.contains("it is canceled"), "{}", refused.stderr);
    let sent = site.sandbox.requests().iter().filter(|one| one.endpoint == Endpoint::Cancel).count();
    assert_eq!((sent, site.sandbox.subscriptions()[0].status), (1, Status::Canceled));
    let none = site.command(&["shop", "stock", "5"]).expect_code(65);
    assert!(
        none.stderr.contains("smartpay has no call `stock`; it has cancel, pause, resume, renew"),
        "{}",
        none.stderr
    );
}

#[test]
fn smartpay_charges_again_what_failed() {
    let site = site();
    let id = site.subscribe();
    site.catch_up();
    let nothing = site.command(&["shop", "renew", &id, "--yes"]).expect_code(1);
    assert!(nothing.stderr.contains("the newest billing cycle has not failed"), "{}", nothing.stderr);
    site.sandbox.bill_in_vain(&id, Decline::Failed).unwrap();
    let before = site.messages().len();
    assert_eq!(outcome(&site, "renew", &id), "done");
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(about(&site.messages(), &id).len(), before + 1, "the charge is delivered");
}

#[test]
fn monetize_suspends_reactivates_and_cancels_and_the_next_look_shows_it() {
    let site = crate::nexway_monetize::site();
    let id = site.subscribe();
    for (call, status) in [("suspend", "Suspended"), ("reactivate", "Active"), ("cancel", "Canceled")] {
        assert_eq!((outcome(&site, call, &id), outcome(&site, call, &id)), (json!("done"), json!("already")), "{call}");
        assert_eq!(shown(&site, &id).as_str().map(str::to_lowercase), Some(status.to_lowercase()), "{call}");
    }
    let refused = site.command(&["shop", "suspend", &id, "--yes"]).expect_code(1);
    assert!(refused.stderr.contains("it is Canceled"), "{}", refused.stderr);
    let story = site.command(&["explain", &id, "--json"]).expect_code(0).json();
    assert_eq!(story["shop_calls"].as_array().map(Vec::len), Some(7));
}
