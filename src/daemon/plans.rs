//! What the parts are built from, and building those that are not there yet in the same form: at the start all of them, at a
//! reload what has changed. Nothing is asked or sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::{Error, parts};
use crate::admin::Live;
use crate::budget::Budget;
use crate::clock::Judge;
use crate::hooks;
use crate::provider;
use crate::relay::Route;
use crate::renewal::Rules;
use crate::settings::{self, Secret, SecretError, Settings};
use crate::shop;
use crate::sink::Configured;
use crate::store::Store;
use crate::sweep::{self, Account, Bells, Sweeper};

/// Tells the contents of secrets and certificates apart without keeping them.
type Fingerprint = [u8; 32];

/// What the parts that work now were built from.
#[derive(Clone)]
pub(super) struct Plans {
    pub settings: Arc<Settings>,
    /// One for each sink; a sink that stays keeps its bell.
    pub bells: Bells,
    /// One for each account; those that share a limit draw from it in turns.
    pub budgets: BTreeMap<String, Budget>,
    pub judge: Judge,
    /// The same accounts for a shop's calls.
    pub desks: BTreeMap<String, Arc<shop::Account>>,
    provider_files: BTreeMap<String, Fingerprint>,
    sink_files: BTreeMap<String, Fingerprint>,
}

/// Plans and the new parts that they need.
pub(super) struct Built {
    pub plans: Plans,
    /// Of new providers, and of those whose client must be another.
    pub clients: BTreeMap<String, provider::Configured>,
    /// New ones, and those that must be others. The built-in queues are not among them: nobody sends to them.
    pub sinks: BTreeMap<String, Configured>,
}

/// Reads all secrets and builds what `before` does not have in the same form.
///
/// # Errors
/// Every mistake there is, not just the first.
pub(super) fn build(settings: Arc<Settings>, before: Option<&Plans>) -> Result<Built, Error> {
    let mut mistakes = Vec::new();
    let bell = |name: &String| before.and_then(|plans| plans.bells.get(name)).cloned().unwrap_or_default();
    let bells: BTreeMap<String, Arc<Notify>> = settings.sinks.keys().map(|name| (name.clone(), bell(name))).collect();
    let plans = Plans {
        bells: Arc::new(bells),
        budgets: settings.providers.keys().map(|name| (name.clone(), budget(name, &settings, before))).collect(),
        judge: before.map(|plans| plans.judge.clone()).unwrap_or_default(),
        provider_files: fingerprints(&settings.providers, of_provider, &mut mistakes),
        sink_files: fingerprints(
            &settings.sinks,
            |sink| (sink.kind.secrets(), sink.kind.certificates()),
            &mut mistakes,
        ),
        desks: BTreeMap::new(),
        settings,
    };
    let desks = plans.settings.providers.keys().map(|name| (name.clone(), plans.desk(name, before)));
    let plans = Plans { desks: desks.collect(), ..plans.clone() };
    let mut built = Built { plans, clients: BTreeMap::new(), sinks: BTreeMap::new() };
    // What a secret is missing for is named already.
    for name in built.plans.provider_files.keys().filter(|name| !built.plans.has_client_of(before, name)) {
        let (provider, budget) = (&built.plans.settings.providers[name], built.plans.budgets[name].clone());
        match parts::client(name, provider, budget) {
            Ok(client) => drop(built.clients.insert(name.clone(), client)),
            Err(error) => mistakes.push(error),
        }
    }
    for name in built.plans.sink_files.keys().filter(|name| !built.plans.has_sink_of(before, name)) {
        match parts::sink(name, &built.plans.settings.sinks[name]) {
            Ok(sink) => built.sinks.extend(sink.map(|sink| (name.clone(), sink))),
            Err(error) => mistakes.push(error),
        }
    }
    match mistakes.len() {
        0 => Ok(built),
        1 => Err(mistakes.remove(0)),
        _ => Err(Error::Several(mistakes)),
    }
}

impl Plans {
    /// What the admin endpoint works with.
    ///
    /// # Errors
    /// When its token cannot be read.
    pub fn live(&self) -> Result<Live, SecretError> {
        Live::new(self.settings.clone(), self.budgets.clone(), self.bells.clone())
    }

    /// What a shop's calls are made with.
    ///
    /// # Errors
    /// When the token for them cannot be read.
    pub fn shop(&self) -> Result<shop::Live, SecretError> {
        shop::Live::new(self.settings.clone(), self.desks.clone())
    }

    /// The one of `before` is as good while its client would be; its line for slots stays in any case.
    fn desk(&self, name: &str, before: Option<&Self>) -> Arc<shop::Account> {
        let had = before.and_then(|before| before.desks.get(name).filter(|_| self.has_account_of(before, name)));
        match had {
            Some(had) if self.has_client_of(before, name) => had.clone(),
            had => {
                let budget = had.map_or_else(|| self.budgets[name].beside(), |had| had.budget().clone());
                let make: shop::MakeClient =
                    |name, provider, budget| parts::client(name, provider, budget).map_err(|error| error.lines());
                Arc::new(shop::Account::new(name, &self.settings.providers[name], budget, make))
            }
        }
    }

    /// What is known of notifications.
    ///
    /// # Errors
    /// When a secret of theirs cannot be read.
    pub fn hooks(&self) -> Result<hooks::Live, SecretError> {
        hooks::Live::new(self.settings.clone())
    }

    /// A sweeper that begins, with a client of its own.
    pub fn sweeper(&self, name: &str, client: provider::Configured, store: &Store) -> Sweeper<provider::Configured> {
        let (budget, account) = (self.budgets[name].clone(), self.account(name));
        Sweeper::new(store.clone(), client, budget, account, self.settings.clone(), self.bells.clone())
            .judged_by(self.judge.clone())
    }

    fn account(&self, name: &str) -> Account {
        let settings::Provider { concurrency, feed, .. } = self.settings.providers[name];
        let (rules, convention) = (Rules::of_provider(&self.settings, name), self.settings.convention(name));
        Account { name: name.to_owned(), concurrency, rules, convention, feed }
    }

    pub fn route(&self, name: &str) -> Route {
        let sink = &self.settings.sinks[name];
        Route {
            name: name.to_owned(),
            concurrency: sink.concurrency,
            timeout: sink.timeout,
            max_attempts: sink.max_attempts,
        }
    }

    /// What becomes of a sweeper that goes on. `client` is a new one, if it needs that.
    pub fn reloaded(&self, name: &str, client: Option<provider::Configured>) -> sweep::Reloaded<provider::Configured> {
        let (settings, bells) = (self.settings.clone(), self.bells.clone());
        sweep::Reloaded { provider: client, account: self.account(name), settings, bells }
    }

    /// Whether the client of `before` is as good as a new one.
    fn has_client_of(&self, before: Option<&Plans>, name: &str) -> bool {
        before.is_some_and(|before| {
            let same = |one: &settings::Provider, other: &settings::Provider| {
                // The budget's matter, the sweep's, and that of notifications.
                let settings::Provider { requests_per_second, notify_before, feed, .. } = *other;
                let (budget, hints) = (other.budget.clone(), other.hints.clone());
                settings::Provider { requests_per_second, budget, notify_before, feed, hints, ..one.clone() } == *other
            };
            let [now, then] = [self, before].map(|plans| plans.settings.providers.get(name));
            now.zip(then).is_some_and(|(now, then)| same(now, then))
                && self.provider_files.get(name) == before.provider_files.get(name)
        })
    }

    /// Whether the sink of `before` is as good as a new one.
    pub fn has_sink_of(&self, before: Option<&Plans>, name: &str) -> bool {
        before.is_some_and(|before| {
            self.settings.sinks.get(name) == before.settings.sinks.get(name)
                && self.sink_files.get(name) == before.sink_files.get(name)
        })
    }

    /// Lets those draw from one limit that share it now, at the rate that the settings have.
    pub fn share_budgets(&self) {
        let budgets = self.settings.budgets();
        let both = |name: &&str| [&self.budgets[*name], self.desks[*name].budget()];
        let members = |names: &[&str]| names.iter().flat_map(both).collect();
        Budget::share(budgets.iter().map(|one| (members(&one.providers), one.requests_per_second)));
    }

    /// Whether it is the account that `before` knows by this name.
    pub fn has_account_of(&self, before: &Plans, name: &str) -> bool {
        let [now, then] = [self, before].map(|plans| plans.settings.providers.get(name));
        now.zip(then).is_some_and(|(now, then)| now.kind.is_same_account(&then.kind))
    }
}

/// The budget that the account has already. Of a new one: with the limit that it has kept to under another name, or else as after a
/// start: no burst either. Nobody who works now notices.
fn budget(name: &str, settings: &Settings, before: Option<&Plans>) -> Budget {
    let provider = &settings.providers[name];
    let known =
        |name: &String| before.and_then(|plans| Some((plans.settings.providers.get(name)?, plans.budgets.get(name)?)));
    if let Some((_, budget)) = known(&name.to_owned()).filter(|(then, _)| provider.kind.is_same_account(&then.kind)) {
        return budget.clone();
    }
    let sharing = settings.budget_of(name).others(name).into_iter().map(str::to_owned);
    let mut all = before.into_iter().flat_map(|plans| plans.budgets.keys()).filter_map(known);
    // Whoever keeps to the same one from now on, else who has under another name.
    let beside = sharing.filter_map(|other| known(&other)).next();
    match beside.or_else(|| all.find(|(then, _)| provider.kind.shares_limit_with(&then.kind))) {
        Some((_, budget)) => budget.beside(),
        None => Budget::new(provider.requests_per_second),
    }
}

/// Secrets, and files that are none.
type Files<'a> = (Vec<&'a Secret>, Vec<&'a Path>);

fn of_provider(provider: &settings::Provider) -> Files<'_> {
    let files = provider.kind.files().into_iter().chain(provider.ca_file.as_deref());
    (provider.kind.secrets(), files.collect())
}

fn fingerprints<T>(
    all: &BTreeMap<String, T>,
    files: impl Fn(&T) -> Files<'_>,
    mistakes: &mut Vec<Error>,
) -> BTreeMap<String, Fingerprint> {
    let mut prints = BTreeMap::new();
    for (name, one) in all {
        let mut hash = Sha256::new();
        let known = mistakes.len();
        let (secrets, certificates) = files(one);
        for secret in secrets {
            match secret.read() {
                // A secret is one line.
                Ok(text) => hash.update(format!("{}\n", text.expose_secret())),
                Err(error) => mistakes.push(error.into()),
            }
        }
        for path in certificates {
            // One that cannot be read is named by what is built with it.
            hash.update(Sha256::digest(std::fs::read(path).unwrap_or_default()));
        }
        if mistakes.len() == known {
            prints.insert(name.clone(), hash.finalize().into());
        }
    }
    prints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(first: &str, second: &str) -> Arc<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.toml");
        let provider = |name: &str, kind: &str, more: &str| {
            format!("[providers.{name}]\nkind = \"test-{kind}\"\nurl = \"https://{name}.example\"\n{more}\n")
        };
        std::fs::write(&path, provider("a", "counter", first) + &provider("b", "lister", second)).unwrap();
        Arc::new(Settings::load(Some(&path)).unwrap().settings)
    }

    fn built(settings: Arc<Settings>, before: Option<&Plans>) -> Built {
        let built = build(settings, before).unwrap();
        built.plans.share_budgets();
        built
    }

    fn rates(plans: &Plans) -> [f64; 2] {
        ["a", "b"].map(|name| plans.budgets[name].state().configured_rate)
    }

    #[tokio::test]
    async fn a_reload_brings_accounts_together_and_apart_without_another_client() {
        let shared = "budget = \"x\"";
        let apart = built(settings("requests_per_second = 3", ""), None).plans;
        assert_eq!(rates(&apart), [3.0, 5.0]);
        // What the parts that work now hold.
        let [a, b] = ["a", "b"].map(|name| apart.budgets[name].clone());
        let together = built(settings(&format!("requests_per_second = 3\n{shared}"), shared), Some(&apart));
        assert!(together.clients.is_empty());
        assert_eq!(rates(&together.plans), [3.0, 3.0]);
        a.slow_down(Some(std::time::Duration::from_secs(60)));
        assert!(b.state().paused_until.is_some());
        let alone = built(settings("", shared), Some(&together.plans));
        assert_eq!((rates(&alone.plans), alone.clients.len()), ([5.0, 5.0], 0));
        assert!(b.state().paused_until.is_some(), "the pause was for both");
        a.slow_down(Some(std::time::Duration::from_secs(600)));
        assert!(a.state().paused_until > b.state().paused_until);
    }
}
