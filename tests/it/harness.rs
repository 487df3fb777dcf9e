//! One site as a test has it: a provider, a receiver, and an installation of renewald, which is a directory with settings,
//! secrets and a database, the real binary, and the worker with its clock as an argument.
//!
//! Nothing here sleeps but [`eventually`], which looks again and again for what only a file or a process can tell.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::provider::Kind;
use renewald::sandbox::nexway_connect::Sandbox;
use renewald::settings::Settings;
use renewald::store::{Access, InstanceLock, Metadata, NewSubscription, Store};
use renewald::{relay, sweep};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fake_receiver::{FakeReceiver, Received};

/// What the account is called in every test's settings.
pub const ACCOUNT: &str = "nexway";
/// Far longer than anything waited for takes: reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// The webhook's signing secret in every test.
pub const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Looks until there is something to be seen, for what gives no sign by itself: a row, a line of a log, an exit.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// The same with a bound of its own.
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The serials of a message, as sent.
pub fn keys(message: &Received) -> Vec<String> {
    keys_of(&message.json())
}

pub fn keys_of(event: &Value) -> Vec<String> {
    let lines = event["data"]["lines"].as_array().into_iter().flatten();
    let serials = lines.flat_map(|line| line["serials"].as_array().into_iter().flatten());
    serials.map(|serial| serial["data"].as_str().expect("data is text").to_owned()).collect()
}

/// The numbers that messages are about, in their order: `PARTNER689-1`.
pub fn numbers(messages: &[Received]) -> Vec<String> {
    messages.iter().map(number).collect()
}

pub fn number(message: &Received) -> String {
    message.data()["partner_order_number"].as_str().unwrap_or_default().to_owned()
}

/// So many numbers of orders: `prefix` and a number from 0.
pub fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// The id of the subscription that an event is about.
pub fn id_of(event: &Value) -> String {
    match &event["data"]["subscription"]["subscription_id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

/// Those that are about this subscription, in their order.
pub fn about(messages: &[Received], id: impl ToString) -> Vec<Received> {
    messages.iter().filter(|message| id_of(&message.json()) == id.to_string()).cloned().collect()
}

/// An id as messages, the API and `--json` show it.
pub fn shown(id: i64) -> Value {
    id.to_string().into()
}

/// A provider of a test's own, at which an account can be opened.
pub trait Provider {
    /// The keys and secrets of an account there that is called so.
    fn account(&self, name: &str) -> Account;
}

/// An account at a provider: what the settings say of this one alone.
#[derive(Clone)]
pub struct Account {
    pub name: String,
    pub kind: &'static str,
    /// The keys that only this kind has, a line each.
    pub keys: String,
    /// Those it has a table for; the file with the secret is called the same.
    pub territories: Vec<String>,
    /// What is written into the files of `secrets/`.
    pub secrets: BTreeMap<String, String>,
}

/// What a settings file says; the defaults make for quick tests.
#[derive(Clone)]
pub struct Setup {
    /// The first is what a test tracks with.
    pub accounts: Vec<Account>,
    /// `[poll] every`
    pub every: &'static str,
    /// `[order_data] retry_first`; `retry_max` is the default.
    pub retry_first: &'static str,
    /// Of every account.
    pub timeout: &'static str,
    pub concurrency: usize,
    /// 0 = no limit.
    pub requests_per_second: f64,
    /// Of accounts that have another.
    pub rates: BTreeMap<String, f64>,
    /// Of every sink.
    pub sink_timeout: &'static str,
    pub log_level: &'static str,
    /// What stands in `[store]` too.
    pub store: String,
    /// What stands in `[admin]`.
    pub admin: String,
    /// At the end: more tables.
    pub more: String,
    /// Of the site's directory.
    pub database: &'static str,
    /// Name and table.
    sinks: Vec<(String, String)>,
}

impl Setup {
    /// Without any sink: the built-in queue takes the messages.
    pub fn new(provider: &impl Provider) -> Self {
        Self {
            accounts: vec![provider.account(ACCOUNT)],
            every: "4h",
            retry_first: "1s",
            timeout: "20s",
            concurrency: 16,
            requests_per_second: 0.0,
            rates: BTreeMap::new(),
            sink_timeout: "15s",
            log_level: "debug",
            store: String::new(),
            admin: "listen = \"\"".to_owned(),
            more: String::new(),
            database: "renewald.db",
            sinks: Vec::new(),
        }
    }

    /// Its first territory alone, which then needs no naming.
    pub fn one_territory(&mut self) {
        self.accounts[0].territories.truncate(1);
    }

    /// Another secret of the first account.
    pub fn secret(&mut self, file: &str, secret: &str) {
        self.accounts[0].secrets.insert(file.to_owned(), secret.to_owned());
    }

    /// Where the admin endpoint takes connections.
    pub fn listen(&mut self, address: impl Display) {
        self.admin = format!("listen = \"{address}\"");
    }

    /// The sink `shop`, which gets all messages.
    pub fn webhook(self, receiver: &FakeReceiver) -> Self {
        self.with(|setup| setup.set_webhook("shop", receiver, ""))
    }

    /// The same under a name, with further keys.
    pub fn set_webhook(&mut self, name: &str, receiver: &FakeReceiver, more: &str) {
        let url = receiver.url();
        self.set_sink(name, &format!("kind = \"webhook\"\nurl = \"{url}\"\nsigning_secret_file = \"signing\"\n{more}"));
    }

    /// A table `[sinks.NAME]`, in place of the one that is called so already.
    pub fn set_sink(&mut self, name: &str, table: &str) {
        self.drop_sink(name);
        self.sinks.push((name.to_owned(), table.to_owned()));
    }

    pub fn drop_sink(&mut self, name: &str) {
        self.sinks.retain(|(known, _)| known != name);
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn toml(&self) -> String {
        let Self { every, retry_first, timeout, concurrency, requests_per_second, sink_timeout, .. } = self;
        let Self { log_level, store, admin, database, .. } = self;
        let mut text = format!(
            "[store]\npath = \"{database}\"\n{store}\n\
             [poll]\nevery = \"{every}\"\n\
             [order_data]\nretry_first = \"{retry_first}\"\n\
             [admin]\n{admin}\n\
             [log]\nlevel = \"{log_level}\"\nformat = \"text\"\n"
        );
        for Account { name, kind, keys, territories, .. } in &self.accounts {
            let requests_per_second = self.rates.get(name).unwrap_or(requests_per_second);
            text.push_str(&format!(
                "[providers.{name}]\nkind = \"{kind}\"\n{keys}\
                 requests_per_second = {requests_per_second:?}\nconcurrency = {concurrency}\n\
                 timeout = \"{timeout}\"\nconnect_timeout = \"1s\"\n"
            ));
            let table =
                |territory| format!("[providers.{name}.territories.{territory}]\nsecret_file = \"{territory}\"\n");
            text.extend(territories.iter().map(table));
        }
        let table =
            |(name, table): &(String, String)| format!("[sinks.{name}]\ntimeout = \"{sink_timeout}\"\n{table}\n");
        text.extend(self.sinks.iter().map(table));
        text + &self.more
    }

    /// Writes it into a new directory.
    pub fn install(&self) -> Installation {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let installation = Installation { dir, setup: RefCell::new(self.clone()), started: Cell::new(0) };
        installation.configure(self);
        installation
    }
}

/// What is to be tracked; the rest has a default.
pub struct Track<'a> {
    /// The account's name.
    pub account: &'a str,
    pub kind: Kind,
    pub number: &'a str,
    pub id: String,
    pub territory: &'a str,
    pub generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub metadata: &'a str,
}

impl<'a> Track<'a> {
    /// In territory `eu`, its first purchase delivered.
    pub fn new(number: &'a str, id: impl ToString) -> Self {
        let (account, kind, territory) = (ACCOUNT, Kind::NexwayConnect, "eu");
        let (id, generation, metadata) = (id.to_string(), Some(0), "{}");
        Self { account, kind, number, id, territory, generation, expires_at: None, metadata }
    }

    /// As a command hands it to the store.
    pub fn subscription(self) -> NewSubscription {
        NewSubscription {
            provider: self.account.to_owned(),
            convention: self.kind.convention(),
            territory: self.territory.to_owned(),
            partner_order_number: self.number.to_owned(),
            subscription_id: self.id,
            generation: self.generation,
            known: Vec::new(),
            known_before: None,
            expires_at: self.expires_at,
            metadata: Some(Metadata::parse(self.metadata).expect("a JSON object")),
            tracked_by: "track",
        }
    }
}

/// An installation with its provider and the receiver of its messages, the sink `shop`.
pub struct Site<P = Sandbox> {
    pub sandbox: Arc<P>,
    pub receiver: Arc<FakeReceiver>,
    installation: Installation,
}

impl<P> Deref for Site<P> {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

impl<P: Provider> Site<P> {
    /// At this provider, which others may use too. `setup` gets settings without a sink.
    pub fn at(sandbox: Arc<P>, setup: impl FnOnce(Setup, &FakeReceiver) -> Setup) -> Self {
        let receiver = Arc::new(FakeReceiver::start());
        let installation = setup(Setup::new(&*sandbox), &receiver).install();
        Self { sandbox, receiver, installation }
    }

    /// Another installation with the same settings, at the same provider and with the same receiver.
    pub fn again(&self) -> Self {
        let (sandbox, receiver) = (self.sandbox.clone(), self.receiver.clone());
        Self { sandbox, receiver, installation: self.setup().install() }
    }

    /// The next message not handed out yet.
    pub fn next_message(&self) -> Received {
        self.receiver.next_message()
    }

    /// Everything that the receiver got so far.
    pub fn messages(&self) -> Vec<Received> {
        self.receiver.messages()
    }

    /// What these messages are about, in their order.
    pub fn numbers(&self) -> Vec<String> {
        numbers(&self.messages())
    }

    /// The same in the order of the alphabet, for where it is nobody's promise.
    pub fn sorted_numbers(&self) -> Vec<String> {
        let mut numbers = self.numbers();
        numbers.sort();
        numbers
    }
}

/// A directory with one installation. When a test fails, what its processes wrote to stderr is shown.
pub struct Installation {
    dir: TempDir,
    setup: RefCell<Setup>,
    started: Cell<usize>,
}

impl Installation {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path(self.setup.borrow().database)
    }

    /// What was configured last.
    pub fn setup(&self) -> Setup {
        self.setup.borrow().clone()
    }

    /// Writes settings and secrets, over those that are there.
    pub fn configure(&self, setup: &Setup) {
        self.setup.replace(setup.clone());
        fs::create_dir_all(self.path("secrets")).expect("secrets/ can be made");
        let secret = |name: &str, secret: &str| {
            fs::write(self.path("secrets").join(name), format!("{secret}\n")).expect("a secret is written");
        };
        secret("signing", SIGNING_SECRET);
        let secrets = setup.accounts.iter().flat_map(|account| &account.secrets);
        secrets.for_each(|(name, value)| secret(name, value));
        fs::write(self.path("renewald.toml"), setup.toml()).expect("the settings are written");
    }

    /// The same with something changed.
    pub fn change(&self, change: impl FnOnce(&mut Setup)) {
        self.configure(&self.setup().with(change));
    }

    /// Tracks a subscription as [`Track::new`] has it.
    pub fn track(&self, number: &str, id: impl ToString) {
        self.track_all([Track::new(number, id)]);
    }

    pub fn track_all<'a>(&self, tracks: impl IntoIterator<Item = Track<'a>>) {
        let new = tracks.into_iter().map(Track::subscription).collect();
        // Long ago, so that it is due whatever a test calls now.
        let then = Timestamp::from_unix(1_577_836_800);
        let runtime = runtime();
        runtime.block_on(async {
            let store = Store::open(&self.database(), Access::Command).expect("the store opens");
            store.track(new, false, then).await.expect("it is tracked");
            store.close().await;
        });
    }

    /// The daemon's own passes, with the time as an argument.
    pub fn work(&self) -> Work {
        let runtime = runtime();
        let worker = {
            let _inside = runtime.enter();
            let settings = Settings::load(Some(&self.path("renewald.toml"))).expect("the settings are right").settings;
            let lock = InstanceLock::acquire(&settings.store.path).expect("nobody else works here");
            let store = Store::open(&settings.store.path, Access::Instance(lock)).expect("the store opens");
            Worker::new(Arc::new(settings), store).expect("everything is there")
        };
        Work { runtime, worker: Some(worker) }
    }

    /// Starts the binary with these settings.
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_through(&[], arguments)
    }

    /// Starts it by another program, whose last arguments are the binary and its arguments.
    pub fn start_through(&self, starter: &[&str], arguments: &[&str]) -> Daemon {
        let n = self.started.replace(self.started.get() + 1);
        let [stdout, stderr] = ["stdout", "stderr"].map(|stream| self.path(&format!("{n}.{stream}")));
        let create = |path: &Path| File::create(path).expect("an output file");
        let line = [starter, &[env!("CARGO_BIN_EXE_renewald")], arguments].concat();
        let child = Command::new(line[0])
            .args(&line[1..])
            .args(["--config".as_ref(), self.path("renewald.toml").as_os_str()])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("the binary starts");
        Daemon { child, stdout, stderr }
    }

    /// Runs a command to its end.
    pub fn command(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).wait()
    }

    /// `renewald once`, which must end with 0.
    pub fn catch_up(&self) -> Finished {
        self.command(&["once"]).expect_code(0)
    }

    /// As if the machine had been off for so long: every time stored moves into the past.
    pub fn let_pass(&self, time: Duration) {
        let seconds = time.as_secs();
        self.connect()
            .execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 UPDATE subscriptions SET due_at = due_at - {seconds}, last_asked_at = last_asked_at - {seconds},
                                          last_answer_at = last_answer_at - {seconds};
                 UPDATE renewals SET next_attempt_at = next_attempt_at - {seconds}, answered_at = answered_at - {seconds},
                                     look_again_at = look_again_at - {seconds};
                 UPDATE dispatches SET next_attempt_at = next_attempt_at - {seconds},
                                       last_attempt_at = last_attempt_at - {seconds};
                 UPDATE sinks SET blocked_since = blocked_since - {seconds}, blocked_until = blocked_until - {seconds},
                                  last_success_at = last_success_at - {seconds};
                 UPDATE providers SET paused_until = paused_until - {seconds},
                                      breaker_open_since = breaker_open_since - {seconds},
                                      breaker_probe_at = breaker_probe_at - {seconds};
                 COMMIT"
            ))
            .expect("the times move");
    }

    /// Neither the database, with all that lies beside it, nor the log has a word of these.
    pub fn assert_keeps_nothing_of(&self, personal: &[&str], log: &str) {
        let files = std::fs::read_dir(self.path(".")).expect("a directory").map(|entry| entry.expect("a file").path());
        let of_database = |file: &PathBuf| {
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renewald.db")) && file.is_file()
        };
        let files: Vec<_> =
            files.filter(of_database).map(|file| std::fs::read(file).expect("it can be read")).collect();
        assert!(files.iter().any(|bytes| !bytes.is_empty()), "there is a database");
        for word in personal {
            assert!(!log.contains(word), "{word} in the log");
            let holds = |bytes: &Vec<u8>| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!files.iter().any(holds), "{word} in the database");
        }
    }

    /// One value out of the database.
    pub fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.connect().query_row(query, [], |row| row.get(0)).expect("one row")
    }

    /// How many messages have been delivered to a sink.
    pub fn delivered(&self) -> i64 {
        self.value("SELECT count(*) FROM dispatches WHERE state = 'delivered'")
    }

    /// Waits until it is so many.
    pub fn wait_until_delivered(&self, count: i64) {
        eventually(&format!("{count} are delivered"), || (self.delivered() == count).then_some(()));
    }

    /// All values of a query with one text column.
    pub fn texts(&self, query: &str) -> Vec<String> {
        let db = self.connect();
        let mut statement = db.prepare(query).expect("a query");
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("rows");
        rows.map(|row| row.expect("text").unwrap_or_default()).collect()
    }

    /// Changes the database behind the back of all.
    pub fn execute(&self, statements: &str) {
        self.connect().execute_batch(statements).expect("statements");
    }

    fn connect(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.database(), flags).expect("the database is there");
        db.busy_timeout(PATIENCE).expect("a time");
        db
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for n in 0..self.started.get() {
            let stderr = text(&self.path(&format!("{n}.stderr")));
            let lines: Vec<_> = stderr.lines().rev().take(60).collect();
            eprintln!("-- stderr of process {n}, its last lines:");
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The worker and the runtime it lives on.
pub struct Work {
    runtime: Runtime,
    worker: Option<Worker>,
}

impl Work {
    pub fn sweep(&mut self, now: Timestamp) -> sweep::Report {
        let worker = self.worker.as_mut().expect("not dropped");
        self.runtime.block_on(worker.sweep(&|| now)).expect("the store works")
    }

    pub fn relay(&mut self, now: Timestamp) -> relay::Report {
        let worker = self.worker.as_mut().expect("not dropped");
        self.runtime.block_on(worker.relay(&|| now)).expect("the store works")
    }

    /// Wipes the payloads that are older than the settings' default.
    pub fn wipe(&mut self, now: Timestamp) {
        let store = self.worker.as_ref().expect("not dropped").store.clone();
        let wiped = store.wipe_payloads(now - 30 * DAY, now - 180 * DAY, vec!["shop".to_owned()], now);
        self.runtime.block_on(wiped).expect("the store works");
    }

    /// Sweeps, then publishes.
    pub fn pass(&mut self, now: Timestamp) -> (sweep::Report, relay::Report) {
        (self.sweep(now), self.relay(now))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.close());
        }
    }
}

/// A process of the binary. Killed when dropped.
pub struct Daemon {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    /// `renewald run`
    pub fn spawn(site: &Installation) -> Self {
        site.start(&["run"])
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no destructor runs.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.child.kill().expect("it is ours"); // no error where it has ended already
        self.child.wait().expect("it is ours");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM", 1);
    }

    /// SIGHUP; returns once the settings were read, for good or bad.
    pub fn reload(&self) {
        let told = || ["settings reloaded", "settings not changed"].map(|end| self.stderr().matches(end).count());
        let before: usize = told().iter().sum();
        self.signal("HUP", 1);
        eventually("the settings are read", || (told().iter().sum::<usize>() > before).then_some(()));
    }

    /// SIGTERM, and the end that is to follow.
    pub fn drain(self) -> Finished {
        self.terminate();
        self.wait().expect_code(0)
    }

    /// Sends a signal, so many times.
    pub fn signal(&self, name: &str, times: usize) {
        let line = format!("for n in $(seq {times}); do kill -{name} \"$0\"; done");
        let sent = Command::new("sh").args(["-c", &line, &self.id().to_string()]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Its status, once it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let status = eventually("the process ends", || self.status());
        Finished { code: status.code(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }

    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits until its log says so.
    pub fn wait_for_log(&self, part: &str) {
        eventually(&format!("{part:?} in the log"), || self.stderr().contains(part).then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// What it printed, which is one value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}
