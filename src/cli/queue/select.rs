//! What the commands on the outbox have in common: how messages are chosen on the command line, and how they are listed.

use serde::Serialize;
use uuid::Uuid;

use crate::cli::table::Table;
use crate::cli::{Context, Error, track};
use crate::clock::Timestamp;
use crate::delivery::EVENTS;
use crate::settings::{Settings, Sink, parse_duration};
use crate::store::{DispatchRow, MessageRow, Store};
use crate::text::{number_of, visible};

/// Messages handled in one step: a transaction each, so that a daemon beside us never waits long.
pub const STEP: usize = 500;

/// One message of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub generation: i64,
    pub reference: String,
}

impl From<&DispatchRow> for Item {
    fn from(row: &DispatchRow) -> Self {
        Self {
            id: row.id,
            event: row.event.clone(),
            provider: row.provider.clone(),
            territory: row.territory.clone(),
            partner_order_number: row.partner_order_number.clone(),
            subscription_id: row.subscription_id.clone(),
            generation: row.generation,
            reference: row.reference.clone(),
        }
    }
}

impl From<&MessageRow> for Item {
    fn from(row: &MessageRow) -> Self {
        Self {
            id: row.id,
            event: row.event.clone(),
            provider: row.provider.clone(),
            territory: row.territory.clone(),
            partner_order_number: row.partner_order_number.clone(),
            subscription_id: row.subscription_id.clone(),
            generation: row.generation,
            reference: row.reference.clone(),
        }
    }
}

/// A heading and a table, or nothing where there is no item.
pub fn listed(heading: &str, items: &[Item]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["id", "type", "subscription", "gen"]);
    for item in items {
        table.row([
            item.id.to_string(),
            item.event.clone(),
            format!("{}/{}", item.partner_order_number, item.subscription_id),
            item.generation.to_string(),
        ]);
    }
    format!("{heading}\n{}", table.to_text())
}

/// The messages of which nothing is left to send.
pub fn listed_wiped(items: &[Item]) -> String {
    let heading = format!(
        "{}: the payload is wiped; `renewald refetch NUMBER --generation N` asks the provider for a renewal's again",
        messages(items.len())
    );
    listed(&heading, items)
}

/// `1 message`, `2 messages`.
pub fn messages(count: usize) -> String {
    number_of(count, "message")
}

/// A type as the settings write it, from that or from a CloudEvent's: `renewal.ready`, `renewald.renewal.ready.v1`.
pub fn event(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("renewald.").and_then(|rest| rest.strip_suffix(".v1")).unwrap_or(text);
    match EVENTS.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("there are: {}", EVENTS.join(", "))),
    }
}

/// An instant, or an age: `2026-11-21T20:00:00Z`, `2026-11-21`, `7d`.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let at = match (parse_duration(text), track::expiry(text)) {
        (Ok(age), _) => now - age,
        (_, Ok(at)) => at,
        _ => return Err("write 2026-11-21T20:00:00Z (with offset), 2026-11-21, or an age such as 7d or 12h".to_owned()),
    };
    if at > now { Err(format!("{at} lies ahead")) } else { Ok(at) }
}

/// A sink of the settings.
pub fn configured<'a>(settings: &'a Settings, name: &str) -> Result<&'a Sink, Error> {
    settings.sinks.get(name).ok_or_else(|| Error::usage(format!("{}; {}", no_sink(name), there_are(settings))))
}

/// Refuses the name of a sink that is neither configured nor was ever given a message.
pub async fn known(store: &Store, settings: &Settings, name: &str) -> Result<(), Error> {
    if settings.sinks.contains_key(name) || store.is_in_use(name).await? {
        return Ok(());
    }
    Err(Error::usage(format!("{}; {}", no_sink(name), there_are(settings))))
}

fn no_sink(name: &str) -> String {
    format!("there is no sink {:?}", visible(name))
}

fn there_are(settings: &Settings) -> String {
    let names = settings.sinks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("the settings have: {names}")
}

/// Prints an answer as JSON or as text.
pub fn answer(context: &Context, value: &impl Serialize, text: &str) -> Result<(), Error> {
    match (context.global.json, text) {
        (true, _) => context.print_json(value),
        (false, "") => Ok(()),
        (false, text) => context.print(text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_type_may_be_written_as_in_the_settings_or_as_in_the_message() {
        assert_eq!(event("renewal.ready").unwrap(), "renewal.ready");
        assert_eq!(event("renewald.subscription.ended.v1").unwrap(), "subscription.ended");
        for text in ["", "ready", "renewald.renewal.ready", "renewal.ready.v1", "renewald.renewal.ready.v2"] {
            assert!(event(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_may_be_an_age() {
        let (before, at) = (Timestamp::now(), instant("7d").unwrap());
        let week = Duration::from_secs(7 * 86_400);
        assert!(at >= before - week && at <= Timestamp::now() - week);
        assert_eq!(instant("2020-02-03T04:05:06+01:00").unwrap().to_string(), "2020-02-03T03:05:06Z");
        assert_eq!(instant("2020-02-03").unwrap().to_string(), "2020-02-03T00:00:00Z");
        for text in ["", "yesterday", "7", "2999-01-01", "7w"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }
}
