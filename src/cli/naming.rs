//! How subscriptions are named on the command line.

use super::{Context, Error};
use crate::settings::Settings;
use crate::store::{Named, Store, SubscriptionRow};
use crate::text::visible;
use crate::view;

/// So many candidates are shown when a name is not unique.
const CANDIDATES: usize = 10;

/// What makes a name unique.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Narrow {
    /// The subscription with this id only
    #[arg(long, value_name = "ID")]
    pub subscription_id: Option<String>,
    /// Subscriptions of this provider only
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Subscriptions of this territory only
    #[arg(long, value_name = "TERRITORY")]
    pub territory: Option<String>,
}

/// Finds the one subscription that `name` means: an original number, a suffixed one, or a subscription id.
pub async fn resolve(
    settings: &Settings,
    store: &Store,
    name: &str,
    narrow: &Narrow,
) -> Result<SubscriptionRow, Error> {
    let mut named = Named::new(name, settings.conventions());
    named.subscription_ids = narrow.subscription_id.as_deref().map_or(Vec::new(), |id| stored(settings, id));
    named.provider = narrow.provider.clone();
    named.territory = narrow.territory.clone();
    choose(name, narrow, store.find(named).await?).map_err(Error::bad_input)
}

/// As it is stored, by each provider's kind that takes it for an id.
fn stored(settings: &Settings, id: &str) -> Vec<String> {
    let by_kind = settings.conventions().filter_map(|convention| convention.subscription_id(id).ok());
    std::iter::once(id.to_owned()).chain(by_kind).collect()
}

fn choose(name: &str, narrow: &Narrow, mut found: Vec<SubscriptionRow>) -> Result<SubscriptionRow, String> {
    // At another provider `A-1` may be an original with the same id as `A`.
    if found.len() > 1 && narrow.subscription_id.is_some() {
        let exact = |row: &SubscriptionRow| row.subscription.partner_order_number == name;
        if found.iter().filter(|row| exact(row)).count() == 1 {
            found.retain(exact);
        }
    }
    match found.len() {
        0 => Err(format!("no tracked subscription is named {}{}", visible(name), options(narrow))),
        1 => Ok(found.remove(0)),
        _ => Err(candidates(name, &found)),
    }
}

fn options(narrow: &Narrow) -> String {
    [("subscription id", &narrow.subscription_id), ("provider", &narrow.provider), ("territory", &narrow.territory)]
        .into_iter()
        .filter_map(|(what, value)| value.as_ref().map(|value| format!(", {what} {}", visible(value))))
        .collect()
}

fn candidates(name: &str, found: &[SubscriptionRow]) -> String {
    let mut text = format!(
        "{} names several subscriptions; choose one by its number together with --subscription-id, --provider or \
         --territory:",
        visible(name)
    );
    for row in found.iter().take(CANDIDATES) {
        text.push_str("\n  ");
        text.push_str(&view::label(row));
    }
    if found.len() > CANDIDATES {
        text.push_str(&format!("\n  and {} more", found.len() - CANDIDATES));
    }
    text
}

/// Settings and store of a command that works on tracked subscriptions.
pub fn open(context: &Context) -> Result<(Settings, Store), Error> {
    let settings = context.settings()?.settings;
    let store = context.store(&settings)?;
    Ok((settings, store))
}
