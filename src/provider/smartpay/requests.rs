//! The single questions: an address each, its answer read, and a slot for every request after the first.

use std::collections::BTreeSet;

use reqwest::{Method, Request};
use tokio::time::Instant;

use super::Client;
use super::convention::{documented, is_same};
use super::cycle::{Cycle, Cycles};
use super::fields::Fields;
use super::memo::Memo;
use super::page::{Page, ROWS, Rows};
use super::refusal::{Asked, sorted};
use super::transaction::Transaction;
use super::{keys, subscription};
use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::delivery::Line;
use crate::provider::http::{Answer, Endpoint, MIB};
use crate::provider::url::{below, encoded};
use crate::provider::{Class, Error, Subject, Verdict, body};

pub(super) const SUBSCRIPTION: Endpoint = Endpoint { name: "subscription", limit: MIB };
pub(super) const CYCLES: Endpoint = Endpoint { name: "billing cycles", limit: 8 * MIB };
const CYCLE: Endpoint = Endpoint { name: "billing cycle", limit: MIB };
const TRANSACTIONS: Endpoint = Endpoint { name: "transactions", limit: 8 * MIB };

/// More than any subscription has, even ten to a page.
const MOST_PAGES: usize = 100;

impl Client {
    /// `path` begins with a slash, and what is not ours in it is encoded.
    pub(super) async fn get(&self, endpoint: Endpoint, path: &str, slot: Slot) -> Asked<Answer> {
        let url = below(&self.api, path).ok_or_else(|| body::unreadable("no URL"))?;
        let asked_at = Instant::now();
        let answer = self.http.send(Request::new(Method::GET, url), endpoint.limit, slot).await?;
        tracing::debug!(endpoint = endpoint.name, status = answer.status, elapsed = ?asked_at.elapsed(), "asked");
        sorted(answer, self.has_authentication_key)
    }

    async fn further(&self) -> Result<Slot, Error> {
        self.http.further_slot().await
    }

    /// As the API spells this subscription's id, as far as that is known.
    pub(super) fn spelling(&self, subject: Subject<'_>) -> String {
        let id = subject.subscription_id;
        let noted = Memo::read(subject.memo).and_then(|memo| memo.id).filter(|noted| is_same(noted, id));
        noted.unwrap_or_else(|| documented(id, "Subscription-"))
    }

    /// In lower case as well, where nobody knows yet how it is spelled.
    pub(super) async fn subscription(&self, subject: Subject<'_>, slot: Slot) -> Asked<Answer> {
        let (id, spelling) = (subject.subscription_id, self.spelling(subject));
        match self.get(SUBSCRIPTION, &subscription_path(&spelling), slot).await? {
            Err(verdict) if verdict.class == Class::NotFound && spelling != id && subject.memo.is_none() => {
                self.get(SUBSCRIPTION, &subscription_path(id), self.further().await?).await
            }
            asked => Ok(asked),
        }
    }

    /// All of a list, page by page.
    async fn all<T>(
        &self,
        endpoint: Endpoint,
        path: &str,
        row: impl Fn(&Fields<'_>, Timestamp) -> Option<(String, T)>,
    ) -> Asked<Rows<T>> {
        let mut rows = Rows::default();
        for number in 0..MOST_PAGES {
            let path = format!("{path}?page={number}&pageSize={ROWS}");
            let answer = match self.get(endpoint, &path, self.further().await?).await? {
                Ok(answer) => answer,
                Err(verdict) => return Ok(Err(verdict)),
            };
            if rows.take(Page::read(&answer.body)?, number, |fields| row(fields, answer.at)) {
                break;
            }
        }
        Ok(Ok(rows))
    }

    /// Those of the subscription that is spelled so. One that names another is that of a server that answers for everybody.
    pub(super) async fn cycles(&self, id: &str) -> Asked<Cycles> {
        let row = |fields: &Fields<'_>, at| Cycle::of(fields, at).map(|cycle| (cycle.id.clone(), cycle));
        let rows = self.all(CYCLES, &format!("{}/billing-cycles", subscription_path(id)), row).await?;
        Ok(rows.map(|Rows { mut all, is_whole, is_short, .. }| {
            let before = all.len();
            all.retain(|cycle| cycle.subscription_id.as_ref().is_none_or(|own| is_same(own, id)));
            // A list of nothing but other people's is not one of ours that is empty.
            let is_ours = !all.is_empty() || before == 0;
            Cycles { all, is_whole: is_whole && is_ours, is_short }
        }))
    }

    /// The same. By a first list it is decided what the customer has had: one that counts more than it shows must show the same again,
    /// else its count may be right.
    pub(super) async fn cycles_for(&self, id: &str, is_first: bool) -> Asked<Cycles> {
        let cycles = match self.cycles(id).await? {
            Ok(cycles) if is_first && cycles.is_whole && cycles.is_short => cycles,
            asked => return Ok(asked),
        };
        let ids =
            |cycles: &Cycles| cycles.all.iter().map(|cycle| cycle.id.to_ascii_lowercase()).collect::<BTreeSet<_>>();
        Ok(self
            .cycles(id)
            .await?
            .map(|again| Cycles { is_whole: again.is_whole && ids(&again) == ids(&cycles), ..again }))
    }

    /// The billing cycle that this names; the API may spell its id otherwise, and mind.
    pub(super) async fn cycle(&self, id: &str, reference: &str, slot: Slot) -> Asked<Cycle> {
        let spelling = documented(reference, "BillingCycle-");
        let path = format!("{}/billing-cycles/{}", subscription_path(id), encoded(&spelling));
        let verdict = match self.get(CYCLE, &path, slot).await? {
            Ok(answer) => {
                let cycle = Cycle::of(&body::parse(&answer.body)?, answer.at);
                return cycle.map(Ok).ok_or_else(|| body::unreadable("a billing cycle without id"));
            }
            Err(verdict) if verdict.class == Class::NotFound => verdict,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let is_it = |cycle: &Cycle| cycle.reference.as_deref() == Some(reference);
        let cycles = self.cycles(id).await?;
        Ok(cycles.and_then(|cycles| cycles.all.into_iter().find(is_it).ok_or(verdict)))
    }

    /// The attempts to charge it. They only add to what the billing cycle tells: what refuses them refuses nothing else, and is no
    /// reason to keep that back for long.
    pub(super) async fn transactions(&self, id: &str, cycle: &str) -> Result<Result<Vec<Transaction>, Verdict>, Error> {
        let path = format!("{}/billing-cycles/{}/transactions", subscription_path(id), encoded(cycle));
        let row = |fields: &Fields<'_>, at| Transaction::of(fields, at).map(|one| (one.id.clone(), one));
        let refused = |class, code, message: String| Ok(Err(Verdict { class, code, message }));
        match self.all(TRANSACTIONS, &path, row).await {
            Ok(asked) => Ok(asked.map(|rows| rows.all)),
            Err(Error::Unavailable { status, .. }) => refused(Class::Transient, i64::from(status), String::new()),
            Err(Error::Rejected { status }) => refused(Class::Permanent, i64::from(status), String::new()),
            Err(Error::Unreadable { reason }) => refused(Class::Permanent, 0, reason),
            Err(error) => Err(error),
        }
    }

    /// What the operator put into the subscription's metadata.
    pub(super) async fn keys(&self, subject: Subject<'_>, pointer: &str) -> Asked<Option<Line>> {
        let answer = match self.subscription(subject, self.further().await?).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let told = subscription::read(&answer.body, answer.at)?;
        if !is_same(&told.id, subject.subscription_id) {
            return Ok(Err(super::part::not_ours("answered for another subscription")));
        }
        Ok(Ok(keys::found(&body::parse(&answer.body)?, pointer)))
    }
}

pub(super) fn subscription_path(id: &str) -> String {
    format!("/subscriptions/{}", encoded(id))
}
