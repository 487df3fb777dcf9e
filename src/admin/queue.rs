//! `/v1/queue:claim` and `/v1/queue:ack`: a sink of kind `queue` as a program sees it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaFormat, Type};

use super::Site;
use crate::clock::Timestamp;
use crate::listen::input::{Body, Query};
use crate::listen::problem::Problem;
use crate::store::Leased;
use crate::view;

/// The longest anybody waits for messages.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Waiting consumers at once: the rest of the connections is for those who want an answer now.
const MOST_WAITING: usize = 32;
/// Messages acknowledged at once.
const MOST_AT_ONCE: usize = 1000;
/// How often a waiting one asks without being rung: a lease that ends rings no bell.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Places for those who wait.
pub struct Consumers(Semaphore);

impl Default for Consumers {
    fn default() -> Self {
        Self(Semaphore::new(MOST_WAITING))
    }
}

/// What a consumer wants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Of kind `queue`; may be left out where there is only one.
    sink: Option<String>,
    /// At most so many messages.
    #[serde(default = "ten")]
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    max: u16,
    /// For how long nobody else gets them, nor later renewals of their subscriptions.
    #[serde(default = "five_minutes")]
    #[schema(minimum = 1, maximum = 86400, default = 300)]
    lease_seconds: u32,
    /// Wait so long for the first one.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 60)]
    wait_seconds: u8,
}

fn ten() -> u16 {
    10
}

fn five_minutes() -> u32 {
    300
}

/// Messages that are the consumer's until their leases end.
#[derive(Serialize, ToSchema)]
pub struct Claimed {
    /// Longest queued first; empty when nothing came in time.
    messages: Vec<ClaimedMessage>,
}

#[derive(Serialize, ToSchema)]
pub struct ClaimedMessage {
    /// For the acknowledgement. The same for ever.
    #[schema(value_type = String, format = "uuid")]
    id: uuid::Uuid,
    leased_until: Timestamp,
    /// The CloudEvent, byte for byte as every sink gets it.
    #[schema(value_type = Object)]
    event: Box<RawValue>,
}

/// Messages that arrived where they belong.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Of kind `queue`; may be left out where there is only one.
    sink: Option<String>,
    #[schema(schema_with = message_ids)]
    ids: Vec<uuid::Uuid>,
}

fn message_ids() -> Schema {
    let id = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned())));
    ArrayBuilder::new().items(id).min_items(Some(1)).max_items(Some(MOST_AT_ONCE)).into()
}

#[derive(Serialize, ToSchema)]
pub struct Acknowledged {
    acknowledged: usize,
}

/// Takes messages, and waits for the first one if asked to. They are handed out again when their leases end unacknowledged.
#[utoipa::path(
    post,
    path = "/v1/queue:claim",
    tag = "queue",
    request_body = Claim,
    responses((status = 200, description = "The messages, on disk as leased", body = Claimed))
)]
pub async fn claim(
    State(site): State<Arc<Site>>,
    query: Query,
    Body(claim): Body<Claim>,
) -> Result<Json<Claimed>, Problem> {
    query.finish()?;
    site.live().gate.admit_to_keys()?;
    let sink = site.live().settings.queue(claim.sink.as_deref()).map_err(Problem::bad_request)?;
    claim.check()?;
    let leased = if claim.wait_seconds == 0 {
        site.lease(&sink, &claim).await?
    } else {
        let Ok(_place) = site.queue.0.try_acquire() else {
            let detail =
                format!("{MOST_WAITING} consumers are waiting already; ask with a longer max and fewer of them");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        site.wait_for_messages(&sink, &claim).await?
    };
    let messages = leased.into_iter().map(ClaimedMessage::new).collect::<Result<_, _>>()?;
    Ok(Json(Claimed { messages }))
}

/// Says that messages arrived, so that they are not handed out again. All or none; doing it twice changes nothing.
#[utoipa::path(
    post,
    path = "/v1/queue:ack",
    tag = "queue",
    request_body = Ack,
    responses(
        (status = 200, description = "None of them is handed out again", body = Acknowledged),
        (status = 404, description = "One of them is no message of this sink: none is acknowledged", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn acknowledge(
    State(site): State<Arc<Site>>,
    query: Query,
    Body(Ack { sink, ids }): Body<Ack>,
) -> Result<Json<Acknowledged>, Problem> {
    query.finish()?;
    // Who may not have messages has none to acknowledge: nobody would ever receive them.
    site.live().gate.admit_to_keys()?;
    let sink = site.live().settings.queue(sink.as_deref()).map_err(Problem::bad_request)?;
    if !(1..=MOST_AT_ONCE).contains(&ids.len()) {
        return Err(Problem::bad_request("ids must name 1 to 1000 messages"));
    }
    let acknowledged = ids.len();
    let unknown = site.store.acknowledge(&sink, ids, Timestamp::now()).await?;
    if !unknown.is_empty() {
        let unknown = unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Problem::not_found(format!("nothing done, this sink has no such message: {unknown}")));
    }
    // The next renewal of the same subscription may be handed out now.
    site.ring_sinks();
    Ok(Json(Acknowledged { acknowledged }))
}

impl Claim {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1..=1000).contains(&self.max) {
            return Err(Problem::bad_request("max must be from 1 to 1000"));
        }
        if !(1..=86_400).contains(&self.lease_seconds) {
            return Err(Problem::bad_request("lease_seconds must be from 1 to 86400"));
        }
        if self.wait() > LONGEST_WAIT {
            return Err(Problem::bad_request("wait_seconds must be from 0 to 60"));
        }
        Ok(())
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_seconds.into())
    }
}

impl ClaimedMessage {
    fn new(Leased { message, until }: Leased) -> Result<Self, Problem> {
        let event = view::event(message.body).map_err(|_| Problem::internal())?;
        Ok(Self { id: message.id, leased_until: until, event })
    }
}

impl Site {
    async fn lease(&self, sink: &str, claim: &Claim) -> Result<Vec<Leased>, Problem> {
        let lease = Duration::from_secs(claim.lease_seconds.into());
        Ok(self.store.lease(sink, claim.max.into(), lease, Timestamp::now()).await?)
    }

    async fn wait_for_messages(&self, sink: &str, claim: &Claim) -> Result<Vec<Leased>, Problem> {
        let deadline = Instant::now() + claim.wait();
        let bell = self.live().sink_bells.get(sink).cloned().unwrap_or_default();
        loop {
            // Listening before asking, so that what is queued meanwhile is noticed.
            let mut rung = pin!(bell.notified());
            rung.as_mut().enable();
            let leased = self.lease(sink, claim).await?;
            if !leased.is_empty() {
                // It wakes one at a time: what is left is for the next.
                bell.notify_one();
                return Ok(leased);
            }
            if Instant::now() >= deadline {
                return Ok(leased);
            }
            tokio::select! {
                () = rung => {}
                () = sleep_until(deadline.min(Instant::now() + ASK_EVERY)) => {}
                () = self.shutdown.requested() => return Ok(leased),
            }
        }
    }
}
