//! Deliveries that a provider lists: what is new, what it is called, and what was had before.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::provider::Sighting;
use crate::renewal::fixtures::{self, COUNTS};
use crate::renewal::poll::{Look, decide};
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
    read(seen, before, known, &fixtures::rules(), &COUNTS, NOW).expect("it tells")
}

fn names(renewals: &[NewRenewal]) -> Vec<(&str, i64, bool)> {
    renewals.iter().map(|one| (one.reference.as_str(), one.generation, one.late)).collect()
}

fn labels(known: &[KnownDelivery]) -> Vec<(&str, i64)> {
    known.iter().map(|one| (one.reference.as_str(), one.generation)).collect()
}

#[test]
fn all_up_to_the_given_generation_are_had_and_the_others_delivered_in_the_order_of_their_completion() {
    let seen =
        Seen::Listed { first: 0, deliveries: vec![listed("c", 30), listed("a", 10), listed("b", 20)], doubt: None };
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
    let seen =
        Seen::Listed { first: 1, deliveries: vec![listed("a", 10), listed("late", 15), listed("b", 20)], doubt: None };
    let known = recorded(&[("a", 1), ("b", 2)]);
    let late = news(&seen, &before(Some(2), true), &known).unwrap();
    assert_eq!((names(&late.renewals), late.generation), (vec![("late", 3, true)], 3));
    let known = recorded(&[("a", 1), ("b", 2), ("late", 3)]);
    assert!(news(&seen, &before(Some(3), true), &known).unwrap().renewals.is_empty());
}

#[test]
fn one_whose_completion_is_unknown_counts_as_just_completed() {
    let undated = |reference: &str| Listed { completed_at: None, ..listed(reference, 0) };
    let seen = Seen::Listed { first: 0, deliveries: vec![undated("a"), listed("b", 20), listed("c", 30)], doubt: None };
    let tracked = news(&seen, &before(Some(1), false), &[]).unwrap();
    assert_eq!((labels(&tracked.had), names(&tracked.renewals)), (vec![("b", 0), ("c", 1)], vec![("a", 2, false)]));
    let known = recorded(&[("a", 0), ("b", 1)]);
    let next = news(&seen, &before(Some(1), true), &known).unwrap();
    assert_eq!(names(&next.renewals), [("c", 2, false)], "one without a date makes none late");
}

#[test]
fn too_many_at_once_are_a_surprise() {
    let deliveries = (0..30).map(|n| listed(&format!("c{n}"), n)).collect();
    let text = news(&Seen::Listed { first: 0, deliveries, doubt: None }, &before(Some(0), true), &[]).unwrap_err();
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

fn upgrade(reference: &str, completed_at: Option<Timestamp>) -> Listed {
    Listed { reference: reference.to_owned(), occasion: Occasion::Upgrade, completed_at }
}

#[test]
fn what_comes_beside_the_count_bears_the_count_of_its_time() {
    let seen = Seen::Counted { generation: 2, doubt: None, besides: vec![upgrade("u", Some(NOW))] };
    let upgraded = news(&seen, &before(Some(2), true), &[]).unwrap();
    assert_eq!((names(&upgraded.renewals), upgraded.generation), (vec![("u", 2, false)], 2));
    assert_eq!(upgraded.renewals[0].occasion, Occasion::Upgrade);
    let first = news(&seen, &before(Some(1), false), &[]).unwrap();
    assert_eq!(names(&first.renewals), [("PARTNER689-2", 2, false), ("u", 2, false)]);
    assert!(news(&seen, &before(Some(2), true), &recorded(&[("u", 2)])).unwrap().renewals.is_empty());
}

#[test]
fn what_came_beside_the_count_before_it_was_tracked_was_had_whichever_look_shows_it() {
    let row = |asked| before(Some(2), asked);
    let tracked = row(true).tracked_at;
    let had = |before: &Subscription, completed_at| {
        let seen = Seen::Counted { generation: 2, doubt: None, besides: vec![upgrade("u", completed_at)] };
        let News { renewals, had, .. } = news(&seen, before, &[]).unwrap();
        assert_eq!(renewals.len() + had.len(), 1, "either");
        !had.is_empty()
    };
    for asked in [false, true] {
        assert!(had(&row(asked), Some(tracked - 2 * CLOCKS_DIFFER_BY)));
        assert!(!had(&row(asked), Some(tracked)) && !had(&row(asked), Some(tracked - CLOCKS_DIFFER_BY)));
        assert!(!had(&row(asked), None), "rather twice than never");
        assert!(had(&before(None, asked), None), "adopted");
        // An import that names what the customer has had says more, and one that names when says it better.
        let named = |at| Subscription { known_before: Timestamp::from_unix(at), ..row(asked) };
        assert!(!had(&named(0), Some(Timestamp::from_unix(10))));
        assert!(had(&named(NOW.as_unix()), Some(tracked + DAY)));
        let ahead = Subscription { known_before: NOW + 300 * DAY, ..row(asked) };
        assert!(!had(&ahead, Some(NOW - 2 * DAY)), "tracked under a wrong clock");
    }
}

#[test]
fn too_many_beside_the_count_are_a_surprise_and_those_that_were_had_are_not() {
    let besides = |at| (0..30).map(|n| upgrade(&format!("u{n}"), Some(at))).collect();
    let seen = |at| Seen::Counted { generation: 2, doubt: None, besides: besides(at) };
    for asked in [false, true] {
        let text = news(&seen(NOW), &before(Some(2), asked), &[]).unwrap_err();
        assert!(text.starts_with("30 new deliveries at once"), "{text}");
        let old = news(&seen(before(None, false).tracked_at - DAY), &before(Some(2), asked), &[]).unwrap();
        assert_eq!((old.had.len(), old.renewals.len()), (30, 0));
    }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever looks come to before one can be used, and whichever of them shows it first: what came beside the count since it was
    /// tracked is recorded once to be fetched, and what came before is not.
    #[test]
    fn each_beside_the_count_is_new_once_or_had(
        looks in prop::collection::vec(prop::option::weighted(0.7, prop::collection::vec(0..12_usize, 0..8)), 1..8),
        completed in prop::collection::vec(prop::option::weighted(0.8, -40..40_i64), 12),
    ) {
        let mut row = before(Some(1), false);
        let tracked = row.tracked_at.as_unix();
        let at = |days: i64| Timestamp::from_unix(tracked + days * 86_400);
        let (mut fetched, mut had) = (Vec::new(), Vec::<KnownDelivery>::new());
        for look in &looks {
            let upgrades = look.iter().flatten().map(|n| upgrade(&n.to_string(), completed[*n].map(at)));
            let seen = match look {
                Some(_) => Seen::Counted { generation: 1, doubt: None, besides: upgrades.collect() },
                None => Seen::Foreign("another's".to_owned()),
            };
            let known: Vec<_> = had.iter().chain(&fetched).cloned().collect();
            let answer = Ok(Sighting::of(seen));
            let look = Look { before: &row, known: &known, answer: &answer, now: NOW, account_answered_at: None, clock: Clock::Believed };
            let decision = decide(look, &fixtures::rules(), &COUNTS);
            let new = |one: &NewRenewal| KnownDelivery { generation: one.generation, reference: one.reference.clone() };
            fetched.extend(decision.renewals.iter().map(new));
            had.extend(decision.had);
            row = decision.after;
        }
        let shown: BTreeSet<usize> = looks.iter().flatten().flatten().copied().collect();
        let (old, new): (Vec<_>, Vec<_>) = shown.into_iter().partition(|n| completed[*n].is_some_and(|days| days < 0));
        let numbers = |all: &[KnownDelivery]| {
            let mut numbers: Vec<usize> = all.iter().map(|one| one.reference.parse().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        prop_assert_eq!((numbers(&fetched), numbers(&had)), (new, old));
    }

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
            let news = news(&Seen::Listed { first, deliveries, doubt: None }, &row, &all).unwrap();
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
