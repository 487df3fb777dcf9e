//! `/page/receivers`: each provider and each sink, why it is held up, since when, and how much the budget holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Pages;
use super::door::Visitor;
use super::html::Page;
use crate::clock::Timestamp;
use crate::view::Status;

#[derive(Serialize)]
struct Content<'a> {
    status: &'a Status,
    forecasts: BTreeMap<&'a str, String>,
    kinds: BTreeMap<&'a str, &'static str>,
}

pub async fn show(State(pages): State<Arc<Pages>>, visitor: Visitor) -> Response {
    pages.html.shown(content(&pages, &visitor).await)
}

async fn content(pages: &Pages, visitor: &Visitor) -> Page {
    visitor.must_see_all()?;
    let live = pages.site.live();
    let status = Status::read(&live.settings, &pages.site.counting, Timestamp::now()).await?;
    let forecasts = status.providers.iter().map(|(name, account)| (name.as_str(), account.forecast.to_text()));
    let kinds = live.settings.providers.iter().map(|(name, provider)| (name.as_str(), provider.kind.kind().as_str()));
    let content = Content { forecasts: forecasts.collect(), kinds: kinds.collect(), status: &status };
    Ok(pages.html.page("receivers.html", "receivers", visitor, content))
}
