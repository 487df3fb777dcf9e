//! A kind that only tests have: it lists deliveries by ids of its own, with the time at which each was paid for, and there are no
//! keys to any. Ids are compared folded, there are no territories.
//!
//! `GET /lister/ID` tells how a subscription stands, `GET /lister/ID/charges/REFERENCE` what was paid for one delivery.

pub mod convention;
pub mod settings;

use serde::Deserialize;

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::delivery::{Charge, Delivery, Document, Occasion, Period};
use crate::life::Life;
use crate::provider::kinds::Readers;
use crate::provider::tests::wire::{Answer, Wire};
use crate::provider::{
    Claim, Class, Error, Fetched, Finding, Keys, LastAsked, Listed, Part, Provider, Seen, Sighting, Subject, Verdict,
    times,
};

pub(crate) const READERS: Option<Readers> = None;

pub struct Client {
    wire: Wire,
}

#[derive(Deserialize)]
struct Stands {
    status: String,
    ends: Option<i64>,
    cycles: Vec<Cycle>,
}

#[derive(Deserialize)]
struct Cycle {
    id: String,
    paid: i64,
}

#[derive(Deserialize)]
struct Paid {
    id: String,
    amount: String,
    from: i64,
    to: i64,
    invoice: Option<String>,
}

impl Provider for Client {
    async fn look(&self, subject: Subject<'_>, _: Slot) -> Result<Sighting, Error> {
        let answer = self.wire.get(&["lister", subject.subscription_id], None).await?;
        let Answer { verdict, body: Some(body) } = answer else { return Ok(Sighting::refused(answer.verdict)) };
        let (now, Stands { status, ends, cycles }) = (Timestamp::now(), body.read()?);
        let listed = |Cycle { id, paid }| Listed {
            reference: id,
            occasion: Occasion::Renewal,
            completed_at: times::unix(paid, now),
        };
        let seen = Seen::Listed { first: 0, deliveries: cycles.into_iter().map(listed).collect(), doubt: None };
        let life = Some(if status == "gone" { Life::Cancelled } else { Life::Running });
        Ok(Sighting {
            verdict,
            words: Some(status),
            life,
            expires_at: ends.and_then(|ends| times::unix(ends, now)),
            ..Sighting::of(seen)
        })
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, _: Slot) -> Result<Fetched, Error> {
        let answer = self.wire.get(&["lister", subject.subscription_id, "charges", reference], None).await?;
        let Some(body) = answer.body else { return Ok(Fetched::refused(answer.verdict)) };
        let (paid, reference): (Paid, _) = (body.read()?, reference.to_owned());
        let now = Timestamp::now();
        Ok(Fetched::new(Verdict::success(), move |claim| part(claim, &reference, &paid, now)))
    }

    async fn check(&self, known: Vec<LastAsked>, _: &Budget) -> (Vec<Finding>, bool) {
        self.wire.check(known, "lister").await
    }
}

fn part(claim: Claim<'_>, reference: &str, paid: &Paid, now: Timestamp) -> Part {
    if paid.id != claim.subscription_id {
        let message = "the charge is another subscription's".to_owned();
        return Part::bare(Verdict { class: Class::NotFound, code: 0, message });
    }
    let at = |seconds| times::unix(seconds, now);
    let documents = paid.invoice.iter().map(|url| Document { label: "invoice".to_owned(), url: url.clone() });
    let delivery = Delivery {
        period: Some(Period { start: at(paid.from), end: at(paid.to) }),
        charge: Some(Box::new(Charge {
            amount: Some(paid.amount.clone()),
            currency: Some("EUR".to_owned()),
            state: Some("captured".to_owned()),
            attempts: Some(1),
            reference: Some(reference.to_owned()),
        })),
        documents: documents.collect(),
        ..Delivery::default()
    };
    Part { verdict: Verdict::success(), delivery: Some(delivery), dropped: None, keys: Keys::NotExpected }
}
