//! `/page/messages` and `/page/message`: what waits, what is dead, and one of them with its attempts. What is in it, licence keys
//! included, is shown on a click, where `admin.reveal` permits it, and the log says so.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;
use uuid::Uuid;

use super::Pages;
use super::change::{Change, Fields};
use super::door::Visitor;
use super::html::Page;
use crate::admin::messages::{STATES, no_such_message};
use crate::clock::Timestamp;
use crate::listen::input::Query;
use crate::listen::problem::Problem;
use crate::store::QueueFilter;
use crate::text::visible_json;
use crate::view::{Dispatch, DispatchPage, Message, event};

const A_PAGE: usize = 50;

#[derive(Serialize)]
struct Found {
    sink: String,
    state: String,
    sinks: Vec<String>,
    states: [&'static str; 3],
    items: Vec<Dispatch>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    message: Message,
    dispatches: Vec<Dispatch>,
    may_be_revealed: bool,
    body: Option<String>,
    done: bool,
}

pub async fn list(State(pages): State<Arc<Pages>>, visitor: Visitor, query: Query) -> Response {
    pages.html.shown(found(&pages, &visitor, query).await)
}

async fn found(pages: &Pages, visitor: &Visitor, mut query: Query) -> Page {
    visitor.must_see_all()?;
    let site = &pages.site;
    let mut text = |name: &str| query.text(name).unwrap_or_default();
    let (sink, state) = (text("sink"), text("state"));
    if !state.is_empty() && !STATES.contains(&state.as_str()) {
        return Err(Problem::bad_request("state is none of those in the list"));
    }
    let after = query.cursor()?;
    query.finish()?;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let filter =
        QueueFilter { sink: given(&sink), state: given(&state), after, limit: A_PAGE, ..QueueFilter::default() };
    let page = DispatchPage::read(filter, &site.counting).await?;
    let sinks = site.live().settings.sinks.keys().cloned().collect();
    let content = Found { sink, state, sinks, states: STATES, items: page.items, next: page.next_cursor };
    Ok(pages.html.page("messages.html", "messages", visitor, content))
}

pub async fn show(State(pages): State<Arc<Pages>>, visitor: Visitor, mut query: Query) -> Response {
    let id = query.text("id").unwrap_or_default();
    let done = query.text("done").is_some();
    pages.html.shown(message(&pages, &visitor, &id, None, done).await)
}

async fn message(pages: &Pages, visitor: &Visitor, id: &str, body: Option<String>, done: bool) -> Page {
    visitor.must_see_all()?;
    let site = &pages.site;
    let id = id_of(id)?;
    let message = site.store.message(id).await?.ok_or_else(|| no_such_message(id))?;
    let filter = QueueFilter { message: Some(id), limit: usize::MAX, ..QueueFilter::default() };
    let dispatches = site.store.dispatches(filter).await?.into_iter().map(Dispatch::from).collect();
    let may_be_revealed = message.wiped_at.is_none() && site.admit_to_bodies().is_ok();
    let content = Shown { message: message.into(), dispatches, may_be_revealed, body, done };
    Ok(pages.html.page("message.html", "messages", visitor, content))
}

pub async fn change(State(pages): State<Arc<Pages>>, Change { visitor, fields }: Change) -> Response {
    pages.html.shown(changed(&pages, &visitor, &fields).await)
}

async fn changed(pages: &Pages, visitor: &Visitor, fields: &Fields) -> Page {
    let id = fields.text("id");
    if fields.text("do") == "reveal" {
        let body = revealed(pages, id).await?;
        return message(pages, visitor, id, Some(body), false).await;
    }
    sent_again(pages, fields).await?;
    Ok(Redirect::to(&format!("/page/message?id={}&done=1", id_of(id)?)).into_response())
}

async fn revealed(pages: &Pages, id: &str) -> Result<String, Problem> {
    let site = &pages.site;
    site.admit_to_bodies()?;
    let id = id_of(id)?;
    let body = site.store.message_body(id).await?.map(event).transpose().map_err(|_| Problem::internal())?;
    let body = body.ok_or_else(|| Problem::conflict("its payload is wiped: there is nothing left to show"))?;
    tracing::warn!(message = %id, "the page: licence keys shown");
    let value: serde_json::Value = serde_json::from_str(body.get()).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
    Ok(pretty.lines().map(visible_json).collect::<Vec<_>>().join("\n"))
}

/// Where it is dead or waits, at once; where it was delivered, once more.
async fn sent_again(pages: &Pages, fields: &Fields) -> Result<(), Problem> {
    let (site, now) = (&pages.site, Timestamp::now());
    let (id, sink) = (id_of(fields.text("id"))?, fields.text("sink").to_owned());
    let action = fields.text("do");
    let filter = QueueFilter { message: Some(id), sink: Some(sink.clone()), limit: 1, ..QueueFilter::default() };
    let rows = site.store.dispatches(filter).await?;
    let dispatch = rows.first().ok_or_else(|| Problem::not_found("this message was never meant for that sink"))?;
    let due = match action {
        "retry" => site.store.retry_message(id, Some(sink.clone()), now).await?,
        "replay" => site.store.replay(vec![dispatch.row], now).await?,
        _ => return Err(Problem::bad_request("there is nothing of this name to be done")),
    };
    if due == 0 {
        let what = "nothing was sent: its payload is wiped, or it is not what it was when this page was made";
        return Err(Problem::conflict(what));
    }
    tracing::info!(message = %id, %sink, %action, "the page: sent again by hand");
    site.ring_sinks();
    Ok(())
}

fn id_of(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::bad_request("this is no message's id"))
}
