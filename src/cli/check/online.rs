//! `check --online`: each provider looks for itself whether the account can be used; here is what it needs for that.

use super::{Findings, Level};
use crate::budget::Budget;
use crate::cli::Error;
use crate::daemon;
use crate::provider::{self, Finding, LastAsked, Provider as _};
use crate::settings::Provider;
use crate::store::Store;

/// Less than a request a second, whatever the settings say: a daemon may be asking meanwhile, and no window of a second may hold two
/// of ours besides.
const REQUESTS_PER_SECOND: f64 = 0.8;

/// Whether every request was answered.
pub(super) async fn ask(
    name: &str,
    provider: &Provider,
    store: Option<&Store>,
    findings: &mut Findings,
) -> Result<bool, Error> {
    let budget = Budget::new(REQUESTS_PER_SECOND);
    // What is wrong here was named before.
    let Ok(client) = daemon::client(name, provider, budget.clone()) else { return Ok(false) };
    if provider.kind.unfinished().is_some() {
        return Ok(false);
    }
    let mut known = Vec::new();
    for territory in provider.territories() {
        let last_asked = match store {
            Some(store) => store.last_asked(name, vec![territory.to_owned()]).await?,
            None => None,
        };
        let last_asked = last_asked.map(|one| (one.partner_order_number, one.subscription_id));
        known.push(LastAsked { territory: territory.to_owned(), last_asked });
    }
    let (found, is_answered) = client.check(known, &budget).await;
    for Finding { level, text } in found {
        let level = match level {
            provider::Level::Ok => Level::Ok,
            provider::Level::Warning => Level::Warning,
            provider::Level::Problem => Level::Problem,
        };
        findings.add(&format!("provider {name}"), level, text);
    }
    Ok(is_answered)
}
