//! `POST /hooks/NAME`: who is let in, and what becomes of what he brings.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::routing::post;

use super::{Live, Site};
use crate::clock::Timestamp;
use crate::listen::guests::Answer;
use crate::listen::problem::Problem;
use crate::listen::{Peer, body, frame};
use crate::metrics::HintOutcome;
use crate::settings::Discover;
use crate::store::Heard;

/// Subscriptions that one notification may name. One that is about an order names a few.
const MOST_IDS: usize = 1000;

/// The site, as one of its addresses shows it.
#[derive(Clone)]
struct Door {
    site: Arc<Site>,
    listen: Arc<str>,
}

pub fn router(site: Arc<Site>, listen: &str) -> Router {
    let router = Router::new().route("/hooks/{provider}", post(take));
    frame::framed(router, |_| frame::ANSWER_WITHIN).with_state(Door { site, listen: listen.into() })
}

async fn take(
    State(Door { site, listen }): State<Door>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let live = site.live.borrow().clone();
    let peer = request.extensions().get().copied().unwrap_or(Peer(None));
    let Some(receiver) = live.receivers.get(&provider).filter(|receiver| *receiver.listen == *listen) else {
        // Guessing names is no cheaper than guessing secrets.
        return Err(match site.guests.refused(peer).await {
            Answer::Refused => Problem::not_found("no notifications are taken here by this name").that_closes(),
            Answer::TooMany => too_many().that_closes(),
        });
    };
    let meter = site.meter(&provider);
    if !receiver.sender.is_it(request.headers()) {
        meter.count(HintOutcome::Refused, 1);
        return Err(match site.guests.refused(peer).await {
            Answer::Refused => Problem::new(StatusCode::UNAUTHORIZED, "the secret is wrong, or missing")
                .with(header::WWW_AUTHENTICATE, receiver.sender.challenge())
                .that_closes(),
            Answer::TooMany => too_many().that_closes(),
        });
    }
    if !site.rates.take(&provider, receiver.sender.most_a_second()) {
        meter.count(HintOutcome::TooMany, 1);
        return Err(too_many().that_closes());
    }
    let body = body::read(request.into_body()).await.inspect_err(|_| meter.count(HintOutcome::Unreadable, 1))?;
    let ids = ids(&live, &provider, &(receiver.hinted)(&body));
    drop(body);
    if ids.is_empty() {
        // Of another kind than we know of, or about nothing that is ours to look at.
        meter.count(HintOutcome::Unreadable, 1);
        return Ok(StatusCode::OK);
    }
    // On disk before it is answered: the sender does not come again.
    let Heard { raised, soon, at_rest, unknown } = site.store.hint(&provider, ids, Timestamp::now()).await?;
    let is_sought = !unknown.is_empty() && discovers(&live, &provider);
    if is_sought {
        site.store.hint_at_stranger(&provider, Timestamp::now()).await?;
    }
    if raised > 0 || is_sought {
        site.sweep_bell.notify_one();
    }
    meter.count(HintOutcome::Raised, raised);
    meter.count(HintOutcome::Soon, soon);
    meter.count(HintOutcome::AtRest, at_rest);
    // Who nobody tracks costs no request but, where he is to be found, a page of the list a minute.
    meter.count(HintOutcome::Untracked, unknown.len());
    Ok(StatusCode::OK)
}

fn discovers(live: &Live, provider: &str) -> bool {
    let feed = live.settings.providers.get(provider).and_then(|provider| provider.feed);
    feed.is_some_and(|feed| feed.discover != Discover::Off && !feed.every.is_zero())
}

/// As they are stored; what can be no id is left out.
fn ids(live: &Live, provider: &str, named: &[String]) -> Vec<String> {
    let convention = live.settings.convention(provider);
    let ids: BTreeSet<_> = named.iter().take(MOST_IDS).filter_map(|id| convention.subscription_id(id).ok()).collect();
    ids.into_iter().collect()
}

fn too_many() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many at once; what they would have told is learned without them")
        .with(header::RETRY_AFTER, "1")
}
