//! A reload of the settings: read and judged as a whole beside the work, then handed to those whom it concerns.
//!
//! A file with a mistake changes nothing. Parts that stay as they are notice nothing; the others finish what is in hand first.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::crew::{Crew, Name, Next, Part};
use super::due_times;
use super::plans::{self, Built, Plans};
use crate::admin::Live;
use crate::clock::Timestamp;
use crate::hooks;
use crate::logging::Logging;
use crate::notify;
use crate::relay::Relay;
use crate::renewal::Rules;
use crate::settings::{Hints, SecretError, Settings, SinkKind};
use crate::shop;
use crate::store::Store;

/// Where the settings came from, and the one thing outside the crew that they change.
pub struct Source {
    /// `None`: from the environment alone.
    pub file: Option<PathBuf>,
    pub logging: Logging,
}

pub(super) struct Reload {
    source: Source,
    store: Store,
    plans: Arc<Plans>,
    /// For those who look at the settings now and then.
    current: watch::Sender<Arc<Settings>>,
    /// For the admin endpoint.
    live: watch::Sender<Arc<Live>>,
    /// For notifications, and the addresses where they come in.
    hooks: watch::Sender<Arc<hooks::Live>>,
    doors: BTreeSet<String>,
    /// For a shop's calls.
    shop: watch::Sender<Arc<shop::Live>>,
    stage: Stage,
    work: JoinSet<Done>,
}

enum Stage {
    Idle,
    Building,
    /// Some parts wind up; the rules as they were.
    Replacing {
        before: Arc<Settings>,
        removed: Vec<String>,
        /// Providers that are asked with another secret, say.
        clients: Vec<String>,
    },
    Finishing,
}

/// What was done beside the work.
pub(super) enum Done {
    Built(Result<Box<New>, String>),
    Finished,
}

pub(super) struct New {
    built: Built,
    live: Arc<Live>,
    hooks: Arc<hooks::Live>,
    shop: Arc<shop::Live>,
    /// Changed in the file, and for the next start.
    left: Vec<String>,
    warnings: Vec<String>,
}

impl Reload {
    /// # Errors
    /// When the admin endpoint's token, or a secret of notifications, cannot be read.
    pub fn new(source: Source, store: Store, plans: Plans) -> Result<Self, SecretError> {
        let current = watch::Sender::new(plans.settings.clone());
        let live = watch::Sender::new(Arc::new(plans.live()?));
        let (hooks, doors) = (watch::Sender::new(Arc::new(plans.hooks()?)), hooks::addresses(&plans.settings));
        let shop = watch::Sender::new(Arc::new(plans.shop()?));
        let (plans, stage, work) = (Arc::new(plans), Stage::Idle, JoinSet::new());
        Ok(Self { source, store, plans, current, live, hooks, doors, shop, stage, work })
    }

    pub fn live(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    pub fn hooks(&self) -> watch::Receiver<Arc<hooks::Live>> {
        self.hooks.subscribe()
    }

    pub fn shop(&self) -> watch::Receiver<Arc<shop::Live>> {
        self.shop.subscribe()
    }

    pub fn settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.current.subscribe()
    }

    /// One at a time: what is asked for meanwhile, however often, is one more reload after it.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Here a reload begins.
    pub fn begin(&mut self) {
        tracing::info!("reading the settings again");
        notify::reloading();
        self.stage = Stage::Building;
        let (file, before, doors) = (self.source.file.clone(), self.plans.clone(), self.doors.clone());
        // Files may be slow, and a client reads the system's certificates.
        self.work.spawn_blocking(move || Done::Built(read(file, &before, &doors).map(Box::new)));
    }

    /// Here it ends, well or not.
    fn end(&mut self) {
        self.stage = Stage::Idle;
        notify::ready();
    }

    /// Waits for what is done beside the work. Cancel-safe.
    pub async fn done(&mut self) -> Done {
        match self.work.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) => Done::Built(Err(format!("reading the settings failed: {error}"))),
            None => std::future::pending().await,
        }
    }

    /// Takes the next step.
    pub fn go_on(&mut self, done: Done, crew: &mut Crew) {
        match done {
            Done::Built(Ok(new)) => self.apply(*new, crew),
            Done::Built(Err(mistakes)) => {
                mistakes.lines().for_each(|mistake| tracing::error!("{mistake}"));
                tracing::error!(
                    mistakes = mistakes.lines().count(),
                    "settings not changed: the old ones stay in force"
                );
                self.end();
            }
            Done::Finished => {
                crew.ring();
                self.end();
            }
        }
    }

    /// Looks whether everybody is replaced who had to be.
    pub fn look_at(&mut self, crew: &Crew) {
        if crew.is_being_replaced() {
            return;
        }
        if let Stage::Replacing { before, removed, clients } = &self.stage {
            let (store, before, after) = (self.store.clone(), before.clone(), self.plans.settings.clone());
            let (removed, clients) = (removed.clone(), clients.clone());
            self.work.spawn(async move {
                tell_of_strays(&store, removed).await;
                ask_refused(&store, clients).await;
                let old = Rules::from_settings(&before);
                for name in after.providers.keys() {
                    due_times::adapt(&store, name, Some(&old), &Rules::from_settings(&after)).await;
                }
                Done::Finished
            });
            self.stage = Stage::Finishing;
        }
    }

    fn apply(&mut self, new: New, crew: &mut Crew) {
        let New { mut built, live, hooks, shop, left, warnings } = new;
        warnings.iter().for_each(|warning| tracing::warn!("{}", crate::text::visible(warning)));
        let before = self.plans.clone();
        let mut changed = sections(&before.settings, &built.plans.settings);
        if let Err(error) = self.source.logging.change(&built.plans.settings.log) {
            tracing::error!(error = %crate::chain(&error), "the log stays as it was");
        }
        let clients = built.clients.keys().cloned().collect();
        built.plans.share_budgets();
        let removed = self.sinks(&before, &mut built, crew, &mut changed);
        self.providers(&before, &mut built, crew, &mut changed);
        let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
        tracing::info!(%changed, "settings reloaded");
        if !left.is_empty() {
            tracing::warn!("{} cannot change while running: left as it was until the next start", left.join(", "));
        }
        let before = before.settings.clone();
        self.current.send_replace(built.plans.settings.clone());
        self.live.send_replace(live);
        self.hooks.send_replace(hooks);
        self.shop.send_replace(shop);
        self.plans = Arc::new(built.plans);
        self.stage = Stage::Replacing { before, removed, clients };
    }

    /// Replaces, starts and ends relays; the names of the sinks that are gone.
    fn sinks(&self, before: &Plans, built: &mut Built, crew: &mut Crew, changed: &mut Vec<String>) -> Vec<String> {
        let plans = &built.plans;
        let names: BTreeSet<_> = before.settings.sinks.keys().chain(plans.settings.sinks.keys()).cloned().collect();
        let mut removed = Vec::new();
        for name in names.into_iter().filter(|name| !plans.has_sink_of(Some(before), name)) {
            let is_new = !before.settings.sinks.contains_key(&name);
            let is_gone = !plans.settings.sinks.contains_key(&name);
            changed.push(format!("sinks.{name}{}", note(is_new, is_gone)));
            let sink = built.sinks.remove(&name);
            let relay = sink.map(|sink| Relay::new(self.store.clone(), sink, plans.route(&name)).that_probes_at_once());
            let had_relay = before.settings.sinks.get(&name).is_some_and(|sink| !matches!(sink.kind, SinkKind::Queue));
            let key = Name::Sink(name.clone());
            match (had_relay, relay.map(|relay| Part::Relay(Box::new(relay)))) {
                (true, Some(relay)) => crew.replace(&key, Next::Part(relay)),
                (true, None) => crew.replace(&key, Next::Nobody),
                (false, Some(relay)) => crew.start(key, relay, plans.bells[&name].clone()),
                (false, None) => {}
            }
            removed.extend(is_gone.then_some(name));
        }
        removed
    }

    fn providers(&self, before: &Plans, built: &mut Built, crew: &mut Crew, changed: &mut Vec<String>) {
        let plans = &built.plans;
        let (then, now) = (&before.settings, &plans.settings);
        let all = then.poll != now.poll || then.order_data != now.order_data || then.sinks != now.sinks;
        let names: BTreeSet<_> = then.providers.keys().chain(now.providers.keys()).cloned().collect();
        for name in names {
            let client = built.clients.remove(&name);
            let differs = client.is_some() || then.providers.get(&name) != now.providers.get(&name);
            let (is_new, is_gone) = (!then.providers.contains_key(&name), !now.providers.contains_key(&name));
            if differs {
                changed.push(format!("providers.{name}{}", note(is_new, is_gone)));
            }
            let key = Name::Provider(name.clone());
            if is_gone {
                crew.replace(&key, Next::Nobody);
            } else if !is_new && plans.has_account_of(before, &name) {
                if differs || all {
                    crew.replace(&key, Next::Reloaded(Box::new(plans.reloaded(&name, client))));
                }
            } else if let Some(client) = client {
                let part = Part::Sweeper(Box::new(plans.sweeper(&name, client, &self.store)));
                match is_new {
                    true => crew.start(key, part, Arc::new(Notify::new())),
                    false => crew.replace(&key, Next::Part(part)),
                }
            }
        }
    }
}

/// Reads, checks and builds; every mistake on a line of its own. Blocks.
fn read(file: Option<PathBuf>, before: &Plans, doors: &BTreeSet<String>) -> Result<New, String> {
    let mut loaded = Settings::load(file.as_deref()).map_err(|problems| problems.to_string())?;
    let mut left = keep_fixed(&mut loaded.settings, &before.settings);
    left.extend(keep_doors(&mut loaded.settings, &before.settings, doors));
    let built = plans::build(Arc::new(loaded.settings), Some(before)).map_err(|error| error.lines())?;
    let live = built.plans.live().map_err(|error| crate::chain(&error))?;
    let hooks = built.plans.hooks().map_err(|error| crate::chain(&error))?;
    let shop = built.plans.shop().map_err(|error| crate::chain(&error))?;
    let (live, hooks, shop) = (Arc::new(live), Arc::new(hooks), Arc::new(shop));
    Ok(New { built, live, hooks, shop, left, warnings: loaded.warnings })
}

/// Puts back what a process cannot change, and names it.
fn keep_fixed(settings: &mut Settings, before: &Settings) -> Vec<String> {
    let mut left = Vec::new();
    let mut keep = |changes: bool, key: &str| left.extend(changes.then(|| key.to_owned()));
    keep(settings.store.path != before.store.path, "store.path");
    keep(settings.store.encryption_key != before.store.encryption_key, "store.encryption_key_file");
    keep(
        settings.store.encryption_key_previous != before.store.encryption_key_previous,
        "store.encryption_key_previous_file",
    );
    keep(settings.admin.listen != before.admin.listen, "admin.listen");
    settings.store.path.clone_from(&before.store.path);
    settings.store.encryption_key.clone_from(&before.store.encryption_key);
    settings.store.encryption_key_previous.clone_from(&before.store.encryption_key_previous);
    settings.admin.listen.clone_from(&before.admin.listen);
    left
}

/// The same for notifications: they come in where somebody has listened since the start.
fn keep_doors(settings: &mut Settings, before: &Settings, doors: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    for (name, provider) in &mut settings.providers {
        if provider.hints.as_ref().is_some_and(|hints| !doors.contains(&hints.listen)) {
            let had = before.providers.get(name).and_then(|before| before.hints.as_ref());
            provider.hints =
                provider.hints.take().zip(had).map(|(now, had)| Hints { listen: had.listen.clone(), ..now });
            left.push(format!("providers.{name}.hints.listen"));
        }
    }
    left
}

/// The plain sections that are not the same.
fn sections(before: &Settings, after: &Settings) -> Vec<String> {
    let all = [
        ("store", before.store != after.store),
        ("poll", before.poll != after.poll),
        ("order_data", before.order_data != after.order_data),
        ("admin", before.admin != after.admin),
        ("log", before.log != after.log),
    ];
    all.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned()).collect()
}

fn note(is_new: bool, is_gone: bool) -> &'static str {
    match (is_new, is_gone) {
        (true, _) => " (new)",
        (_, true) => " (gone)",
        _ => "",
    }
}

/// A secret that was corrected helps those at once who were refused because of it.
async fn ask_refused(store: &Store, providers: Vec<String>) {
    for provider in providers {
        match store.ask_refused(&provider, None, Timestamp::now()).await {
            Ok(0) => {}
            Ok(again) => tracing::info!(%provider, again, "what was refused is asked for again now"),
            Err(error) => {
                tracing::warn!(%provider, error = %crate::chain(&error), "what was refused is asked for again when it is due")
            }
        }
    }
}

/// Messages of a sink that is gone are kept, and nobody sends them.
async fn tell_of_strays(store: &Store, removed: Vec<String>) {
    for sink in removed {
        match store.next_dispatch_due(&sink).await {
            Ok(Some(_)) => tracing::warn!(%sink, "messages wait for this sink, which is not in the settings any more"),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%sink, error = %crate::chain(&error), "cannot tell whether messages wait for it")
            }
        }
    }
}
