//! What each kind of answer with order data holds for whom.

use super::*;
use crate::clock::Timestamp;
use crate::delivery::{FailReason, File, LicenceKey};
use crate::renewal::fixtures::rules;
use crate::renewal::order::{Patience, Step, Tally, decide};
use crate::retry;

const NOW: Timestamp = Timestamp::constant(1_800_000_000);
const OURS: i64 = 5_618_577;

fn verdict(class: Class, code: i64) -> Verdict {
    Verdict { class, code, message: String::new() }
}

fn item(subscription_id: Option<i64>, key: &str) -> LineItem {
    let data = LicenceKey::new(key.into());
    let serial = Serial { data, encoding: "text".into(), charset: "utf-8".into(), file_name: String::new() };
    LineItem { verdict: Verdict::success(), subscription_id, serials: vec![serial] }
}

fn line(items: Vec<LineItem>) -> OrderLine {
    OrderLine {
        verdict: Verdict::success(),
        product_ref: Some(811_537),
        remark: String::new(),
        digital_locker_link: String::new(),
        download_until: None,
        files: Vec::new(),
        items,
    }
}

fn order(lines: Vec<OrderLine>) -> OrderData {
    OrderData {
        verdict: Verdict::success(),
        partner_order_number: Some("PARTNER689-1".into()),
        order_number: Some(12_567_638),
        lines,
        download_manager: None,
    }
}

fn refused_at(order_level: Verdict) -> OrderData {
    OrderData { verdict: order_level, ..order(Vec::new()) }
}

const CLAIM: Claim<'_> = Claim { subscription_id: "5618577", is_anothers: false };
/// The number asked for is another subscription's own.
const CLASH: Claim<'_> = Claim { is_anothers: true, ..CLAIM };

fn decided(claim: Claim<'_>, patience: &Patience, order: OrderData) -> Step {
    decide(patience, Ok(fetched("PARTNER689-1", order).part(claim)), &rules(), NOW)
}

fn first(order: OrderData) -> Step {
    decided(CLAIM, &Patience::default(), order)
}

fn keys(step: &Step) -> Vec<&str> {
    match step {
        Step::Deliver { delivery, .. } => delivery.serials().map(|serial| serial.data.reveal()).collect(),
        other => panic!("not delivered: {other:?}"),
    }
}

fn outcome(step: &Step) -> &str {
    match step {
        Step::AskAgain { outcome, .. } => outcome,
        Step::Deliver { .. } => "delivered",
        Step::GiveUp(_) => "given up",
    }
}

#[test]
fn only_our_own_lines_are_taken() {
    let ours = line(vec![item(Some(OURS), "ours"), item(Some(7), "another's")]);
    assert_eq!(keys(&first(order(vec![ours, line(vec![item(Some(7), "too")])]))), ["ours"]);
    assert_eq!(outcome(&first(order(vec![line(vec![item(Some(7), "another's")])]))), "not_found");
    assert_eq!(outcome(&first(order(vec![line(vec![item(Some(7), "x"), item(None, "whose?")])]))), "not_found");
    let foreign = OrderData {
        partner_order_number: Some("PARTNER689".into()),
        ..order(vec![line(vec![item(Some(OURS), "old")])])
    };
    assert_eq!(outcome(&first(foreign)), "not_found");
}

/// An order that is not ready may not name us yet, in whichever place it says so.
#[test]
fn what_is_not_ready_yet_is_not_another_subscriptions() {
    let waiting = || verdict(Class::Waiting, 1051);
    let of_another = || line(vec![item(Some(7), "another's")]);
    let empty = OrderLine { verdict: waiting(), ..line(vec![]) };
    assert_eq!(outcome(&first(order(vec![of_another(), empty]))), "waiting");
    let nobodys = LineItem { verdict: waiting(), ..item(None, "") };
    assert_eq!(outcome(&first(order(vec![of_another(), line(vec![nobodys])]))), "waiting");
    let unpaid = |lines| OrderData { verdict: verdict(Class::Waiting, 1060), ..order(lines) };
    assert_eq!(outcome(&first(unpaid(vec![of_another()]))), "waiting");
    assert_eq!(outcome(&decided(CLASH, &Patience::default(), unpaid(vec![]))), "waiting");
    // What another subscription waits for says nothing of us.
    let anothers = LineItem { verdict: waiting(), ..item(Some(7), "") };
    assert_eq!(outcome(&first(order(vec![line(vec![anothers])]))), "not_found");
}

#[test]
fn lines_without_ids_are_ours_unless_the_number_is_another_subscriptions_original() {
    let nobody = || order(vec![line(vec![item(None, "key")])]);
    let step = first(nobody());
    assert_eq!(keys(&step), ["key"]);
    assert!(matches!(step, Step::Deliver { delivery, .. } if delivery.warnings == [Warning::LinesUnmatched]));
    assert_eq!(outcome(&decided(CLASH, &Patience::default(), nobody())), "not_found");
}

#[test]
fn the_worst_of_all_levels_counts_for_our_lines_only() {
    let waiting = |id| LineItem { verdict: verdict(Class::Waiting, 1051), ..item(id, "") };
    assert_eq!(
        outcome(&first(order(vec![line(vec![item(Some(OURS), "k")]), line(vec![waiting(Some(OURS))])]))),
        "waiting"
    );
    assert_eq!(
        outcome(&first(order(vec![line(vec![item(Some(OURS), "k")]), line(vec![waiting(Some(7))])]))),
        "delivered"
    );
    let level = OrderData { verdict: verdict(Class::Waiting, 1060), ..order(vec![line(vec![item(Some(OURS), "k")])]) };
    assert_eq!(outcome(&first(level)), "waiting", "the order level is trusted");
}

#[test]
fn a_permanent_code_gives_up_at_once_but_lets_the_other_lines_through() {
    assert_eq!(outcome(&first(refused_at(verdict(Class::Permanent, 1062)))), "given up");
    let dead = OrderLine { verdict: verdict(Class::Permanent, 1020), ..line(vec![item(Some(OURS), "dead")]) };
    let step = first(order(vec![dead.clone(), line(vec![item(Some(OURS), "good")])]));
    assert_eq!(keys(&step), ["good"]);
    let Step::Deliver { delivery, partial: Some(failed) } = step else { panic!("not partial") };
    assert_eq!((failed.reason, failed.code), (FailReason::Partial, Some(1020)));
    assert_eq!(delivery.warnings, [Warning::Partial]);
    assert_eq!(outcome(&first(order(vec![dead]))), "given up", "no key of a cancelled line goes out");
}

#[test]
fn a_permanent_code_of_another_subscriptions_order_ends_nothing_of_ours() {
    let cancelled = |lines| OrderData { verdict: verdict(Class::Permanent, 1062), ..order(lines) };
    assert_eq!(outcome(&first(cancelled(vec![line(vec![item(Some(7), "another's")])]))), "not_found");
    let step = decided(CLASH, &Patience::default(), cancelled(Vec::new()));
    assert_eq!(outcome(&step), "not_found", "the number is another's original, and so may be the order");
}

#[test]
fn a_permanent_item_takes_neither_ready_nor_waiting_items_of_its_line_along() {
    let dead = || LineItem { verdict: verdict(Class::Permanent, 1062), ..item(Some(OURS), "dead") };
    let step = first(order(vec![line(vec![dead(), item(Some(OURS), "good")])]));
    assert_eq!(keys(&step), ["good"]);
    assert!(matches!(step, Step::Deliver { partial: Some(_), .. }));
    let late = LineItem { verdict: verdict(Class::Waiting, 1051), ..item(Some(OURS), "") };
    let step = first(order(vec![line(vec![dead(), late]), line(vec![item(Some(OURS), "good")])]));
    assert_eq!(outcome(&step), "waiting", "a key that is still to come is waited for");
}

#[test]
fn success_without_content_or_with_a_blank_key_is_asked_again_and_then_believed() {
    let file = |url: &str| File {
        label: "Setup".into(),
        r#type: "install".into(),
        url: url.into(),
        size: None,
        group: String::new(),
    };
    let nothing = line(vec![LineItem { serials: Vec::new(), ..item(Some(OURS), "") }]);
    let blank = line(vec![item(Some(OURS), " ")]);
    let no_address = OrderLine { files: vec![file("")], ..nothing.clone() };
    let blank_beside_a_file = OrderLine { files: vec![file("https://dl.example/setup.exe")], ..blank.clone() };
    let blank_beside_a_key = line(vec![item(Some(OURS), "key"), item(Some(OURS), "")]);
    for empty in [nothing, blank, no_address, blank_beside_a_file, blank_beside_a_key] {
        let empty = || order(vec![empty.clone()]);
        assert_eq!(outcome(&first(empty())), "empty");
        let spent = Tally { answers: 99, seconds: retry::EMPTY_BELIEVED.as_secs() as i64 };
        let step = decided(CLAIM, &Patience { empty: spent, ..Patience::default() }, empty());
        assert!(matches!(step, Step::Deliver { delivery, .. } if delivery.warnings == [Warning::Empty]));
    }
}

#[test]
fn trouble_beside_the_keys_delivers_them_when_patience_ends() {
    let broken = || OrderLine { verdict: verdict(Class::Transient, 1040), ..line(vec![item(Some(OURS), "key")]) };
    let unpaid = || OrderLine { verdict: verdict(Class::Waiting, 1060), ..line(vec![item(Some(OURS), "key")]) };
    let spent = Tally { answers: 99, seconds: 99 * 86_400 };
    let patience = Patience { transient: spent, waiting: spent, ..Patience::default() };
    let last = |order| decided(CLAIM, &patience, order);
    let step = last(order(vec![broken()]));
    assert_eq!(keys(&step), ["key"]);
    assert!(matches!(step, Step::Deliver { partial: Some(_), .. }));
    assert_eq!(outcome(&last(order(vec![unpaid()]))), "given up");
    let unpaid =
        OrderData { verdict: verdict(Class::Waiting, 1060), ..order(vec![line(vec![item(Some(OURS), "key")])]) };
    assert_eq!(outcome(&last(unpaid)), "given up", "the order level is trusted to the end");
    assert_eq!(outcome(&first(order(vec![broken()]))), "failed", "not before");
}
