//! Whole passes against real files, with a provider that refuses everybody, or that lets order data wait.

use std::collections::HashSet;
use std::sync::Mutex;

use super::*;
use crate::budget::Slot;
use crate::provider::{Class, Error, Fetched, Finding, LastAsked, Seen, Sighting, Subject, Verdict};
use crate::renewal::fixtures::COUNTS;
use crate::renewal::news::KnownDelivery;
use crate::store::{Access, NewSubscription};

/// 2026-11-21T20:00:00Z
const T0: Timestamp = Timestamp::constant(1_795_291_200);

const SETTINGS: &str = r#"
[providers.nexway]
kind = "nexway-connect"
api_url = "https://api.example/connect"
iam_url = "https://iam.example/iam"
realm = "acme"
client_secret_file = "client"
[providers.nexway.territories.eu]
secret_file = "eu"
[providers.nexway.territories.us]
secret_file = "us"
"#;

/// Nothing but the purchase.
fn purchased() -> Sighting {
    let seen = Seen::Counted { generation: 0, doubt: None, besides: Vec::new() };
    Sighting::of(seen)
}

/// Refuses every subscription of every territory.
struct Refusing;

impl Provider for Refusing {
    async fn look(&self, _: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        Ok(Sighting::refused(Verdict { class: Class::Configuration, code: 71, message: String::new() }))
    }

    async fn fetch(&self, _: Subject<'_>, _: &str, _: Slot) -> Result<Fetched, Error> {
        Err(Error::Unreadable { reason: "not asked for here".into() })
    }

    async fn check(&self, _: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        (Vec::new(), false)
    }
}

/// Answers polls, and does this with the first of them: somebody else changes the database meanwhile.
struct Meanwhile<F>(Mutex<Option<F>>, Mutex<Vec<String>>);

impl<F: FnOnce() + Send + Sync> Provider for Meanwhile<F> {
    async fn look(&self, subject: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        self.1.lock().unwrap().push(subject.partner_order_number.to_owned());
        if let Some(act) = self.0.lock().unwrap().take() {
            act();
        }
        Ok(purchased())
    }

    async fn fetch(&self, _: Subject<'_>, _: &str, _: Slot) -> Result<Fetched, Error> {
        Err(Error::Unreadable { reason: "not asked for here".into() })
    }

    async fn check(&self, _: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        (Vec::new(), false)
    }
}

/// Answers polls, has no order data ready (1051), and ends the pass after so many requests.
struct NotReady {
    asked: Mutex<Vec<(Kind, String)>>,
    enough: usize,
    shutdown: Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Poll,
    OrderData,
}

impl NotReady {
    fn note(&self, kind: Kind, number: &str) {
        let mut asked = self.asked.lock().unwrap();
        asked.push((kind, number.to_owned()));
        if asked.len() >= self.enough {
            self.shutdown.request();
        }
    }
}

impl Provider for NotReady {
    async fn look(&self, subject: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        self.note(Kind::Poll, subject.partner_order_number);
        Ok(purchased())
    }

    async fn fetch(&self, _: Subject<'_>, reference: &str, _: Slot) -> Result<Fetched, Error> {
        self.note(Kind::OrderData, reference);
        Ok(Fetched::refused(Verdict { class: Class::Waiting, code: 1051, message: String::new() }))
    }

    async fn check(&self, _: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        (Vec::new(), false)
    }
}

/// With two requests in hand, answers the first with 429 and the second after it.
struct Pausing {
    budget: Budget,
    both: tokio::sync::Barrier,
    paused: Notify,
}

impl Provider for Pausing {
    async fn look(&self, subject: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        self.both.wait().await;
        if subject.partner_order_number == "P1" {
            let retry_after = Some(Duration::from_secs(600));
            self.budget.slow_down(retry_after);
            self.paused.notify_one();
            return Err(Error::TooManyRequests { retry_after });
        }
        self.paused.notified().await;
        Ok(purchased())
    }

    async fn fetch(&self, _: Subject<'_>, _: &str, _: Slot) -> Result<Fetched, Error> {
        Err(Error::Unreadable { reason: "not asked for here".into() })
    }

    async fn check(&self, _: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        (Vec::new(), false)
    }
}

fn subscription(subscription_id: i64, territory: &str) -> NewSubscription {
    NewSubscription {
        territory: territory.to_owned(),
        ..store::fixtures::subscription(&format!("P{subscription_id}"), subscription_id)
    }
}

fn first_renewal(original: &str) -> KnownDelivery {
    KnownDelivery { generation: 1, reference: format!("{original}-1") }
}

struct Fixture<P> {
    sweeper: Sweeper<P>,
    dir: tempfile::TempDir,
}

impl Fixture<Refusing> {
    async fn new(subscriptions: i64) -> Self {
        Self::with(Refusing, subscriptions).await
    }
}

impl<P: Provider> Fixture<P> {
    /// A sweeper that watches so many subscriptions, all of them due.
    async fn with(provider: P, subscriptions: i64) -> Self {
        Self::within(tempfile::tempdir().unwrap(), provider, subscriptions).await
    }

    async fn within(dir: tempfile::TempDir, provider: P, subscriptions: i64) -> Self {
        let file = dir.path().join("renewald.toml");
        std::fs::write(&file, SETTINGS).unwrap();
        let settings = Arc::new(Settings::load(Some(&file)).unwrap().settings);
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        let all = (1..=subscriptions).map(|subscription_id| subscription(subscription_id, "eu")).collect();
        store.track(all, false, T0).await.unwrap();
        let rules = Rules::from_settings(&settings);
        let account = Account { name: "nexway".to_owned(), concurrency: 16, rules, convention: &COUNTS, feed: None };
        let sweeper = Sweeper::new(store, provider, Budget::new(0.0), account, settings, Bells::default());
        Self { sweeper, dir }
    }

    async fn catch_up(&mut self) -> Report {
        let (shutdown, now) = (Shutdown::manual(), || T0);
        self.sweeper.prepare(T0).await.unwrap();
        self.sweeper.pass(&now, Scope::CatchUp, None, &shutdown, &|_| {}).await.unwrap()
    }
}

/// Refuses five of a territory.
async fn stop(gate: &mut Gate, store: &Store, account: &Account, territory: &str) {
    for subscription in 1..=5 {
        let answer = gate::Answer { territory, subscription, was_refused: false, refusal: Some("code 71") };
        gate.answered(store, account, answer, T0).await.unwrap();
    }
}

#[tokio::test]
async fn a_pass_does_not_wait_for_a_stopped_territory_however_many_are_due_there() {
    let mut fixture = Fixture::new(1200).await;
    let report = tokio::time::timeout(Duration::from_secs(20), fixture.catch_up()).await.unwrap();
    assert_eq!(report.stopped_territories, ["eu"]);
    assert!(report.calls < 50, "{report:?}");
}

#[tokio::test]
async fn order_data_of_a_stopped_territory_is_nothing_to_wait_for() {
    let mut fixture = Fixture::new(20).await;
    fixture.sweeper.store.refetch(1, first_renewal("P1"), T0).await.unwrap();
    assert_eq!(fixture.sweeper.next_renewal_due().await.unwrap(), Some(T0));
    let Sweeper { gate, store, account, .. } = &mut fixture.sweeper;
    stop(gate, store, account, "eu").await;
    assert_eq!(fixture.sweeper.next_renewal_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_stopped_territory_that_left_the_settings_is_forgotten() {
    let mut fixture = Fixture::new(0).await;
    for territory in ["eu", "gone"] {
        stop(&mut Gate::default(), &fixture.sweeper.store, &fixture.sweeper.account, territory).await;
    }
    assert_eq!(fixture.catch_up().await.stopped_territories, ["eu"]);
}

#[tokio::test]
async fn what_waits_in_a_territory_that_left_the_settings_is_not_asked_for_and_waits_for_its_return() {
    let mut fixture = Fixture::new(0).await;
    let store = fixture.sweeper.store.clone();
    let gone = subscription(1, "gone");
    store.track(vec![gone], false, T0).await.unwrap();
    store.refetch(1, first_renewal("P1"), T0).await.unwrap();
    let report = fixture.catch_up().await;
    assert_eq!((report.calls, report.failures), (0, 0), "{report:?}");
    assert_eq!(fixture.sweeper.next_renewal_due().await.unwrap(), None, "and nobody waits for it in a loop");
    let renewal = store.renewals_of(1).await.unwrap().remove(0);
    assert_eq!((renewal.state.as_str(), renewal.attempts), ("awaiting_order_data", 0));
}

#[tokio::test]
async fn the_first_subscription_of_a_territory_is_asked_in_the_pass_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let bell = std::sync::Arc::new(Notify::new());
    let (rung, path) = (bell.clone(), dir.path().join("renewald.db"));
    let import = move || {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(
            "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, generation, tracked_at,
                                        tracked_by, lane, due_at)
             VALUES ('nexway', 'P2', '2', 1, 'us', 0, 1795291200, 'import', 3, 1795291200)",
        )
        .unwrap();
        rung.notify_one();
    };
    let mut fixture = Fixture::within(dir, Meanwhile(Mutex::new(Some(import)), Mutex::default()), 1).await;
    let shutdown = Shutdown::manual();
    fixture.sweeper.pass(&|| T0, Scope::Due, Some(&bell), &shutdown, &|_| {}).await.unwrap();
    assert_eq!(*fixture.sweeper.provider.1.lock().unwrap(), ["P1", "P2"]);
}

#[tokio::test]
async fn a_one_shot_pass_gives_up_on_a_provider_that_stays_away() {
    let mut fixture = Fixture::new(20).await;
    let budget = &fixture.sweeper.budget;
    assert!(budget.report_lockout());
    tokio::time::pause();
    tokio::time::advance(pass::STAYS_AWAY).await;
    let _probe = budget.slot().await;
    budget.report_outage(tokio::time::Instant::now());
    tokio::time::resume();
    let report = tokio::time::timeout(Duration::from_secs(20), fixture.catch_up()).await.unwrap();
    assert!(report.given_up && report.calls == 0, "{report:?}");
}

/// So many more, none due, each with a renewal whose order data is to be asked for now.
const RENEWED: &str = "
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
    INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, generation, tracked_at, tracked_by,
                               lane, due_at)
    SELECT 'nexway', 'R' || n, 1000000 + n, 1, 'eu', 1, 1795291200, 'import', 3, 1795291200 + 86400 FROM n;
    INSERT INTO renewals (subscription, provider, generation, reference, detected_at, next_attempt_at)
    SELECT id, provider, 1, partner_order_number || '-1', 1795291200, 1795291200 FROM subscriptions WHERE generation = 1";

#[tokio::test]
async fn a_hundred_thousand_renewals_that_wait_leave_every_other_request_to_polls() {
    let shutdown = Shutdown::manual();
    let provider = NotReady { asked: Mutex::default(), enough: 1500, shutdown: shutdown.clone() };
    let mut fixture = Fixture::with(provider, 600).await;
    let db = rusqlite::Connection::open(fixture.dir.path().join("renewald.db")).unwrap();
    db.execute_batch(RENEWED).unwrap();
    // Half of the polls are urgent, so that all three kinds wait.
    db.execute("UPDATE subscriptions SET lane = 2 WHERE generation = 0 AND id % 2 = 0", []).unwrap();
    drop(db);
    let report = fixture.sweeper.pass(&|| T0, Scope::Due, None, &shutdown, &|_| {}).await.unwrap();
    assert!(report.interrupted, "{report:?}");
    let asked = fixture.sweeper.provider.asked.lock().unwrap();
    let polls = asked.iter().take(1250).filter(|(kind, _)| *kind == Kind::Poll).count();
    assert_eq!(polls, 600, "all of them among the first 1,250 requests");
    let different: HashSet<_> = asked.iter().map(|(_, number)| number).collect();
    assert_eq!(different.len(), asked.len(), "nobody is asked twice while others wait");
}

/// What `status` would show.
async fn shown(fixture: &Fixture<Refusing>) -> crate::store::ProviderTrouble {
    fixture.sweeper.store.provider_troubles().await.unwrap().remove("nexway").unwrap_or_default()
}

#[tokio::test]
async fn an_open_breaker_and_a_slow_down_are_shown_until_they_are_over() {
    let mut fixture = Fixture::new(1).await;
    let budget = fixture.sweeper.budget.clone();
    budget.set_rate(1000.0);
    budget.slow_down(None);
    assert!(budget.report_lockout());
    fixture.catch_up().await;
    let trouble = shown(&fixture).await;
    let slowed = trouble.slowed.expect("it was slowed down");
    assert!((500.0..600.0).contains(&slowed.requests_per_second) && slowed.until > T0, "{slowed:?}");
    assert_eq!(trouble.breaker, None, "the only poll was answered, which closed it");
}

#[tokio::test]
async fn what_an_earlier_process_left_open_is_closed_at_the_start() {
    let mut fixture = Fixture::new(0).await;
    let breaker = crate::store::BreakerState { open_since: T0, next_probe_at: T0, reason: "no route".to_owned() };
    let left = crate::store::ProviderTrouble { breaker: Some(breaker), ..Default::default() };
    fixture.sweeper.store.set_provider_trouble("nexway", left.clone()).await.unwrap();
    assert_eq!(shown(&fixture).await, left);
    fixture.catch_up().await;
    assert_eq!(shown(&fixture).await, crate::store::ProviderTrouble::default());
}

/// How long the budget still waits because the provider asked for it; seconds.
fn paused_for(fixture: &Fixture<Refusing>) -> u64 {
    let until = fixture.sweeper.budget.state().paused_until;
    until.map_or(0, |until| (until - tokio::time::Instant::now()).as_secs())
}

/// The next process, which begins at `now`.
async fn restart(fixture: &mut Fixture<Refusing>, now: Timestamp) {
    (fixture.sweeper.budget, fixture.sweeper.trouble) = (Budget::new(10.0), Trouble::default());
    fixture.sweeper.prepare(now).await.unwrap();
}

#[tokio::test]
async fn a_pause_that_an_earlier_process_was_asked_for_goes_on() {
    let mut fixture = Fixture::new(1).await;
    fixture.sweeper.budget.slow_down(Some(Duration::from_secs(600)));
    fixture.catch_up().await;
    let stored = shown(&fixture).await.paused_until;
    for _ in 0..5 {
        restart(&mut fixture, T0 + Duration::from_secs(100)).await;
    }
    assert_eq!(shown(&fixture).await.paused_until, stored, "it ends when it did, however often we begin");
    assert!((499..=502).contains(&paused_for(&fixture)), "{} s", paused_for(&fixture));
    let state = fixture.sweeper.budget.state();
    assert!(state.slowed_until > state.paused_until, "and the rate grows back after it");
    let hour = Duration::from_secs(3600);
    fixture.sweeper.prepare(T0 + hour).await.unwrap();
    assert!((499..=502).contains(&paused_for(&fixture)), "a step of the clock neither ends nor lengthens it");
    let stored = shown(&fixture).await.paused_until;
    assert!(stored > Some(T0 + hour + Duration::from_secs(495)), "{stored:?}");
    restart(&mut fixture, T0 + hour * 2).await;
    assert_eq!((paused_for(&fixture), shown(&fixture).await), (0, Default::default()), "it is over");
}

#[tokio::test]
async fn a_pause_further_ahead_than_the_longest_was_stored_under_a_wrong_clock() {
    let mut fixture = Fixture::new(0).await;
    fixture.sweeper.budget.slow_down(Some(Duration::from_secs(7200)));
    fixture.catch_up().await;
    restart(&mut fixture, T0).await;
    assert!((3598..=3600).contains(&paused_for(&fixture)), "the longest: {} s", paused_for(&fixture));
    restart(&mut fixture, T0 - Duration::from_secs(60)).await;
    assert_eq!((paused_for(&fixture), shown(&fixture).await), (0, Default::default()));
}

#[tokio::test]
async fn a_one_shot_pass_waits_for_no_long_pause_but_for_answers_in_hand() {
    let mut fixture = Fixture::new(20).await;
    fixture.sweeper.budget.slow_down(Some(pass::PAUSES_TOO_LONG + Duration::from_secs(5)));
    let report = tokio::time::timeout(Duration::from_secs(20), fixture.catch_up()).await.unwrap();
    assert!(report.given_up && report.calls == 0, "{report:?}");

    let mut fixture = Fixture::new(0).await;
    fixture.sweeper.budget.slow_down(Some(Duration::from_secs(600)));
    assert!(!fixture.catch_up().await.given_up, "there was nothing to ask");

    let pausing = Pausing { budget: Budget::new(0.0), both: tokio::sync::Barrier::new(2), paused: Notify::new() };
    let budget = pausing.budget.clone();
    let mut fixture = Fixture::with(pausing, 2).await;
    fixture.sweeper.budget = budget;
    let report = tokio::time::timeout(Duration::from_secs(20), fixture.catch_up()).await.unwrap();
    assert_eq!((report.given_up, report.calls, report.answers), (true, 2, 1), "{report:?}");
}

#[test]
fn reports_add_up_and_name_each_stopped_territory_once() {
    let of = |territories: &[&str]| Report {
        not_renewed: 1,
        stopped_territories: territories.iter().map(|name| (*name).to_owned()).collect(),
        ..Report::default()
    };
    let mut total = of(&["eu"]);
    total.add(&of(&[]));
    total.add(&of(&["us", "eu"]));
    assert_eq!((total.not_renewed, total.stopped_territories), (3, vec!["eu".to_owned(), "us".to_owned()]));
}

/// Answers for another order, while somebody pauses the one that is asked for.
struct Overtaken<F>(F);

impl<F: Fn() + Send + Sync> Provider for Overtaken<F> {
    async fn look(&self, _: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        (self.0)();
        let seen = Seen::Foreign("answered for the foreign number".into());
        Ok(Sighting::of(seen))
    }

    async fn fetch(&self, _: Subject<'_>, _: &str, _: Slot) -> Result<Fetched, Error> {
        Err(Error::Unreadable { reason: "not asked for here".into() })
    }

    async fn check(&self, _: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        (Vec::new(), false)
    }
}

#[tokio::test]
async fn what_was_overtaken_and_is_dropped_is_not_told() {
    for (pauses, told) in [(false, 1), (true, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.db");
        let pause = move || {
            if pauses {
                let db = rusqlite::Connection::open(&path).unwrap();
                db.execute("UPDATE subscriptions SET state = 'paused', due_at = NULL", []).unwrap();
            }
        };
        let mut fixture = Fixture::within(dir, Overtaken(pause), 1).await;
        let report = fixture.catch_up().await;
        assert_eq!((report.polls, report.surprises), (1, told), "paused: {pauses}");
    }
}
