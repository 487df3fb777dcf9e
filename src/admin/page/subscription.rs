//! `/page/subscription`: the story of one, and what may be done about it. Each change says what will happen before it is made.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;

use super::Pages;
use super::change::{Change, Fields};
use super::door::Visitor;
use super::html::Page;
use crate::clock::Timestamp;
use crate::listen::input::Query;
use crate::listen::problem::Problem;
use crate::renewal::news::KnownDelivery;
use crate::store::{Identity, Paused};
use crate::view::{Chapter, Dispatch, Item, Known, Refetch, tell};

#[derive(Serialize)]
struct Told {
    item: Item,
    chapters: Vec<Chapter>,
    fetches: Vec<Fetch>,
    dispatches: Vec<Dispatch>,
    done: Option<String>,
}

/// A delivery that may be fetched again, and what that does.
#[derive(Serialize)]
struct Fetch {
    generation: i64,
    reference: String,
    what: String,
}

pub async fn show(State(pages): State<Arc<Pages>>, visitor: Visitor, query: Query) -> Response {
    pages.html.shown(told(&pages, &visitor, query).await)
}

async fn told(pages: &Pages, visitor: &Visitor, mut query: Query) -> Page {
    visitor.must_see_all()?;
    let mut text = |name: &str| query.text(name).unwrap_or_default();
    let identity =
        Identity { provider: text("provider"), partner_order_number: text("number"), subscription_id: text("id") };
    let done = query.text("done").filter(|done| DONE.contains(&done.as_str()));
    query.finish()?;
    let (site, now) = (&pages.site, Timestamp::now());
    let live = site.live();
    let row = site.subscription(&identity).await?;
    let known = Known::look_up(&site.store, &live.settings, row, now).await?;
    let chapters = tell(&known, &live.rules, live.settings.advice(&known.row.provider), now);
    let current = known.row.subscription.generation;
    let fetches = known.renewals.iter().filter(|renewal| renewal.state != "known").map(|renewal| Fetch {
        generation: renewal.generation,
        reference: renewal.reference.clone(),
        what: Refetch::plan(renewal.generation, current, Some(renewal)).text,
    });
    let fetches = fetches.collect();
    let story = known.into_story(&live.rules, now);
    let content = Told { item: story.subscription, chapters, fetches, dispatches: story.dispatches, done };
    Ok(pages.html.page("subscription.html", "subscriptions", visitor, content))
}

/// What was done, as the address of the page after it has it.
const DONE: [&str; 4] = ["poll", "pause", "resume", "refetch"];

pub async fn change(State(pages): State<Arc<Pages>>, Change { fields, .. }: Change) -> Response {
    let done = done(&pages, &fields).await;
    pages.html.shown(done.map(|to| Redirect::to(&to).into_response()))
}

/// Makes the change, and says where it is to be seen.
async fn done(pages: &Pages, fields: &Fields) -> Result<String, Problem> {
    let (site, now) = (&pages.site, Timestamp::now());
    let text = |name: &str| fields.text(name).to_owned();
    let identity =
        Identity { provider: text("provider"), partner_order_number: text("number"), subscription_id: text("id") };
    let row = site.subscription(&identity).await?;
    let (key, action) = (row.subscription.row, fields.text("do"));
    match action {
        "poll" if !site.store.ask_now(key, now).await? => {
            return Err(Problem::conflict(format!("it is {}: it is not asked", row.subscription.state)));
        }
        "poll" => {}
        "pause" => made(site.store.pause(key).await?, "paused")?,
        "resume" => made(site.store.resume(key, now).await?, "resumed")?,
        "refetch" => {
            let reference = fields.text("reference");
            let renewals = site.store.renewals_of(key).await?;
            let known = renewals.iter().find(|renewal| renewal.reference == reference);
            let known = known.ok_or_else(|| Problem::conflict("this delivery is not known any more"))?;
            let wanted = KnownDelivery { generation: known.generation, reference: known.reference.clone() };
            site.store.refetch(key, wanted, now).await?;
        }
        _ => return Err(Problem::bad_request("there is nothing of this name to be done")),
    }
    tracing::info!(provider = %identity.provider, number = %crate::text::visible(&identity.partner_order_number), %action, "the page: done by hand");
    site.ring_sweeps();
    let part = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    Ok(format!(
        "/page/subscription?provider={}&number={}&id={}&done={action}",
        part(&identity.provider),
        part(&identity.partner_order_number),
        part(&identity.subscription_id)
    ))
}

fn made(outcome: Paused, what: &str) -> Result<(), Problem> {
    match outcome {
        Paused::Done | Paused::Already => Ok(()),
        Paused::Not(state) => Err(Problem::conflict(format!("it is {state}, and cannot be {what}"))),
        Paused::Gone => Err(Problem::not_found("it is not tracked any more")),
    }
}
