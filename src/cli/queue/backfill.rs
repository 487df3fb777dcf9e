//! `queue backfill`: gives a sink what was queued before it was there.

use super::select::{self, Item, STEP, listed, listed_wiped, messages};
use crate::cli::{Context, Error, Exit, audit};
use crate::clock::Timestamp;
use crate::settings::Sink;
use crate::store::{MessageRow, Store};

#[derive(Debug, clap::Args)]
pub struct BackfillArgs {
    /// For this sink, of the types and territories that it takes
    #[arg(long, value_name = "SINK")]
    sink: String,
    /// What was queued since: 2026-11-21T20:00:00Z, 2026-11-21, or an age such as 7d
    #[arg(long, value_name = "TIME", value_parser = select::instant)]
    since: Timestamp,
    /// Only list what would be sent
    #[arg(long)]
    dry_run: bool,
}

/// What `queue backfill --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    sink: String,
    dry_run: bool,
    /// Messages that the sink has to get now; with `--dry-run`, that it would have to.
    due: usize,
    items: Vec<Item>,
    /// Nothing is left to send of these.
    wiped: Vec<Item>,
}

pub async fn run(args: BackfillArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let sink = select::configured(&settings, &args.sink)?;
    let store = context.store(&settings)?;
    let mut answer = Answer { sink: args.sink, dry_run: args.dry_run, due: 0, items: Vec::new(), wiped: Vec::new() };
    backfill(&store, sink, args.since, &mut answer).await?;
    store.close().await;
    if answer.due > 0 && !answer.dry_run {
        audit::record(context, &settings, &format!("backfilled {} to sink {}", messages(answer.due), answer.sink))?;
    }
    select::answer(context, &answer, &text(&answer))?;
    Ok(if answer.wiped.is_empty() { Exit::Done } else { Exit::Failed })
}

async fn backfill(store: &Store, sink: &Sink, since: Timestamp, answer: &mut Answer) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let page = store.without_dispatch(&answer.sink, since, after, STEP).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        let (wiped, there): (Vec<MessageRow>, Vec<_>) = page
            .into_iter()
            .filter(|row| sink.takes(&row.event, &row.territory))
            .partition(|row| row.wiped_at.is_some());
        answer.wiped.extend(wiped.iter().map(Item::from));
        answer.due += match answer.dry_run {
            true => there.len(),
            false => {
                let seqs = there.iter().map(|row| row.seq).collect();
                store.backfill(&answer.sink, seqs, Timestamp::now()).await?
            }
        };
        answer.items.extend(there.iter().map(Item::from));
    }
}

fn text(answer: &Answer) -> String {
    let sink = &answer.sink;
    let mut text = match (answer.due, answer.dry_run) {
        (0, _) => format!("nothing that {sink} takes and has not\n"),
        (due, true) => listed(&format!("{} would be sent to {sink}:", messages(due)), &answer.items),
        (due, false) => format!("{} queued for {sink}\n", messages(due)),
    };
    text.push_str(&listed_wiped(&answer.wiped));
    text
}
