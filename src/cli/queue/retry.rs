//! `queue retry`: sends again what a person has looked at.

use std::fmt::Write;

use uuid::Uuid;

use super::{parse_ids, unknown};
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::store::{QueueFilter, Retried, Store};

#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    /// Ids of the messages
    #[arg(value_name = "ID", required_unless_present = "all_dead", conflicts_with = "all_dead")]
    ids: Vec<String>,
    /// Everything that is dead
    #[arg(long)]
    all_dead: bool,
    /// Only for this sink
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
}

/// What `queue retry --json` prints.
#[derive(Default, serde::Serialize)]
struct Answer {
    /// Dispatches that are due now, with all their attempts before them.
    due: usize,
    /// Messages that are delivered already, wherever they were to go.
    delivered: Vec<Uuid>,
    /// Dead dispatches that stay so: their payload is wiped. Only with `--all-dead`.
    wiped: usize,
}

pub async fn run(args: RetryArgs, context: &Context) -> Result<Exit, Error> {
    let ids = parse_ids(&args.ids)?;
    let settings = context.settings()?.settings;
    let store = context.store(&settings)?;
    if let Some(sink) = args.sink.as_deref() {
        super::select::known(&store, &settings, sink).await?;
    }
    let answer = if args.all_dead {
        let Retried { due, wiped } = store.retry_dead(args.sink, Timestamp::now()).await?;
        Answer { due, wiped, ..Answer::default() }
    } else {
        retry(&store, ids, args.sink).await?
    };
    store.close().await;
    if context.global.json {
        context.print_json(&answer)?;
    } else {
        context.print(&text(&answer))?;
    }
    Ok(Exit::Done)
}

/// All or none: every message is looked at before the first is changed.
async fn retry(store: &Store, ids: Vec<Uuid>, sink: Option<String>) -> Result<Answer, Error> {
    let (mut missing, mut wiped, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for id in &ids {
        let filter = QueueFilter { message: Some(*id), sink: sink.clone(), limit: 1, ..QueueFilter::default() };
        match store.message(*id).await? {
            None => missing.push(*id),
            Some(message) if message.wiped_at.is_some() => wiped.push(id.to_string()),
            Some(_) if store.dispatches(filter).await?.is_empty() => elsewhere.push(id.to_string()),
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        return Err(unknown(&missing));
    }
    if !wiped.is_empty() {
        let ids = wiped.join(", ");
        return Err(Error::bad_input(format!(
            "nothing was changed: the payload is wiped, there is nothing left to send; `renewald refetch` asks for it again: {ids}"
        )));
    }
    if !elsewhere.is_empty() {
        let ids = elsewhere.join(", ");
        return Err(Error::bad_input(format!("nothing was changed: never meant for that sink: {ids}")));
    }
    let mut answer = Answer::default();
    for id in ids {
        match store.retry_message(id, sink.clone(), Timestamp::now()).await? {
            0 => answer.delivered.push(id),
            due => answer.due += due,
        }
    }
    Ok(answer)
}

fn text(answer: &Answer) -> String {
    let mut text = match answer.due {
        0 => "nothing to send again\n".to_owned(),
        1 => "1 delivery is due now\n".to_owned(),
        due => format!("{due} deliveries are due now\n"),
    };
    for id in &answer.delivered {
        // Writing to a String cannot fail.
        writeln!(text, "{id} is delivered already").ok();
    }
    if answer.wiped > 0 {
        let wiped = answer.wiped;
        writeln!(text, "{wiped} stay dead: their payload is wiped; `renewald refetch` asks for it again").ok();
    }
    text
}
