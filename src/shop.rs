//! The shop's calls: made in the account's budget, beside the polls, by whoever holds the instance lock.
//!
//! What may be asked for stands in [`crate::call`], what a provider makes of it in its folder. Here: who may ask, when a call is sent
//! and where to, what is written down of it, and what came of it. An order has a file of its own: its end must be known.

mod about;
mod answer;
mod api;
mod order;
mod search;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{Notify, watch};

use self::about::{About, about};
pub use self::answer::Answer;
use self::answer::Failure;
pub use self::api::{ANSWER_WITHIN, Door, Request, USER, paths, router};
pub use self::search::look_for_orders;
use crate::budget::Budget;
use crate::call::{Call, Name};
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::listen::secret::Expected;
use crate::listen::{self, Bound};
use crate::metrics::Metrics;
use crate::provider::shop::{Outcome, Reply};
use crate::provider::{Configured, Error, Provider};
use crate::settings::{self, SecretError, Settings};
use crate::store::{Identity, ShopCall, Store};

/// So long a call waits for its turn. Its share is half of the slots: only a pause that the provider asked for takes longer.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Makes the client of an account, its secrets read; the error is for people.
pub type MakeClient = fn(&str, &settings::Provider, Budget) -> Result<Configured, String>;

/// One provider's account, as calls need it.
pub struct Account {
    name: String,
    settings: settings::Provider,
    budget: Budget,
    make: MakeClient,
    /// Made when it is first needed: most accounts are never called by a shop.
    client: OnceLock<Configured>,
}

impl Account {
    /// `budget` has a line of its own for slots: in turns with the polls', so that neither takes more than half while both wait.
    pub fn new(name: &str, settings: &settings::Provider, budget: Budget, make: MakeClient) -> Self {
        Self { name: name.to_owned(), settings: settings.clone(), budget, make, client: OnceLock::new() }
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    fn convention(&self) -> &'static Convention {
        self.settings.kind.convention()
    }

    fn client(&self) -> Result<&Configured, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = (self.make)(&self.name, &self.settings, self.budget.clone());
        let client = made.map_err(|why| Failure::settings(format!("the provider's settings cannot be used: {why}")))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends it when its turn has come. `Err`: it did not come, and nothing was sent.
    async fn send(&self, call: &Call, territory: &str) -> Result<Result<Reply, Error>, Failure> {
        let client = self.client()?;
        let slot = tokio::time::timeout(TURN_WITHIN, self.budget.slot()).await;
        let slot = slot.map_err(|_| Failure::paused(self.budget.state().paused_until))?;
        Ok(client.shop(call, territory, slot).await)
    }
}

/// What a reload may change.
pub struct Live {
    settings: Arc<Settings>,
    /// Of the admin endpoint; `None`: the paths do not exist there.
    token: Option<Expected>,
    accounts: BTreeMap<String, Arc<Account>>,
}

impl Live {
    /// # Errors
    /// When the token cannot be read.
    pub fn new(settings: Arc<Settings>, accounts: BTreeMap<String, Arc<Account>>) -> Result<Self, SecretError> {
        let token = settings.admin.shop_token.as_ref();
        let token = token.map(|token| Ok::<_, SecretError>(Expected::of(token.read()?.expose_secret().as_bytes())));
        Ok(Self { token: token.transpose()?, ..Self::at_socket(settings, accounts) })
    }

    /// For whoever serves the socket alone.
    pub fn at_socket(settings: Arc<Settings>, accounts: BTreeMap<String, Arc<Account>>) -> Self {
        Self { settings, token: None, accounts }
    }
}

/// Where calls are made.
#[derive(Clone)]
pub struct Desk {
    live: watch::Receiver<Arc<Live>>,
    store: Store,
    /// Rung when something is due that was not.
    sweep_bell: Arc<Notify>,
    metrics: Metrics,
    /// Rung when an order is to be looked for.
    search_bell: Arc<Notify>,
}

/// Where the socket is that serves calls without a token: whoever may open it is root, or the owner of the database.
pub fn socket_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

/// Listens on the socket beside the database.
///
/// # Errors
/// When it cannot listen there.
pub fn bind(database: &Path) -> Result<Bound, listen::Error> {
    listen::bind_private(&socket_of(database))
}

/// A place where a call goes: one account, and one of its territories.
struct Place {
    account: Arc<Account>,
    territory: String,
}

impl Desk {
    pub fn new(live: watch::Receiver<Arc<Live>>, store: Store, sweep_bell: Arc<Notify>, metrics: Metrics) -> Self {
        Self { live, store, sweep_bell, metrics, search_bell: Arc::default() }
    }

    fn count(&self, provider: &str, call: Name, answer: &Result<Answer, Failure>) {
        if self.live().settings.providers.contains_key(provider) {
            let outcome = answer.as_ref().map_or_else(Failure::word, |answer| answer.outcome);
            self.metrics.shop_call(provider, call, outcome);
        }
    }

    fn live(&self) -> Arc<Live> {
        self.live.borrow().clone()
    }

    /// `territory` is the one that was named, or that is known for what the call is about.
    fn place(&self, provider: &str, territory: Option<&str>) -> Result<Place, Failure> {
        let live = self.live();
        let provider = live.settings.provider_meant(Some(provider)).map_err(Failure::not_there)?;
        let place = live.settings.place(Some(&provider), territory);
        let (_, territory) = place.map_err(|why| Failure::wrong("territory", why))?;
        let account = live.accounts.get(&provider).cloned();
        Ok(Place { account: account.ok_or_else(|| Failure::not_there(format!("no provider {provider}")))?, territory })
    }

    /// Makes any call but an order.
    async fn call(&self, provider: &str, named: Option<&str>, mut call: Call, user: &str) -> Result<Answer, Failure> {
        let account = self.place(provider, named.or(self.any_territory(provider).as_deref()))?.account;
        let about = about(&account, &mut call)?;
        let known = match named {
            Some(_) => None,
            None => self.territory_of(provider, &account, &about).await?,
        };
        let Place { account, territory } = self.place(provider, named.or(known.as_deref()))?;
        let name = call.name();
        let answered = account.send(&call, &territory).await?;
        let reply = match answered {
            Ok(reply) => reply,
            Err(error) => {
                tracing::info!(call = %name, %provider, number = %about.shown(), %user, error = %crate::chain(&error), "shop");
                return Err(Failure::of(&error));
            }
        };
        tracing::info!(call = %name, %provider, number = %about.shown(), %user, code = reply.code, "shop");
        if about.is_change {
            self.note(provider, &about, &call, &reply, user).await?;
        }
        Answer::of(name, reply)
    }

    /// Where it does not matter yet: the kind is asked what it offers before a territory is missed.
    fn any_territory(&self, provider: &str) -> Option<String> {
        let live = self.live();
        Some((*live.settings.providers.get(provider)?.territories().first()?).to_owned())
    }

    /// Where what the call is about is tracked.
    async fn territory_of(&self, provider: &str, account: &Account, about: &About) -> Result<Option<String>, Failure> {
        if let Some(id) = &about.subscription_id {
            let partner_order_number = about.number.clone();
            let identity =
                Identity { provider: provider.to_owned(), partner_order_number, subscription_id: id.clone() };
            return Ok(self.store.subscription(&identity).await?.map(|row| row.subscription.territory));
        }
        if about.number.is_empty() {
            return Ok(None);
        }
        let original = account.convention().original_of(&about.number);
        Ok(self.store.territory_of_order(provider, &about.number, original).await?)
    }

    /// Who had it changed stands with the subscription, and the next look confirms it.
    async fn note(&self, provider: &str, about: &About, call: &Call, reply: &Reply, user: &str) -> Result<(), Failure> {
        let outcome = answer::word(reply.outcome).to_owned();
        let (asked_by, code) = (user.to_owned(), reply.code);
        let note = ShopCall { call: call.name(), asked_at: Timestamp::now(), asked_by, outcome, code };
        let rows = self.store.note_shop_call(provider, &about.number, about.subscription_id.as_deref(), note).await?;
        if matches!(reply.outcome, Outcome::Done | Outcome::Already) {
            for row in rows {
                self.store.ask_now(row, Timestamp::now()).await?;
            }
            self.sweep_bell.notify_one();
        }
        Ok(())
    }
}
