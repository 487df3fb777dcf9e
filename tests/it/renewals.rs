//! The main job: every generation reaches the sink once, in order, with the keys of its own subscription and no others.

use renewald::sandbox::nexway_connect::{
    ClashingNumber, Endpoint, Fault, FaultKind, NewOrder, Sandbox, Script, Variant,
};

use crate::fake_receiver::FakeReceiver;
use crate::harness::{
    Daemon, HOUR, PATIENCE, SIGNING_SECRET, Setup, Track, keys, new_order, number, numbers, order, sandbox,
};

#[test]
fn both_renewals_of_partner689_arrive_signed() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let id = order(&sandbox, "PARTNER689");
    let site = Setup::new(&sandbox).every("1s").webhook(&receiver).install();
    site.track_all([Track { metadata: r#"{"customer": "C-17"}"#, ..Track::new("PARTNER689", id) }]);
    let daemon = Daemon::spawn(&site);
    for generation in [1, 2] {
        sandbox.renew("PARTNER689", None).unwrap();
        let message = receiver.next_message();
        let renewal = sandbox.renewals().pop().unwrap();
        let expected = format!("PARTNER689-{generation}");
        assert_eq!(number(&message), expected);
        assert_eq!(keys(&message), sandbox.expected_keys(&expected, id));
        assert_eq!(message.data()["generation"], generation);
        assert_eq!(message.data()["order_number"], renewal.order_number);
        assert_eq!(message.data()["subscription"]["subscription_id"], id);
        assert_eq!(message.data()["subscription"]["metadata"]["customer"], "C-17");
        assert_eq!(message.json()["id"], message.id);
        assert!(message.is_signed_with(SIGNING_SECRET), "{message:?}");
    }
    assert_ne!(receiver.messages()[0].id, receiver.messages()[1].id);
    assert_ne!(keys(&receiver.messages()[0]), keys(&receiver.messages()[1]));
    daemon.terminate();
    daemon.wait().expect_code(0);
}

#[test]
fn generations_missed_meanwhile_arrive_one_by_one_oldest_first() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let id = order(&sandbox, "PARTNER689");
    sandbox.renew_times("PARTNER689", None, 4).unwrap();
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track_all([Track { generation: Some(1), ..Track::new("PARTNER689", id) }]);
    site.catch_up();
    let messages = receiver.messages();
    assert_eq!(numbers(&messages), ["PARTNER689-2", "PARTNER689-3", "PARTNER689-4"]);
    for message in &messages {
        assert_eq!(keys(message), sandbox.expected_keys(&number(message), id));
    }
    let expiries: Vec<_> = messages.iter().map(|message| message.data()["expires_at"].is_string()).collect();
    assert_eq!(expiries, [false, false, true], "the expiry is known of the newest only");
}

/// The receiver sees one after the other, even where the first is slow and the sink may send eight at once.
#[test]
fn a_later_generation_waits_for_the_answer_to_the_earlier_one() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::that_answers(crate::fake_receiver::Answer::Held(200)));
    let (one, other) = (order(&sandbox, "A"), order(&sandbox, "B"));
    sandbox.renew_times("A", None, 2).unwrap();
    sandbox.renew("B", None).unwrap();
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", one);
    site.track("B", other);
    let daemon = site.start(&["once"]);
    let mut first = [number(&receiver.next_message()), number(&receiver.next_message())];
    first.sort();
    assert_eq!(first, ["A-1", "B-1"], "A-2 waits, B does not");
    receiver.release();
    assert_eq!(number(&receiver.next_message()), "A-2");
    daemon.wait().expect_code(0);
}

#[test]
fn catching_up_twice_sends_nothing_new() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let id = order(&sandbox, "PARTNER689");
    sandbox.renew("PARTNER689", None).unwrap();
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("PARTNER689", id);
    site.catch_up();
    let asked = sandbox.request_count();
    site.catch_up();
    assert_eq!(sandbox.request_count(), asked, "asked a moment ago");
    site.let_pass(5 * HOUR);
    site.catch_up();
    assert!(sandbox.request_count() > asked);
    assert_eq!(numbers(&receiver.messages()), ["PARTNER689-1"]);
}

#[test]
fn an_adopted_subscription_delivers_only_what_comes_after() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let id = order(&sandbox, "PARTNER689");
    sandbox.renew_times("PARTNER689", None, 40).unwrap(); // more than max_generation_jump
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track_all([Track { generation: None, ..Track::new("PARTNER689", id) }]);
    let mut work = site.work();
    let now = sandbox.now();
    work.pass(now);
    assert_eq!(receiver.messages().len(), 0);
    sandbox.renew("PARTNER689", None).unwrap();
    work.pass(now + 5 * HOUR);
    assert_eq!(numbers(&receiver.messages()), ["PARTNER689-41"]);
}

#[test]
fn originals_that_differ_by_a_suffix_live_side_by_side() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    let originals = ["NEXWAY", "NEXWAY-1", "NEXWAY-1-1", "ACME-2024-001"];
    let ids = originals.map(|original| order(&sandbox, original));
    originals.iter().zip(ids).for_each(|(original, id)| site.track(original, id));
    let mut work = site.work();
    work.pass(sandbox.now());
    assert_eq!(receiver.messages().len(), 0, "nothing was renewed");
    // Generations 1 of the first two have the numbers of other originals.
    sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Both);
    originals.iter().for_each(|original| sandbox.renew_times(original, None, 2).unwrap());
    work.pass(sandbox.now() + 5 * HOUR);
    for (original, id) in originals.iter().zip(ids) {
        let theirs: Vec<_> =
            receiver.messages().into_iter().filter(|m| m.data()["subscription"]["subscription_id"] == id).collect();
        assert_eq!(numbers(&theirs), [format!("{original}-1"), format!("{original}-2")]);
        for message in &theirs {
            assert_eq!(message.data()["subscription"]["partner_order_number"], *original);
            assert_eq!(keys(message).len(), 1, "its own, and not the other order's");
        }
    }
    assert_eq!(receiver.messages().len(), 8);
}

/// `NEXWAY-1` is what the renewal of `NEXWAY` is asked with, and another customer's original order.
fn clash(answer: ClashingNumber, original: Variant) -> (Sandbox, FakeReceiver, i64, i64) {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    sandbox.switch(|switches| switches.clashing_number = answer);
    let ours = order(&sandbox, "NEXWAY");
    new_order(&sandbox, NewOrder { subscription_ids: vec![77], ..NewOrder::new("NEXWAY-1") });
    // For `Original` this is the other order's variant too: it has the number.
    sandbox.script("NEXWAY-1", Script { variant: Some(original), ..Script::default() });
    sandbox.renew("NEXWAY", None).unwrap();
    (sandbox, receiver, ours, 77)
}

#[test]
fn lines_of_a_foreign_order_are_never_delivered() {
    for tracked_too in [false, true] {
        let (sandbox, receiver, ours, theirs) = clash(ClashingNumber::Original, Variant::PlainKey);
        let site = Setup::new(&sandbox).webhook(&receiver).install();
        site.track("NEXWAY", ours);
        if tracked_too {
            site.track("NEXWAY-1", theirs);
        }
        let mut work = site.work();
        let now = sandbox.now();
        for hours in [0, 5, 10] {
            work.pass(now + hours * HOUR);
        }
        assert_eq!(receiver.messages().len(), 0, "the answer holds the other customer's keys");
        assert_eq!(site.texts("SELECT last_outcome FROM renewals"), ["not_found"]);

        // Once the number means the renewal, it arrives.
        sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Renewal);
        work.pass(now + 15 * HOUR);
        let message = receiver.next_message();
        assert_eq!(message.data()["subscription"]["subscription_id"], ours);
        assert_eq!(keys(&message).len(), 1);
    }
}

#[test]
fn of_an_answer_with_both_orders_lines_only_ours_are_delivered() {
    let (sandbox, receiver, ours, theirs) = clash(ClashingNumber::Both, Variant::PlainKey);
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("NEXWAY", ours);
    site.work().pass(sandbox.now());
    let message = receiver.next_message();
    assert_eq!(keys(&message).len(), 1);
    sandbox.switch(|switches| switches.clashing_number = ClashingNumber::Original);
    let foreign = sandbox.expected_keys("NEXWAY-1", theirs);
    assert_eq!(foreign.len(), 1);
    assert!(!message.body.contains(&foreign[0]));
}

#[test]
fn lines_without_ids_are_not_taken_from_a_number_that_is_anothers_original() {
    let (sandbox, receiver, ours, theirs) = clash(ClashingNumber::Original, Variant::NoIds);
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("NEXWAY", ours);
    site.track("NEXWAY-1", theirs);
    site.work().pass(sandbox.now());
    assert_eq!(receiver.messages().len(), 0);
    assert_eq!(site.texts("SELECT last_outcome FROM renewals"), ["not_found"]);
}

#[test]
fn one_answer_serves_both_subscriptions_of_an_order_with_their_own_keys() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let ids = new_order(&sandbox, NewOrder { subscriptions: 2, ..NewOrder::new("PAIR") });
    sandbox.renew("PAIR", None).unwrap();
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    ids.iter().for_each(|id| site.track("PAIR", *id));
    let mut work = site.work();
    // Both must be recorded before the first answer comes.
    sandbox.script("PAIR-1", Script::readable_after(HOUR));
    work.pass(sandbox.now());
    assert_eq!(receiver.messages().len(), 0);
    sandbox.clear_requests();
    sandbox.advance(HOUR);
    work.pass(sandbox.now());
    let messages = receiver.messages();
    assert_eq!(messages.len(), 2);
    for message in &messages {
        let id = message.data()["subscription"]["subscription_id"].as_i64().unwrap();
        assert!(ids.contains(&id));
        assert_eq!(keys(message), sandbox.expected_keys("PAIR-1", id));
    }
    assert_ne!(keys(&messages[0]), keys(&messages[1]));
    assert_ne!(messages[0].id, messages[1].id);
    let asked = sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Order).count();
    assert_eq!(asked, 1, "one answer for both");
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_sweep_is_renewed_once() {
    for refresh_too in [false, true] {
        let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
        let site = Setup::new(&sandbox).with(|setup| setup.concurrency = 4).webhook(&receiver).install();
        let names: Vec<_> = (0..40).map(|n| format!("T{n}")).collect();
        let ids: Vec<_> = names.iter().map(|name| order(&sandbox, name)).collect();
        site.track_all(names.iter().zip(&ids).map(|(name, id)| Track::new(name, *id)));
        names.iter().for_each(|name| sandbox.renew(name, None).unwrap());
        sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status).number("T10"));
        let daemon = site.start(&["once"]);
        sandbox.wait_for(|r| r.partner_order_number.as_deref() == Some("T10"), PATIENCE).expect("T10 is asked");
        sandbox.expire_tokens(refresh_too);
        sandbox.clear_faults();
        sandbox.release();
        daemon.wait().expect_code(0);
        assert_eq!(receiver.messages().len(), 40);
        let tokens = sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Token).count();
        assert!((2..=3).contains(&tokens), "{tokens} token requests"); // at the most a refused refresh between them
        assert_eq!(site.value::<i64>("SELECT sum(failures) FROM subscriptions"), 0);
    }
}

#[test]
fn each_territory_is_asked_with_its_own_secret() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    for territory in ["eu", "us"] {
        let number = format!("IN-{territory}");
        let id = new_order(&sandbox, NewOrder { territory: territory.to_owned(), ..NewOrder::new(&*number) })[0];
        site.track_all([Track { territory, ..Track::new(&number, id) }]);
        sandbox.renew(&number, None).unwrap();
    }
    site.work().pass(sandbox.now());
    let mut sources: Vec<_> =
        receiver.messages().iter().map(|m| m.json()["source"].as_str().unwrap().to_owned()).collect();
    sources.sort();
    assert_eq!(sources, ["/renewald/nexway/eu", "/renewald/nexway/us"]);
}

#[test]
fn five_refusals_stop_a_territory_and_a_success_opens_it() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let mut setup = Setup::new(&sandbox).webhook(&receiver);
    let (_, right) = setup.territories.iter().find(|(name, _)| name == "us").cloned().unwrap();
    setup.territories = vec![("eu".into(), setup.territories[0].1.clone()), ("us".into(), "wrong".into())];
    let site = setup.install();
    let names: Vec<_> = (0..8).map(|n| format!("US{n}")).collect();
    for name in &names {
        let id = new_order(&sandbox, NewOrder { territory: "us".to_owned(), ..NewOrder::new(&**name) })[0];
        site.track_all([Track { territory: "us", ..Track::new(name, id) }]);
        sandbox.renew(name, None).unwrap();
    }
    let eu = order(&sandbox, "EU");
    sandbox.renew("EU", None).unwrap();
    site.track("EU", eu);

    let finished = site.command(&["once"]).expect_code(1);
    assert!(finished.stdout.contains("us"), "it is said which: {}", finished.stdout);
    assert_eq!(numbers(&receiver.messages()), ["EU-1"], "the other territory goes on");
    assert_eq!(site.texts("SELECT territory FROM territories"), ["us"]);
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE last_outcome = 'refused'") % 9, {
        site.value::<i64>("SELECT count(*) FROM subscriptions WHERE territory = 'us' AND last_asked_at IS NOT NULL")
    });

    // With the right secret a probe is let through at the next start, and opens it for all.
    setup.territories[1].1 = right;
    site.configure(&setup);
    site.let_pass(25 * HOUR);
    site.command(&["once"]);
    site.let_pass(25 * HOUR);
    site.catch_up();
    assert_eq!(site.texts("SELECT territory FROM territories"), [""; 0]);
    assert_eq!(receiver.messages().len(), 9);
}
