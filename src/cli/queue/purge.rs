//! `queue purge`: removes payloads, and with them the keys, and leaves no copy of them in the file.

use std::io::IsTerminal;

use super::select::{self, Item, STEP, listed, messages};
use super::{parse_ids, unknown};
use crate::cli::naming::{self, Narrow};
use crate::cli::{Context, Error, Exit, audit, erasing};
use crate::clock::Timestamp;
use crate::settings::Settings;
use crate::store::{PurgeFilter, Purgeable, Store};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("chosen").required(true).multiple(true)))]
pub struct PurgeArgs {
    /// Ids of messages
    #[arg(value_name = "ID", group = "chosen")]
    ids: Vec<String>,
    /// Only those of this subscription: original or suffixed number, or subscription id
    #[arg(long, value_name = "NAME", group = "chosen")]
    subscription: Option<String>,
    #[command(flatten)]
    narrow: Narrow,
    /// Only those that were meant for this sink
    #[arg(long, value_name = "SINK", group = "chosen")]
    sink: Option<String>,
    /// Only those that are so at the sink
    #[arg(long, value_name = "STATE", requires = "sink", value_parser = ["pending", "delivered", "dead"])]
    state: Option<String>,
    /// Only those queued before: 2026-11-21T20:00:00Z, 2026-11-21, or an age such as 7d
    #[arg(long, value_name = "TIME", group = "chosen", value_parser = select::instant)]
    before: Option<Timestamp>,
    /// Also what somebody has not received yet: nobody will
    #[arg(long)]
    undelivered: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only list what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Only clean the file: what an earlier purge or `untrack --forget` could not finish
    #[arg(long, group = "chosen", conflicts_with_all = ["ids", "subscription", "sink", "before", "undelivered", "dry_run"])]
    finish: bool,
}

/// What `queue purge --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    dry_run: bool,
    /// Messages whose payload was removed; with `--dry-run`, would be.
    purged: usize,
    items: Vec<Item>,
    /// Left alone: somebody has not received them yet.
    kept: Vec<Item>,
    #[serde(flatten)]
    erased: erasing::Outcome,
}

pub async fn run(args: PurgeArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let store = context.store(&settings)?;
    if let Some(sink) = &args.sink {
        select::known(&store, &settings, sink).await?;
    }
    let (chosen, kept) = if args.finish { (Vec::new(), Vec::new()) } else { choose(&settings, &store, &args).await? };
    if !chosen.is_empty() && !args.dry_run && !args.yes && !confirmed(chosen.len())? {
        return Err(Error::new(Exit::Failed, "nothing was removed"));
    }
    let mut answer = Answer {
        dry_run: args.dry_run,
        purged: chosen.len(),
        items: chosen.iter().map(|one| Item::from(&one.message)).collect(),
        kept: kept.iter().map(|one| Item::from(&one.message)).collect(),
        erased: erasing::Outcome::default(),
    };
    if !args.dry_run {
        answer.purged = purge(&store, &chosen, args.undelivered).await?;
        if answer.purged > 0 || args.finish {
            answer.erased = erasing::erase(&store).await?;
        }
    }
    store.close().await;
    if answer.purged > 0 && !args.dry_run {
        audit::record(context, &settings, &format!("purged the payloads of {}", messages(answer.purged)))?;
    }
    select::answer(context, &answer, &text(&answer, args.finish))?;
    answer.erased.complain(context);
    Ok(if answer.kept.is_empty() { answer.erased.exit() } else { Exit::Failed })
}

/// Those to be purged, and those that only `--undelivered` removes.
async fn choose(
    settings: &Settings,
    store: &Store,
    args: &PurgeArgs,
) -> Result<(Vec<Purgeable>, Vec<Purgeable>), Error> {
    let subscription = match &args.subscription {
        Some(name) => Some(naming::resolve(settings, store, name, &args.narrow).await?.subscription.row),
        None => None,
    };
    let filter = PurgeFilter {
        subscription,
        sink: args.sink.clone(),
        state: args.state.clone(),
        queued_before: args.before,
        limit: STEP,
        ..PurgeFilter::default()
    };
    let mut found = Vec::new();
    let ids = parse_ids(&args.ids)?;
    if ids.is_empty() {
        collect(store, filter, &mut found).await?;
    } else {
        let mut missing = Vec::new();
        for id in ids {
            match store.message(id).await? {
                None => missing.push(id),
                Some(_) => collect(store, PurgeFilter { message: Some(id), ..filter.clone() }, &mut found).await?,
            }
        }
        if !missing.is_empty() {
            return Err(unknown(&missing));
        }
    }
    let dead_is_meant = args.state.as_deref() == Some("dead");
    Ok(found.into_iter().partition(|one| args.undelivered || !is_wanted(one, dead_is_meant)))
}

/// How many messages of a subscription somebody has not received yet.
pub async fn undelivered(store: &Store, subscription: i64) -> Result<usize, Error> {
    let filter = PurgeFilter { subscription: Some(subscription), limit: STEP, ..PurgeFilter::default() };
    let mut found = Vec::new();
    collect(store, filter, &mut found).await?;
    Ok(found.iter().filter(|one| is_wanted(one, false)).count())
}

async fn collect(store: &Store, mut filter: PurgeFilter, found: &mut Vec<Purgeable>) -> Result<(), Error> {
    loop {
        let page = store.purgeable(filter.clone()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after = last.message.seq;
        found.extend(page);
    }
}

/// Whether somebody may still want it: a sink that has not got it, or the first that is configured to take it.
fn is_wanted(one: &Purgeable, dead_is_meant: bool) -> bool {
    one.pending > 0 || one.dispatches == 0 || (one.dead > 0 && !dead_is_meant)
}

async fn purge(store: &Store, chosen: &[Purgeable], undelivered: bool) -> Result<usize, Error> {
    let mut purged = 0;
    for step in chosen.chunks(STEP) {
        let seqs = step.iter().map(|one| one.message.seq).collect();
        purged += store.purge(seqs, undelivered, Timestamp::now()).await?;
    }
    Ok(purged)
}

/// Asks on a terminal; elsewhere `--yes` is the only way to say so.
fn confirmed(count: usize) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        let text = format!("nothing was removed: --yes says that the payloads of {} are meant", messages(count));
        return Err(Error::usage(text));
    }
    Ok(erasing::ask(&format!("Remove the payloads of {}, keys included, for good?", messages(count)))?)
}

fn text(answer: &Answer, finish: bool) -> String {
    let mut text = match (answer.purged, answer.dry_run) {
        (0, _) if finish => String::new(),
        (0, _) => "no payload to remove\n".to_owned(),
        (purged, true) => listed(&format!("the payloads of {} would be removed:", messages(purged)), &answer.items),
        (purged, false) => {
            format!("the payloads of {} are removed; the ledger keeps times and hashes\n", messages(purged))
        }
    };
    let it = if answer.kept.len() == 1 { "it" } else { "them" };
    let heading = format!(
        "{} kept, as somebody has not received {it} yet; --undelivered removes {it} too:",
        messages(answer.kept.len())
    );
    text.push_str(&listed(&heading, &answer.kept));
    text.push_str(answer.erased.to_text());
    text
}
