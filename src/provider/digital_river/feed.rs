//! What the API tells of by itself (digital-river.md, section 6): events, of which the last 30 days are kept. Each says where to look.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::Client;
use super::event::{subscriptions, text};
use super::page::ROWS_A_PAGE;
use super::requests::{LIST, not_the_provider};
use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::convention::{Feed, Lists, Way};
use crate::provider::kinds::Given;
use crate::provider::url::encoded;
use crate::provider::{Error, Page, Position, Row, Says, body, times};

/// Older events are not there any more: everybody is looked at daily.
const KEPT_FOR: Duration = Duration::from_secs(29 * 86_400);

const SINCE: &str = "events since";
const NEWEST: &str = "newest events";

/// Some versions do not know the filter by time. In which order events come is not documented.
pub static FEED: Feed = Feed {
    ways: &[
        Way { name: SINCE, lists: Lists::ChangedSince, answers: false },
        Way { name: NEWEST, lists: Lists::NewestFirst, answers: false },
    ],
};

impl Client {
    pub(super) async fn listed(&self, at: Position<'_>, slot: Slot) -> Result<Page, Error> {
        let cursor = at.next.map(|after| format!("&startingAfter={}", encoded(after))).unwrap_or_default();
        let since = match at.since.filter(|_| at.way == SINCE) {
            Some(since) => {
                let since = since.max(at.until - KEPT_FOR).to_string();
                format!("&createdTime%5Bgt%5D={}", encoded(&since))
            }
            None => String::new(),
        };
        let path = format!("/events?type=subscription.%2A{since}&limit={ROWS_A_PAGE}{cursor}");
        match self.get(LIST, &path, slot).await? {
            Ok(answer) => read(&answer.body, answer.at, at.next),
            // There always are such.
            Err(_) => Err(not_the_provider(404)),
        }
    }
}

/// For [`crate::fuzzing`].
pub(super) fn read_page(given: Given<'_>, _: &str) -> Result<Page, Error> {
    read(given.body, given.at, None)
}

fn read(bytes: &[u8], now: Timestamp, asked_after: Option<&str>) -> Result<Page, Error> {
    let page: Value = body::parse(bytes)?;
    let events = page["data"].as_array().ok_or_else(|| body::unreadable("no list of objects"))?;
    let rows = events.iter().flat_map(|event| {
        let time = |value: &Value| value["createdTime"].as_str().and_then(|at| times::written(at, now));
        let object = &event["data"]["object"];
        let made_at = time(&object["subscription"]).or_else(|| time(object));
        let at = time(event);
        subscriptions(event).into_iter().map(move |id| Told { id, at, made_at })
    });
    let last = events.iter().rev().find_map(|event| text(&event["id"]));
    let next = last.filter(|_| page["hasMore"].as_bool() == Some(true));
    // A server that ignores the cursor would send this page for ever; and the others are not read.
    let fault = (next.is_some() && next.as_deref() == asked_after).then(|| "it goes on where it began".to_owned());
    Ok(Page { rows: newest(rows.collect()), next, pages: None, fault })
}

/// One that an event is about.
struct Told {
    id: String,
    /// When it happened.
    at: Option<Timestamp>,
    /// When the subscription was made.
    made_at: Option<Timestamp>,
}

/// Each subscription once, with what happened to it last, in the order of the list.
fn newest(rows: Vec<Told>) -> Vec<Row> {
    let mut last = HashMap::new();
    for Told { id, at, .. } in &rows {
        let newest = last.entry(id.clone()).or_insert(*at);
        *newest = (*newest).max(*at);
    }
    let mut kept = Vec::new();
    for row in rows {
        if last.get(&row.id) == Some(&row.at) {
            last.remove(&row.id);
            kept.push(row);
        }
    }
    let row = |Told { id, at, made_at }: Told| Row::new(id, at, |_| Says::Hint).created(made_at);
    kept.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_661_500_000); // 2022-08-26

    fn event(id: &str, of: &str, at: &str) -> Value {
        json!({"id": id, "type": "subscription.updated", "createdTime": at, "data": {"object": {"id": of}}})
    }

    fn page(body: &Value, after: Option<&str>) -> Page {
        read(body.to_string().as_bytes(), NOW, after).unwrap()
    }

    #[test]
    fn each_subscription_is_a_row_with_its_last_event() {
        let extended = json!({"id": "e3", "type": "subscription.extended", "createdTime": "2022-08-25T21:10:00.529962Z",
                              "data": {"object": {"subscription": {"id": "B"}, "invoice": {"id": "i"}}}});
        let body = json!({"hasMore": true, "data": [event("e1", "A", "2022-08-25T21:09:48Z"), extended, event("e2", "A", "2022-08-25T21:09:39.061+0000"),
                                                    json!({"id": "e4", "type": "subscription.x", "createdTime": 7, "data": null})]});
        let page = page(&body, None);
        let rows: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.subscription_id.as_str(), row.changed_at.map(Timestamp::as_unix)))
            .collect();
        assert_eq!(rows, [("A", Some(1_661_461_788)), ("B", Some(1_661_461_800))]);
        assert_eq!((page.next.as_deref(), page.fault), (Some("e4"), None));
    }

    #[test]
    fn a_list_goes_on_while_it_says_so_and_leads_somewhere() {
        let body = |more| json!({"hasMore": more, "data": [event("e1", "A", "2022-08-25T21:09:48Z")]});
        assert_eq!(page(&body(false), None).next, None);
        assert!(page(&body(true), Some("e1")).fault.is_some());
        assert_eq!(page(&json!({"hasMore": true, "data": []}), Some("e1")).next, None);
        for odd in [json!({}), json!({"data": {}}), json!({"data": null})] {
            assert!(read(odd.to_string().as_bytes(), NOW, None).is_err(), "{odd}");
        }
    }
}
