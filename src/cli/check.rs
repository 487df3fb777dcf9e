//! `renewald check`: looks at everything that can be wrong before it goes wrong, and says so one thing a line.
//!
//! This file holds what is found and judges settings, capacity and what waits; `files` looks at the disk, `online` asks.

mod files;
mod online;

use std::io::IsTerminal;

use crate::budget::Budget;
use crate::cli::table::folded;
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::forecast::{Forecast, Load};
use crate::settings::{self, Loaded, Provider, Secret, Settings, Sink, SinkKind};
use crate::sink::Sink as _;
use crate::store::{self, NOBODY_ASKS, Store, counts_of};
use crate::text::{number_of, visible};
use crate::vault;
use crate::view::Status;
use crate::{daemon, environment};

/// What is found about keys for payloads.
const ENCRYPTION: &str = "encryption";
/// Requests in flight that ordinary polls never use.
const KEPT_IN_FLIGHT: usize = 2;

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Also ask: at most three requests to each provider, a second apart, and a look at each sink
    #[arg(long)]
    online: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Item {
    what: String,
    level: Level,
    text: String,
}

/// Everything that was found, in the order of looking.
#[derive(Debug, Default)]
struct Findings {
    items: Vec<Item>,
}

impl Findings {
    fn ok(&mut self, what: &str, text: impl Into<String>) {
        self.add(what, Level::Ok, text);
    }

    fn warning(&mut self, what: &str, text: impl Into<String>) {
        self.add(what, Level::Warning, text);
    }

    fn problem(&mut self, what: &str, text: impl Into<String>) {
        self.add(what, Level::Problem, text);
    }

    fn add(&mut self, what: &str, level: Level, text: impl Into<String>) {
        self.items.push(Item { what: visible(what), level, text: visible(&text.into()) });
    }

    fn worst(&self) -> Option<Level> {
        let has = |level| self.items.iter().any(|item| item.level == level);
        [Level::Problem, Level::Warning, Level::Ok].into_iter().find(|level| has(*level))
    }
}

/// What `check --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    /// No problem; there may be warnings.
    ok: bool,
    items: Vec<Item>,
}

pub async fn run(args: CheckArgs, context: &Context) -> Result<Exit, Error> {
    let loaded = match Settings::load(context.global.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problems) => return Err(mistakes(problems, context)?),
    };
    let settings = &loaded.settings;
    // What it finds is what the daemon will find.
    context.become_owner(settings)?;
    let mut findings = Findings::default();
    settings_file(&loaded, &mut findings);
    secrets(settings, &mut findings);
    let store = files::look(&settings.store.path, &mut findings);
    let store = store.map(|store| store.with_vault(daemon::vault(&settings.store)));
    encryption(settings, &mut findings);
    for (name, provider) in &settings.providers {
        account(name, provider, &mut findings);
    }
    budgets(settings, &mut findings);
    for (name, sink) in &settings.sinks {
        receiver(name, sink, args.online, &mut findings).await;
    }
    if let Some(store) = &store {
        stored(settings, store, &mut findings).await?;
    }
    let mut answering = Vec::new();
    if args.online {
        for (name, provider) in &settings.providers {
            if online::ask(name, provider, store.as_ref(), &mut findings).await? {
                answering.push(name.as_str());
            }
        }
    }
    if let Some(store) = store {
        outages(&store, &answering, &mut findings).await?;
        store.close().await;
    }
    report(findings, context)
}

/// Nothing else can be looked at; whoever reads the answer as JSON gets one all the same.
fn mistakes(problems: settings::Problems, context: &Context) -> Result<Error, Error> {
    if context.global.json {
        let mut findings = Findings::default();
        problems.iter().for_each(|problem| findings.problem("settings", problem.to_string()));
        context.print_json(&Answer { ok: false, items: findings.items })?;
    }
    Ok(problems.into())
}

fn settings_file(loaded: &Loaded, findings: &mut Findings) {
    match &loaded.path {
        Some(path) => findings.ok("settings", path.display().to_string()),
        None => findings.ok("settings", "from the environment alone"),
    }
    for warning in &loaded.warnings {
        findings.warning("settings", warning);
    }
}

fn secrets(settings: &Settings, findings: &mut Findings) {
    let signing: Vec<&Secret> = settings
        .sinks
        .values()
        .flat_map(|sink| match &sink.kind {
            SinkKind::Webhook(webhook) => webhook.signing_secrets(),
            _ => Vec::new(),
        })
        .collect();
    for secret in settings.secrets() {
        let encrypts = settings.store.encryption_keys().any(|one| std::ptr::eq(one, secret));
        let signs = signing.iter().any(|one| std::ptr::eq(*one, secret));
        let read = if signs { secret.read_signing_key().map(drop) } else { secret.read().map(drop) };
        let read = if encrypts { secret.read_encryption_key().map(drop) } else { read };
        match (read, secret) {
            (Err(error), _) => findings.problem("secret", crate::chain(&error)),
            (Ok(()), Secret::File { key, .. }) => findings.ok("secret", format!("{key} can be read")),
            // The settings have warned of it.
            (Ok(()), Secret::Inline(_)) => {}
        }
        for warning in secret.warnings() {
            findings.warning("secret", warning);
        }
    }
}

fn encryption(settings: &Settings, findings: &mut Findings) {
    if settings.store.encryption_key.is_none() {
        let text = "store.encryption_key_file is not given: licence keys are stored as they are, and only the file's mode protects them";
        findings.warning(ENCRYPTION, text);
    }
}

/// What the database holds. That it cannot be read is found here too, and said beside all else.
async fn stored(settings: &Settings, store: &Store, findings: &mut Findings) -> Result<(), Error> {
    let look = async |findings: &mut Findings| {
        payloads(store, findings).await?;
        capacity(settings, store, findings).await?;
        strays(settings, store, findings).await?;
        // What `status` reads.
        Status::read(settings, store, Timestamp::now()).await.map(drop)
    };
    match look(findings).await {
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => {
            findings.problem("database", Error::from(error).text);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether what is stored is encrypted, and can be opened.
async fn payloads(store: &Store, findings: &mut Findings) -> Result<(), store::Error> {
    // What is wrong with a key itself is named above.
    if store.vault().trouble().is_none() {
        store.key_trouble().await?.into_iter().for_each(|reason| findings.problem(ENCRYPTION, reason));
    }
    for message in store.damaged().await? {
        findings.problem(ENCRYPTION, vault::Error::Damaged { message }.to_string());
    }
    if let Some(key_id) = store.vault().current_id() {
        match store.count_not_sealed().await? {
            0 => findings.ok(ENCRYPTION, format!("all payloads are encrypted with key {key_id}")),
            rest => findings.warning(
                ENCRYPTION,
                format!(
                    "{} {are} not encrypted with key {key_id}: run `renewald keys rotate`",
                    number_of(rest, "payload"),
                    are = if rest == 1 { "is" } else { "are" }
                ),
            ),
        }
    }
    Ok(())
}

/// A provider's settings, as far as they can be judged without asking.
fn account(name: &str, provider: &Provider, findings: &mut Findings) {
    let what = format!("provider {name}");
    if let Some(text) = provider.kind.unfinished() {
        findings.problem(&what, text);
    }
    if provider.concurrency <= KEPT_IN_FLIGHT {
        let text = format!(
            "concurrency is {}, and {KEPT_IN_FLIGHT} are kept for order data and polls that were asked for; use at least {}",
            provider.concurrency,
            KEPT_IN_FLIGHT + 1
        );
        findings.warning(&what, text);
    }
    if let Some(hints) = &provider.hints {
        findings.ok(&what, format!("notifications come in at {}, POST /hooks/{name}", hints.listen));
    }
    match daemon::client(name, provider, Budget::new(1.0)) {
        Ok(_) => findings.ok(&what, provider.kind.to_string()),
        // Named above already.
        Err(daemon::Error::Secret(_)) => {}
        Err(error) => findings.problem(&what, crate::chain(&error)),
    }
}

/// Who shares one, and with which rate.
fn budgets(settings: &Settings, findings: &mut Findings) {
    for budget in settings.budgets().into_iter().filter(|budget| budget.providers.len() > 1) {
        let names = budget.providers.join(", ");
        let text = match budget.requests_per_second {
            0.0 => format!("shared by {names}, without a limit"),
            rate => format!("shared by {names}: {rate} requests a second in all, the lowest of theirs"),
        };
        findings.ok("budget", text);
    }
}

async fn receiver(name: &str, configured: &Sink, online: bool, findings: &mut Findings) {
    let what = format!("sink {name}");
    let sink = match daemon::sink(name, configured) {
        Ok(sink) => sink,
        Err(daemon::Error::Secret(_)) => return,
        Err(error) => return findings.problem(&what, crate::chain(&error)),
    };
    let Some(sink) = sink else { return findings.ok(&what, "built-in queue, read with: renewald queue pull") };
    // A file is looked at without asking anybody.
    let looks = online || matches!(configured.kind, SinkKind::File { .. } | SinkKind::Exec(_));
    match (&configured.kind, looks) {
        (SinkKind::Stdout, _) => {
            findings.warning(&what, "licence keys go to standard output; `run` refuses when that is the journal");
        }
        (_, false) => findings.ok(&what, "set up; --online looks whether it can be reached"),
        (_, true) => match sink.check().await {
            Ok(()) => findings.ok(&what, "would take messages"),
            Err(reason) => findings.problem(&what, reason),
        },
    }
}

async fn capacity(settings: &Settings, store: &Store, findings: &mut Findings) -> Result<(), store::Error> {
    let groups = store.subscription_groups().await?;
    for name in settings.providers.keys() {
        let forecast = Forecast::of_provider(settings, name, |name| counts_of(&groups, name));
        let level = if forecast.load() == Load::Fits { Level::Ok } else { Level::Warning };
        findings.add(&format!("capacity {name}"), level, forecast.to_text());
    }
    Ok(())
}

/// What the store holds for providers, territories and sinks that the settings do not have, and what has stopped.
async fn strays(settings: &Settings, store: &Store, findings: &mut Findings) -> Result<(), store::Error> {
    for (provider, territory) in store.territories_beside(settings.territories(), Timestamp::now()).await? {
        findings.problem(&format!("territory {provider}/{territory}"), NOBODY_ASKS);
    }
    for stopped in store.stopped_territories().await? {
        let text = format!("stopped since {}: {}", stopped.stopped_at, stopped.reason);
        findings.warning(&format!("territory {}/{}", stopped.provider, stopped.territory), text);
    }
    for depth in store.queue_depths().await? {
        let what = format!("sink {}", depth.sink);
        let kept = settings::format_duration(settings.store.dead_retention);
        if !settings.sinks.contains_key(&depth.sink) && depth.pending > 0 {
            let text = format!(
                "not in the settings, with {} left for it: `renewald queue move` gives them to another, `queue purge` \
                 removes them; wiped after {kept}",
                number_of(depth.pending, "message")
            );
            findings.warning(&what, text);
        }
        if depth.dead > 0 {
            let dead = number_of(depth.dead, "message");
            let text = format!("{dead} given up: see `renewald queue dead`; wiped after {kept}");
            findings.warning(&what, text);
        }
    }
    Ok(())
}

/// What the last run met, but for a provider that has just answered.
async fn outages(store: &Store, answering: &[&str], findings: &mut Findings) -> Result<(), Error> {
    for (provider, trouble) in store.provider_troubles().await? {
        if let Some(breaker) = trouble.breaker.filter(|_| !answering.contains(&provider.as_str())) {
            let text = format!("the last run got no answer since {}: {}", breaker.open_since, breaker.reason);
            findings.warning(&format!("provider {provider}"), text);
        }
    }
    Ok(())
}

fn report(findings: Findings, context: &Context) -> Result<Exit, Error> {
    let worst = findings.worst();
    let ok = worst != Some(Level::Problem);
    if context.global.json {
        context.print_json(&Answer { ok, items: findings.items })?;
    } else {
        let colour = std::io::stdout().is_terminal() && !environment::no_colour();
        let quiet = context.global.quiet > 0;
        let shown = findings.items.iter().filter(|item| !quiet || item.level != Level::Ok);
        let lines: String = shown.map(|item| line(item, colour)).collect();
        if !lines.is_empty() {
            context.print(&lines)?;
        }
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn line(item: &Item, colour: bool) -> String {
    let (word, code) = match item.level {
        Level::Ok => ("ok", 32),
        Level::Warning => ("warning", 33),
        Level::Problem => ("problem", 31),
    };
    let (begin, end) = if colour { (format!("\x1b[{code}m"), "\x1b[0m") } else { (String::new(), "") };
    let text = folded(&format!("{}: {}", item.what, item.text), 9, 9);
    format!("{begin}{word:<8}{end} {text}\n")
}

#[cfg(test)]
mod tests;
