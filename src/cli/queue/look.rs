//! `queue list`, `queue dead` and `queue show`: what is in the outbox. Bodies, and the keys in them, only with `--reveal`.

use super::parse_ids;
use crate::cli::table::{Table, bold, relative, when};
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::delivery::EVENTS;
use crate::settings::Settings;
use crate::store::{DispatchRow, MessageRow, QueueFilter, Store};
use crate::text::visible;
use crate::view::{self, DispatchPage, Shown};

/// What a list and its next page begin with.
#[derive(Debug, clap::Args)]
struct PageArgs {
    /// Only for this sink
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = clap::builder::PossibleValuesParser::new(EVENTS))]
    event: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only in this state
    #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered", "dead"])]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, clap::Args)]
pub struct DeadArgs {
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Id of the message
    #[arg(value_name = "ID")]
    id: String,
    /// Show the body too, licence keys included
    #[arg(long)]
    reveal: bool,
}

pub async fn list(args: ListArgs, context: &Context) -> Result<Exit, Error> {
    let page = page(args.page, args.state, context).await?;
    print_page(page, context, &["id", "type", "subscription", "gen", "sink", "state"], |row, now| {
        vec![
            row.id.to_string(),
            row.event.clone(),
            subscription(row),
            row.generation.to_string(),
            row.sink.clone(),
            progress(row, now),
        ]
    })
}

pub async fn dead(args: DeadArgs, context: &Context) -> Result<Exit, Error> {
    let page = page(args.page, Some("dead".to_owned()), context).await?;
    print_page(
        page,
        context,
        &["id", "type", "subscription", "sink", "dead since", "attempts", "last error"],
        |row, now| {
            vec![
                row.id.to_string(),
                row.event.clone(),
                subscription(row),
                row.sink.clone(),
                row.dead_at.map_or_else(String::new, |at| when(at, now)),
                row.attempts.to_string(),
                row.last_error.clone().unwrap_or_default(),
            ]
        },
    )
}

async fn page(args: PageArgs, state: Option<String>, context: &Context) -> Result<DispatchPage, Error> {
    let after = match &args.cursor {
        None => 0,
        Some(cursor) => {
            cursor.parse().map_err(|_| Error::usage("--cursor takes the next_cursor of the page before"))?
        }
    };
    let settings = context.settings()?.settings;
    let store = context.store(&settings)?;
    if let Some(sink) = &args.sink {
        known_sink(&store, &settings, sink).await?;
    }
    let limit = usize::from(args.limit);
    let filter =
        QueueFilter { sink: args.sink, state, event: args.event, after, limit: limit + 1, ..QueueFilter::default() };
    let mut items = store.dispatches(filter).await?;
    store.close().await;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| last.row.to_string());
    Ok(DispatchPage { items, next_cursor })
}

/// Refuses the name of a sink that is neither configured nor has anything left to do.
pub(super) async fn known_sink(store: &Store, settings: &Settings, sink: &str) -> Result<(), Error> {
    let in_use = store.queue_depths().await?;
    if settings.sinks.contains_key(sink) || in_use.iter().any(|depth| depth.sink == sink) {
        return Ok(());
    }
    let names = settings.sinks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(Error::usage(format!("there is no sink {:?}; the settings have: {names}", visible(sink))))
}

fn print_page(
    page: DispatchPage,
    context: &Context,
    header: &[&str],
    cells: impl Fn(&DispatchRow, Timestamp) -> Vec<String>,
) -> Result<Exit, Error> {
    if context.global.json {
        context.print_json(&page)?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let mut table = Table::new(header);
    for row in &page.items {
        table.row(cells(row, now));
    }
    context.print(&table.to_text())?;
    if let Some(cursor) = page.next_cursor {
        context.print(&format!("there are more: --cursor {cursor}"))?;
    }
    Ok(Exit::Done)
}

pub async fn show(args: ShowArgs, context: &Context) -> Result<Exit, Error> {
    let id = parse_ids(std::slice::from_ref(&args.id))?[0];
    let settings = context.settings()?.settings;
    let store = context.store(&settings)?;
    let Some(message) = store.message(id).await? else {
        return Err(Error::bad_input(format!("there is no such message: {id}")));
    };
    let filter = QueueFilter { message: Some(id), limit: usize::MAX, ..QueueFilter::default() };
    let dispatches = store.dispatches(filter).await?;
    let body = if args.reveal { store.message_body(id).await? } else { None };
    store.close().await;
    if context.global.json {
        let body = if args.reveal { Some(body.map(view::event).transpose().map_err(broken)?) } else { None };
        context.print_json(&Shown { message, dispatches, body })?;
    } else {
        context.print(&describe(&message, &dispatches, Timestamp::now()))?;
        if let Some(body) = body {
            context.print(&format!("\n{}", visible(&String::from_utf8_lossy(&body))))?;
        }
    }
    Ok(Exit::Done)
}

fn broken(text: String) -> Error {
    Error::new(Exit::Internal, text)
}

fn describe(message: &MessageRow, dispatches: &[DispatchRow], now: Timestamp) -> String {
    let body = match message.wiped_at {
        None => format!("{} bytes; --reveal shows it, licence keys included", message.body_bytes),
        Some(at) => format!("{} bytes, wiped {}", message.body_bytes, when(at, now)),
    };
    let about = format!("{}/{}", message.partner_order_number, message.subscription_id);
    let lines = [
        ("message", message.id.to_string()),
        ("type", message.event.clone()),
        ("subscription", format!("{about} of {}, {}", message.provider, message.territory)),
        ("generation", message.generation.to_string()),
        ("queued", when(message.queued_at, now)),
        ("body", body),
        ("keys hash", message.keys_hash.clone()),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("{}{}\n", bold(&format!("{name:<14}")), visible(&value)));
    }
    if dispatches.is_empty() {
        text.push_str("\nno sink took messages of its type and territory when it was queued\n");
        return text;
    }
    let mut table = Table::new(&["sink", "state", "attempts", "last attempt", "last error"]);
    for row in dispatches {
        table.row([
            row.sink.clone(),
            progress(row, now),
            row.attempts.to_string(),
            row.last_attempt_at.map_or_else(String::new, |at| when(at, now)),
            row.last_error.clone().unwrap_or_default(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.to_text());
    text
}

fn subscription(row: &DispatchRow) -> String {
    format!("{}/{}", row.partner_order_number, row.subscription_id)
}

/// Its state, and since or until when.
fn progress(row: &DispatchRow, now: Timestamp) -> String {
    let since = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(" {}", when(at, now)));
    match row.state.as_str() {
        "pending" => match (row.leased_until, row.next_attempt_at) {
            (Some(until), _) if until > now => format!("leased, ends {}", relative(until, now)),
            (Some(until), _) => format!("pending, lease ended {}", relative(until, now)),
            (None, Some(next)) if next > now => format!("pending, next attempt {}", relative(next, now)),
            (None, _) => format!("pending since {}", when(row.queued_at, now)),
        },
        "delivered" => format!("delivered{}", since(row.delivered_at)),
        other => format!("{other}{}", since(row.dead_at)),
    }
}
