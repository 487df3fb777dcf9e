//! Deliveries that a provider lists: what is new, what it is called, and what was had before.

use proptest::prelude::*;

use super::*;
use crate::renewal::fixtures::{self, COUNTS};
use crate::renewal::properties::config;

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn listed(reference: &str, completed: i64) -> Listed {
    let completed_at = Some(Timestamp::from_unix(completed));
    Listed { reference: reference.to_owned(), occasion: Occasion::Renewal, completed_at }
}

/// Tracked with this generation, `None`: adopted; `asked` before.
fn before(generation: Option<i64>, asked: bool) -> Subscription {
    let last_answer_at = asked.then_some(NOW);
    Subscription { generation, last_answer_at, ..fixtures::watched(0, NOW) }
}

fn recorded(all: &[(&str, i64)]) -> Vec<KnownDelivery> {
    all.iter()
        .map(|(reference, generation)| KnownDelivery { reference: (*reference).to_owned(), generation: *generation })
        .collect()
}

fn news(seen: &Seen, before: &Subscription, known: &[KnownDelivery]) -> Result<News, String> {
    read(seen, before, known, &fixtures::rules(), &COUNTS).expect("it tells")
}

fn names(renewals: &[NewRenewal]) -> Vec<(&str, i64, bool)> {
    renewals.iter().map(|one| (one.reference.as_str(), one.generation, one.late)).collect()
}

fn labels(known: &[KnownDelivery]) -> Vec<(&str, i64)> {
    known.iter().map(|one| (one.reference.as_str(), one.generation)).collect()
}

#[test]
fn all_up_to_the_given_generation_are_had_and_the_others_delivered_in_the_order_of_their_completion() {
    let seen = Seen::Listed { first: 0, deliveries: vec![listed("c", 30), listed("a", 10), listed("b", 20)] };
    let tracked = news(&seen, &before(Some(1), false), &[]).unwrap();
    assert_eq!((labels(&tracked.had), names(&tracked.renewals)), (vec![("a", 0), ("b", 1)], vec![("c", 2, false)]));
    assert_eq!(tracked.generation, 2);
    let adopted = news(&seen, &before(None, false), &[]).unwrap();
    assert_eq!((adopted.had.len(), adopted.renewals.len(), adopted.generation), (3, 0, 2), "adopted");
    let again = news(&seen, &before(None, true), &recorded(&[("a", 0)])).unwrap();
    assert_eq!((labels(&again.had), again.renewals.len(), again.generation), (vec![("b", 1), ("c", 2)], 0, 2));
    let nothing_new = news(&seen, &before(None, true), &recorded(&[("a", 0), ("b", 1), ("c", 2)])).unwrap();
    assert_eq!(nothing_new.generation, 2, "adopted again");
}

#[test]
fn a_late_one_gets_the_next_free_label_and_numbers_given_never_change() {
    let seen = Seen::Listed { first: 1, deliveries: vec![listed("a", 10), listed("late", 15), listed("b", 20)] };
    let known = recorded(&[("a", 1), ("b", 2)]);
    let late = news(&seen, &before(Some(2), true), &known).unwrap();
    assert_eq!((names(&late.renewals), late.generation), (vec![("late", 3, true)], 3));
    let known = recorded(&[("a", 1), ("b", 2), ("late", 3)]);
    assert!(news(&seen, &before(Some(3), true), &known).unwrap().renewals.is_empty());
}

#[test]
fn one_whose_completion_is_unknown_counts_as_just_completed() {
    let undated = |reference: &str| Listed { completed_at: None, ..listed(reference, 0) };
    let seen = Seen::Listed { first: 0, deliveries: vec![undated("a"), listed("b", 20), listed("c", 30)] };
    let tracked = news(&seen, &before(Some(1), false), &[]).unwrap();
    assert_eq!((labels(&tracked.had), names(&tracked.renewals)), (vec![("b", 0), ("c", 1)], vec![("a", 2, false)]));
    let known = recorded(&[("a", 0), ("b", 1)]);
    let next = news(&seen, &before(Some(1), true), &known).unwrap();
    assert_eq!(names(&next.renewals), [("c", 2, false)], "one without a date makes none late");
}

#[test]
fn too_many_at_once_are_a_surprise() {
    let deliveries = (0..30).map(|n| listed(&format!("c{n}"), n)).collect();
    let text = news(&Seen::Listed { first: 0, deliveries }, &before(Some(0), true), &[]).unwrap_err();
    assert!(text.starts_with("29 new deliveries at once"), "{text}");
}

#[test]
fn the_first_count_after_a_trial_is_its_conversion() {
    let seen = Seen::Counted { generation: 1, doubt: None, besides: vec![] };
    let paid = news(&seen, &before(Some(-1), true), &[]).unwrap();
    assert_eq!(names(&paid.renewals), [("PARTNER689-0", 0, false), ("PARTNER689-1", 1, false)]);
    let occasions: Vec<_> = paid.renewals.iter().map(|one| one.occasion).collect();
    assert_eq!(occasions, [Occasion::TrialConversion, Occasion::Renewal]);
}

#[test]
fn what_comes_beside_the_count_bears_the_count_of_its_time() {
    let upgrade = Listed { occasion: Occasion::Upgrade, ..listed("u", 10) };
    let seen = Seen::Counted { generation: 2, doubt: None, besides: vec![upgrade] };
    let upgraded = news(&seen, &before(Some(2), true), &[]).unwrap();
    assert_eq!((names(&upgraded.renewals), upgraded.generation), (vec![("u", 2, false)], 2));
    assert_eq!(upgraded.renewals[0].occasion, Occasion::Upgrade);
    let first = news(&seen, &before(Some(1), false), &[]).unwrap();
    assert_eq!((names(&first.renewals), labels(&first.had)), (vec![("PARTNER689-2", 2, false)], vec![("u", 2)]));
    let imported = news(&seen, &before(Some(2), false), &recorded(&[("1", 1)])).unwrap();
    assert_eq!((names(&imported.renewals), imported.had.len()), (vec![("u", 2, false)], 0), "what it had was named");
    assert!(news(&seen, &before(Some(2), true), &recorded(&[("u", 2)])).unwrap().renewals.is_empty());
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is listed when, in whatever order, each is recorded once, under a label that nothing else has.
    #[test]
    fn each_delivery_is_recorded_once(
        first in 0..2_i64,
        start in prop::option::weighted(0.8, 0..3_i64),
        looks in prop::collection::vec(prop::collection::vec(0..12_u8, 0..8), 1..8),
    ) {
        let (mut row, mut all) = (before(start, false), Vec::<KnownDelivery>::new());
        for look in &looks {
            let deliveries = look.iter().map(|n| listed(&n.to_string(), i64::from(*n))).collect();
            let news = news(&Seen::Listed { first, deliveries }, &row, &all).unwrap();
            let new = |one: &NewRenewal| KnownDelivery { generation: one.generation, reference: one.reference.clone() };
            for one in news.had.iter().cloned().chain(news.renewals.iter().map(new)) {
                prop_assert!(all.iter().all(|known| known.reference != one.reference), "{} twice", one.reference);
                prop_assert!(all.iter().all(|known| known.generation != one.generation), "label {} twice", one.generation);
                all.push(one);
            }
            prop_assert!(look.iter().all(|n| all.iter().any(|known| known.reference == n.to_string())), "one is lost");
            prop_assert!(row.generation.is_none_or(|known| known <= news.generation), "never lowered");
            row = before(Some(news.generation), true);
        }
    }
}
