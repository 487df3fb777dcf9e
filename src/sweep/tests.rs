//! Whole passes against real files, with a provider that refuses everybody.

use super::*;
use crate::budget::Slot;
use crate::provider::{Class, Error, OrderData, Status, Verdict};
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
"#;

/// Refuses every subscription of every territory.
struct Refusing;

impl Provider for Refusing {
    async fn subscription_status(&self, _: &str, _: &str, _: i64, _: Slot) -> Result<Status, Error> {
        let verdict = Verdict { class: Class::Configuration, code: 71, message: String::new() };
        Ok(Status { verdict, partner_order_number: None, generation: None, technical_status: None, expires_at: None })
    }

    async fn order_data(&self, _: &str, _: &str, _: Slot) -> Result<OrderData, Error> {
        Err(Error::Unreadable { reason: "not asked for here".into() })
    }
}

struct Fixture {
    sweeper: Sweeper<Refusing>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// A sweeper that watches so many subscriptions, all of them due.
    async fn new(subscriptions: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("renewald.toml");
        std::fs::write(&file, SETTINGS).unwrap();
        let settings = Arc::new(Settings::load(Some(&file)).unwrap().settings);
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        let new = |subscription_id| NewSubscription {
            provider: "nexway".to_owned(),
            territory: "eu".to_owned(),
            partner_order_number: format!("P{subscription_id}"),
            subscription_id,
            generation: Some(0),
            expires_at: None,
            metadata: None,
            tracked_by: "track",
        };
        store.track((1..=subscriptions).map(new).collect(), false, T0).await.unwrap();
        let rules = Rules::from_settings(&settings);
        let account = Account { name: "nexway".to_owned(), concurrency: 16, rules };
        let sweeper = Sweeper::new(store, Refusing, Budget::new(0.0), account, settings, Bells::default());
        Self { sweeper, _dir: dir }
    }

    async fn catch_up(&mut self) -> Report {
        let (shutdown, now) = (Shutdown::manual(), || T0);
        self.sweeper.prepare(T0).await.unwrap();
        self.sweeper.pass(&now, Scope::CatchUp, None, &shutdown, &|_| {}).await.unwrap()
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
    fixture.sweeper.store.refetch(1, 1, "P1-1".to_owned(), T0).await.unwrap();
    assert_eq!(fixture.sweeper.next_renewal_due().await.unwrap(), Some(T0));
    for subscription in 1..=5 {
        fixture.sweeper.gate.refused("eu", subscription);
    }
    assert_eq!(fixture.sweeper.next_renewal_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_stopped_territory_that_left_the_settings_is_forgotten() {
    let mut fixture = Fixture::new(0).await;
    for territory in ["eu", "gone"] {
        let stopped = gate::stopped_record("nexway", territory, "code 71", T0);
        fixture.sweeper.store.stop_territory(stopped).await.unwrap();
    }
    assert_eq!(fixture.catch_up().await.stopped_territories, ["eu"]);
}

#[tokio::test]
async fn a_one_shot_pass_gives_up_on_a_provider_that_stays_away() {
    let mut fixture = Fixture::new(20).await;
    assert!(fixture.sweeper.budget.report_lockout());
    tokio::time::pause();
    tokio::time::advance(pass::STAYS_AWAY).await;
    tokio::time::resume();
    let report = tokio::time::timeout(Duration::from_secs(20), fixture.catch_up()).await.unwrap();
    assert!(report.given_up && report.calls == 0, "{report:?}");
}
