//! What is told of payments and offers, and how often.

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::life::Life;
use crate::provider::{Class, Offer, Seen, Verdict, test_counter};
use crate::renewal::fixtures::{COUNTS, rules, watched};
use crate::renewal::poll::{Decision, Look, decide};
use crate::renewal::properties::config;
use crate::renewal::{DAY, State};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn failing(generation: i64, since: Option<i64>) -> Payment {
    let (since, reason) = (since.map(Timestamp::from_unix), "PAYMENT_REFUSED".to_owned());
    Payment::Failing(Box::new(Failing { generation, since, will_retry: None, reason }))
}

fn answer(payment: Payment) -> Sighting {
    Sighting { payment, ..Sighting::of(Seen::Counted { generation: 1, doubt: None, besides: Vec::new() }) }
}

fn decided(before: &Subscription, sighting: Sighting, now: Timestamp, convention: &Convention) -> Decision {
    let look =
        Look { before, known: &[], answer: &Ok(sighting), now, account_answered_at: None, clock: Clock::Believed };
    decide(look, &rules(), convention)
}

/// What was told: generation, since and which episode.
fn told(decision: &Decision) -> Vec<(i64, Option<i64>, i64)> {
    let one = |event: &Event| match event {
        Event::PaymentFailing { generation, since, episode, .. } => {
            Some((*generation, since.map(Timestamp::as_unix), *episode))
        }
        _ => None,
    };
    decision.events.iter().filter_map(one).collect()
}

#[test]
fn an_episode_lasts_until_it_is_fine_or_another_term_or_time_is_told() {
    let mut row = watched(1, NOW);
    let mut look = |payment| {
        let decision = decided(&row, answer(payment), NOW, &COUNTS);
        row = decision.after.clone();
        told(&decision)
    };
    assert_eq!(look(failing(2, None)), [(2, None, 1)]);
    for same in [failing(2, None), Payment::Untold, failing(2, Some(10)), failing(2, None), failing(2, Some(10))] {
        assert_eq!(look(same.clone()), [], "{same:?}");
    }
    assert_eq!(look(failing(2, Some(20))), [(2, Some(20), 2)], "another time");
    assert_eq!(look(failing(3, Some(20))), [(3, Some(20), 3)], "another term");
    assert_eq!(look(Payment::Fine), []);
    assert_eq!(look(failing(3, None)), [(3, None, 4)]);
}

#[test]
fn what_is_no_answer_about_it_begins_and_ends_nothing() {
    let standing = decided(&watched(1, NOW), answer(failing(2, None)), NOW, &COUNTS).after;
    let seen = Seen::Foreign("it is another's".to_owned());
    let backwards = Seen::Counted { generation: 0, doubt: None, besides: Vec::new() };
    let aside = |payment| Sighting {
        payment,
        partner_reference: Some("OTHERS".into()),
        offers: vec![offer("O", OfferState::Accepted)],
        ..answer(Payment::Untold)
    };
    for before in [watched(1, NOW), standing] {
        for payment in [failing(9, Some(1)), Payment::Fine] {
            let unknown = Verdict { class: Class::NotFound, code: 404, message: String::new() };
            let unclear = Seen::Unclear("nothing tells");
            for odd in [
                Sighting { seen: seen.clone(), ..aside(payment.clone()) },
                Sighting { seen: backwards.clone(), ..aside(payment.clone()) },
                Sighting { seen: unclear, ..aside(payment.clone()) },
                Sighting { verdict: unknown, ..aside(payment.clone()) },
            ] {
                let Decision { after, events, .. } = decided(&before, odd, NOW, &COUNTS);
                assert!(events.is_empty(), "{events:?}");
                let told = |of: &Subscription| {
                    (of.failing.clone(), of.payment_failures, of.offer.clone(), of.partner_reference.clone())
                };
                assert_eq!(told(&after), told(&before));
            }
        }
    }
}

#[test]
fn a_reason_is_short_and_harmless_and_no_reference_is_stored_that_could_be_none() {
    let reason = format!("no\u{1b}[2J\n{}", "x".repeat(5000));
    let Payment::Failing(failing) = failing(2, None) else { unreachable!("it is one") };
    let sighting = answer(Payment::Failing(Box::new(Failing { reason, ..*failing })));
    let after = decided(&watched(1, NOW), sighting, NOW, &COUNTS).after;
    let kept = after.failing.as_ref().map(|episode| episode.reason.as_str()).unwrap_or_default();
    assert!(kept.starts_with("no\\u{1b}[2J") && kept.len() < 250 && !kept.contains(char::is_control), "{kept}");

    let named = |before: &Subscription, name: Option<&str>| {
        let partner_reference = name.map(Into::into);
        decided(before, Sighting { partner_reference, ..answer(Payment::Untold) }, NOW, &COUNTS).after
    };
    let ours = named(&watched(1, NOW), Some("PARTNER-2024-000123"));
    let long = "x".repeat(256);
    for none in [None, Some(""), Some("a\nb"), Some(long.as_str())] {
        assert_eq!(named(&ours, none).partner_reference.as_deref(), Some("PARTNER-2024-000123"), "{none:?}");
    }
}

fn offer(order: &str, state: OfferState) -> Offer {
    Offer { order_number: order.to_owned(), state, discount: None }
}

#[test]
fn each_offer_is_told_and_the_last_is_kept() {
    let offers = vec![offer("A", OfferState::Used), offer("B", OfferState::Accepted)];
    let Decision { after, events, .. } =
        decided(&watched(1, NOW), Sighting { offers, ..answer(Payment::Untold) }, NOW, &COUNTS);
    let told: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Offer { order_number, state, generation: 1, .. } => (order_number.as_str(), *state),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [("A", OfferState::Used), ("B", OfferState::Accepted)]);
    let last = LastOffer { order_number: "B".to_owned(), state: OfferState::Accepted, seen_at: NOW };
    assert_eq!(after.offer.as_deref(), Some(&last));
}

#[test]
fn what_was_refused_is_told_as_failed_with_the_end_and_not_before() {
    let over = Subscription { expires_at: Some(NOW - 31 * DAY), expiry_reported: true, ..watched(1, NOW) };
    let gone = |payment| Sighting { life: Some(Life::Expired), ..answer(payment) };
    let failed = |decision: &Decision| {
        let one = |event: &Event| match event {
            Event::RenewalFailed { renewal, code: None, reason: FailReason::Refused, provider_message } => {
                Some((renewal.clone(), provider_message.clone()))
            }
            _ => None,
        };
        Vec::from_iter(decision.events.iter().filter_map(one))
    };
    for convention in [&COUNTS, &test_counter::convention::CONVENTION] {
        let first = decided(&over, gone(failing(2, None)), NOW, convention);
        assert_eq!((failed(&first).len(), first.after.state), (0, State::Watching), "seen once");
        for (payment, expected) in
            [(failing(2, None), 1), (failing(1, None), 0), (Payment::Untold, 1), (Payment::Fine, 0)]
        {
            let ended = decided(&first.after, gone(payment.clone()), NOW + DAY, convention);
            assert_eq!((ended.after.state, failed(&ended).len()), (State::Ended, expected), "{payment:?}");
            for (renewal, message) in failed(&ended) {
                let reference = convention.reference_of("PARTNER689", 2);
                assert_eq!((renewal.generation, renewal.revision, &renewal.reference), (2, 0, &reference));
                assert_eq!(renewal.partner_order_number, convention.is_numbered().then_some(reference));
                assert_eq!(message, "PAYMENT_REFUSED");
            }
            assert!(failed(&decided(&ended.after, gone(payment), NOW + 31 * DAY, convention)).is_empty(), "once");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is told in whatever order: each run of answers that fail for one term, and from one time on where that is told, is
    /// told once, under a number of its own.
    #[test]
    fn each_run_of_failures_is_told_once(
        looks in prop::collection::vec(
            prop_oneof![
                1 => Just(Payment::Untold),
                1 => Just(Payment::Fine),
                4 => (1..4_i64, prop::option::of(1..3_i64)).prop_map(|(generation, since)| failing(generation, since)),
            ],
            1..30,
        ),
    ) {
        let (mut row, mut standing, mut episodes) = (watched(1, NOW), None::<(i64, Option<i64>)>, 0);
        for payment in &looks {
            let decision = decided(&row, answer(payment.clone()), NOW, &COUNTS);
            let mut expected = Vec::new();
            match payment {
                Payment::Untold => {}
                Payment::Fine => standing = None,
                Payment::Failing(one) => {
                    let (generation, since) = (one.generation, one.since.map(Timestamp::as_unix));
                    match &mut standing {
                        Some((same, from)) if *same == generation && (from.is_none() || since.is_none() || *from == since) => {
                            *from = from.or(since);
                        }
                        _ => {
                            episodes += 1;
                            standing = Some((generation, since));
                            expected.push((generation, since, episodes));
                        }
                    }
                }
            }
            prop_assert_eq!(told(&decision), expected);
            row = decision.after;
            prop_assert_eq!(row.failing.is_some(), standing.is_some());
        }
    }
}
