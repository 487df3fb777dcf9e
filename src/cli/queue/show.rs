//! `queue show`: all of one message. Its body, and the keys in it, only with `--reveal`.

use uuid::Uuid;

use super::list::how_far;
use super::{parse_ids, select};
use crate::cli::table::{Table, bold};
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::store::{ForgottenRow, QueueFilter};
use crate::text::visible;
use crate::view::ages::when;
use crate::view::{self, Dispatch, Forgotten, Message, Shown};

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Id of the message
    #[arg(value_name = "ID")]
    id: String,
    /// Show the body too, licence keys included
    #[arg(long)]
    reveal: bool,
}

/// What `queue show --json` prints of a message whose subscription was forgotten.
#[derive(serde::Serialize)]
struct Ledger {
    id: Uuid,
    /// One for each sink that it was meant for.
    forgotten: Vec<Forgotten>,
}

pub async fn show(args: ShowArgs, context: &Context) -> Result<Exit, Error> {
    let id = parse_ids(std::slice::from_ref(&args.id))?[0];
    let settings = context.settings()?.settings;
    let store = if args.reveal { context.store_with_keys(&settings) } else { context.store(&settings) }?;
    let Some(message) = store.message(id).await?.map(Message::from) else {
        let forgotten = store.forgotten(id).await?;
        store.close().await;
        return show_forgotten(id, forgotten, context);
    };
    let filter = QueueFilter { message: Some(id), limit: usize::MAX, ..QueueFilter::default() };
    let dispatches: Vec<_> = store.dispatches(filter).await?.into_iter().map(Dispatch::from).collect();
    let body = if args.reveal { store.message_body(id).await? } else { None };
    store.close().await;
    if context.global.json {
        let body = body.map(view::event).transpose().map_err(|text| Error::new(Exit::Internal, text))?;
        context.print_json(&Shown { message, dispatches, body: args.reveal.then_some(body) })?;
    } else {
        context.print(&describe(&message, &dispatches, args.reveal, Timestamp::now()))?;
        if let Some(body) = body {
            context.print(&format!("\n{}", visible(&String::from_utf8_lossy(&body))))?;
        }
    }
    Ok(Exit::Done)
}

fn show_forgotten(id: Uuid, forgotten: Vec<ForgottenRow>, context: &Context) -> Result<Exit, Error> {
    let Some(first) = forgotten.first() else {
        return Err(Error::bad_input(format!("there is no such message: {id}")));
    };
    let now = Timestamp::now();
    let mut text = facts(&[
        ("message", id.to_string()),
        ("type", first.event.clone()),
        ("generation", first.generation.to_string()),
        ("queued", when(first.queued_at, now)),
        ("forgotten", when(first.forgotten_at, now)),
        ("keys hash", first.keys_hash.clone()),
    ]);
    let mut table = Table::new(&["sink", "delivered"]);
    for row in forgotten.iter().filter_map(|row| Some((row.sink.clone()?, row.delivered_at))) {
        table.row([row.0, row.1.map_or_else(|| "never".to_owned(), |at| when(at, now))]);
    }
    text.push_str(&format!("\n{}", table.to_text()));
    let forgotten = forgotten.into_iter().map(Forgotten::from).collect();
    select::answer(context, &Ledger { id, forgotten }, &text)?;
    Ok(Exit::Done)
}

/// Lines with a name in front of each.
fn facts(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{}{}\n", bold(&format!("{name:<14}")), visible(value))).collect()
}

fn describe(message: &Message, dispatches: &[Dispatch], is_revealed: bool, now: Timestamp) -> String {
    let body = match message.wiped_at {
        None if is_revealed => format!("{} bytes", message.body_bytes),
        None => format!("{} bytes; --reveal shows it, licence keys included", message.body_bytes),
        Some(at) => format!("{} bytes, wiped {}", message.body_bytes, when(at, now)),
    };
    let about = format!("{}/{}", message.partner_order_number, message.subscription_id);
    let mut text = facts(&[
        ("message", message.id.to_string()),
        ("type", message.event.clone()),
        ("subscription", format!("{about} of {}, {}", message.provider, message.territory)),
        ("generation", message.generation.to_string()),
        ("queued", when(message.queued_at, now)),
        ("body", body),
        ("keys hash", message.keys_hash.clone()),
    ]);
    if dispatches.is_empty() {
        text.push_str("\nno sink took messages of its type and territory when it was queued\n");
        return text;
    }
    let mut table = Table::new(&["sink", "state", "sent again", "attempts", "last attempt", "last error"]);
    for row in dispatches {
        table.row([
            row.sink.clone(),
            how_far(row, now, |at| when(at, now)),
            replays(row, now),
            row.attempts.to_string(),
            row.last_attempt_at.map_or_else(String::new, |at| when(at, now)),
            row.last_error.clone().unwrap_or_default(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.to_text());
    for (sink, answer) in dispatches.iter().filter_map(|row| Some((&row.sink, row.last_answer.as_ref()?))) {
        text.push_str(&format!("\n{} {}\n", bold(&visible(&format!("answer of {sink}"))), visible(answer)));
    }
    text
}

/// How often a person had it sent again, and when last.
fn replays(row: &Dispatch, now: Timestamp) -> String {
    match (row.replays, row.replayed_at) {
        (0, _) | (_, None) => String::new(),
        (count, Some(at)) => format!("{count} x, last {}", when(at, now)),
    }
}
