//! `renewald explain`: all that is known of one subscription, told as a story. Never keys, never metadata.

mod next;
mod story;

use std::time::Duration;

use serde::Serialize;

use super::list::{self, Item};
use super::naming::{self, Narrow};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::renewal::Rules;
use crate::store::{DispatchRow, MessageRow, QueueFilter, RenewalRow, StoppedTerritory, Store, SubscriptionRow};
use next::Next;

/// More than a subscription ever has: a message or two for each generation and sink.
const MOST_DISPATCHES: usize = 10_000;

#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Original or suffixed partner order number, or subscription id
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// What `explain --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    subscription: Item,
    /// `track`, `order` or `import`.
    tracked_by: &'a str,
    /// Oldest generation first.
    renewals: &'a [RenewalRow],
    /// In the order of queueing.
    messages: &'a [MessageRow],
    dispatches: &'a [DispatchRow],
    /// Why the whole territory is not asked; `null` when it is.
    territory_stopped: &'a Option<StoppedTerritory>,
    next: &'a Next,
}

/// What the story is told from.
struct Known {
    row: SubscriptionRow,
    renewals: Vec<RenewalRow>,
    messages: Vec<MessageRow>,
    dispatches: Vec<DispatchRow>,
    stopped: Option<StoppedTerritory>,
    /// Late only because the budget is too small: what is to be expected.
    expected_wait: Option<Duration>,
}

pub async fn run(args: ExplainArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let rules = Rules::from_settings(&settings);
    let row = naming::resolve(&store, &args.name, &args.narrow).await?;
    let mut known = look_up(&store, row).await?;
    let now = Timestamp::now();
    let mut item = Item::new(&known.row, &rules, now);
    if item.overdue {
        let forecasts = list::forecasts(&settings, &store).await?;
        item.excuse(&known.row, &forecasts, now);
        known.expected_wait = item.expected_wait_seconds.map(Duration::from_secs);
    }
    store.close().await;
    if !context.global.json {
        context.print(&story::tell(&known, &rules, now))?;
        return Ok(Exit::Done);
    }
    context.print_json(&Answer {
        subscription: item,
        tracked_by: &known.row.tracked_by,
        renewals: &known.renewals,
        messages: &known.messages,
        dispatches: &known.dispatches,
        territory_stopped: &known.stopped,
        next: &next::of(&known, &rules, now),
    })?;
    Ok(Exit::Done)
}

async fn look_up(store: &Store, row: SubscriptionRow) -> Result<Known, Error> {
    let key = row.subscription.row;
    let filter = QueueFilter { subscription: Some(key), limit: MOST_DISPATCHES, ..QueueFilter::default() };
    let stopped = store.stopped_territories().await?;
    let ours = |s: &StoppedTerritory| s.provider == row.provider && s.territory == row.subscription.territory;
    Ok(Known {
        renewals: store.renewals_of(key).await?,
        messages: store.messages_of(key).await?,
        dispatches: store.dispatches(filter).await?,
        stopped: stopped.into_iter().find(ours),
        expected_wait: None,
        row,
    })
}
