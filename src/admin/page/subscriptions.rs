//! `/page/subscriptions`: searched by the beginning of a number or an id, or filtered, fifty at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Pages;
use super::door::Visitor;
use super::html::Page;
use crate::clock::Timestamp;
use crate::listen::input::Query;
use crate::listen::problem::Problem;
use crate::renewal;
use crate::store::ListFilter;
use crate::view::{Item, SubscriptionPage};

const A_PAGE: usize = 50;

#[derive(Default, Serialize)]
struct Asked {
    q: String,
    state: String,
    provider: String,
    overdue: bool,
    not_renewed: bool,
    payment_failing: bool,
    warned: bool,
}

#[derive(Serialize)]
struct Found {
    asked: Asked,
    providers: Vec<String>,
    states: Vec<&'static str>,
    items: Vec<Item>,
    next: Option<String>,
    /// A search shows the first, and does not go on.
    is_cut: bool,
}

pub async fn show(State(pages): State<Arc<Pages>>, visitor: Visitor, query: Query) -> Response {
    pages.html.shown(found(&pages, &visitor, query).await)
}

async fn found(pages: &Pages, visitor: &Visitor, mut query: Query) -> Page {
    visitor.must_see_all()?;
    let (site, now) = (&pages.site, Timestamp::now());
    let live = site.live();
    let mut text = |name: &str| query.text(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let asked = Asked { q: text("q"), state: text("state"), provider: text("provider"), ..Asked::default() };
    let mut ticked = |name: &str| query.text(name).is_some_and(|given| !given.is_empty());
    let asked = Asked {
        overdue: ticked("overdue"),
        not_renewed: ticked("not_renewed"),
        payment_failing: ticked("payment_failing"),
        warned: ticked("warned"),
        ..asked
    };
    let after = query.cursor()?;
    query.finish()?;
    let (items, next, is_cut) = if asked.q.is_empty() {
        let state = Some(asked.state.as_str()).filter(|state| !state.is_empty());
        let state: Option<renewal::State> = state
            .map(|state| state.parse().map_err(|_| Problem::bad_request("state is none of those in the list")))
            .transpose()?;
        let filter = ListFilter {
            state,
            provider: Some(asked.provider.clone()).filter(|provider| !provider.is_empty()),
            overdue: asked.overdue.then(|| live.rules.clone()),
            not_renewed: asked.not_renewed,
            payment_failing: asked.payment_failing,
            warned: asked.warned,
            after,
            limit: A_PAGE,
            ..ListFilter::default()
        };
        let page = SubscriptionPage::read(filter, &live.settings, &site.counting, now).await?;
        (page.items, page.next_cursor, false)
    } else {
        let mut rows = site.store.search(&asked.q, A_PAGE + 1).await?;
        let is_cut = rows.len() > A_PAGE;
        rows.truncate(A_PAGE);
        (site.items(&rows), None, is_cut)
    };
    let providers = live.settings.providers.keys().cloned().collect();
    let states = renewal::State::VARIANTS.iter().map(|state| state.as_str()).collect();
    let content = Found { asked, providers, states, items, next, is_cut };
    Ok(pages.html.page("subscriptions.html", "subscriptions", visitor, content))
}
