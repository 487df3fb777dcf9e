//! `renewald list`: subscriptions, a page at a time, with what is odd about each.

use std::time::Duration;

use super::numbers::whole;
use super::table::Table;
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::renewal::{Outcome, Rules, State};
use crate::settings::Settings;
use crate::store::{ListFilter, Store};
use crate::view::ages::{relative, roughly};
use crate::view::{Item, SubscriptionPage};

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// watching, paused, ended or untracked
    #[arg(long)]
    pub state: Option<State>,
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    #[arg(long, value_name = "TERRITORY")]
    pub territory: Option<String>,
    /// Only those without an answer for longer than their interval, unless the budget is the reason
    #[arg(long)]
    pub overdue: bool,
    /// Only those whose term ended without a renewal
    #[arg(long)]
    pub not_renewed: bool,
    /// Only those whose coming term could not be charged, as the provider says
    #[arg(long)]
    pub payment_failing: bool,
    /// Only those that the provider refused when they were last asked
    #[arg(long, conflicts_with = "unknown")]
    pub refused: bool,
    /// Only those that the provider does not know
    #[arg(long)]
    pub unknown: bool,
    /// Only those whose last answer cannot be right
    #[arg(long)]
    pub surprise: bool,
    /// Only those of which something was delivered with a warning in the last 30 days
    #[arg(long)]
    pub warned: bool,
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u16>(1..=10_000))]
    pub limit: u16,
    /// Go on where a page ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// What a person should look at, shortest first; empty when all is well.
fn note(item: &Item, settings: &Settings) -> String {
    let delayed = item.expected_wait_seconds.map(Duration::from_secs);
    let delayed = delayed.map(|wait| format!("delayed by the budget: asked about every {}", roughly(wait)));
    let refused = settings.advice(&item.provider).map(|advice| format!("refused: {}", advice.refused));
    let mut notes = Vec::new();
    match item.last_outcome {
        Some(Outcome::Refused) => notes.push(refused.as_deref().unwrap_or("refused")),
        Some(Outcome::NotFound) => notes.push("unknown to the provider"),
        Some(Outcome::Ok) | None => {}
        Some(other) => notes.push(other.as_str()),
    }
    for (is_so, note) in [
        (item.overdue, "overdue"),
        (item.surprise.is_some(), "surprise"),
        (item.not_renewed, "not renewed"),
        (item.payment_failing.is_some(), "payment fails"),
        (item.waiting_renewals > 0, "awaiting order data"),
    ] {
        if is_so {
            notes.push(note);
        }
    }
    let names: Vec<_> = item.warnings.iter().map(|warning| warning.as_str()).collect();
    let warned = (!names.is_empty()).then(|| format!("delivered with a warning: {}", names.join(", ")));
    notes.extend(warned.as_deref());
    notes.extend(delayed.as_deref());
    notes.join(", ")
}

pub async fn run(args: ListArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let store = context.store_to_list(&settings)?;
    let now = Timestamp::now();
    let filter = ListFilter {
        state: args.state,
        provider: args.provider.clone(),
        territory: args.territory.clone(),
        overdue: args.overdue.then(|| Rules::from_settings(&settings)),
        not_renewed: args.not_renewed,
        payment_failing: args.payment_failing,
        outcome: match (args.refused, args.unknown) {
            (true, _) => Some(Outcome::Refused),
            (_, true) => Some(Outcome::NotFound),
            _ => None,
        },
        surprise: args.surprise,
        warned: args.warned,
        after: args.cursor.as_deref().map_or(Ok(0), cursor)?,
        limit: usize::from(args.limit),
        ..ListFilter::default()
    };
    let page = SubscriptionPage::read(filter, &settings, &store, now).await?;
    if page.items.is_empty() {
        refuse_unknown(&args, &settings, &store, now).await?;
    }
    store.close().await;
    if context.global.json {
        context.print_json(&page)?;
        return Ok(Exit::Done);
    }
    let SubscriptionPage { items, next_cursor } = page;
    if items.is_empty() {
        let is_filtered = args.state.is_some()
            || args.provider.is_some()
            || args.territory.is_some()
            || args.overdue
            || args.not_renewed
            || args.payment_failing
            || args.refused
            || args.unknown
            || args.surprise
            || args.warned
            || args.cursor.is_some();
        context.remark(match is_filtered {
            true => "no subscription matches",
            false => "nothing is tracked yet: see renewald track, or import",
        });
        return Ok(Exit::Done);
    }
    context.print(&table(&items, &settings, now).to_text())?;
    if let Some(cursor) = next_cursor {
        context.remark(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

/// For a provider or territory that is not in the settings, and that no subscription is filed under either.
async fn refuse_unknown(args: &ListArgs, settings: &Settings, store: &Store, now: Timestamp) -> Result<(), Error> {
    let ListArgs { provider, territory, .. } = args;
    let Err(unknown) = settings.knows(provider.as_deref(), territory.as_deref()) else { return Ok(()) };
    let all_there =
        ListFilter { provider: provider.clone(), territory: territory.clone(), limit: 1, ..Default::default() };
    match store.list(all_there, now).await?.items.is_empty() {
        true => Err(Error::usage(unknown)),
        false => Ok(()),
    }
}

fn cursor(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::usage("--cursor takes the next_cursor of a page"))
}

fn table(items: &[Item], settings: &Settings, now: Timestamp) -> Table {
    let ago = |at: Option<Timestamp>, none: &str| at.map_or(none.to_owned(), |at| relative(at, now));
    let mut table = Table::new(&[
        "number",
        "subscription",
        "territory",
        "state",
        "generation",
        "expires",
        "last answer",
        "next poll",
        "note",
    ]);
    for item in items {
        table.row([
            item.partner_order_number.clone(),
            item.subscription_id.to_string(),
            format!("{}/{}", item.provider, item.territory),
            item.state.to_string(),
            item.generation.map_or("adopted".to_owned(), |generation| generation.to_string()),
            item.expires_at.map_or(String::new(), |at| at.to_string()[..10].to_owned()),
            ago(item.last_answer_at, "never"),
            item.next_poll_at.map_or("-".to_owned(), |at| if at <= now { "due".to_owned() } else { relative(at, now) }),
            note(item, settings),
        ]);
    }
    table
}
