//! `check` on settings and stores that are not as they should be.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::clock::Timestamp;
use crate::sandbox::nexway_connect::{Account, Endpoint, NewOrder, Options, Sandbox};
use crate::store::{Access, BreakerState, NewSubscription, ProviderTrouble, fixtures};

fn load(dir: &Path, text: &str) -> Loaded {
    let path = dir.join("renewald.toml");
    std::fs::write(&path, text).unwrap();
    Settings::load(Some(&path)).unwrap()
}

fn account_settings(sandbox: &Sandbox, more: &str) -> String {
    format!(
        "[providers.p]\nkind = 'nexway-connect'\napi_url = '{}'\niam_url = '{}'\nrealm = 'sandbox'\n\
         client_secret = 'sandbox-client-secret'\n{more}\n[providers.p.territories.eu]\nsecret = 'sandbox-secret-eu'\n",
        sandbox.api_url(),
        sandbox.iam_url()
    )
}

fn tracked(provider: &str, territory: &str, number: &str, subscription_id: i64) -> NewSubscription {
    NewSubscription {
        provider: provider.to_owned(),
        territory: territory.to_owned(),
        ..fixtures::subscription(number, subscription_id)
    }
}

fn texts(findings: &Findings, level: Level) -> Vec<String> {
    let of_level = findings.items.iter().filter(|item| item.level == level);
    of_level.map(|item| format!("{}: {}", item.what, item.text)).collect()
}

#[test]
fn placeholder_and_narrow_concurrency_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let text = account_settings(&sandbox, "concurrency = 2").replace("'sandbox'", "'CHANGE-ME'");
    let loaded = load(dir.path(), &text);
    let mut findings = Findings::default();
    account("p", &loaded.settings.providers["p"], &mut findings);
    assert!(texts(&findings, Level::Problem)[0].contains("CHANGE-ME"));
    assert!(texts(&findings, Level::Warning)[0].contains("use at least 3"));
}

#[test]
fn every_secret_that_cannot_be_used_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("signing"), "not a signing secret").unwrap();
    let text = format!(
        "[providers.p]\nkind = 'nexway-connect'\napi_url = 'http://127.0.0.1:1'\niam_url = 'http://127.0.0.1:1'\n\
         realm = 'r'\nclient_secret_file = 'nowhere'\n[providers.p.territories.eu]\nsecret = 's'\n\
         [sinks.shop]\nkind = 'webhook'\nurl = 'http://127.0.0.1:1/'\nsigning_secret_file = '{}'\n",
        dir.path().join("signing").display()
    );
    let mut findings = Findings::default();
    secrets(&load(dir.path(), &text).settings, &mut findings);
    let problems = texts(&findings, Level::Problem);
    assert!(problems[0].contains("providers.p.client_secret_file"), "{problems:?}");
    assert!(problems[1].contains("sinks.shop.signing_secret_file"), "{problems:?}");
    assert!(!format!("{findings:?}").contains("not a signing secret"));
}

#[tokio::test]
async fn subscriptions_and_messages_that_nobody_serves_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let settings = load(dir.path(), &account_settings(&sandbox, "")).settings;
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    let new = vec![tracked("p", "eu", "A", 1), tracked("p", "us", "B", 2), tracked("old", "eu", "C", 3)];
    store.track(new, false, Timestamp::now()).await.unwrap();
    let mut findings = Findings::default();
    strays(&settings, &store, &mut findings).await.unwrap();
    let problems = texts(&findings, Level::Problem);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("old/eu") && problems[1].contains("p/us"), "{problems:?}");
    capacity(&settings, &store, &mut findings).await.unwrap();
    assert!(texts(&findings, Level::Ok)[0].starts_with("capacity p: 2 subscriptions"));
}

#[tokio::test]
async fn an_outage_is_told_unless_the_provider_has_just_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    let now = Timestamp::now();
    let breaker = BreakerState { open_since: now, next_probe_at: now, reason: "refused".to_owned() };
    for name in ["p", "q"] {
        let trouble = ProviderTrouble { breaker: Some(breaker.clone()), ..ProviderTrouble::default() };
        store.set_provider_trouble(name, trouble).await.unwrap();
    }
    let mut findings = Findings::default();
    outages(&store, &["p"], &mut findings).await.unwrap();
    let expected = format!("provider q: the last run got no answer since {now}: refused");
    assert_eq!(texts(&findings, Level::Warning), [expected]);
}

/// Asks the sandbox online; what was found, and how many requests that took.
async fn ask(sandbox: &Sandbox, change: impl FnOnce(String) -> String, track: &[NewSubscription]) -> (Findings, usize) {
    let dir = tempfile::tempdir().unwrap();
    let settings = load(dir.path(), &change(account_settings(sandbox, ""))).settings;
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    store.track(track.to_vec(), false, Timestamp::now()).await.unwrap();
    let mut findings = Findings::default();
    online::ask("p", &settings.providers["p"], Some(&store), &mut findings).await.unwrap();
    (findings, sandbox.requests().len())
}

#[tokio::test]
async fn online_takes_a_token_and_one_status() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let id = sandbox.create_order(NewOrder::new("PARTNER689")).unwrap().subscription_ids()[0];
    let (findings, requests) = ask(&sandbox, |text| text, &[tracked("p", "eu", "PARTNER689", id)]).await;
    assert_eq!(findings.worst(), Some(Level::Ok), "{findings:?}");
    assert_eq!(requests, 2);
    assert!(sandbox.requests().iter().any(|request| request.endpoint == Endpoint::Status));
}

#[tokio::test]
async fn online_tries_the_secrets_of_two_territories_and_names_the_others() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let number = |territory: &str| NewOrder { territory: territory.to_owned(), ..NewOrder::new(territory) };
    let id = |territory: &str| sandbox.create_order(number(territory)).unwrap().subscription_ids()[0];
    let with_us = |text: String| format!("{text}[providers.p.territories.us]\nsecret = 'wrong'\n");
    let (findings, requests) = ask(&sandbox, with_us, &[]).await;
    let untried = |territory: &str| {
        format!("provider p: territory {territory}: its secret was not tried: no subscription is tracked there")
    };
    assert_eq!(texts(&findings, Level::Warning), ["eu", "us"].map(untried));
    assert_eq!(requests, 1);
    let tracks = [tracked("p", "eu", "eu", id("eu")), tracked("p", "us", "us", id("us"))];
    let (findings, requests) = ask(&sandbox, with_us, &tracks).await;
    assert_eq!(requests, 1 + 3);
    assert!(texts(&findings, Level::Problem)[0].contains("of us: answered 71"), "{findings:?}");
    assert_eq!(texts(&findings, Level::Warning), [] as [&str; 0]);
    let three = |text: String| format!("{}[providers.p.territories.asia]\nsecret = 's'\n", with_us(text));
    let tracks = [&tracks[..], &[tracked("p", "asia", "asia", 7)]].concat();
    let (findings, requests) = ask(&sandbox, three, &tracks).await;
    assert_eq!(requests, 1 + 3 + 3);
    assert_eq!(texts(&findings, Level::Warning).len(), 1, "{findings:?}");
}

#[tokio::test]
async fn online_names_what_to_look_at() {
    let territories = BTreeMap::from([("eu".to_owned(), "another".to_owned())]);
    let account = Account { territories, ..Account::default() };
    let sandbox = Sandbox::start(Options { account, ..Options::default() }).unwrap();
    let (findings, _) = ask(&sandbox, |text| text, &[tracked("p", "eu", "PARTNER689", 1)]).await;
    let problems = texts(&findings, Level::Problem);
    assert!(problems[0].contains("71") && problems[0].contains("allow list"), "{findings:?}");

    let wrong_secret = |text: String| text.replace("sandbox-client-secret", "wrong");
    let (findings, _) = ask(&sandbox, wrong_secret, &[]).await;
    let problems = texts(&findings, Level::Problem);
    assert!(problems[0].contains("client_secret_file") && problems[0].contains("allow list"), "{problems:?}");

    let elsewhere = |text: String| text.replace(&sandbox.iam_url(), "http://127.0.0.1:1/iam");
    let (findings, _) = ask(&sandbox, elsewhere, &[]).await;
    assert!(texts(&findings, Level::Problem)[0].contains("iam_url"), "{findings:?}");
}
