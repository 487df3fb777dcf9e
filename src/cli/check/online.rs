//! `check --online`: a token, and the status of a subscription that is tracked anyway, in up to two territories.

use super::{Findings, PLACEHOLDER};
use crate::budget::Budget;
use crate::cli::Error;
use crate::daemon;
use crate::provider::nexway_connect::NexwayConnect;
use crate::provider::nexway_connect::answers::Status;
use crate::provider::{self, Class};
use crate::renewal::Subscription;
use crate::settings::Provider;
use crate::store::Store;

/// Less than a request a second, whatever the settings say: a daemon may be asking meanwhile, and no window of a second may hold two
/// of ours besides.
const REQUESTS_PER_SECOND: f64 = 0.8;

const ALLOW_LIST: &str = "whether the provider has this machine's address on its allow list";

/// So many territories are asked in: with the token that is three requests.
const TERRITORIES: usize = 2;

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
    if provider.realm == PLACEHOLDER {
        return Ok(false);
    }
    let what = format!("provider {name}");
    let mut slot = match client.sign_in(budget.slot().await).await {
        Ok(slot) => Some(slot),
        Err(error) => {
            findings.problem(&what, refused_token(&error));
            return Ok(false);
        }
    };
    findings.ok(&what, "token service: gave a token");
    let (mut asked, mut is_answered) = (0, true);
    for territory in provider.territories.keys() {
        let subscription = match store {
            Some(store) => store.last_asked(name, vec![territory.clone()]).await?,
            None => None,
        };
        let untried = match subscription {
            None => "no subscription is tracked there",
            Some(_) if asked == TERRITORIES => "a check makes three requests and no more",
            Some(_) if !is_answered => "the API gave no answer",
            Some(subscription) => {
                let slot = match slot.take() {
                    Some(slot) => slot,
                    None => budget.slot().await,
                };
                asked += 1;
                is_answered = ask_status(&what, &client, &subscription, slot, findings).await;
                continue;
            }
        };
        findings.warning(&what, format!("territory {territory}: its secret was not tried: {untried}"));
    }
    Ok(is_answered)
}

/// Whether it was answered.
async fn ask_status(
    what: &str,
    client: &NexwayConnect,
    subscription: &Subscription,
    slot: crate::budget::Slot,
    findings: &mut Findings,
) -> bool {
    let Subscription { territory, partner_order_number: number, subscription_id, .. } = subscription;
    let about = format!("API: {number}/{subscription_id} of {territory}");
    match client.status_once(territory, number, &subscription_id.to_string(), slot).await {
        Ok(status) => {
            answered(what, &about, &status, findings);
            true
        }
        Err(error) => {
            findings.problem(what, format!("{about}: {}", refused_status(&error)));
            false
        }
    }
}

fn answered(what: &str, about: &str, status: &Status, findings: &mut Findings) {
    let verdict = &status.verdict;
    let said = format!("{about}: answered {} {:?}", verdict.code, verdict.message);
    match verdict.class {
        Class::Success => {
            let technical = status.technical_status.as_deref().unwrap_or("unknown");
            findings.ok(what, format!("{about}: answered, status {technical}"));
        }
        Class::Configuration => {
            findings.problem(what, format!("{said}; look at the territory's secret_file, and {ALLOW_LIST}"));
        }
        Class::NotFound => {
            findings.warning(what, format!("{said}; is it tracked under the right provider and territory?"));
        }
        Class::Transient | Class::Waiting | Class::Permanent => findings.warning(what, said),
    }
}

fn refused_token(error: &provider::Error) -> String {
    let look_at = match error {
        provider::Error::Unauthorized { .. } => format!("; look at realm, client_secret_file, and {ALLOW_LIST}"),
        provider::Error::Unreachable(_) => "; look at iam_url, DNS, firewall, proxy and ca_file".to_owned(),
        provider::Error::Rejected { .. } | provider::Error::Unreadable { .. } => "; look at iam_url".to_owned(),
        provider::Error::Unavailable { .. } | provider::Error::TooManyRequests { .. } => String::new(),
    };
    format!("token service: {}{look_at}", describe(error))
}

fn refused_status(error: &provider::Error) -> String {
    let look_at = match error {
        provider::Error::Unauthorized { .. } => format!("; look at {ALLOW_LIST}, and at api_url"),
        provider::Error::Unreachable(_) => "; look at api_url, DNS, firewall, proxy and ca_file".to_owned(),
        provider::Error::Rejected { .. } | provider::Error::Unreadable { .. } => "; look at api_url".to_owned(),
        provider::Error::Unavailable { .. } | provider::Error::TooManyRequests { .. } => String::new(),
    };
    format!("{}{look_at}", describe(error))
}

/// Its own advice is for a log line; ours is more exact.
fn describe(error: &provider::Error) -> String {
    match error {
        provider::Error::Unauthorized { reason } => format!("does not accept our credentials ({reason})"),
        other => crate::chain(other),
    }
}
