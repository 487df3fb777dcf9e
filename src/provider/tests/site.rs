//! An installation with an account of each kind of these tests: settings, a database, the command line and the worker.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::account::Account;
use crate::cli::{self, Cli, Command, Context, Exit};
use crate::clock::Timestamp;
use crate::daemon::Worker;
use crate::delivery::{NAMESPACE, json_schema};
use crate::renewal::Rules;
use crate::settings::Settings;
use crate::store::{Access, Named, RenewalRow, Store};
use crate::view::Known;

/// Longer than the interval, so that everybody is asked each time.
pub const TURN: Duration = Duration::from_secs(5 * 3600);

/// Of the counting provider.
const LISTS_NOTHING: &str = "feed_every = \"0s\"";

pub struct Site {
    pub account: Account,
    url: String,
    dir: TempDir,
    began: Timestamp,
    pub now: Timestamp,
    read: usize,
}

impl Site {
    pub async fn new() -> Self {
        Self::counting(LISTS_NOTHING).await
    }

    /// With these settings of the counting provider.
    pub async fn counting(counts: &str) -> Self {
        let (account, url) = Account::open().await;
        Self::at(account, url, counts)
    }

    /// With further settings, made for the account's address.
    pub async fn with(more: impl FnOnce(&str) -> String) -> Self {
        let (account, url) = Account::open().await;
        let more = more(&url);
        let site = Self::at(account, url, LISTS_NOTHING);
        let settings = fs::read_to_string(site.path("renewald.toml")).unwrap();
        fs::write(site.path("renewald.toml"), settings + &more).unwrap();
        site
    }

    /// Another installation with the same accounts.
    pub fn another(&self) -> Self {
        let other = Self::at(self.account.clone(), self.url.clone(), LISTS_NOTHING);
        Self { began: self.began, now: self.now, ..other }
    }

    fn at(account: Account, url: String, counts: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = format!(
            r#"
[store]
path = "renewald.db"
[poll]
max_generation_jump = 3
[admin]
listen = ""
[providers.counts]
kind = "test-counter"
url = "{url}"
requests_per_second = 0
{counts}
[providers.lists]
kind = "test-lister"
url = "{url}"
requests_per_second = 0
[sinks.out]
kind = "file"
path = "out.jsonl"
events = ["*"]
"#
        );
        fs::write(dir.path().join("renewald.toml"), settings).unwrap();
        let began = Timestamp::now();
        Self { account, url, dir, began, now: began, read: 0 }
    }

    /// So many seconds after this began.
    pub fn after(&self, seconds: i64) -> Timestamp {
        Timestamp::from_unix(self.began.as_unix() + seconds)
    }

    /// Changes what is stored, as no command would.
    pub fn sql(&self, statement: &str) {
        self.database().execute_batch(statement).unwrap();
    }

    /// One number of what is stored.
    pub fn value(&self, query: &str) -> i64 {
        self.database().query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn database(&self) -> Connection {
        let database = Connection::open(self.path("renewald.db")).unwrap();
        database.busy_timeout(Duration::from_secs(20)).unwrap();
        database
    }

    /// Replaces a part of the settings.
    pub fn change(&self, from: &str, to: &str) {
        let path = self.path("renewald.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn settings(&self) -> Settings {
        Settings::load(Some(&self.path("renewald.toml"))).unwrap().settings
    }

    /// Runs a command of the command line here.
    pub async fn run(&self, words: &[&str]) -> Result<Exit, cli::Error> {
        let config = self.path("renewald.toml");
        let begin = ["renewald", "--quiet", "--config", config.to_str().unwrap()];
        let Cli { global, command } = Cli::try_parse_from(begin.iter().chain(words)).unwrap();
        let context = &Context::new(global);
        match command {
            Command::Check(args) => cli::check::run(args, context).await,
            Command::Untrack(args) => cli::untrack::run(args, context).await,
            Command::Track(args) => cli::track::run(args, context).await,
            Command::Import(args) => cli::import::run(args, context).await,
            Command::Discover(args) => cli::discover::run(args, context).await,
            Command::Status(args) => cli::status::run(args, context).await,
            Command::Export(args) => cli::export::run(args, context).await,
            Command::Refetch(args) => cli::refetch::run(args, context).await,
            Command::Poll(args) => cli::poll::run(args, context).await,
            Command::List(args) => cli::list::run(args, context).await,
            Command::Explain(args) => cli::explain::run(args, context).await,
            other => panic!("{other:?}"),
        }
    }

    pub async fn done(&self, words: &[&str]) {
        assert_eq!(self.run(words).await.map_err(|error| error.text), Ok(Exit::Done), "{words:?}");
    }

    pub async fn import(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
        self.done(&["import", self.path(name).to_str().unwrap()]).await;
    }

    /// So many seconds before what is now here.
    pub fn ago(&self, seconds: i64) -> i64 {
        self.now.as_unix() - seconds
    }

    /// Lets hours pass, asks whoever is due, and hands over what there is: the messages that came of it, each held to the schema.
    pub async fn turn(&mut self) -> Vec<Value> {
        self.turn_after(TURN).await
    }

    /// The same after this time.
    pub async fn turn_after(&mut self, wait: Duration) -> Vec<Value> {
        self.now = self.now + wait;
        let now = self.now;
        let mut worker = Worker::new(Arc::new(self.settings()), self.store()).unwrap();
        worker.sweep(&|| now).await.unwrap();
        worker.relay(&|| now).await.unwrap();
        worker.close().await;
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        let mut messages: Vec<Value> =
            text.lines().skip(self.read).map(|line| serde_json::from_str(line).unwrap()).collect();
        self.read += messages.len();
        let schema: Value = serde_json::from_str(json_schema()).unwrap();
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
        for message in &messages {
            let errors: Vec<_> = validator.iter_errors(message).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}\n{message:#}");
        }
        messages.sort_by_key(|message| message["data"]["subscription"]["subscription_id"].to_string());
        messages
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("renewald.db"), Access::Command).unwrap()
    }

    /// What `explain` tells from.
    pub async fn known(&self, id: &str) -> Known {
        let (settings, store) = (self.settings(), self.store());
        let row = store.find(Named::new(id, settings.conventions())).await.unwrap().remove(0);
        let known = Known::look_up(&store, &settings, row, self.now).await.unwrap();
        store.close().await;
        known
    }

    pub async fn story(&self, id: &str) -> Value {
        let story = self.known(id).await.into_story(&Rules::from_settings(&self.settings()), self.now);
        serde_json::to_value(story).unwrap()
    }

    /// Its deliveries: label, reference and state.
    pub async fn deliveries(&self, id: &str) -> Vec<(i64, String, String)> {
        let one = |row: RenewalRow| (row.generation, row.reference, row.state);
        self.known(id).await.renewals.into_iter().map(one).collect()
    }
}

pub fn uuid_of(name: &Value) -> Value {
    json!(Uuid::new_v5(&NAMESPACE, name.to_string().as_bytes()).to_string())
}

/// The id that a delivery's message has where orders are not known by a number.
pub fn message_id(provider: &str, subscription_id: &str, reference: &str, revision: u32) -> Value {
    let ordinal = revision.to_string();
    uuid_of(&json!([provider, subscription_id, subscription_id, reference, "renewald.renewal.ready", ordinal]))
}

/// What tells deliveries apart: subscription, label, reference, occasion, late, and the keys.
pub fn told(messages: &[Value]) -> Vec<Value> {
    let one = |message: &Value| {
        let data = &message["data"];
        let lines = data["lines"].as_array().into_iter().flatten();
        let serials = lines.flat_map(|line| line["serials"].as_array().unwrap());
        let keys: Vec<_> = serials.map(|serial| &serial["data"]).collect();
        let id = &data["subscription"]["subscription_id"];
        json!([id, data["generation"], data["reference"], data["occasion"], data["late"], keys])
    };
    messages.iter().map(one).collect()
}
