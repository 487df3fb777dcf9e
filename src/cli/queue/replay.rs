//! `queue replay`: sends again on purpose what was delivered. The body is the same, and so is the id.

use uuid::Uuid;

use super::select::{self, Item, STEP, listed, listed_wiped, messages};
use super::{parse_ids, unknown};
use crate::cli::{Context, Error, Exit, audit};
use crate::clock::Timestamp;
use crate::settings::Settings;
use crate::store::{DispatchRow, QueueFilter, Store};

#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// Ids of messages, instead of all that a sink has
    #[arg(value_name = "ID", conflicts_with_all = ["since", "event"])]
    ids: Vec<String>,
    /// To this sink
    #[arg(long, value_name = "SINK", required_unless_present = "ids")]
    sink: Option<String>,
    /// Only what was delivered since: 2026-11-21T20:00:00Z, 2026-11-21, or an age such as 7d
    #[arg(long, value_name = "TIME", value_parser = select::instant)]
    since: Option<Timestamp>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = select::event)]
    event: Option<String>,
    /// Only list what would be sent
    #[arg(long)]
    dry_run: bool,
}

/// What `queue replay --json` prints.
#[derive(Default, serde::Serialize)]
struct Answer {
    dry_run: bool,
    /// Deliveries that are due again now; with `--dry-run`, that would be.
    due: usize,
    items: Vec<Replayed>,
    /// Nothing is left to send of these.
    wiped: Vec<Item>,
    /// Given by id and not delivered yet: `queue retry` is for them.
    not_delivered: Vec<Uuid>,
}

#[derive(serde::Serialize)]
struct Replayed {
    sink: String,
    #[serde(flatten)]
    message: Item,
}

pub async fn run(args: ReplayArgs, context: &Context) -> Result<Exit, Error> {
    let ids = parse_ids(&args.ids)?;
    let settings = context.settings()?.settings;
    if let Some(sink) = &args.sink {
        select::configured(&settings, sink)?;
    }
    let store = context.store(&settings)?;
    let filter = QueueFilter {
        sink: args.sink.clone(),
        state: Some("delivered".to_owned()),
        event: args.event,
        delivered_since: args.since,
        limit: STEP,
        ..QueueFilter::default()
    };
    let mut answer = Answer { dry_run: args.dry_run, ..Answer::default() };
    if ids.is_empty() {
        replay(&store, filter, &settings, &mut answer).await?;
    } else {
        by_id(&store, ids, filter, &settings, &mut answer).await?;
    }
    store.close().await;
    if answer.due > 0 && !args.dry_run {
        let to = args.sink.map_or_else(String::new, |sink| format!(" to sink {sink}"));
        audit::record(context, &settings, &format!("replayed {}{to}", messages(answer.due)))?;
    }
    select::answer(context, &answer, &text(&answer))?;
    Ok(if answer.wiped.is_empty() && answer.not_delivered.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Every message is looked up before the first is sent again.
async fn by_id(
    store: &Store,
    ids: Vec<Uuid>,
    filter: QueueFilter,
    settings: &Settings,
    answer: &mut Answer,
) -> Result<(), Error> {
    let (mut missing, mut delivered) = (Vec::new(), Vec::new());
    for id in ids {
        let of_message = QueueFilter { message: Some(id), ..filter.clone() };
        if store.message(id).await?.is_none() {
            missing.push(id);
        } else if store.dispatches(of_message.clone()).await?.is_empty() {
            answer.not_delivered.push(id);
        } else {
            delivered.push(of_message);
        }
    }
    if !missing.is_empty() {
        return Err(unknown(&missing));
    }
    for of_message in delivered {
        replay(store, of_message, settings, answer).await?;
    }
    Ok(())
}

/// Step by step, in the order of queueing: a sink that is sent to meanwhile gets them in that order.
async fn replay(store: &Store, mut filter: QueueFilter, settings: &Settings, answer: &mut Answer) -> Result<(), Error> {
    loop {
        let page = store.dispatches(filter.clone()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        filter.after = last.row;
        // Nobody would send what is for a sink that was taken out of the settings.
        let (wiped, there): (Vec<DispatchRow>, Vec<_>) = page
            .into_iter()
            .filter(|row| settings.sinks.contains_key(&row.sink))
            .partition(|row| row.wiped_at.is_some());
        answer.wiped.extend(wiped.iter().map(Item::from));
        answer.due += match answer.dry_run {
            true => there.len(),
            false => store.replay(there.iter().map(|row| row.row).collect(), Timestamp::now()).await?,
        };
        answer.items.extend(there.iter().map(|row| Replayed { sink: row.sink.clone(), message: row.into() }));
    }
}

fn text(answer: &Answer) -> String {
    let mut text = match (answer.due, answer.dry_run) {
        (0, _) => "nothing to send again\n".to_owned(),
        (due, true) => {
            let items: Vec<Item> = answer.items.iter().map(|item| item.message.clone()).collect();
            listed(&format!("{} would be sent again:", messages(due)), &items)
        }
        (due, false) => {
            format!("{} due again now\n", if due == 1 { "1 message is".into() } else { messages(due) + " are" })
        }
    };
    text.push_str(&listed_wiped(&answer.wiped));
    for id in &answer.not_delivered {
        text.push_str(&format!("{id} is not delivered yet: `renewald queue retry {id}` makes it due now\n"));
    }
    text
}
