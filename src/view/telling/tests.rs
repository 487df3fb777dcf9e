use super::*;
use crate::choice::Lane;
use crate::delivery::{Occasion, OfferState};
use crate::renewal::fixtures::{self, rules};
use crate::renewal::{Pace, Subscription};
use crate::store::{LastWarned, Metadata, StoppedTerritory, SubscriptionRow};

/// 2026-11-21T20:00:00Z.
const NOW: i64 = 1_795_291_200;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

const ADVICE: Advice = Advice { refused: "wrong territory?", reasons: "", territory: "" };

fn at(seconds_from_now: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds_from_now)
}

fn subscription() -> Subscription {
    Subscription {
        expires_at: Some(at(365 * DAY)),
        due_at: Some(at(3 * HOUR)),
        last_asked_at: Some(at(-HOUR)),
        last_answer_at: Some(at(-HOUR)),
        ..fixtures::watched(0, at(0))
    }
}

fn known(subscription: Subscription) -> Known {
    let row = SubscriptionRow {
        provider: "nexway".into(),
        metadata: Metadata::parse(r#"{"customer": "Ms Secret"}"#).unwrap(),
        tracked_by: "order".into(),
        waiting: 0,
        warned: LastWarned::default(),
        subscription,
    };
    Known {
        row,
        renewals: Vec::new(),
        shop_calls: Vec::new(),
        messages: Vec::new(),
        dispatches: Vec::new(),
        stopped: None,
        pulled: Vec::new(),
        rests_while_waiting: true,
        expected_wait: None,
    }
}

fn renewal(generation: i64, state: &str) -> RenewalRow {
    let waiting = state == "awaiting_order_data";
    RenewalRow {
        generation,
        reference: format!("PARTNER689-{generation}"),
        occasion: Occasion::Renewal,
        late: false,
        state: state.into(),
        revision: 0,
        detected_at: at(-2 * DAY),
        settled_at: (!waiting).then(|| at(-2 * DAY + 60)),
        expires_at: None,
        seconds_after_expiry: Some(2 * HOUR),
        next_attempt_at: waiting.then(|| at(600)),
        last_attempt_at: Some(at(-2 * DAY + 60)),
        attempts: 3,
        last_outcome: Some(if waiting { "waiting" } else { "ok" }.into()),
        last_detail: waiting.then(|| "code 1051: licences not available".into()),
        warnings: Vec::new(),
        look_again_at: None,
    }
}

fn id() -> uuid::Uuid {
    uuid::Uuid::from_u128(7)
}

fn message(generation: i64, event: &str) -> MessageRow {
    MessageRow {
        id: id(),
        seq: 1,
        event: event.into(),
        provider: "nexway".into(),
        territory: "eu".into(),
        partner_order_number: "PARTNER689".into(),
        subscription_id: "5618577".into(),
        generation,
        reference: if event == "renewal.ready" { format!("PARTNER689-{generation}") } else { String::new() },
        queued_at: at(-2 * DAY + 60),
        body_bytes: 100,
        keys_hash: "abc".into(),
        wiped_at: None,
    }
}

fn dispatch(sink: &str, state: &str) -> DispatchRow {
    DispatchRow {
        id: id(),
        event: "renewal.ready".into(),
        sink: sink.into(),
        state: state.into(),
        provider: "nexway".into(),
        territory: "eu".into(),
        partner_order_number: "PARTNER689".into(),
        subscription_id: "5618577".into(),
        generation: 1,
        reference: "PARTNER689-1".into(),
        queued_at: at(-2 * DAY + 60),
        attempts: 2,
        next_attempt_at: (state == "pending").then(|| at(300)),
        last_attempt_at: Some(at(-60)),
        last_error: (state != "delivered").then(|| "answered 422 \x1b[31m".into()),
        last_answer: None,
        leased_until: None,
        delivered_at: (state == "delivered").then(|| at(-2 * DAY + 65)),
        dead_at: (state == "dead").then(|| at(-HOUR)),
        replays: 0,
        replayed_at: None,
        first_delivered_at: None,
        wiped_at: None,
        row: 1,
    }
}

/// As `explain` prints it.
fn told(known: &Known) -> String {
    let chapters = tell(known, &rules(), Some(&ADVICE), at(0)).into_iter().map(|chapter| {
        let facts = chapter.facts.iter().map(|fact| format!("  {:<16}{}\n", fact.what, fact.text));
        format!("{}\n{}", chapter.heading, facts.collect::<String>())
    });
    chapters.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_term_that_was_told_as_due_is_so_until_it_is_renewed() {
    let end = Some(at(5 * DAY));
    let mut known = known(Subscription { expires_at: end, renewal_due_term: end, ..subscription() });
    let is_told =
        |known: &Known| told(known).contains("  told            payment is due on 2026-11-26T20:00:00Z (in 5 d)\n");
    assert!(!is_told(&known), "by no message");
    let due = MessageRow { reference: String::new(), ..message(0, "subscription.renewal_due") };
    known.messages = vec![due];
    assert!(is_told(&known));
    known.renewals = vec![RenewalRow { detected_at: at(-HOUR), ..renewal(1, "queued") }];
    assert!(!is_told(&known), "renewed since");
    known.renewals = Vec::new();
    known.row.subscription.expires_at = Some(at(400 * DAY));
    assert!(!is_told(&known), "another term");
}

#[test]
fn a_renewal_is_told_from_seen_to_delivered() {
    let mut known = known(Subscription { generation: Some(1), ..subscription() });
    known.renewals = vec![renewal(1, "queued")];
    known.messages = vec![message(1, "renewal.ready"), message(1, "subscription.status_changed")];
    known.messages[1].id = uuid::Uuid::from_u128(8);
    known.dispatches = vec![dispatch("shop", "delivered"), dispatch("audit", "pending"), dispatch("crm", "dead")];
    assert_eq!(
        told(&known),
        "\
PARTNER689, subscription 5618577 (nexway/eu): watching, generation 1
  tracked         2025-10-17T20:00:00Z (400 d ago) from an order
  expires         2027-11-21T20:00:00Z (in 365 d), says the provider
  status          ACTIVE, in the provider's words
  last answer     2026-11-21T19:00:00Z (60 min ago)
  last asked      2026-11-21T19:00:00Z (60 min ago): answered

generation 1 as PARTNER689-1
  seen            2026-11-19T20:00:00Z (2 d ago), 2 h after the expiry
  order data      answered 3 times, last 2026-11-19T20:01:00Z (47 h ago)
  queued          2026-11-19T20:01:00Z (47 h ago): renewal.ready 00000000-0000-0000-0000-000000000007
    to shop       delivered 2026-11-19T20:01:05Z (47 h ago), 2 attempts
    to audit      pending, 2 attempts; answered 422 \\u{1b}[31m; next attempt 2026-11-21T20:05:00Z (in 5 min)
    to crm        DEAD since 2026-11-21T19:00:00Z (60 min ago), 2 attempts; answered 422 \\u{1b}[31m; \
`queue retry 00000000-0000-0000-0000-000000000007` sends it again

other messages
  queued          2026-11-19T20:01:00Z (47 h ago): subscription.status_changed 00000000-0000-0000-0000-000000000008
                  for no sink: none was configured to take it

next
  poll            2026-11-21T23:00:00Z (in 3 h): every 4h
"
    );
}

#[test]
fn waiting_order_data_and_what_is_odd_are_told() {
    let mut known = known(Subscription {
        generation: Some(1),
        surprise: Some("generation went back from 2 to 1".into()),
        surprises: 4,
        last_detail: Some("evil\n\x1b".into()),
        ..subscription()
    });
    known.row.waiting = 1;
    known.renewals = vec![renewal(1, "awaiting_order_data")];
    let stopped_at = at(-HOUR);
    let reason = "five refused in a row".into();
    known.stopped = Some(StoppedTerritory { provider: "nexway".into(), territory: "eu".into(), stopped_at, reason });
    let story = told(&known);
    let end = &story[story.find("generation 1 as").unwrap()..];
    assert_eq!(
        end,
        "\
generation 1 as PARTNER689-1
  seen            2026-11-19T20:00:00Z (2 d ago), 2 h after the expiry
  order data      answered 3 times, last 2026-11-19T20:01:00Z (47 h ago)
                  waiting, code 1051: licences not available
  asked next      2026-11-21T20:10:00Z (in 10 min)

to look at
  surprise        generation went back from 2 to 1 (4 so far)
  territory       eu is not asked since 2026-11-21T19:00:00Z (60 min ago): five refused in a row; one probe a minute

next
  order data      2026-11-21T20:10:00Z (in 10 min): generation 1 was not ready; polls wait meanwhile, a day at most
"
    );
    assert!(story.contains("answered, evil\\n\\u{1b}\n"), "{story}");
    assert!(!story.contains("Secret"), "metadata in the story");
}

#[test]
fn the_reason_of_the_next_poll_is_told() {
    let next = |subscription: Subscription| next::of(&known(subscription), &rules(), at(0)).why;
    let asked = subscription();
    assert_eq!(next(asked.clone()), "every 4h");
    assert_eq!(
        next(Subscription { expires_at: Some(at(DAY)), ..asked.clone() }),
        "every 4h, and ahead of others so near to its expiry"
    );
    assert_eq!(next(Subscription { last_outcome: None, last_asked_at: None, ..asked.clone() }), "it was never asked");
    assert_eq!(next(Subscription { lane: Lane::AskedFor, ..asked.clone() }), "somebody asked for it");
    assert_eq!(
        next(Subscription { last_outcome: Some(Outcome::Refused), refusals: 2, failures: 2, ..asked.clone() }),
        "refused 2 times in a row: asked after 1 h, 4 h, then daily"
    );
    assert_eq!(
        next(Subscription { last_outcome: Some(Outcome::Unreachable), failures: 1, ..asked.clone() }),
        "1 poll without a usable answer: asked after 10 s, 1 min, 5 min, 30 min, then every 4h"
    );
    assert_eq!(
        next(Subscription { last_outcome: Some(Outcome::NotFound), pace: Pace::Daily, ..asked.clone() }),
        "the provider does not know it: asked every 1d"
    );
    let paused = Subscription { state: State::Paused, due_at: None, ..asked };
    assert_eq!(next(paused), "it is paused: `resume` goes on asking");
}

#[test]
fn payments_offers_and_what_the_reseller_calls_it_are_told() {
    let episode = Episode { generation: 1, since: None, seen_at: at(-HOUR), reason: "REFUSED\u{1b}".into() };
    let offer = LastOffer { order_number: "42WRN".into(), state: OfferState::Accepted, seen_at: at(-DAY) };
    let told = |since: Option<Timestamp>| {
        told(&known(Subscription {
            partner_reference: Some("PARTNER-7".into()),
            failing: Some(Box::new(Episode { since, ..episode.clone() })),
            offer: Some(Box::new(offer.clone())),
            ..subscription()
        }))
    };
    let story = told(None);
    assert!(story.contains("  your reference  PARTNER-7, as the provider has it\n"), "{story}");
    assert!(
        story.contains("  offer           accepted as order 42WRN, seen 2026-11-20T20:00:00Z (24 h ago)\n"),
        "{story}"
    );
    let fails = "  payment fails   seen 2026-11-21T19:00:00Z (60 min ago): REFUSED\\u{1b}, for generation 1\n";
    assert!(story.contains(fails), "{story}");
    let since = told(Some(at(-2 * DAY)));
    assert!(since.contains("  payment fails   since 2026-11-19T20:00:00Z (2 d ago), seen "), "{since}");
}

#[test]
fn an_overdue_subscription_says_since_when() {
    let silent = Subscription { last_answer_at: Some(at(-6 * HOUR)), ..subscription() };
    let story = told(&known(silent));
    assert!(story.contains("  overdue         no usable answer for 6 h, more than 4 h\n"), "{story}");
}

#[test]
fn what_waits_for_somebody_else_has_no_attempts() {
    let mut known = known(subscription());
    known.renewals = vec![renewal(1, "queued")];
    known.messages = vec![message(1, "renewal.ready")];
    let waiting = |sink| DispatchRow { attempts: 0, ..dispatch(sink, "pending") };
    known.dispatches = vec![waiting("shop"), DispatchRow { last_error: None, ..waiting("queue") }];
    known.pulled = vec!["queue".to_owned()];
    let story = told(&known);
    assert!(story.contains("to shop       pending, no attempt counted; answered 422"), "{story}");
    assert!(story.contains("to queue      waits to be pulled\n"), "{story}");
}

#[test]
fn what_was_given_up_is_asked_for_again_by_a_name_that_no_other_has() {
    let mut known = known(Subscription { generation: Some(1), ..subscription() });
    known.renewals = vec![RenewalRow { settled_at: Some(at(-HOUR)), ..renewal(1, "abandoned") }];
    assert!(told(&known).contains("`refetch --generation 1` asks again"), "{}", told(&known));
    let upgrade = RenewalRow { reference: "U 1".into(), occasion: Occasion::Upgrade, ..known.renewals[0].clone() };
    known.renewals[0].state = "queued".into();
    known.renewals.push(upgrade);
    known.messages = vec![MessageRow { reference: "gone".into(), ..message(1, "renewal.ready") }];
    assert!(told(&known).contains("`refetch --reference 'U 1'` asks again"), "{}", told(&known));
    assert!(told(&known).contains("other messages"), "of a delivery that is not recorded any more: {}", told(&known));
}

#[test]
fn where_polls_go_on_while_order_data_is_awaited_the_next_step_is_what_is_due_first() {
    let mut known = known(Subscription { due_at: Some(at(300)), generation: Some(1), ..subscription() });
    known.renewals = vec![renewal(1, "awaiting_order_data")];
    let step = |known: &Known| next::of(known, &rules(), at(0));
    assert_eq!((step(&known).step, step(&known).at), ("order_data", Some(at(600))));
    known.rests_while_waiting = false;
    assert_eq!((step(&known).step, step(&known).at), ("poll", Some(at(300))));
    known.row.subscription.due_at = Some(at(700));
    assert_eq!((step(&known).step, step(&known).why.as_str()), ("order_data", "generation 1 was not ready"));
}
