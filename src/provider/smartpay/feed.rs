//! What the API lists by itself: the subscriptions that have changed (smartpay.md, section 6). Their billing cycles are not among what it
//! tells, so that each says where to look and no more.

use super::memo::Memo;
use super::page::{Page as Paged, ROWS};
use super::subscription::Subscription;
use super::{Client, fields::Fields};
use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::convention::{Feed, Lists, Way};
use crate::provider::http::{self, Answer, Endpoint, MIB};
use crate::provider::kinds::Given;
use crate::provider::url::encoded;
use crate::provider::{Error, Page, Position, Row, Says, Subject, Verdict};

const LISTED: Endpoint = Endpoint { name: "subscriptions", limit: 16 * MIB };

pub static FEED: Feed =
    Feed { ways: &[Way { name: "changed subscriptions", lists: Lists::ChangedSince, answers: false }] };

/// Where a walk goes on: the page, and how many rows there were when the one before it was read.
struct Place {
    number: usize,
    count: Option<i64>,
}

impl Place {
    /// What is none of ours begins anew.
    fn read(text: Option<&str>) -> Self {
        let read = |text: &str| {
            let (number, count) = text.split_once('/')?;
            Some(Self { number: number.parse().ok()?, count: count.parse().ok() })
        };
        text.and_then(read).unwrap_or(Self { number: 0, count: None })
    }

    fn written(number: usize, count: Option<i64>) -> String {
        format!("{number}/{}", count.map(|count| count.to_string()).unwrap_or_default())
    }
}

impl Client {
    pub(super) async fn listed(&self, at: Position<'_>, slot: Slot) -> Result<Page, Error> {
        let place = Place::read(at.next);
        let since = at.since.map(|since| format!("updatedAtGte={}&", written(since))).unwrap_or_default();
        let until = written(at.until);
        let path = format!("/subscriptions?{since}updatedAtLte={until}&page={}&pageSize={ROWS}", place.number);
        // No right to read it, or no such list.
        let refused = |verdict: Verdict| Error::Rejected { status: u16::try_from(verdict.code).unwrap_or(0) };
        read(&self.get(LISTED, &path, slot).await?.map_err(refused)?, &place)
    }
}

/// For [`crate::fuzzing`].
pub(super) fn read_page(given: Given<'_>, _: &str) -> Result<Page, Error> {
    read(&http::answer_of(given), &Place::read(None))
}

/// As the API writes times.
fn written(at: Timestamp) -> String {
    encoded(&at.to_string().replace('Z', ".00Z")).to_string()
}

fn read(answer: &Answer, place: &Place) -> Result<Page, Error> {
    let page = Paged::read(&answer.body)?;
    let (number, count) = (place.number, page.count);
    let fault = if page.is_another(number) {
        Some("it answers with another page than was asked for")
    } else {
        page.is_hollow(number).then_some("it shows no rows where it counts some")
    };
    let next = match missed(&page, place) {
        0 if page.is_last(number) => None,
        0 => Some(number + 1),
        back => Some(number.saturating_sub(back)),
    };
    Ok(Page {
        next: next.map(|next| Place::written(next, count)),
        pages: page.pages.and_then(|pages| u64::try_from(pages).ok()),
        fault: fault.map(str::to_owned),
        rows: page.rows.iter().filter_map(|fields| row(fields, answer.at)).collect(),
    })
}

/// How many pages back rows may have slipped. One that changes again while the list is read leaves it, and moves those behind it ahead,
/// to pages that were read before.
fn missed(page: &Paged<'_>, place: &Place) -> usize {
    match (place.count, page.count) {
        (Some(before), Some(now)) if now < before => page.pages_of(before - now).min(place.number),
        _ => 0,
    }
}

fn row(fields: &Fields<'_>, now: Timestamp) -> Option<Row> {
    let subscription = Subscription::of(fields, now)?;
    let (id, changed_at) = (subscription.id.clone(), subscription.updated_at);
    let (created_at, number) = (subscription.created_at, subscription.merchant_id.clone());
    let says = move |subject: Subject<'_>| match Memo::read(subject.memo) {
        // Nobody has looked yet: who was never answered for is due.
        None => Says::Nothing,
        Some(memo) if memo.is_of_the_same(&subscription) => Says::Nothing,
        Some(_) => Says::Hint,
    };
    Some(Row::new(id, changed_at, says).created(created_at).numbered(number))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::http::answer_of;
    use crate::provider::smartpay::subscription;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);
    const UPDATED: &str = "2026-05-28T10:00:00.12Z";

    fn page(number: usize, count: i64, rows: Value, place: &str) -> Page {
        let body = json!({"page": number, "pageSize": 2, "count": count, "totalPages": (count + 1) / 2, "data": rows})
            .to_string();
        let answer = answer_of(Given { status: 200, body: body.as_bytes(), at: NOW });
        read(&answer, &Place::read(Some(place))).unwrap()
    }

    fn rows(ids: &[&str]) -> Value {
        ids.iter()
            .map(|id| json!({"id": id, "updatedAt": UPDATED, "createdAt": UPDATED, "externalMerchantId": "M"}))
            .collect()
    }

    #[test]
    fn pages_follow_each_other_and_go_back_for_what_has_slipped() {
        let next = |number, count, place: &str| page(number, count, rows(&["a", "b"]), place).next;
        assert_eq!(next(0, 6, "").as_deref(), Some("1/6"));
        assert_eq!(next(1, 6, "1/6").as_deref(), Some("2/6"));
        assert_eq!(next(2, 6, "2/6"), None);
        assert_eq!(next(2, 5, "2/6").as_deref(), Some("1/5"), "one row may stand on the page before now");
        assert_eq!(next(1, 1, "1/6").as_deref(), Some("0/1"));
        assert_eq!(next(1, 7, "1/6").as_deref(), Some("2/7"));
    }

    #[test]
    fn a_page_that_cannot_be_right_is_a_fault() {
        assert!(page(0, 6, rows(&["a", "b"]), "1/6").fault.is_some());
        assert!(page(1, 6, json!([]), "1/6").fault.is_some());
        let empty = page(0, 0, json!([]), "");
        assert!(empty.fault.is_none() && empty.next.is_none());
    }

    #[test]
    fn a_row_hints_once_at_each_change() {
        let page = page(0, 1, rows(&["Subscription-A"]), "");
        let row = &page.rows[0];
        assert_eq!((row.subscription_id.as_str(), row.number.as_deref()), ("Subscription-A", Some("M")));
        assert!(row.created_at.is_some() && row.changed_at == row.created_at);
        let says = |updated: Option<&str>| {
            let noted = |updated| {
                let body = json!({"id": "Subscription-A", "updatedAt": updated}).to_string();
                Memo::default().noting(&subscription::read(body.as_bytes(), NOW).unwrap()).written()
            };
            let memo = updated.and_then(noted);
            row.says(Subject {
                territory: "default",
                partner_order_number: "n",
                subscription_id: "subscription-a",
                generation: Some(0),
                memo: memo.as_deref(),
                is_hinted: false,
            })
        };
        assert!(matches!(says(None), Says::Nothing) && matches!(says(Some(UPDATED)), Says::Nothing));
        assert!(matches!(says(Some("2026-05-28T10:00:00.11Z")), Says::Hint));
    }

    #[test]
    fn times_are_written_as_the_api_reads_them() {
        assert_eq!(written(NOW), "2026-05-28T20%3A26%3A40.00Z");
    }
}
