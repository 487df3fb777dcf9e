//! A kind that only tests have: it counts renewals from -1, a trial, and lists upgrades besides. Ids are any text, there are no
//! territories, and licence keys are expected.
//!
//! `GET /counter/ID` tells how a subscription stands, `GET /counter/ID/keys/REFERENCE` the keys of one delivery, and
//! `GET /feed/WAY?page=N&since=T` a page of all that there is.

pub mod convention;
pub mod settings;

use serde::Deserialize;

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, Discount, LicenceKey, Line, Occasion, Serial};
use crate::life::Life;
use crate::provider::kinds::Readers;
use crate::provider::tests::wire::{Answer, Wire};
use crate::provider::{
    Claim, Class, Error, Failing, Fetched, Finding, Keys, LastAsked, Listed, Offer, Page, Part, Payment, Position,
    Provider, Row, Says, Seen, Sighting, Subject, Verdict, times,
};

pub(crate) const READERS: Option<Readers> = None;

pub struct Client {
    wire: Wire,
}

#[derive(Clone, Deserialize)]
struct Stands {
    id: String,
    count: i64,
    status: String,
    ends: Option<i64>,
    /// To be shown to the next look.
    stamp: Option<String>,
    created: Option<i64>,
    changed: Option<i64>,
    #[serde(default)]
    upgrades: Vec<Upgrade>,
    /// What the reseller calls it.
    shop: Option<Box<str>>,
    pays: Option<Pays>,
    #[serde(default)]
    offers: Vec<Offered>,
}

/// `"fine"`, or an object with `fails`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pays {
    Fine,
    Fails { count: i64, since: Option<i64>, again: Option<bool>, why: String },
}

/// An order that makes the next renewal cheaper.
#[derive(Clone, Deserialize)]
struct Offered {
    order: String,
    state: String,
    rate: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    rows: Vec<Stands>,
    next: Option<String>,
    pages: Option<u64>,
}

#[derive(Clone, Deserialize)]
struct Upgrade {
    name: String,
    done: i64,
}

#[derive(Clone, Deserialize)]
struct Key {
    id: Option<String>,
    key: String,
}

impl Provider for Client {
    async fn look(&self, subject: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        let stamp = subject.memo.map(|memo| format!("stamp={memo}"));
        let answer = self.wire.get(&["counter", subject.subscription_id], stamp).await?;
        let Answer { verdict, body: Some(body) } = answer else { return Ok(Sighting::refused(answer.verdict)) };
        Ok(Sighting { verdict, ..sighting(body.read()?, subject) })
    }

    async fn page(&self, at: Position<'_>, _: Slot) -> Result<Page, Error> {
        let since = at.since.map(|since| format!("&since={}", since.as_unix())).unwrap_or_default();
        let query = format!("page={}{since}", at.next.unwrap_or("0"));
        let answer = self.wire.get(&["feed", at.way], Some(query)).await?;
        let Some(body) = answer.body else { return Err(Error::Rejected { status: 403 }) };
        let (now, Listing { rows, next, pages }) = (Timestamp::now(), body.read()?);
        let row = |stands: Stands| {
            let at = |seconds: Option<i64>| seconds.and_then(|seconds| times::unix(seconds, now));
            let (id, created_at, changed_at) = (stands.id.clone(), at(stands.created), at(stands.changed));
            Row::new(id, changed_at, move |subject| says(&stands, subject)).created(created_at)
        };
        Ok(Page { rows: rows.into_iter().map(row).collect(), next, pages, fault: None })
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, _: Slot) -> Result<Fetched, Error> {
        let answer = self.wire.get(&["counter", subject.subscription_id, "keys", reference], None).await?;
        let Some(body) = answer.body else { return Ok(Fetched::refused(answer.verdict)) };
        let keys: Vec<Key> = body.read()?;
        Ok(Fetched::new(Verdict::success(), move |claim| part(claim, &keys)))
    }

    async fn check(&self, known: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        self.wire.check(known, "counter").await
    }
}

impl Pays {
    fn payment(self, now: Timestamp) -> Payment {
        let Self::Fails { count: generation, since, again: will_retry, why: reason } = self else {
            return Payment::Fine;
        };
        let since = since.and_then(|since| times::unix(since, now));
        Payment::Failing(Box::new(Failing { generation, since, will_retry, reason }))
    }
}

impl Offered {
    fn offer(self) -> Option<Offer> {
        let Self { order: order_number, state, rate } = self;
        let discount =
            rate.map(|rate| Discount { code: None, label: None, rate: Some(rate), amount: None, currency: None });
        Some(Offer { order_number, state: state.parse().ok()?, discount })
    }
}

/// Stamps are numbers that rise; one with an upgrade does not tell which.
fn says(stands: &Stands, subject: Subject<'_>) -> Says {
    let number = |stamp: Option<&str>| stamp.and_then(|stamp| stamp.parse::<u32>().ok());
    if number(stands.stamp.as_deref()) < number(subject.memo) {
        return Says::Older;
    }
    match stands.status.as_str() {
        "look" => Says::Hint,
        _ => Says::Answer(Box::new(sighting(stands.clone(), subject))),
    }
}

fn sighting(stands: Stands, subject: Subject<'_>) -> Sighting {
    let now = Timestamp::now();
    let Stands { id, count, status, ends, stamp, changed, upgrades, shop, pays, offers, .. } = stands;
    let upgrade = |Upgrade { name, done }| Listed {
        reference: name,
        occasion: Occasion::Upgrade,
        completed_at: times::unix(done, now),
    };
    let seen = if id == subject.subscription_id {
        let besides = upgrades.into_iter().map(upgrade).collect();
        Seen::Counted { generation: count, doubt: None, besides }
    } else {
        Seen::Foreign(format!("the answer is about {id:?}"))
    };
    let life = Some(if status == "gone" { Life::Cancelled } else { Life::Running });
    let expires_at = ends.and_then(|ends| times::unix(ends, now));
    let as_of = changed.and_then(|changed| times::unix(changed, now));
    let payment = pays.map_or(Payment::Untold, |pays| pays.payment(now));
    let offers = offers.into_iter().filter_map(Offered::offer).collect();
    let (words, partner_reference, memo) = (Some(status), shop, stamp);
    Sighting { words, life, expires_at, as_of, memo, partner_reference, payment, offers, ..Sighting::of(seen) }
}

/// Rows that name the claimant, and no others: those that name nobody are dropped too.
fn part(claim: Claim<'_>, keys: &[Key]) -> Part {
    let ours = keys.iter().filter(|row| row.id.as_deref() == Some(claim.subscription_id));
    let serials: Vec<_> = ours.map(|row| serial(&row.key)).collect();
    if serials.is_empty() && !keys.is_empty() {
        let message = "the answer holds another subscription's keys only".to_owned();
        return Part::bare(Verdict { class: Class::NotFound, code: 0, message });
    }
    let line = Line {
        product_ref: Some("P-1".to_owned()),
        remark: String::new(),
        digital_locker_link: String::new(),
        download_until: None,
        serials,
        files: Vec::new(),
    };
    let delivery = Delivery { lines: vec![line], ..Delivery::default() };
    Part { verdict: Verdict::success(), delivery: Some(delivery), dropped: None, keys: Keys::Expected }
}

fn serial(key: &str) -> Serial {
    let (encoding, charset) = ("text".to_owned(), "utf-8".to_owned());
    Serial { data: LicenceKey::new(key.to_owned()), encoding, charset, file_name: String::new() }
}
