//! `renewald discover`: subscriptions that providers list and nobody tracks. Nobody is asked: the daemon reads the lists.

use serde::Serialize;

use super::table::Table;
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::settings::Settings;
use crate::store::Discovered;
use crate::view::ages::relative;

#[derive(Clone, Debug, clap::Args)]
pub struct DiscoverArgs {
    /// Only those of this one
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
}

/// What `discover --json` prints.
#[derive(Serialize)]
struct Answer {
    /// At most 10000 of each provider are kept.
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    provider: String,
    subscription_id: String,
    /// The reseller's own number for it, where the provider lists one.
    partner_order_number: Option<String>,
    /// At the provider.
    created_at: Option<Timestamp>,
    first_seen_at: Timestamp,
}

pub async fn run(args: DiscoverArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    settings.knows(args.provider.as_deref(), None).map_err(Error::usage)?;
    let store = context.store_to_list(&settings)?;
    let found = store.discovered(args.provider.as_deref()).await?;
    store.close().await;
    let now = Timestamp::now();
    if context.global.json {
        context.print_json(&Answer { items: found.into_iter().map(item).collect() })?;
    } else if found.is_empty() {
        context.remark(remark(&settings, args.provider.as_deref()));
    } else {
        context.print(&table(found, now).to_text())?;
    }
    Ok(Exit::Done)
}

fn item(found: Discovered) -> Item {
    let Discovered { provider, subscription_id, number, created_at, first_seen_at } = found;
    Item { provider, subscription_id, partner_order_number: number, created_at, first_seen_at }
}

fn table(found: Vec<Discovered>, now: Timestamp) -> Table {
    let mut table = Table::new(&["subscription", "number", "provider", "created", "first seen"]);
    for one in found {
        table.row([
            one.subscription_id,
            one.number.unwrap_or_default(),
            one.provider,
            one.created_at.map_or(String::new(), |at| at.to_string()[..10].to_owned()),
            relative(one.first_seen_at, now),
        ]);
    }
    table
}

/// Why there may be nothing.
fn remark(settings: &Settings, provider: Option<&str>) -> &'static str {
    let meant = |name: &&String| provider.is_none_or(|provider| provider == name.as_str());
    let mut feeds = settings.providers.iter().filter(|(name, _)| meant(name)).filter_map(|(_, one)| one.feed);
    match feeds.any(|feed| !feed.every.is_zero()) {
        true => "everybody that was listed so far is, or was, tracked",
        false => "no list is read: the provider has none, or its feed_every is 0s",
    }
}
