//! One installation of renewald as a test has it: a directory with settings, secrets and a database, the real binary, and
//! the worker with its clock as an argument.
//!
//! Nothing here sleeps but [`eventually`], which looks again and again for what only a file or a process can tell.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::sandbox::nexway_connect::{Account, NewOrder, Options, Sandbox, Switches};
use renewald::settings::Settings;
use renewald::store::{Access, InstanceLock, Metadata, NewSubscription, Store};
use renewald::{relay, sweep};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fake_receiver::{FakeReceiver, Received};

/// Far longer than anything waited for takes: reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// The webhook's signing secret in every test.
pub const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Looks until there is something to be seen, for what gives no sign by itself: a row, a line of a log, an exit.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A provider without rate limit whose clock stands still at the present.
pub fn sandbox() -> Sandbox {
    sandbox_with(|_| {})
}

pub fn sandbox_with(change: impl FnOnce(&mut Switches)) -> Sandbox {
    let mut switches = Switches { rate_limit: 0, ..Switches::default() };
    change(&mut switches);
    let account = Account { switches, ..Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).expect("free ports")
}

/// An order with one subscription; its id, whatever the order's variant shows of it.
pub fn order(sandbox: &Sandbox, number: &str) -> i64 {
    new_order(sandbox, NewOrder::new(number))[0]
}

pub fn new_order(sandbox: &Sandbox, order: NewOrder) -> Vec<i64> {
    let number = order.partner_order_number.clone();
    sandbox.create_order(order).expect("a new order");
    let states = sandbox.subscriptions().into_iter().filter(|state| state.partner_order_number == number);
    states.map(|state| state.subscription_id).collect()
}

/// The serials of a message, as sent.
pub fn keys(message: &Received) -> Vec<String> {
    keys_of(&message.json())
}

pub fn keys_of(event: &serde_json::Value) -> Vec<String> {
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

/// What a settings file says; the defaults make for quick tests.
#[derive(Clone)]
pub struct Setup {
    api_url: String,
    iam_url: String,
    /// `[poll] every`
    pub every: &'static str,
    /// `[order_data] retry_first`; `retry_max` is the default.
    pub retry_first: &'static str,
    /// Of the provider.
    pub timeout: &'static str,
    pub concurrency: usize,
    /// 0 = no limit.
    pub requests_per_second: f64,
    /// Of every sink.
    pub sink_timeout: &'static str,
    pub log_level: &'static str,
    pub territories: Vec<(String, String)>,
    pub client_secret: String,
    /// What stands in `[store]` too.
    pub store: String,
    /// What stands in `[admin]`.
    pub admin: String,
    /// At the end: more tables.
    pub more: String,
    /// Of the site's directory.
    pub database: &'static str,
    sinks: Vec<String>,
}

impl Setup {
    /// Without any sink: the built-in queue takes the messages.
    pub fn new(sandbox: &Sandbox) -> Self {
        Self::at(&sandbox.api_url(), &sandbox.iam_url())
    }

    pub fn at(api_url: &str, iam_url: &str) -> Self {
        let of_sandbox = Account::default();
        Self {
            api_url: api_url.to_owned(),
            iam_url: iam_url.to_owned(),
            every: "4h",
            retry_first: "1s",
            timeout: "20s",
            concurrency: 16,
            requests_per_second: 0.0,
            sink_timeout: "15s",
            log_level: "debug",
            territories: of_sandbox.territories.into_iter().collect(),
            client_secret: of_sandbox.client_secret,
            store: String::new(),
            admin: "listen = \"\"".to_owned(),
            more: String::new(),
            database: "renewald.db",
            sinks: Vec::new(),
        }
    }

    pub fn webhook(self, receiver: &FakeReceiver) -> Self {
        self.webhook_named("shop", receiver, "")
    }

    pub fn webhook_named(self, name: &str, receiver: &FakeReceiver, more: &str) -> Self {
        let url = receiver.url();
        self.sink(name, &format!("kind = \"webhook\"\nurl = \"{url}\"\nsigning_secret_file = \"signing\"\n{more}"))
    }

    /// A table `[sinks.NAME]`.
    pub fn sink(mut self, name: &str, table: &str) -> Self {
        self.sinks.push(format!("[sinks.{name}]\ntimeout = \"{}\"\n{table}\n", self.sink_timeout));
        self
    }

    pub fn every(self, every: &'static str) -> Self {
        Self { every, ..self }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn toml(&self) -> String {
        let Self {
            api_url,
            iam_url,
            every,
            retry_first,
            timeout,
            concurrency,
            requests_per_second,
            log_level,
            store,
            admin,
            database,
            ..
        } = self;
        let mut text = format!(
            "[store]\npath = \"{database}\"\n{store}\n\
             [poll]\nevery = \"{every}\"\n\
             [order_data]\nretry_first = \"{retry_first}\"\n\
             [providers.nexway]\nkind = \"nexway-connect\"\napi_url = \"{api_url}\"\niam_url = \"{iam_url}\"\n\
             realm = \"sandbox\"\nclient_secret_file = \"client\"\nrequests_per_second = {requests_per_second:?}\n\
             concurrency = {concurrency}\ntimeout = \"{timeout}\"\nconnect_timeout = \"1s\"\n\
             [admin]\n{admin}\n\
             [log]\nlevel = \"{log_level}\"\nformat = \"text\"\n"
        );
        for (territory, _) in &self.territories {
            text.push_str(&format!("[providers.nexway.territories.{territory}]\nsecret_file = \"{territory}\"\n"));
        }
        self.sinks.iter().for_each(|sink| text.push_str(sink));
        text.push_str(&self.more);
        text
    }

    /// Writes it into a new directory.
    pub fn install(&self) -> Site {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let site = Site { dir, database: self.database, started: Cell::new(0) };
        site.configure(self);
        site
    }
}

/// What is to be tracked; the rest has a default.
pub struct Track<'a> {
    pub number: &'a str,
    pub id: i64,
    pub territory: &'a str,
    pub generation: Option<i64>,
    pub metadata: &'a str,
}

impl<'a> Track<'a> {
    pub fn new(number: &'a str, id: i64) -> Self {
        Self { number, id, territory: "eu", generation: Some(0), metadata: "{}" }
    }
}

/// A directory with one installation. When a test fails, what its processes wrote to stderr is shown.
pub struct Site {
    dir: TempDir,
    database: &'static str,
    started: Cell<usize>,
}

impl Site {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path(self.database)
    }

    /// Writes settings and secrets, over those that are there.
    pub fn configure(&self, setup: &Setup) {
        fs::create_dir_all(self.path("secrets")).expect("secrets/ can be made");
        let secret = |name: &str, secret: &str| {
            fs::write(self.path("secrets").join(name), format!("{secret}\n")).expect("a secret is written");
        };
        secret("client", &setup.client_secret);
        secret("signing", SIGNING_SECRET);
        setup.territories.iter().for_each(|(territory, value)| secret(territory, value));
        fs::write(self.path("renewald.toml"), setup.toml()).expect("the settings are written");
    }

    /// Tracks a subscription of territory `eu` whose first purchase was delivered.
    pub fn track(&self, number: &str, id: i64) {
        self.track_all([Track::new(number, id)]);
    }

    pub fn track_all<'a>(&self, tracks: impl IntoIterator<Item = Track<'a>>) {
        let new = tracks.into_iter().map(|track| NewSubscription {
            provider: "nexway".to_owned(),
            territory: track.territory.to_owned(),
            partner_order_number: track.number.to_owned(),
            subscription_id: track.id,
            generation: track.generation,
            expires_at: None,
            metadata: Some(Metadata::parse(track.metadata).expect("a JSON object")),
            tracked_by: "track",
        });
        let new = new.collect();
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
                 UPDATE renewals SET next_attempt_at = next_attempt_at - {seconds}, answered_at = answered_at - {seconds};
                 UPDATE dispatches SET next_attempt_at = next_attempt_at - {seconds},
                                       last_attempt_at = last_attempt_at - {seconds};
                 UPDATE sinks SET blocked_since = blocked_since - {seconds}, blocked_until = blocked_until - {seconds},
                                  last_success_at = last_success_at - {seconds};
                 UPDATE providers SET paused_until = paused_until - {seconds};
                 COMMIT"
            ))
            .expect("the times move");
    }

    /// One value out of the database.
    pub fn value<T: rusqlite::types::FromSql>(&self, query: &str) -> T {
        self.connect().query_row(query, [], |row| row.get(0)).expect("one row")
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

impl Drop for Site {
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
    pub fn spawn(site: &Site) -> Self {
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
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}
