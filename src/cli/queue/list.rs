//! `queue list` and `queue dead`: what is in the outbox, a page at a time.

use super::select;
use crate::cli::naming::{self, Narrow};
use crate::cli::numbers::whole;
use crate::cli::table::Table;
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::store::QueueFilter;
use crate::view::ages::relative;
use crate::view::{Dispatch, DispatchPage};

/// What a list and its next page begin with.
#[derive(Debug, clap::Args)]
struct PageArgs {
    /// Only for this sink
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = select::event)]
    event: Option<String>,
    /// Only of this subscription: original or suffixed number, or subscription id
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    #[command(flatten)]
    narrow: Narrow,
    /// Only what was queued since: 2026-11-21T20:00:00Z, 2026-11-21, or an age such as 7d
    #[arg(long, value_name = "TIME", value_parser = select::instant)]
    since: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u16>(1..=1000))]
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

pub async fn list(args: ListArgs, context: &Context) -> Result<Exit, Error> {
    let page = page(args.page, args.state, context).await?;
    let nothing = "no message matches";
    print_page(page, context, nothing, &["id", "type", "subscription", "gen", "sink", "state"], |row, now| {
        vec![
            row.id.to_string(),
            row.event.clone(),
            subscription(row),
            row.generation.to_string(),
            row.sink.clone(),
            how_far(row, now, |at| relative(at, now)),
        ]
    })
}

pub async fn dead(args: DeadArgs, context: &Context) -> Result<Exit, Error> {
    let page = page(args.page, Some("dead".to_owned()), context).await?;
    let nothing = "no dead message matches";
    print_page(
        page,
        context,
        nothing,
        &["id", "type", "subscription", "sink", "dead", "attempts", "last error"],
        |row, now| {
            vec![
                row.id.to_string(),
                row.event.clone(),
                subscription(row),
                row.sink.clone(),
                row.dead_at.map_or_else(String::new, |at| relative(at, now)),
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
    let store = context.store_to_list(&settings)?;
    if let Some(sink) = &args.sink {
        select::known(&store, &settings, sink).await?;
    }
    let subscription = match &args.subscription {
        Some(name) => Some(naming::resolve(&settings, &store, name, &args.narrow).await?.subscription.row),
        None => None,
    };
    let filter = QueueFilter {
        sink: args.sink,
        state,
        event: args.event,
        subscription,
        queued_since: args.since,
        after,
        limit: usize::from(args.limit),
        ..QueueFilter::default()
    };
    let page = DispatchPage::read(filter, &store).await?;
    store.close().await;
    Ok(page)
}

fn print_page(
    page: DispatchPage,
    context: &Context,
    nothing: &str,
    header: &[&str],
    cells: impl Fn(&Dispatch, Timestamp) -> Vec<String>,
) -> Result<Exit, Error> {
    if context.global.json {
        context.print_json(&page)?;
        return Ok(Exit::Done);
    }
    if page.items.is_empty() {
        context.remark(nothing);
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let mut table = Table::new(header);
    for row in &page.items {
        table.row(cells(row, now));
    }
    context.print(&table.to_text())?;
    if let Some(cursor) = page.next_cursor {
        context.remark(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

/// `PARTNER689/5618577`
fn subscription(row: &Dispatch) -> String {
    format!("{}/{}", row.partner_order_number, row.subscription_id)
}

/// Its state, and since or until when; `tell` is how an instant of the past is told.
pub(super) fn how_far(row: &Dispatch, now: Timestamp, tell: impl Fn(Timestamp) -> String) -> String {
    let since = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(" {}", tell(at)));
    match row.state.as_str() {
        "pending" => match (row.leased_until, row.next_attempt_at) {
            (Some(until), _) if until > now => format!("leased, ends {}", relative(until, now)),
            (Some(until), _) => format!("pending, lease ended {}", relative(until, now)),
            (None, Some(next)) if next > now => format!("pending, next attempt {}", relative(next, now)),
            (None, _) => format!("pending, queued {}", tell(row.queued_at)),
        },
        "delivered" => format!("delivered{}", since(row.delivered_at)),
        other => format!("{other}{}", since(row.dead_at)),
    }
}
