//! What each kind of answer to a poll changes.

use super::*;
use crate::provider::{Listed, Seen, test_counter, test_lister};
use crate::renewal::HOUR;
use crate::renewal::fixtures::{self, COUNTS, rules};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn watched(generation: i64) -> Subscription {
    fixtures::watched(generation, NOW)
}

fn answer(generation: i64) -> Sighting {
    Sighting {
        seen: Seen::Counted { generation, doubt: None, besides: Vec::new() },
        words: Some("active".into()),
        life: Some(Life::Running),
        expires_at: Some(NOW + 100 * DAY),
        ..Sighting::refused(Verdict::success())
    }
}

fn foreign() -> Sighting {
    Sighting { seen: Seen::Foreign("answered for another".into()), ..answer(0) }
}

fn cancelled() -> Sighting {
    Sighting { words: Some("Canceled".into()), life: Some(Life::Cancelled), ..answer(0) }
}

fn decide_by(before: &Subscription, answer: &Result<Sighting, Error>, now: Timestamp, clock: Clock) -> Decision {
    decide(Look { before, known: &[], answer, now, account_answered_at: Some(now), clock }, &rules(), &COUNTS)
}

fn decide_at(before: &Subscription, sighting: Sighting, now: Timestamp) -> Decision {
    decide_by(before, &Ok(sighting), now, Clock::Believed)
}

fn coded(class: Class, code: i64) -> Sighting {
    Sighting::refused(Verdict { class, code, message: "no\u{1b}[2J".into() })
}

/// Delays vary by a tenth, so that what failed together does not come back together.
fn assert_near(delays: &[u64], expected: &[u64]) {
    assert_eq!(delays.len(), expected.len());
    let near = |(delay, expected): (&u64, &u64)| delay.abs_diff(*expected) <= expected / 10;
    assert!(delays.iter().zip(expected).all(near), "{delays:?} is not about {expected:?}");
}

#[test]
fn an_uneventful_poll_changes_times_only() {
    let before = watched(1);
    let after = decide_at(&before, answer(1), NOW).after;
    let expected = Subscription {
        due_at: Some(NOW + 4 * HOUR),
        last_asked_at: Some(NOW),
        last_answer_at: Some(NOW),
        technical_status: Some("active".into()),
        ..before
    };
    assert_eq!(after, expected);
}

#[test]
fn a_jump_within_bounds_is_recorded_one_by_one_and_pauses_polls_for_a_day() {
    let before = Subscription { expires_at: Some(NOW - 2 * DAY), ..watched(1) };
    let decision = decide_at(&before, answer(4), NOW);
    let numbers: Vec<_> = decision.renewals.iter().map(|r| r.reference.as_str()).collect();
    assert_eq!(numbers, ["PARTNER689-2", "PARTNER689-3", "PARTNER689-4"]);
    let expiries: Vec<_> = decision.renewals.iter().map(|r| r.expires_at.is_some()).collect();
    assert_eq!(expiries, [false, false, true]);
    assert_eq!(decision.renewals[0].seconds_after_expiry, Some(2 * 86_400));
    assert_eq!(decision.after.generation, Some(4));
    assert_eq!(decision.after.due_at, Some(NOW + DAY));
}

#[test]
fn surprises_deliver_nothing_and_keep_the_polls_going() {
    for odd in [answer(30), answer(1), foreign()] {
        let decision = decide_at(&watched(2), odd.clone(), NOW);
        assert!(decision.new_surprise == Some(Surprising::Dropped) && decision.renewals.is_empty(), "{odd:?}");
        assert_eq!(decision.after.generation, Some(2));
        assert_eq!(decision.after.due_at, Some(NOW + 4 * HOUR));
        let again = decide_at(&decision.after, odd, NOW + 4 * HOUR);
        assert!(again.new_surprise.is_none(), "logged once");
        assert_eq!(again.after.surprises, 2, "but counted");
    }
}

#[test]
fn a_surprise_that_is_over_is_kept_until_the_next_renewal() {
    let trace =
        |of: &Subscription| (of.surprise.is_some(), of.past_surprise.clone().map(String::from), of.past_surprise_at);
    let gone = decide_at(&watched(2), answer(1), NOW).after;
    let gone = decide_at(&gone, answer(1), NOW + HOUR).after;
    assert_eq!(trace(&gone), (true, None, None));
    let back = decide_at(&gone, answer(2), NOW + 2 * HOUR).after;
    assert_eq!(trace(&back), (false, gone.surprise.clone(), Some(NOW + HOUR)));
    assert_eq!(trace(&decide_at(&back, answer(2), NOW + 3 * HOUR).after), trace(&back));
    let unknown = decide_at(&gone, coded(Class::NotFound, 1010), NOW + 2 * HOUR).after;
    assert_eq!(trace(&unknown), trace(&back), "it may be back some time");
    let again = decide_at(&back, answer(1), NOW + 3 * HOUR).after;
    assert_eq!(trace(&decide_at(&again, answer(1), NOW + 4 * HOUR).after), (true, gone.surprise, Some(NOW + HOUR)));
    assert_eq!(trace(&decide_at(&back, answer(3), NOW + 3 * HOUR).after), (false, None, None));
}

#[test]
fn adopting_notes_any_generation_and_delivers_nothing() {
    let before = Subscription { generation: None, lane: Lane::AskedFor, ..watched(0) };
    let decision = decide_at(&before, answer(40), NOW);
    assert!(decision.renewals.is_empty() && decision.new_surprise.is_none());
    assert_eq!(decision.after.generation, Some(40));
    assert_eq!(decision.after.lane, Lane::Other);
}

#[test]
fn refusals_come_back_after_one_hour_then_four_then_daily() {
    let mut subscription = watched(0);
    let mut delays = Vec::new();
    for _ in 0..4 {
        let decision = decide_at(&subscription, coded(Class::Configuration, 71), NOW);
        subscription = decision.after;
        delays.push(subscription.due_at.unwrap().since(NOW).as_secs());
    }
    assert_near(&delays, &[3600, 4 * 3600, 86_400, 86_400]);
    assert_eq!(subscription.last_detail.as_deref(), Some("code 71: no\\u{1b}[2J"));
    assert_eq!(subscription.last_answer_at, Some(NOW - 4 * HOUR), "a refusal is no answer");
}

#[test]
fn unknown_to_the_provider_is_an_answer_and_asked_daily() {
    let after = decide_at(&watched(0), coded(Class::NotFound, 1010), NOW).after;
    assert_eq!((after.pace, after.due_at), (Pace::Daily, Some(NOW + DAY)));
    assert_eq!(after.last_answer_at, Some(NOW));
}

#[test]
fn no_answer_is_asked_again_soon_and_then_at_the_interval() {
    let failed = Err(Error::Unreadable { reason: "no JSON".into() });
    let mut subscription = watched(0);
    let mut delays = Vec::new();
    for _ in 0..6 {
        subscription = decide_by(&subscription, &failed, NOW, Clock::Believed).after;
        delays.push(subscription.due_at.unwrap().since(NOW).as_secs());
    }
    assert_near(&delays, &[10, 60, 300, 1800, 14_400, 14_400]);
}

#[test]
fn cancelled_ends_only_when_seen_again_a_day_later_and_long_after_expiry() {
    let cancelled = || Sighting { expires_at: None, ..cancelled() };
    let before = Subscription { expires_at: Some(NOW - 31 * DAY), ..watched(0) };
    let first = decide_at(&before, cancelled(), NOW).after;
    assert_eq!((first.state, first.pace), (State::Watching, Pace::Daily));
    let soon = decide_at(&first, cancelled(), NOW + HOUR).after;
    assert_eq!(soon.state, State::Watching);
    let ended = decide_at(&first, cancelled(), NOW + DAY);
    assert_eq!((ended.after.state, ended.after.due_at), (State::Ended, Some(NOW + 31 * DAY)));
    assert!(ended.events.iter().any(|e| matches!(e, Event::Ended { reason: EndReason::Cancelled, .. })));
    let renewed = decide_at(&ended.after, answer(1), NOW + 31 * DAY);
    assert_eq!((renewed.after.state, renewed.after.ended_at), (State::Watching, None));
    assert_eq!(renewed.renewals.len(), 1);
    let last = decide_at(&ended.after, cancelled(), NOW + 360 * DAY).after;
    assert_eq!(last.due_at, None, "not asked beyond a year");
}

#[test]
fn the_status_in_an_answer_about_another_order_ends_nothing() {
    let foreign = || Sighting { seen: foreign().seen, ..cancelled() };
    let before = Subscription { expires_at: Some(NOW - 31 * DAY), ..watched(0) };
    let first = decide_at(&before, foreign(), NOW).after;
    assert_eq!((first.terminal_since, first.pace), (None, Pace::Regular));
    let second = decide_at(&first, foreign(), NOW + 2 * DAY);
    assert_eq!(second.after.state, State::Watching);
    assert!(second.events.is_empty(), "{:?}", second.events);
}

#[test]
fn an_answer_that_cannot_be_right_ends_nothing() {
    let old = |generation| Sighting { expires_at: Some(NOW - 20 * DAY), ..answer(generation) };
    let before = watched(1);
    for stale in [old(0), old(40), Sighting { words: Some("Expired".into()), life: Some(Life::Expired), ..old(0) }] {
        let Decision { after, events, .. } = decide_at(&before, stale, NOW);
        assert!(events.is_empty(), "{events:?}");
        assert_eq!((after.expires_at, after.terminal_since), (before.expires_at, None));
        assert_eq!(after.technical_status, before.technical_status);
    }
}

#[test]
fn cancelled_stays_so_until_another_status_is_told() {
    let before = Subscription { life: Some(Life::Cancelled), ..watched(0) };
    let over = |life| Sighting { expires_at: Some(NOW - 15 * DAY), words: None, life, ..answer(0) };
    assert!(decide_at(&before, over(None), NOW).events.is_empty(), "it was not to be renewed");
    let active = decide_at(&before, over(Some(Life::Running)), NOW);
    assert!(active.events.iter().any(|event| matches!(event, Event::NotRenewed { .. })), "{:?}", active.events);
}

#[test]
fn under_a_doubtful_clock_no_end_is_told_and_none_begins() {
    let over = || Ok(Sighting { expires_at: Some(NOW - 15 * DAY), ..answer(0) });
    let doubted = decide_by(&watched(0), &over(), NOW, Clock::Doubted);
    assert_eq!((doubted.events.len(), doubted.after.not_renewed_term), (0, None));
    assert_eq!(decide_by(&doubted.after, &over(), NOW + DAY, Clock::Believed).events.len(), 1, "told later");

    let before = Subscription { terminal_since: Some(NOW - 2 * DAY), expires_at: Some(NOW - 40 * DAY), ..watched(0) };
    let undated = || Ok(Sighting { expires_at: None, ..cancelled() });
    let doubted = decide_by(&before, &undated(), NOW, Clock::Doubted).after;
    assert_eq!((doubted.state, doubted.pace, doubted.terminal_since), (State::Watching, Pace::Daily, None));
    // What was stored under a clock that ran ahead counts from now on.
    let ahead = Subscription { terminal_since: Some(NOW + 300 * DAY), ..before };
    let after = decide_by(&ahead, &undated(), NOW, Clock::Believed).after;
    assert_eq!((after.state, after.terminal_since), (State::Watching, Some(NOW)));
}

#[test]
fn who_asked_for_a_poll_still_waits_after_one_without_answer() {
    let failed = Err(Error::Unreadable { reason: "no JSON".into() });
    let mut adopted = Subscription { generation: None, lane: Lane::AskedFor, ..watched(0) };
    let mut lanes = Vec::new();
    for _ in 0..5 {
        adopted = decide_by(&adopted, &failed, NOW, Clock::Believed).after;
        lanes.push(adopted.lane);
    }
    assert_eq!(lanes, [Lane::AskedFor, Lane::AskedFor, Lane::AskedFor, Lane::AskedFor, Lane::Other]);
    let hinted = Subscription { lane: Lane::Hinted, ..watched(0) };
    assert_eq!(decide_by(&hinted, &failed, NOW, Clock::Believed).after.lane, Lane::Hinted);
}

#[test]
fn a_renewal_whose_answer_names_no_expiry_passes_on_no_old_one() {
    let undated = |generation| Sighting { expires_at: None, ..answer(generation) };
    let before = Subscription { expires_at: Some(NOW - DAY), ..watched(0) };
    let renewed = decide_at(&before, undated(1), NOW);
    assert_eq!(renewed.renewals[0].expires_at, None, "the end of the old term");
    let unknown = |after: &Subscription| (after.expires_at, after.expiry_reported, after.not_renewed_term);
    assert_eq!(unknown(&renewed.after), (None, false, None), "one that is known would be shown as not renewed");
    assert_eq!(renewed.after.lane, Lane::Other);
    let later = decide_at(&renewed.after, undated(1), NOW + 20 * DAY);
    assert!(later.events.is_empty(), "it was renewed: {:?}", later.events);
    assert_eq!(unknown(&later.after), (None, false, None));
    let told = decide_at(&later.after, Sighting { expires_at: Some(NOW + 5 * DAY), ..undated(1) }, NOW + 20 * DAY);
    assert!(matches!(told.events.as_slice(), [Event::NotRenewed { .. }]), "{:?}", told.events);
}

#[test]
fn a_term_that_was_not_renewed_is_told_once() {
    let expired = |at| Sighting { expires_at: Some(at), ..answer(0) };
    let end = NOW - 14 * DAY;
    let first = decide_at(&watched(0), expired(end), NOW);
    assert!(matches!(first.events.as_slice(), [Event::NotRenewed { expires_at, .. }] if *expires_at == end));
    assert!(decide_at(&first.after, expired(end), NOW + DAY).events.is_empty());
    assert!(decide_at(&watched(0), expired(NOW - 13 * DAY), NOW).events.is_empty(), "the window is still open");
}

#[test]
fn a_term_that_was_over_before_it_was_tracked_is_not_told_whoever_names_its_end() {
    let tracked = Subscription { tracked_at: NOW - 20 * DAY, ..watched(0) };
    let events = |before: &Subscription, expires_at| {
        let decision = decide_at(before, Sighting { expires_at, ..answer(0) }, NOW);
        (decision.events.len(), decision.after.not_renewed_term)
    };
    let (before, since) = (NOW - 20 * DAY - HOUR, NOW - 20 * DAY);
    assert_eq!(events(&tracked, Some(before)), (0, None), "the provider");
    let given = |end| Subscription { expires_at: Some(end), expiry_reported: false, ..tracked.clone() };
    assert_eq!(events(&given(before), None), (0, None), "a person");
    assert_eq!(events(&tracked, Some(since)), (1, Some(since)));
    assert_eq!(events(&given(since), None), (1, Some(since)));
}

#[test]
fn only_the_second_due_time_is_spread_and_neighbours_stay_together() {
    let first = |row| {
        let before = Subscription { row, last_asked_at: None, ..watched(0) };
        decide_at(&before, answer(0), NOW).after.due_at.unwrap().since(NOW)
    };
    assert!((1..10_000).map(first).all(|delay| delay <= 4 * HOUR && delay >= 2 * HOUR));
    assert_eq!(first(64), first(127));
    let different: std::collections::HashSet<_> = (0..100).map(|block| first(block * 64)).collect();
    assert!(different.len() > 95);
}

#[test]
fn the_window_around_the_expiry_is_urgent() {
    let lane = |end| decide_at(&watched(0), Sighting { expires_at: Some(end), ..answer(0) }, NOW).after.lane;
    let due = NOW + 4 * HOUR;
    assert_eq!(lane(due + 3 * DAY), Lane::Urgent);
    assert_eq!(lane(due + 3 * DAY + HOUR), Lane::Other);
    assert_eq!(lane(due - 13 * DAY), Lane::Urgent);
    assert_eq!(lane(due - 14 * DAY), Lane::Other);
}

#[test]
fn who_waits_for_order_data_is_polled_all_the_same_where_the_provider_does_not_mind() {
    let (before, answer) = (watched(0), Ok(answer(1)));
    let look = Look {
        before: &before,
        known: &[],
        answer: &answer,
        now: NOW,
        account_answered_at: None,
        clock: Clock::Believed,
    };
    let decision = decide(look, &rules(), &test_counter::convention::CONVENTION);
    assert_eq!((decision.renewals.len(), decision.after.due_at), (1, Some(NOW + 4 * HOUR)));
}

#[test]
fn the_end_of_the_term_is_told_with_the_renewal_and_not_with_the_upgrade_beside_it() {
    let upgrade = Listed { reference: "U".to_owned(), occasion: Occasion::Upgrade, completed_at: Some(NOW) };
    let seen = Seen::Counted { generation: 1, doubt: None, besides: vec![upgrade] };
    let decision = decide_at(&watched(0), Sighting { seen, ..answer(1) }, NOW);
    let told: Vec<_> = decision.renewals.iter().map(|one| (one.occasion, one.expires_at.is_some())).collect();
    assert_eq!(told, [(Occasion::Renewal, true), (Occasion::Upgrade, false)]);
}

#[test]
fn one_that_nothing_can_happen_to_is_asked_when_something_can_and_daily() {
    let rest = |next_look| {
        let before = Subscription { expires_at: Some(NOW + 20 * HOUR), ..watched(0) };
        let answer = Sighting { next_look: Some(next_look), expires_at: before.expires_at, ..answer(0) };
        decide_at(&before, answer, NOW).after
    };
    let dues = [HOUR, 20 * HOUR, 300 * DAY].map(|next_look| rest(next_look).due_at);
    assert_eq!(dues, [Some(NOW + 4 * HOUR), Some(NOW + 20 * HOUR), Some(NOW + DAY)]);
    assert_eq!(rest(HOUR).pace, Pace::Regular);
    let rested = rest(20 * HOUR);
    assert_eq!((rested.pace, rested.lane), (Pace::Daily, Lane::Urgent));
    let after = decide_at(&rested, answer(0), NOW + 20 * HOUR).after;
    assert_eq!(
        (after.pace, after.due_at),
        (Pace::Regular, Some(NOW + 24 * HOUR)),
        "once the provider says nothing of it"
    );
    let renewed = decide_at(&watched(0), Sighting { next_look: Some(DAY), ..answer(1) }, NOW).after;
    assert_eq!(renewed.pace, Pace::Regular, "what has just happened is looked at");
}

#[test]
fn one_that_rested_is_asked_as_ever_again_when_its_day_brings_no_answer() {
    let rested = Subscription { pace: Pace::Daily, last_outcome: Some(Outcome::Ok), failures: 4, ..watched(0) };
    let failed = decide_by(&rested, &Err(Error::Unreadable { reason: "no JSON".into() }), NOW, Clock::Believed).after;
    assert_eq!((failed.pace, failed.due_at), (Pace::Regular, Some(NOW + 4 * HOUR)));
}

#[test]
fn one_that_is_paused_at_the_provider_is_asked_daily_and_misses_no_renewal() {
    let before = Subscription { expires_at: Some(NOW - 20 * DAY), ..watched(0) };
    let paused = Sighting { life: Some(Life::Paused), expires_at: before.expires_at, ..answer(0) };
    let decision = decide_at(&before, paused, NOW);
    assert_eq!((decision.after.pace, decision.after.due_at), (Pace::Daily, Some(NOW + DAY)));
    assert_eq!((decision.after.state, decision.events.len()), (State::Watching, 0));
    let resumed = decide_at(&decision.after, Sighting { expires_at: before.expires_at, ..answer(0) }, NOW + DAY);
    assert_eq!(resumed.after.pace, Pace::Regular);
    assert!(matches!(resumed.events[..], [Event::NotRenewed { .. }]), "{:?}", resumed.events);
}

/// Of a kind that knows no more what was deleted; the account was answered last at `answered`.
fn unknown(before: &Subscription, answered: Timestamp, now: Timestamp) -> Decision {
    let answer = Ok(coded(Class::NotFound, 404));
    let look =
        Look { before, known: &[], answer: &answer, now, account_answered_at: Some(answered), clock: Clock::Believed };
    decide(look, &Rules { ended_after: DAY, ..rules() }, &test_lister::convention::CONVENTION)
}

#[test]
fn what_is_unknown_a_day_later_has_ended_if_the_account_still_answers_for_others() {
    let before = Subscription { expires_at: None, ..watched(2) };
    let once = unknown(&before, NOW - HOUR, NOW);
    assert_eq!((once.after.state, once.after.due_at), (State::Watching, Some(NOW + DAY)));
    let again = unknown(&once.after, NOW, NOW + DAY);
    assert!(
        matches!(again.events[..], [Event::Ended { generation: 2, reason: EndReason::Cancelled, .. }]),
        "{again:?}"
    );
    assert_eq!((again.after.state, again.after.ended_at), (State::Ended, Some(NOW + DAY)));
    let back = decide_at(&once.after, answer(2), NOW + DAY).after;
    assert_eq!((back.state, back.terminal_since), (State::Watching, None));
}

#[test]
fn an_address_at_which_nobody_is_known_ends_nobody() {
    let mut row = Subscription { expires_at: None, ..watched(2) };
    for day in 0..10 {
        let decision = unknown(&row, NOW - 5 * HOUR, NOW + day * DAY);
        assert_eq!((decision.after.state, decision.events.len()), (State::Watching, 0), "day {day}");
        row = decision.after;
    }
    let early = decide(
        Look {
            before: &row,
            known: &[],
            answer: &Ok(coded(Class::NotFound, 1010)),
            now: NOW + 20 * DAY,
            account_answered_at: Some(NOW + 20 * DAY),
            clock: Clock::Believed,
        },
        &rules(),
        &COUNTS,
    );
    assert_eq!(early.after.terminal_since, None, "where an unknown number may be one that is not known yet");
}

/// With `notify_before` of a week.
fn noticed(before: &Subscription, sighting: Sighting, now: Timestamp, clock: Clock) -> Decision {
    let (rules, answer) = (Rules { notify_before: 7 * DAY, ..rules() }, Ok(sighting));
    decide(Look { before, known: &[], answer: &answer, now, account_answered_at: None, clock }, &rules, &COUNTS)
}

/// The ends that were told as due.
fn due(decision: &Decision) -> Vec<Timestamp> {
    let end = |event: &Event| match event {
        Event::RenewalDue { expires_at, .. } => Some(*expires_at),
        _ => None,
    };
    decision.events.iter().filter_map(end).collect()
}

fn ends(expires_at: Timestamp) -> Sighting {
    Sighting { expires_at: Some(expires_at), ..answer(0) }
}

#[test]
fn a_term_is_told_as_due_once_from_notify_before_on_and_not_after_its_end() {
    let end = NOW + 100 * DAY;
    let told = |before: &Subscription, now| noticed(before, ends(end), now, Clock::Believed);
    assert!(due(&told(&watched(0), end - 7 * DAY - Duration::from_secs(1))).is_empty());
    let first = told(&watched(0), end - 7 * DAY);
    assert_eq!((due(&first), first.after.renewal_due_term), (vec![end], Some(end)));
    assert!(due(&told(&first.after, end - 6 * DAY)).is_empty(), "once");
    assert_eq!(due(&told(&watched(0), end - Duration::from_secs(1))), [end], "late is better than never");
    assert!(due(&told(&watched(0), end)).is_empty(), "it is over");
    assert!(decide_at(&watched(0), ends(end), end - DAY).events.is_empty(), "off");
}

#[test]
fn only_an_answer_that_may_renew_tells_a_term_as_due() {
    let end = NOW + DAY;
    let none = |before: &Subscription, sighting| due(&noticed(before, sighting, NOW, Clock::Believed)).is_empty();
    let gone = |life| Sighting { life: Some(life), ..ends(end) };
    assert!(none(&watched(0), gone(Life::Cancelled)) && none(&watched(0), gone(Life::Expired)));
    let silent = || Sighting { life: None, words: None, expires_at: None, ..answer(0) };
    let known = |life| Subscription { expires_at: Some(end), life, ..watched(0) };
    assert!(none(&known(Some(Life::Cancelled)), silent()), "who tells no status takes nothing back");
    assert!(none(&Subscription { state: State::Ended, ended_at: Some(NOW), ..known(None) }, silent()));
    assert!(none(&known(None), coded(Class::NotFound, 1010)) && none(&known(None), coded(Class::Configuration, 71)));
    assert!(none(&known(None), Sighting { seen: foreign().seen, ..ends(end) }));
    assert!(!none(&known(None), silent()), "the end that was given");
    // What comes back before its end is due after all.
    let back = noticed(&watched(0), gone(Life::Cancelled), NOW, Clock::Believed).after;
    assert!(!none(&back, gone(Life::Running)));
}

#[test]
fn an_end_that_is_corrected_names_the_same_term_and_the_next_one_is_told_again() {
    let end = NOW + 5 * DAY;
    let mut row = noticed(&watched(0), ends(end), NOW, Clock::Believed).after;
    // Day by day, and far beyond what one correction may be.
    for n in 1..10 {
        let moved = noticed(&row, ends(end + n * DAY), NOW + n * DAY, Clock::Believed);
        assert!(due(&moved).is_empty(), "day {n}");
        row = moved.after;
    }
    let back = noticed(&row, ends(end), NOW + 4 * DAY, Clock::Believed);
    assert_eq!(due(&back), [end], "a week and more is another term");
    let next = end + 365 * DAY;
    let renewed = noticed(&row, Sighting { expires_at: Some(next), ..answer(1) }, end + 10 * DAY, Clock::Believed);
    assert!(due(&renewed).is_empty());
    let sighting = Sighting { expires_at: Some(next), ..answer(1) };
    assert_eq!(due(&noticed(&renewed.after, sighting, next - DAY, Clock::Believed)), [next]);
}

#[test]
fn what_was_renewed_before_its_end_is_not_due_though_answers_still_name_that_end() {
    let end = NOW + DAY;
    let known = |end, expiry_reported| Subscription { expires_at: Some(end), expiry_reported, ..watched(0) };
    let renewed = |before: &Subscription, end| {
        let sighting = || Sighting { expires_at: Some(end), ..answer(1) };
        let first = noticed(before, sighting(), NOW, Clock::Believed);
        assert!(due(&first).is_empty(), "in the answer with the renewal itself");
        due(&noticed(&first.after, sighting(), NOW + HOUR, Clock::Believed))
    };
    assert_eq!(renewed(&known(end, true), end), []);
    assert_eq!(renewed(&known(end, false), end), [end], "a given one may be the next term's");
    // Told before the renewal was counted, it is the next one's, and is due in its time.
    let next = NOW + 365 * DAY;
    let early = noticed(&known(next, true), Sighting { expires_at: Some(next), ..answer(1) }, NOW, Clock::Believed);
    let sighting = Sighting { expires_at: Some(next), ..answer(1) };
    assert_eq!(due(&noticed(&early.after, sighting, next - DAY, Clock::Believed)), [next]);
}

#[test]
fn under_a_doubtful_clock_a_term_is_told_as_due_only_where_waiting_would_be_too_late() {
    let told = |end, clock| due(&noticed(&watched(0), ends(end), NOW, clock)).len();
    assert_eq!((told(NOW + 2 * DAY, Clock::Doubted), told(NOW + 2 * DAY, Clock::Believed)), (0, 1));
    assert_eq!(told(NOW + DAY, Clock::Doubted), 1);
}
