//! The main job: every generation reaches the sink once, in order, with the keys of its own subscription and no others.

use renewald::sandbox::nexway_connect::{ClashingNumber, Endpoint, Fault, FaultKind, NewOrder, Script, Variant};

use crate::fake_receiver::Answer;
use crate::harness::{
    Daemon, HOUR, PATIENCE, SIGNING_SECRET, Site, Track, about, keys, number, numbered, numbers, shown,
};
use crate::nexway_connect::{new_order, order};

#[test]
fn both_renewals_of_partner689_arrive_signed() {
    let site = Site::with(|setup| setup.every = "1s");
    let id = site.order_as("PARTNER689", |track| Track { metadata: r#"{"customer": "C-17"}"#, ..track });
    let daemon = Daemon::spawn(&site);
    for generation in [1, 2] {
        site.renew("PARTNER689");
        let message = site.next_message();
        let renewal = site.sandbox.renewals().pop().unwrap();
        let expected = format!("PARTNER689-{generation}");
        assert_eq!(number(&message), expected);
        assert_eq!(keys(&message), site.sandbox.expected_keys(&expected, id));
        assert_eq!(message.data()["generation"], generation);
        assert_eq!(message.data()["order_number"], renewal.order_number.to_string());
        assert_eq!(message.data()["subscription"]["subscription_id"], shown(id));
        assert_eq!(message.data()["subscription"]["metadata"]["customer"], "C-17");
        assert_eq!(message.json()["id"], message.id);
        assert!(message.is_signed_with(SIGNING_SECRET), "{message:?}");
    }
    assert_ne!(site.messages()[0].id, site.messages()[1].id);
    assert_ne!(keys(&site.messages()[0]), keys(&site.messages()[1]));
    daemon.drain();
}

#[test]
fn generations_missed_meanwhile_arrive_one_by_one_oldest_first() {
    let site = Site::new();
    let id = site.order_as("PARTNER689", |track| Track { generation: Some(1), ..track });
    site.renew_times("PARTNER689", 4);
    site.catch_up();
    let messages = site.messages();
    assert_eq!(numbers(&messages), ["PARTNER689-2", "PARTNER689-3", "PARTNER689-4"]);
    for message in &messages {
        assert_eq!(keys(message), site.sandbox.expected_keys(&number(message), id));
    }
    let expiries: Vec<_> = messages.iter().map(|message| message.data()["expires_at"].is_string()).collect();
    assert_eq!(expiries, [false, false, true], "the expiry is known of the newest only");
}

/// The receiver sees one after the other, even where the first is slow and the sink may send eight at once.
#[test]
fn a_later_generation_waits_for_the_answer_to_the_earlier_one() {
    let site = Site::new();
    site.receiver.answer(Answer::Held(200));
    site.renewed_all(&["A", "B"]);
    site.renew("A");
    let daemon = site.start(&["once"]);
    let mut first = [number(&site.next_message()), number(&site.next_message())];
    first.sort();
    assert_eq!(first, ["A-1", "B-1"], "A-2 waits, B does not");
    site.receiver.release();
    assert_eq!(number(&site.next_message()), "A-2");
    daemon.wait().expect_code(0);
}

#[test]
fn catching_up_twice_sends_nothing_new() {
    let site = Site::new();
    site.renewed("PARTNER689");
    site.catch_up();
    let asked = site.sandbox.request_count();
    site.catch_up();
    assert_eq!(site.sandbox.request_count(), asked, "asked a moment ago");
    site.let_pass(5 * HOUR);
    site.catch_up();
    assert!(site.sandbox.request_count() > asked);
    assert_eq!(site.numbers(), ["PARTNER689-1"]);
}

#[test]
fn an_adopted_subscription_delivers_only_what_comes_after() {
    let site = Site::new();
    site.order_as("PARTNER689", |track| Track { generation: None, ..track });
    site.renew_times("PARTNER689", 40); // more than max_generation_jump
    let mut work = site.work();
    let now = site.now();
    work.pass(now);
    assert_eq!(site.messages().len(), 0);
    site.renew("PARTNER689");
    work.pass(now + 5 * HOUR);
    assert_eq!(site.numbers(), ["PARTNER689-41"]);
}

#[test]
fn originals_that_differ_by_a_suffix_live_side_by_side() {
    let site = Site::new();
    let originals = ["NEXWAY", "NEXWAY-1", "NEXWAY-1-1", "ACME-2024-001"];
    let ids = site.order_all(&originals);
    let mut work = site.work();
    work.pass(site.now());
    assert_eq!(site.messages().len(), 0, "nothing was renewed");
    // Generations 1 of the first two have the numbers of other originals.
    site.sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Both);
    originals.iter().for_each(|original| site.renew_times(original, 2));
    work.pass(site.now() + 5 * HOUR);
    for (original, id) in originals.iter().zip(ids) {
        let theirs = about(&site.messages(), id);
        assert_eq!(numbers(&theirs), [format!("{original}-1"), format!("{original}-2")]);
        for message in &theirs {
            assert_eq!(message.data()["subscription"]["partner_order_number"], *original);
            assert_eq!(keys(message).len(), 1, "its own, and not the other order's");
        }
    }
    assert_eq!(site.messages().len(), 8);
}

/// `NEXWAY-1` is what the renewal of `NEXWAY` is asked with, and another customer's original order.
fn clash(answer: ClashingNumber, original: Variant) -> (Site, i64, i64) {
    let site = Site::new();
    site.sandbox.switch(|switches| switches.clashing_number = answer);
    let ours = order(&site.sandbox, "NEXWAY");
    new_order(&site.sandbox, NewOrder { subscription_ids: vec![77], ..NewOrder::new("NEXWAY-1") });
    // For `Original` this is the other order's variant too: it has the number.
    site.sandbox.script("NEXWAY-1", Script { variant: Some(original), ..Script::default() });
    site.renew("NEXWAY");
    (site, ours, 77)
}

#[test]
fn lines_of_a_foreign_order_are_never_delivered() {
    for tracked_too in [false, true] {
        let (site, ours, theirs) = clash(ClashingNumber::Original, Variant::PlainKey);
        site.track("NEXWAY", ours);
        if tracked_too {
            site.track("NEXWAY-1", theirs);
        }
        let mut work = site.work();
        let now = site.now();
        for hours in [0, 5, 10] {
            work.pass(now + hours * HOUR);
        }
        assert_eq!(site.messages().len(), 0, "the answer holds the other customer's keys");
        assert_eq!(site.texts("SELECT last_outcome FROM renewals"), ["not_found"]);

        // Once the number means the renewal, it arrives.
        site.sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Renewal);
        work.pass(now + 15 * HOUR);
        let message = site.next_message();
        assert_eq!(message.data()["subscription"]["subscription_id"], shown(ours));
        assert_eq!(keys(&message).len(), 1);
    }
}

#[test]
fn of_an_answer_with_both_orders_lines_only_ours_are_delivered() {
    let (site, ours, theirs) = clash(ClashingNumber::Both, Variant::PlainKey);
    site.track("NEXWAY", ours);
    site.work().pass(site.now());
    let message = site.next_message();
    assert_eq!(keys(&message).len(), 1);
    site.sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Original);
    let foreign = site.sandbox.expected_keys("NEXWAY-1", theirs);
    assert_eq!(foreign.len(), 1);
    assert!(!message.body.contains(&foreign[0]));
}

#[test]
fn lines_without_ids_are_not_taken_from_a_number_that_is_anothers_original() {
    let (site, ours, theirs) = clash(ClashingNumber::Original, Variant::NoIds);
    site.track("NEXWAY", ours);
    site.track("NEXWAY-1", theirs);
    site.work().pass(site.now());
    assert_eq!(site.messages().len(), 0);
    assert_eq!(site.texts("SELECT last_outcome FROM renewals"), ["not_found"]);
}

#[test]
fn one_answer_serves_both_subscriptions_of_an_order_with_their_own_keys() {
    let site = Site::new();
    let ids = site.place(NewOrder { subscriptions: 2, ..NewOrder::new("PAIR") });
    site.renew("PAIR");
    let mut work = site.work();
    // Both must be recorded before the first answer comes.
    site.sandbox.script("PAIR-1", Script::readable_after(HOUR));
    work.pass(site.now());
    assert_eq!(site.messages().len(), 0);
    site.sandbox.clear_requests();
    site.sandbox.advance(HOUR);
    work.pass(site.now());
    let messages = ids.iter().flat_map(|id| about(&site.messages(), id)).collect::<Vec<_>>();
    assert_eq!(numbers(&messages), ["PAIR-1", "PAIR-1"]);
    assert_eq!(site.messages().len(), 2);
    for message in &messages {
        assert_eq!(keys(message), site.expected_keys(&message.json()));
    }
    assert_ne!(keys(&messages[0]), keys(&messages[1]));
    assert_ne!(messages[0].id, messages[1].id);
    let asked = site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Order).count();
    assert_eq!(asked, 1, "one answer for both");
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_sweep_is_renewed_once() {
    for refresh_too in [false, true] {
        let site = Site::with(|setup| setup.concurrency = 4);
        let names = numbered("T", 40);
        site.renewed_all(&names);
        site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status).number("T10"));
        let daemon = site.start(&["once"]);
        site.sandbox.wait_for(|r| r.partner_order_number.as_deref() == Some("T10"), PATIENCE).expect("T10 is asked");
        site.sandbox.expire_tokens(refresh_too);
        site.sandbox.clear_faults();
        site.sandbox.release();
        daemon.wait().expect_code(0);
        assert_eq!(site.messages().len(), 40);
        let tokens = site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Token).count();
        assert!((2..=3).contains(&tokens), "{tokens} token requests"); // at the most a refused refresh between them
        assert_eq!(site.value::<i64>("SELECT sum(failures) FROM subscriptions"), 0);
    }
}

#[test]
fn each_territory_is_asked_with_its_own_secret() {
    let site = Site::new();
    for territory in ["eu", "us"] {
        let number = format!("IN-{territory}");
        site.place(NewOrder { territory: territory.to_owned(), ..NewOrder::new(&*number) });
        site.renew(&number);
    }
    site.work().pass(site.now());
    let mut sources: Vec<_> = site.messages().iter().map(|m| m.json()["source"].as_str().unwrap().to_owned()).collect();
    sources.sort();
    assert_eq!(sources, ["/renewald/nexway/eu", "/renewald/nexway/us"]);
}

#[test]
fn five_refusals_stop_a_territory_and_a_success_opens_it() {
    let site = Site::new();
    let right = site.setup();
    site.change(|setup| setup.secret("us", "wrong"));
    let names = numbered("US", 8);
    for name in &names {
        site.place(NewOrder { territory: "us".to_owned(), ..NewOrder::new(&**name) });
        site.renew(name);
    }
    site.renewed("EU");

    let finished = site.command(&["once"]).expect_code(1);
    assert!(finished.stdout.contains("us"), "it is said which: {}", finished.stdout);
    assert_eq!(site.numbers(), ["EU-1"], "the other territory goes on");
    assert_eq!(site.texts("SELECT territory FROM territories"), ["us"]);
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE last_outcome = 'refused'") % 9, {
        site.value::<i64>("SELECT count(*) FROM subscriptions WHERE territory = 'us' AND last_asked_at IS NOT NULL")
    });

    // With the right secret a probe is let through at the next start, and opens it for all.
    site.configure(&right);
    site.let_pass(25 * HOUR);
    site.command(&["once"]);
    site.let_pass(25 * HOUR);
    site.catch_up();
    assert_eq!(site.texts("SELECT territory FROM territories"), [""; 0]);
    assert_eq!(site.messages().len(), 9);
}
