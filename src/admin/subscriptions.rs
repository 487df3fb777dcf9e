//! `/v1/subscriptions`: listed, told, paused, resumed, polled, untracked. Tracking is in [`super::tracking`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Site;
use crate::clock::Timestamp;
use crate::listen::input::Query;
use crate::listen::problem::Problem;
use crate::renewal;
use crate::store::{Identity, ListFilter, Named, Paused, SubscriptionRow};
use crate::text::visible;
use crate::view::{InPath, Item, Known, Story, SubscriptionPage};

type Answer<T> = Result<Json<T>, Problem>;

/// What untracking came to.
#[derive(Serialize, ToSchema)]
pub struct Untracked {
    /// `untracked`, `already_untracked` or `forgotten`.
    outcome: &'static str,
    /// Renewals whose order data was awaited, and is not asked for any more.
    dropped_renewals: u32,
}

/// Subscriptions in the order in which they were tracked, a page at a time.
#[utoipa::path(
    get,
    path = "/v1/subscriptions",
    tag = "subscriptions",
    params(
        ("name" = Option<String>, Query, description = "An original or renewed partner order number, or a subscription id. All that it may mean; goes with `provider` and `territory` alone"),
        ("state" = Option<renewal::State>, Query),
        ("provider" = Option<String>, Query),
        ("territory" = Option<String>, Query),
        ("overdue" = Option<bool>, Query, description = "Only those without an answer for longer than their interval, unless the budget is the reason"),
        ("not_renewed" = Option<bool>, Query, description = "Only those whose term ended without a renewal"),
        ("payment_failing" = Option<bool>, Query, description = "Only those whose coming term could not be charged, as the provider says"),
        ("warned" = Option<bool>, Query, description = "Only those of which something was delivered with a warning in the last 30 days"),
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", pattern = "^[0-9]{1,18}$"),
    ),
    responses((status = 200, description = "As `renewald list --json`", body = SubscriptionPage))
)]
pub async fn list(State(site): State<Arc<Site>>, mut query: Query) -> Answer<SubscriptionPage> {
    let (provider, territory) = (query.text("provider"), query.text("territory"));
    if let Some(name) = query.text("name") {
        query.finish()?;
        let mut named = Named::new(&name, site.live().settings.conventions());
        (named.provider, named.territory) = (provider, territory);
        let rows = site.store.find(named).await?;
        return Ok(Json(SubscriptionPage { items: site.items(&rows), next_cursor: None }));
    }
    let filter = ListFilter {
        state: query.parsed("state", "watching, paused, ended or untracked")?,
        provider,
        territory,
        overdue: query.flag("overdue")?.then(|| site.live().rules.clone()),
        not_renewed: query.flag("not_renewed")?,
        payment_failing: query.flag("payment_failing")?,
        warned: query.flag("warned")?,
        after: query.cursor()?,
        limit: query.limit()?,
        ..ListFilter::default()
    };
    query.finish()?;
    let looks_at_all = filter.overdue.is_some()
        || filter.not_renewed
        || filter.payment_failing
        || filter.warned
        || filter.state.is_some();
    let store = if looks_at_all { &site.counting } else { &site.store };
    Ok(Json(SubscriptionPage::read(filter, &site.live().settings, store, Timestamp::now()).await?))
}

/// All that is known of one subscription, and what comes next.
#[utoipa::path(
    get,
    path = "/v1/subscriptions/{provider}/{partner_order_number}/{subscription_id}",
    tag = "subscriptions",
    params(InPath),
    responses(
        (status = 200, description = "As `renewald explain --json`", body = Story),
        (status = 404, description = "Not tracked", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn show(State(site): State<Arc<Site>>, identity: Identity, query: Query) -> Answer<Story> {
    query.finish()?;
    let row = site.subscription(&identity).await?;
    let known = Known::look_up(&site.store, &site.live().settings, row, Timestamp::now()).await?;
    Ok(Json(known.into_story(&site.live().rules, Timestamp::now())))
}

/// Stops watching: waiting renewals are dropped, what is queued is still delivered. Doing it twice changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/subscriptions/{provider}/{partner_order_number}/{subscription_id}",
    tag = "subscriptions",
    params(
        InPath,
        ("forget" = Option<bool>, Query, description = "Remove all that is stored of it too, messages that were not delivered yet included. `renewald queue purge --finish` then rewrites the file"),
    ),
    responses(
        (status = 200, description = "It is not watched", body = Untracked),
        (status = 404, description = "Not tracked", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn untrack(State(site): State<Arc<Site>>, identity: Identity, mut query: Query) -> Answer<Untracked> {
    let forget = query.flag("forget")?;
    query.finish()?;
    let row = site.subscription(&identity).await?;
    let key = row.subscription.row;
    // First: a sweep that is at it right now then drops what it learns.
    site.store.untrack(key, Timestamp::now()).await?;
    if forget {
        site.store.forget(key, Timestamp::now()).await?;
    }
    site.ring_sweeps();
    let outcome = match row.subscription.state {
        _ if forget => "forgotten",
        renewal::State::Untracked => "already_untracked",
        _ => "untracked",
    };
    Ok(Json(Untracked { outcome, dropped_renewals: row.waiting }))
}

/// Stops the polls of a watched subscription, and nothing else. Doing it twice changes nothing.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/{provider}/{partner_order_number}/{subscription_id}/pause",
    tag = "subscriptions",
    params(InPath),
    responses(
        (status = 200, description = "It is paused", body = Item),
        (status = 404, description = "Not tracked", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "It is not watched", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn pause(State(site): State<Arc<Site>>, identity: Identity, query: Query) -> Answer<Item> {
    query.finish()?;
    let row = site.subscription(&identity).await?;
    let paused = site.store.pause(row.subscription.row).await?;
    site.changed(&identity, paused, "paused").await
}

/// Goes on with the polls of a paused subscription: it is due now. Doing it twice changes nothing.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/{provider}/{partner_order_number}/{subscription_id}/resume",
    tag = "subscriptions",
    params(InPath),
    responses(
        (status = 200, description = "It is watched", body = Item),
        (status = 404, description = "Not tracked", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "It is neither paused nor watched", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn resume(State(site): State<Arc<Site>>, identity: Identity, query: Query) -> Answer<Item> {
    query.finish()?;
    let row = site.subscription(&identity).await?;
    let resumed = site.store.resume(row.subscription.row, Timestamp::now()).await?;
    site.changed(&identity, resumed, "resumed").await
}

/// Asks the provider about a subscription now, ahead of all that nobody asked for.
#[utoipa::path(
    post,
    path = "/v1/subscriptions/{provider}/{partner_order_number}/{subscription_id}/poll",
    tag = "subscriptions",
    params(InPath),
    responses(
        (status = 200, description = "It is due", body = Item),
        (status = 404, description = "Not tracked", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "It is paused or untracked", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn poll(State(site): State<Arc<Site>>, identity: Identity, query: Query) -> Answer<Item> {
    query.finish()?;
    let row = site.subscription(&identity).await?;
    if !site.store.ask_now(row.subscription.row, Timestamp::now()).await? {
        return Err(Problem::conflict(format!("it is {}: it is not asked", row.subscription.state)));
    }
    site.changed(&identity, Paused::Done, "polled").await
}

impl Site {
    pub(super) async fn subscription(&self, identity: &Identity) -> Result<SubscriptionRow, Problem> {
        let mut stored = identity.clone();
        // In whatever form it stands in the path: of a provider that the settings have no more, as it is.
        let provider = self.live().settings.providers.get(&identity.provider).map(|one| one.kind.convention());
        if let Some(Ok(id)) = provider.map(|convention| convention.subscription_id(&identity.subscription_id)) {
            stored.subscription_id = id;
        }
        self.store.subscription(&stored).await?.ok_or_else(|| not_tracked(identity))
    }

    pub(super) fn items(&self, rows: &[SubscriptionRow]) -> Vec<Item> {
        let (live, now) = (self.live(), Timestamp::now());
        rows.iter().map(|row| Item::new(row, &live.rules, now)).collect()
    }

    /// The subscription as it is now, after somebody asked for a change.
    async fn changed(&self, identity: &Identity, outcome: Paused, what: &str) -> Answer<Item> {
        match outcome {
            Paused::Done | Paused::Already => self.ring_sweeps(),
            Paused::Not(state) => return Err(Problem::conflict(format!("it is {state}, and cannot be {what}"))),
            Paused::Gone => return Err(not_tracked(identity)),
        }
        let row = self.subscription(identity).await?;
        Ok(Json(Item::new(&row, &self.live().rules, Timestamp::now())))
    }
}

fn not_tracked(identity: &Identity) -> Problem {
    Problem::not_found(visible(&format!(
        "{}, subscription {} is not tracked at provider {}",
        identity.partner_order_number, identity.subscription_id, identity.provider
    )))
}
