//! A shop's calls at the other kinds: each changes the provider's books, the next look shows it, and twice is once.

use std::os::unix::net::UnixStream;

use renewald::sandbox::digital_river as river;
use renewald::sandbox::smartpay::{Decline, Endpoint, Fault, FaultKind, Status};
use serde_json::{Value, json};

use crate::harness::{DAY, Daemon, Site, about, eventually};
use crate::smartpay::{site, site_with};

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
fn smartpay_refuses_in_its_own_words() {
    let site = site();
    for status in [400, 409, 422] {
        let id = site.subscribe();
        let said = json!({ "errorCode": "E7", "errorMessage": format!("not \u{1b}[31mnow, {}", "x".repeat(4000)) });
        let fault = FaultKind::DoneBut { status, body: said.to_string() };
        site.sandbox.fault(Fault::new(fault).at(Endpoint::Change).times(1));
        let refused = site.command(&["shop", "pause", &id, "--yes"]).expect_code(1).stderr;
        assert!(refused.contains("the provider refused it: E7 not \\u{1b}[31mnow"), "{refused}");
        assert!(refused.len() < 400, "{status}: {} bytes", refused.len());
    }
    let id = site.subscribe();
    let away = FaultKind::Status { status: 503, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(away).at(Endpoint::Cancel).times(1));
    site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    let key = FaultKind::Status { status: 403, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(key).at(Endpoint::Cancel).times(1));
    let key = site.command(&["shop", "cancel", &id, "--yes"]).expect_code(78);
    assert!(key.stderr.contains("merchant_key_file"), "{}", key.stderr);
}

#[test]
fn what_smartpay_does_not_show_is_not_told_as_done() {
    let site = site();
    let id = site.subscribe();
    let unchanged = json!({ "id": id, "status": "active" }).to_string();
    let fault = |kind, endpoint| site.sandbox.fault(Fault::new(kind).at(endpoint).times(1));
    for kind in [FaultKind::Body { body: unchanged.clone() }, FaultKind::Html, FaultKind::EmptyBody] {
        fault(kind.clone(), Endpoint::Change);
        let untold = site.command(&["shop", "pause", &id, "--yes"]).expect_code(75);
        assert!(untold.stderr.contains("it is active all the same"), "{kind:?}: {}", untold.stderr);
    }
    fault(FaultKind::Html, Endpoint::Cancel);
    site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    assert_eq!(site.sandbox.subscriptions()[0].status, Status::Active);
    fault(FaultKind::DoneBut { status: 200, body: unchanged }, Endpoint::Change);
    let done = site.command(&["shop", "pause", &id, "--yes", "--json"]).expect_code(0).json();
    assert_eq!((&done["outcome"], &done["answer"]["status"]), (&json!("done"), &json!("paused")), "it was looked at");
    // As an answer that is lost.
    fault(FaultKind::CutBefore, Endpoint::Cancel);
    site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    assert_eq!(outcome(&site, "cancel", &id), "already");
}

#[test]
fn smartpay_charges_by_hand_only_what_it_has_given_up() {
    let site = site();
    let id = site.subscribe();
    // The charge, its three retries, and the first by hand.
    site.sandbox.refuse(&id, Some(5)).unwrap();
    site.sandbox.advance(site.sandbox.subscriptions()[0].next_billing_at.since(site.now()));
    let pending = site.command(&["shop", "renew", &id, "--yes"]).expect_code(1).stderr;
    for part in ["once no automatic retry is left", "an automatic retry is pending"] {
        assert!(pending.contains(part), "{part}: {pending}");
    }
    site.sandbox.advance(3 * DAY);
    let again = || site.command(&["shop", "renew", &id, "--yes", "--json"]).expect_code(0).json();
    let refused = again();
    assert_eq!(refused["answer"]["billingCycle"]["status"], "Failed");
    assert!(refused["notes"][0].as_str().unwrap().contains("a later look tells"), "{refused}");
    let paid = again();
    assert_eq!((&paid["notes"], &paid["answer"]["billingCycle"]["status"]), (&json!([]), &json!("Captured")));
    assert!(site.command(&["shop", "renew", &id, "--yes"]).expect_code(1).stderr.contains("has not failed"));
    assert_eq!(site.charges(&id).len(), 2);
}

/// What SmartPay knows of a consumer comes with its answers to changes, too.
#[test]
fn nothing_about_a_consumer_is_handed_on_or_stays() {
    const PERSONAL: [&str; 4] = ["Erika", "Mustermann", "erika@customer.example", "520000****0072"];
    let site = site_with(|setup| setup.log_level = "trace");
    let id = site.subscribe();
    site.sandbox.bill_in_vain(&id, Decline::Failed).unwrap();
    let daemon = Daemon::spawn(&site);
    eventually("it serves calls", || UnixStream::connect(site.path("renewald.db.sock")).ok());
    for call in ["renew", "pause", "resume", "cancel"] {
        let told = site.command(&["shop", call, &id, "--yes", "--json", "-vvv"]).expect_code(0);
        for personal in PERSONAL {
            assert!(!(told.stdout.clone() + &told.stderr).contains(personal), "{personal} after {call}: {told:?}");
        }
        let answer = told.json()["answer"].clone();
        assert!(call == "cancel" || answer["id"].is_string(), "{call}: {answer}");
    }
    site.next_message();
    let log = daemon.drain().stderr;
    let rows = log.matches("call=").count();
    assert_eq!(rows, 4, "{log}");
    site.assert_keeps_nothing_of(&PERSONAL, &log);
    let asked = site.sandbox.requests().iter().filter(|one| one.endpoint == Endpoint::ManualRetry).count();
    assert_eq!(asked, 1, "what holds it was answered");
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

/// How often something was asked to be changed at Digital River.
fn changes(site: &Site<river::Sandbox>) -> usize {
    site.sandbox.requests().iter().filter(|one| one.endpoint == river::Endpoint::Change).count()
}

fn draft(site: &Site<river::Sandbox>) -> String {
    site.subscribe(river::NewSubscriptions { draft: true, ..river::NewSubscriptions::default() }).remove(0)
}

#[test]
fn digital_river_cancels_and_the_next_look_shows_it() {
    let site = crate::digital_river::site();
    let id = site.subscribe_one();
    site.catch_up();
    let done = site.command(&["shop", "cancel", &id, "--yes", "--json"]).expect_code(0).json();
    assert_eq!((&done["outcome"], &done["code"]), (&json!("done"), &json!(200)));
    assert_eq!((&done["answer"]["id"], &done["answer"]["state"]), (&json!(id), &json!("cancelled")));
    assert!(done["answer"]["customerId"].is_null() && done["answer"]["metadata"].is_null(), "{done}");
    assert_eq!(outcome(&site, "cancel", &id), "already");
    assert_eq!((shown(&site, &id), changes(&site)), (json!("cancelled"), 1));
    let told = |kind: &str| {
        let kind = json!(format!("renewald.subscription.{kind}.v1"));
        about(&site.messages(), &id).iter().find(|message| message.json()["type"] == kind).map(|message| message.data())
    };
    assert!(told("status_changed").is_some() && told("ended").is_none(), "its term is paid for");
    let mut work = site.work();
    for _ in 0..2 {
        site.sandbox.advance(40 * DAY);
        work.pass(site.sandbox.now());
    }
    drop(work);
    assert_eq!(told("ended").expect("its end is told")["reason"], "cancelled");
    let refused = site.command(&["shop", "renew", &id, "--yes"]).expect_code(1);
    assert!(refused.stderr.contains("it is cancelled: only a draft is activated"), "{}", refused.stderr);
    let none = site.command(&["shop", "pause", &id, "--yes"]).expect_code(65);
    assert!(none.stderr.contains("digital-river has no call `pause`; it has cancel, renew"), "{}", none.stderr);
}

#[test]
fn digital_river_activates_a_draft_once() {
    let site = crate::digital_river::site();
    let id = draft(&site);
    assert_eq!(shown(&site, &id), "draft");
    assert_eq!(outcome(&site, "renew", &id), "done");
    assert_eq!(shown(&site, &id), "active");
    assert_eq!(outcome(&site, "renew", &id), "already");
    assert_eq!(changes(&site), 1);
}

#[test]
fn digital_river_refuses_in_its_own_words() {
    let site = crate::digital_river::site();
    for state in [river::State::Failed, river::State::Lapsed, river::State::Ended] {
        let id = site.subscribe_one();
        site.sandbox.end(&id, state).unwrap();
        for call in ["cancel", "renew"] {
            site.command(&["shop", call, &id, "--yes"]).expect_code(1);
        }
    }
    assert_eq!(changes(&site), 0, "what is over is not asked for");
    let refused = site.command(&["shop", "cancel", &draft(&site), "--yes"]).expect_code(1);
    assert!(refused.stderr.contains("not while it is Draft (invalid_state, state)"), "{}", refused.stderr);
    let odd = site.subscribe_one();
    site.sandbox.show_state(&odd, Some("hibernating")).unwrap();
    let refused = site.command(&["shop", "renew", &odd, "--yes"]).expect_code(1);
    assert!(refused.stderr.contains("not while it is Active"), "{}", refused.stderr);
    assert_eq!(outcome(&site, "cancel", &odd), "done", "a state that nobody knows is asked for");
    site.command(&["track", "nobody", "--generation", "0"]).expect_code(0);
    let unknown = site.command(&["shop", "cancel", "nobody", "--yes"]).expect_code(65);
    assert!(unknown.stderr.contains("the provider does not know it (code 404"), "{}", unknown.stderr);
}

#[test]
fn what_digital_river_does_not_show_is_not_told_as_done() {
    use river::{ErrorBody, Fault, FaultKind};
    let site = crate::digital_river::site();
    let fault = |kind| site.sandbox.fault(Fault::new(kind).at(river::Endpoint::Change).times(1));
    let page = |status| FaultKind::Status { status, body: ErrorBody::Html, retry_after: None };
    let id = site.subscribe_one();
    fault(FaultKind::Body { body: json!({"id": id, "state": "active"}).to_string() });
    let untold = site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    assert!(untold.stderr.contains("it is active all the same"), "{}", untold.stderr);
    for kind in [page(404), page(409), FaultKind::Html, page(410), FaultKind::Redirect { location: "/".into() }] {
        fault(kind.clone());
        let gone = site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
        assert!(gone.stderr.contains("is not the provider"), "{kind:?}: {}", gone.stderr);
    }
    fault(FaultKind::Status { status: 429, body: ErrorBody::Json, retry_after: Some("1".to_owned()) });
    site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    fault(FaultKind::Status { status: 403, body: ErrorBody::Json, retry_after: None });
    let key = site.command(&["shop", "cancel", &id, "--yes"]).expect_code(78);
    assert!(key.stderr.contains("whether the key may change subscriptions"), "{}", key.stderr);
    let gone = Fault::new(page(404)).at(river::Endpoint::Subscription).times(1);
    site.sandbox.fault(gone);
    let gone = site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    assert!(gone.stderr.contains("is not the provider"), "{}", gone.stderr);
    assert_eq!(site.sandbox.subscriptions()[0].state, river::State::Active);
    fault(FaultKind::DoneBut { status: 202, body: String::new() });
    let done = site.command(&["shop", "cancel", &id, "--yes", "--json"]).expect_code(0).json();
    assert_eq!((&done["outcome"], &done["answer"]["state"]), (&json!("done"), &json!("cancelled")), "it was looked at");
}

#[test]
fn a_cancellation_whose_answer_is_lost_is_found_done_when_it_is_repeated() {
    use river::{Fault, FaultKind};
    let site = crate::digital_river::site();
    let id = site.subscribe_one();
    site.sandbox.fault(Fault::new(FaultKind::CutMidBody).at(river::Endpoint::Change).times(1));
    site.command(&["shop", "cancel", &id, "--yes"]).expect_code(75);
    assert_eq!((outcome(&site, "cancel", &id), changes(&site)), (json!("already"), 1));
    assert_eq!(shown(&site, &id), "cancelled");
}
