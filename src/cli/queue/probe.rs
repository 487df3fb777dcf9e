//! `queue test`: one message of a type of its own, straight through the sink and past the outbox.

use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use super::select;
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::daemon;
use crate::delivery::{Message, NAMESPACE};
use crate::settings::{Settings, Sink};
use crate::sink::Sink as _;
use crate::store::Metadata;
use crate::text::visible;

/// No real message is ever of this type; its CloudEvents are `renewald.test.v1`.
const EVENT: &str = "test";

#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// To this sink
    #[arg(long, value_name = "SINK")]
    sink: String,
    /// Metadata of the subscription that it pretends to be about, for a sink whose settings use it
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = Metadata::parse)]
    metadata: Metadata,
}

/// What `queue test --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    sink: String,
    id: Uuid,
    delivered: bool,
    /// Why it was not.
    reason: Option<String>,
    milliseconds: u128,
}

pub async fn run(args: TestArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let configured = select::configured(&settings, &args.sink)?;
    let Some(sink) = daemon::sink(&args.sink, configured)? else {
        return Err(Error::usage(format!(
            "sink {} is of kind \"queue\": nothing is sent to it, `renewald queue pull` takes what is there",
            args.sink
        )));
    };
    let message = message(&args, configured, &settings, Timestamp::now());
    let begun = Instant::now();
    let outcome = sink.publish(&message).await;
    let answer = Answer {
        sink: args.sink,
        id: message.id,
        delivered: outcome.is_ok(),
        reason: outcome.err().map(|failure| failure.to_string()),
        milliseconds: begun.elapsed().as_millis(),
    };
    select::answer(context, &answer, &text(&answer))?;
    Ok(if answer.delivered { Exit::Done } else { Exit::Failed })
}

/// Shaped like every other, so that a sink which routes by provider or metadata finds them.
fn message(args: &TestArgs, sink: &Sink, settings: &Settings, now: Timestamp) -> Message {
    let (provider, territory) = place(sink, settings);
    // Another one each time: a receiver that drops repeats must not drop it.
    let id = Uuid::new_v5(&NAMESPACE, format!("test {} {now} {}", args.sink, std::process::id()).as_bytes());
    // It was parsed as an object when the command line was read.
    let metadata: Value = serde_json::from_str(args.metadata.as_json()).unwrap_or_default();
    let body = json!({
        "specversion": "1.0",
        "id": id.to_string(),
        "source": format!("/renewald/{provider}/{territory}"),
        "type": "renewald.test.v1",
        "subject": "TEST/0",
        "time": now,
        "datacontenttype": "application/json",
        "data": {
            "subscription": {
                "provider": provider, "territory": territory, "partner_order_number": "TEST", "subscription_id": 0,
                "metadata": metadata,
            },
            "generation": 0,
            "sink": args.sink,
            "text": "A test by `renewald queue test`: nobody bought anything.",
        },
    });
    Message { id, event: EVENT.to_owned(), queued_at: now, body: body.to_string().into_bytes(), replays: 0 }
}

/// A provider and a territory whose messages the sink takes.
fn place(sink: &Sink, settings: &Settings) -> (String, String) {
    let taken = |territory: &String| sink.territories.is_empty() || sink.territories.contains(territory);
    settings.territories().into_iter().find(|(_, territory)| taken(territory)).unwrap_or_default()
}

fn text(answer: &Answer) -> String {
    let Answer { sink, id, milliseconds, .. } = answer;
    match &answer.reason {
        None => format!("sink {sink} took the test message {id} within {milliseconds} ms\n"),
        Some(reason) => format!("sink {sink} did not take the test message {id}: {}\n", visible(reason)),
    }
}
