//! `queue move`: gives another sink what waits for one that was taken out of the settings.

use super::select::{self, Item, STEP, listed, listed_wiped, messages};
use crate::cli::{Context, Error, Exit, audit};
use crate::clock::Timestamp;
use crate::settings::Sink;
use crate::store::{DispatchRow, QueueFilter, Store};

#[derive(Debug, clap::Args)]
pub struct MoveArgs {
    /// The sink that is no longer in the settings
    #[arg(long, value_name = "SINK")]
    from: String,
    /// The sink that gets its undelivered messages, of the types and territories that it takes
    #[arg(long, value_name = "SINK")]
    to: String,
    /// Only list what would be moved
    #[arg(long)]
    dry_run: bool,
}

/// What `queue move --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    from: String,
    to: String,
    dry_run: bool,
    /// Messages that left the one sink for the other; with `--dry-run`, that would.
    moved: usize,
    items: Vec<Item>,
    /// Left where they are: the other sink takes no such type or territory.
    not_taken: Vec<Item>,
    /// Left where they are: nothing is left to send.
    wiped: Vec<Item>,
}

pub async fn run(args: MoveArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let to = select::configured(&settings, &args.to)?;
    if settings.sinks.contains_key(&args.from) {
        return Err(Error::usage(format!(
            "sink {} is in the settings and may be sending: take it out and restart the daemon first",
            args.from
        )));
    }
    let store = context.store(&settings)?;
    select::known(&store, &settings, &args.from).await?;
    let mut answer = Answer {
        from: args.from,
        to: args.to,
        dry_run: args.dry_run,
        moved: 0,
        items: Vec::new(),
        not_taken: Vec::new(),
        wiped: Vec::new(),
    };
    for state in ["pending", "dead"] {
        relocate(&store, to, state, &mut answer).await?;
    }
    store.close().await;
    if answer.moved > 0 && !answer.dry_run {
        let text = format!("moved {} from sink {} to {}", messages(answer.moved), answer.from, answer.to);
        audit::record(context, &settings, &text)?;
    }
    select::answer(context, &answer, &text(&answer))?;
    Ok(if answer.not_taken.is_empty() && answer.wiped.is_empty() { Exit::Done } else { Exit::Failed })
}

async fn relocate(store: &Store, to: &Sink, state: &str, answer: &mut Answer) -> Result<(), Error> {
    let mut filter = QueueFilter {
        sink: Some(answer.from.clone()),
        state: Some(state.to_owned()),
        limit: STEP,
        ..QueueFilter::default()
    };
    loop {
        let page = store.dispatches(filter.clone()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after = last.row;
        let (wiped, there): (Vec<DispatchRow>, Vec<_>) = page.into_iter().partition(|row| row.wiped_at.is_some());
        let (taken, not_taken): (Vec<DispatchRow>, Vec<_>) =
            there.into_iter().partition(|row| to.takes(&row.event, &row.territory));
        answer.wiped.extend(wiped.iter().map(Item::from));
        answer.not_taken.extend(not_taken.iter().map(Item::from));
        answer.moved += match answer.dry_run {
            true => taken.len(),
            false => {
                let rows = taken.iter().map(|row| row.row).collect();
                store.move_dispatches(rows, &answer.to, Timestamp::now()).await?
            }
        };
        answer.items.extend(taken.iter().map(Item::from));
    }
}

fn text(answer: &Answer) -> String {
    let Answer { from, to, .. } = answer;
    let mut text = match (answer.moved, answer.dry_run) {
        (0, _) => format!("nothing to move from {from} to {to}\n"),
        (moved, true) => listed(&format!("{} would be moved from {from} to {to}:", messages(moved)), &answer.items),
        (moved, false) => format!("{} moved from {from} to {to}\n", messages(moved)),
    };
    let heading = format!("{} left: {to} takes no such type or territory", messages(answer.not_taken.len()));
    text.push_str(&listed(&heading, &answer.not_taken));
    text.push_str(&listed_wiped(&answer.wiped));
    text
}
