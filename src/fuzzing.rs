//! Everything that reads what others send, one function each: given any bytes it must not panic, and what it has read must make
//! sense. For `tests/fuzz`, and for the test that does the same with the corpus; not an interface.

use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::OnceLock;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::value::RawValue;

use crate::admin;
use crate::choice::Lane;
use crate::cli::import::rows::{Format, Good, HeaderProblems, Rows};
use crate::clock::{Clock, Timestamp};
use crate::delivery::{About, Event, Message, Occasion, Renewal};
use crate::provider::kinds::{self, Given, Kind, Readers};
use crate::provider::{Claim, Error, Row, Says, Subject, Verdict};
use crate::renewal::news::KnownDelivery;
use crate::renewal::order::{self, Patience, Step};
use crate::renewal::poll::{self, Look};
use crate::renewal::walk::{Walk, What};
use crate::renewal::{HOUR, Pace, Rules, State, Subscription};
use crate::settings::Settings;
use crate::store::{Exported, NewSubscription};
use crate::text::is_unsafe;
use crate::{chain, retry};

/// By the name of its file in `tests/fuzz/fuzz_targets`, and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 9] = [
    ("status_body", status_body),
    ("order_body", order_body),
    ("page_body", page_body),
    ("notification", notification),
    ("token_body", token_body),
    ("settings", settings),
    ("import", import),
    ("retry_after", retry_after),
    ("api_body", api_body),
];

/// A good answer, and the kinds of bad ones.
const HTTP_STATUSES: [u16; 5] = [200, 400, 401, 404, 500];
const NOW: i64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const SECRET: &str = "a secret of ours that nobody guesses";
const SETTINGS: &str = "[providers.nexway]\nkind = \"nexway-connect\"\napi_url = \"https://api.example/connect\"\n\
     iam_url = \"https://api.example/iam\"\nrealm = \"r\"\nclient_secret = \"s\"\n\
     [providers.nexway.territories]\neu = { secret = \"a\" }\nus = { secret = \"b\" }\n";

pub fn status_body(body: &[u8]) {
    let (rules, now) = (rules(), Timestamp::from_unix(NOW));
    for (kind, read, status) in ways() {
        let before = subscription(now);
        let answer = (read.look)(Given { status, body, at: now }, about(&before));
        judge(answer.as_ref().map(|sighting| &sighting.verdict));
        let look = Look {
            before: &before,
            known: &[],
            answer: &answer,
            now,
            account_answered_at: None,
            clock: Clock::Believed,
        };
        let decision = poll::decide(look, &rules, kind.convention());
        assert!(decision.renewals.len() as i64 <= rules.max_generation_jump);
        assert!(decision.after.generation >= Some(1), "a generation is never lowered");
        assert!(decision.after.due_at.is_some_and(|due| due > now && due <= now + DAY));
        [&decision.after.last_detail, &decision.after.surprise]
            .into_iter()
            .flatten()
            .for_each(|text| assert_clean(text));
        decision.events.iter().for_each(|event| drop(sent(event)));
    }
}

pub fn order_body(body: &[u8]) {
    let (rules, now) = (rules(), Timestamp::from_unix(NOW));
    let (number, claim) = ("PARTNER689-1", Claim { subscription_id: "5618577", is_anothers: false });
    let tracked = subscription(now);
    for (_, read, status) in ways() {
        let answer = (read.fetch)(Given { status, body, at: now }, about(&tracked), number);
        judge(answer.as_ref().map(|fetched| &fetched.verdict));
        match order::decide(&Patience::default(), answer.as_ref().map(|fetched| fetched.part(claim)), &rules, now) {
            Step::Deliver { delivery, .. } => {
                let keys: Vec<String> = delivery.serials().map(|serial| serial.data.reveal().to_owned()).collect();
                let (reference, partner_order_number) = (number.to_owned(), Some(number.to_owned()));
                let event = Event::RenewalReady {
                    renewal: Renewal { generation: 1, revision: 0, reference, partner_order_number },
                    occasion: Occasion::Renewal,
                    late: false,
                    detected_at: now,
                    expires_at: None,
                    delivery,
                };
                assert_eq!(keys_in(&sent(&event)), keys, "each key arrives as it was sent");
            }
            Step::AskAgain { at, detail, .. } => {
                assert!(at > now && at <= now + DAY);
                assert_clean(&detail);
            }
            Step::GiveUp(failed) => assert_clean(&failed.message),
        }
    }
}

/// Of every way of listing; each row is held against one subscription, whomever it is about.
pub fn page_body(body: &[u8]) {
    let now = Timestamp::from_unix(NOW);
    let tracked = Subscription { memo: Some(known_memo()), ..subscription(now) };
    for (kind, read, status) in ways().filter(|(.., status)| *status == 200) {
        let Some((feed, read)) = kind.convention().feed.zip(read.page) else { continue };
        for way in feed.ways {
            match read(Given { status, body, at: now }, way.name) {
                Ok(page) => {
                    let before = Walk::begin(What::Changes, way, Some(now), now);
                    let mut walk = before.clone();
                    match walk.turn(way.lists, &page, true, None) {
                        Ok(end) => assert!(end.is_some() || walk.next.is_some(), "it goes on somewhere"),
                        Err(why) => assert!(walk == before && !why.is_empty(), "what proves a lie changes nothing"),
                    }
                    page.rows.iter().for_each(|row| judge_row(row, &tracked));
                }
                Err(error) => assert_clean(&chain(&error)),
            }
        }
    }
}

fn judge_row(row: &Row, tracked: &Subscription) {
    if let Says::Answer(sighting) = row.says(about(tracked)) {
        assert!(sighting.verdict.message.chars().count() <= 500);
    }
}

/// What a look has left that found the first of all versions, and no orders.
fn known_memo() -> String {
    let first = br#"{"id": "5618577", "dbVersion": 0, "lifecycle": {"status": "Active", "generation": 1}, "items": [], "last": true}"#;
    let subscription = subscription(Timestamp::from_unix(NOW));
    let looks = ways().filter(|(.., status)| *status == 200).filter_map(|(_, read, status)| {
        (read.look)(Given { status, body: first, at: Timestamp::from_unix(NOW) }, about(&subscription)).ok()?.memo
    });
    looks.last().expect("a kind that lists remembers")
}

/// Whoever it names could be tracked.
pub fn notification(body: &[u8]) {
    for convention in Kind::ALL.iter().map(|kind| kind.convention()) {
        let ids = convention.hinted.map(|read| read(body)).unwrap_or_default();
        assert!(ids.len() <= 50, "{} named by one", ids.len());
        ids.iter().for_each(|id| assert_eq!(convention.subscription_id(id).as_ref(), Ok(id)));
    }
}

pub fn token_body(body: &[u8]) {
    let secret = SecretString::from(SECRET);
    for http_status in HTTP_STATUSES {
        match kinds::read_token(http_status, body, &secret) {
            Ok(life) => assert!((Duration::from_secs(5)..=DAY).contains(&life), "{life:?}"),
            Err(error) => {
                assert_clean(&chain(&error));
                assert!(!error.to_string().contains(SECRET), "our own secret is shown");
            }
        }
    }
}

pub fn settings(text: &[u8]) {
    let path = written(text);
    match Settings::load(Some(path.path())) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| assert_clean(warning));
            let settings = loaded.settings;
            assert!(settings.order_data.retry_first <= settings.order_data.retry_max);
            assert!(!settings.providers.is_empty());
            for provider in settings.providers.values() {
                assert!(!provider.territories().is_empty() && provider.connect_timeout <= provider.timeout);
                assert!((0.0..=10_000.0).contains(&provider.requests_per_second));
                let taken = |territory: &&str| !settings.sinks_for("renewal.ready", territory).is_empty();
                assert!(provider.territories().iter().all(taken), "a territory whose keys nobody takes");
            }
        }
        Err(problems) => {
            assert!(problems.iter().next().is_some());
            problems.to_string().lines().for_each(assert_clean);
        }
    }
}

/// What a row says is what it says again after it was exported.
pub fn import(text: &[u8]) {
    let settings = example();
    for (format, adopt) in [(Format::Csv, false), (Format::Csv, true), (Format::Jsonl, false), (Format::Jsonl, true)] {
        let path = written(text);
        let file = File::open(path.path()).expect("it has just been written");
        let mut rows = match Rows::open(BufReader::new(&file), format, settings, adopt).expect("a file") {
            Ok(rows) => rows,
            Err(HeaderProblems { problems, .. }) => {
                problems.iter().for_each(|problem| assert_clean(problem));
                continue;
            }
        };
        let mut last = 0;
        while let Some((line, row)) = rows.next().expect("a file") {
            assert!(line > last, "lines are counted upwards");
            last = line;
            match row {
                Ok(Good { new, state, warning }) => {
                    assert_sane(&new);
                    warning.iter().for_each(|warning| assert_clean(warning));
                    assert_eq!(exported(&new, state).as_deref(), Ok(&*format!("{new:?} {state}")));
                }
                Err(reason) => assert_clean(&reason),
            }
        }
    }
}

pub fn retry_after(header: &[u8]) {
    let header = String::from_utf8_lossy(header);
    for now in [0, NOW, i64::MIN, i64::MAX].map(Timestamp::from_unix) {
        let read = retry::parse_retry_after(&header, now);
        assert!(read.is_none_or(|after| after <= DAY), "{read:?}");
        assert!(retry::with_retry_after(HOUR, read) >= HOUR);
    }
}

pub fn api_body(body: &[u8]) {
    match admin::read_body(body, example()) {
        Ok(new) => assert_sane(&new),
        Err(problems) => problems.iter().for_each(|problem| assert_clean(problem)),
    }
}

/// Every kind, with what it reads, and every status.
fn ways() -> impl Iterator<Item = (Kind, Readers, u16)> {
    let kinds = Kind::ALL.iter().filter_map(|kind| kind.readers().map(|readers| (*kind, readers)));
    kinds.flat_map(|(kind, readers)| HTTP_STATUSES.map(|status| (kind, readers, status)))
}

fn about(subscription: &Subscription) -> Subject<'_> {
    Subject {
        territory: &subscription.territory,
        partner_order_number: &subscription.partner_order_number,
        subscription_id: &subscription.subscription_id,
        generation: subscription.generation,
        memo: subscription.memo.as_deref(),
        is_hinted: false,
    }
}

/// The verdict of an answer that can be used, or why there is none: both fit for people.
fn judge(answer: Result<&Verdict, &Error>) {
    match answer {
        Ok(verdict) => assert!(verdict.message.chars().count() <= 500),
        Err(error) => assert_clean(&chain(error)),
    }
}

fn assert_clean(text: &str) {
    let raw = text.chars().find(|c| is_unsafe(*c));
    assert!(raw.is_none(), "{raw:?} is shown raw");
    // The longest text of an error quotes names of 255 bytes, each made visible.
    assert!(text.len() <= 16_384, "{} bytes for a person to read", text.len());
}

fn assert_sane(new: &NewSubscription) {
    assert_eq!(new.convention.number(&new.partner_order_number).as_ref(), Ok(&new.partner_order_number));
    assert_eq!(new.convention.subscription_id(&new.subscription_id).as_ref(), Ok(&new.subscription_id));
    assert!(new.generation.is_none_or(|generation| generation >= 0));
    assert!(new.provider == "nexway" && ["eu", "us"].contains(&new.territory.as_str()));
    let metadata = new.metadata.as_ref().map_or("{}", |metadata| metadata.as_json());
    assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(metadata).is_ok());
    assert!(new.expires_at.is_none_or(|at| at.to_string().ends_with('Z')));
}

/// The row as `export` writes it and `import` reads it.
fn exported(new: &NewSubscription, state: State) -> Result<String, String> {
    let metadata = new.metadata.as_ref().map_or("{}", |metadata| metadata.as_json());
    let line = Exported {
        row: 1,
        partner_order_number: new.partner_order_number.clone(),
        subscription_id: new.subscription_id.clone(),
        generation: new.generation,
        known: Some(known(&new.known)?),
        known_before: new.known_before,
        provider: new.provider.clone(),
        territory: new.territory.clone(),
        expires_at: new.expires_at,
        state,
        metadata: RawValue::from_string(metadata.to_owned()).map_err(|error| error.to_string())?,
    };
    let path = written(&serde_json::to_vec(&line).map_err(|error| error.to_string())?);
    let file = File::open(path.path()).map_err(|error| error.to_string())?;
    let rows = Rows::open(BufReader::new(&file), Format::Jsonl, example(), false).map_err(|error| error.to_string())?;
    let mut rows = rows.map_err(|HeaderProblems { problems, .. }| problems.join("; "))?;
    let (_, row) = rows.next().map_err(|error| error.to_string())?.ok_or("no row")?;
    let Good { new: again, state, .. } = row?;
    assert_eq!(again.metadata.as_ref().map_or("{}", |metadata| metadata.as_json()), metadata);
    let again = NewSubscription { metadata: new.metadata.clone(), ..again };
    Ok(format!("{again:?} {state}"))
}

fn known(known: &[KnownDelivery]) -> Result<Box<RawValue>, String> {
    let of = |one: &KnownDelivery| serde_json::json!({"reference": one.reference, "generation": one.generation});
    let list = serde_json::Value::from_iter(known.iter().map(of)).to_string();
    RawValue::from_string(list).map_err(|error| error.to_string())
}

/// A message as its receiver parses it: one line of JSON.
fn sent(event: &Event) -> serde_json::Value {
    let about = About {
        provider: "nexway".to_owned(),
        territory: "eu".to_owned(),
        partner_order_number: "PARTNER689".to_owned(),
        subscription_id: "5618577".to_owned(),
        partner_reference: None,
        is_numbered: true,
        metadata: RawValue::from_string("{}".to_owned()).expect("JSON"),
    };
    let message = Message::new(&about, event, Timestamp::from_unix(NOW));
    assert!(!message.body.contains(&b'\n') && !message.body.contains(&b'\r'));
    serde_json::from_slice(&message.body).expect("a message is JSON")
}

fn keys_in(message: &serde_json::Value) -> Vec<String> {
    let lines = message["data"]["lines"].as_array().into_iter().flatten();
    let serials = lines.flat_map(|line| line["serials"].as_array().into_iter().flatten());
    serials.map(|serial| serial["data"].as_str().expect("data is text").to_owned()).collect()
}

fn written(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text).expect("room for it");
    file
}

fn example() -> &'static Settings {
    static EXAMPLE: OnceLock<Settings> = OnceLock::new();
    EXAMPLE.get_or_init(|| Settings::load(Some(written(SETTINGS.as_bytes()).path())).expect("they are right").settings)
}

fn rules() -> Rules {
    Rules { every: 4 * HOUR, notify_before: 14 * DAY, ..Rules::from_settings(example()) }
}

fn subscription(now: Timestamp) -> Subscription {
    Subscription {
        row: 1,
        territory: "eu".to_owned(),
        partner_order_number: "PARTNER689".to_owned(),
        subscription_id: "5618577".to_owned(),
        state: State::Watching,
        generation: Some(1),
        expires_at: Some(now),
        expiry_reported: true,
        tracked_at: now - 400 * DAY,
        known_before: now - 400 * DAY,
        discovered: false,
        ended_at: None,
        lane: Lane::Other,
        due_at: Some(now),
        pace: Pace::Regular,
        last_asked_at: Some(now - DAY),
        last_answer_at: Some(now - DAY),
        failures: 0,
        refusals: 0,
        last_outcome: None,
        last_detail: None,
        technical_status: None,
        life: None,
        memo: None,
        hints: 0,
        status_changes: 0,
        terminal_since: None,
        surprise: None,
        surprises: 0,
        past_surprise: None,
        past_surprise_at: None,
        partner_reference: None,
        failing: None,
        payment_failures: 0,
        offer: None,
        renewal_due_term: None,
        not_renewed_term: None,
    }
}
