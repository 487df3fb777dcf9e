//! What happened, learned as a stranger would: from the provider's books, the database, and what the shop received.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::stage::{Actor, Paid, Stage};
use super::story::{Happening, Tone, elapsed};
use crate::cli::{Error, Exit};
use crate::clock::Timestamp;
use crate::store::{ListFilter, RenewalRow, Store};
use crate::text::visible;

/// Looks at everything again and again, and tells what is new since the last look.
#[derive(Debug)]
pub(super) struct Witness {
    stage: Arc<dyn Stage>,
    actors: Vec<Actor>,
    /// The provider's renewals told so far.
    renewed: usize,
    /// As last seen, by the store's row and the generation.
    renewals: HashMap<(i64, i64), RenewalRow>,
    deliveries: PathBuf,
    /// How much of that file was read.
    read_to: u64,
    /// Every message the shop received.
    received: Vec<Value>,
}

impl Witness {
    pub(super) fn new(stage: Arc<dyn Stage>, actors: Vec<Actor>, deliveries: &Path) -> Self {
        Self {
            stage,
            actors,
            renewed: 0,
            renewals: HashMap::new(),
            deliveries: deliveries.to_owned(),
            read_to: 0,
            received: Vec::new(),
        }
    }

    pub(super) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    pub(super) fn received(&self) -> &[Value] {
        &self.received
    }

    /// What the provider renewed.
    pub(super) fn at_the_provider(&mut self) -> Vec<Happening> {
        let renewals = self.stage.renewals();
        let new = &renewals[self.renewed.min(renewals.len())..];
        let told = new.iter().map(|renewal| Happening {
            label: self.label(&renewal.number, &renewal.subscription_id),
            text: self.renewed(renewal),
            tone: Tone::Quiet,
        });
        let told = told.collect();
        self.renewed = renewals.len();
        told
    }

    /// What renewald found out and what it made of it.
    pub(super) async fn in_the_database(&mut self, store: &Store, now: Timestamp) -> Result<Vec<Happening>, Error> {
        let mut told = Vec::new();
        let filter = ListFilter { limit: self.actors.len(), ..ListFilter::default() };
        for item in store.list(filter, now).await?.items {
            let subscription = item.subscription;
            for renewal in store.renewals_of(subscription.row).await? {
                let before = self.renewals.insert((subscription.row, renewal.generation), renewal.clone());
                let label = self.label(&subscription.partner_order_number, &subscription.subscription_id);
                let paid = self.paid(&subscription.partner_order_number, &subscription.subscription_id, &renewal);
                told.extend(happened(before.as_ref(), &renewal, paid.as_ref(), label));
            }
        }
        Ok(told)
    }

    /// What arrived at the shop.
    pub(super) fn at_the_shop(&mut self) -> Result<Vec<Happening>, Error> {
        let lines = self.new_lines().map_err(|error| {
            Error::new(Exit::Failed, visible(&format!("cannot read {}: {error}", self.deliveries.display())))
        })?;
        let mut told = Vec::new();
        for line in lines.lines() {
            let message: Value = serde_json::from_str(line)
                .map_err(|error| Error::new(Exit::Failed, format!("a delivered line is no JSON: {error}")))?;
            let about = &message["data"]["subscription"];
            let number = about["partner_order_number"].as_str().unwrap_or_default();
            let label = self.label(number, about["subscription_id"].as_str().unwrap_or_default());
            let (text, tone) = arrival(&message);
            told.push(Happening { label, text, tone });
            self.received.push(message);
        }
        Ok(told)
    }

    fn new_lines(&mut self) -> io::Result<String> {
        let mut file = match File::open(&self.deliveries) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut lines = String::new();
        self.read_to += file.read_to_string(&mut lines)? as u64;
        Ok(lines)
    }

    fn actor(&self, number: &str, subscription_id: &str) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.number == number && actor.subscription_id == subscription_id)
    }

    fn label(&self, number: &str, subscription_id: &str) -> String {
        self.actor(number, subscription_id).map_or_else(|| visible(number), |actor| actor.label.clone())
    }

    /// Names the case as well, so that the reader knows what to look for.
    fn renewed(&self, renewal: &Paid) -> String {
        let case = self.actor(&renewal.number, &renewal.subscription_id).map(|actor| actor.case).unwrap_or_default();
        format!("renewed: {} ({case})", renewal.reference)
    }

    /// The same renewal in the provider's books.
    fn paid(&self, number: &str, subscription_id: &str, row: &RenewalRow) -> Option<Paid> {
        self.stage.renewals().into_iter().find(|renewal| {
            renewal.number == number
                && renewal.subscription_id == subscription_id
                && renewal.generation == row.generation
        })
    }
}

/// How a renewal went on since the last look.
fn happened(before: Option<&RenewalRow>, after: &RenewalRow, paid: Option<&Paid>, label: String) -> Option<Happening> {
    let seen = before.is_none().then(|| match paid {
        Some(paid) => format!("seen after {}", elapsed(after.detected_at.since(paid.renewed_at))),
        None => format!("{} seen, which the provider never renewed", visible(&after.reference)),
    });
    let news = news(before, after);
    let tone = news.as_ref().map_or(Tone::Plain, |(_, tone)| *tone);
    let told: Vec<String> = seen.into_iter().chain(news.map(|(text, _)| text)).collect();
    (!told.is_empty()).then(|| Happening { label, text: told.join("; "), tone })
}

/// What came of asking for order data; nothing new when the same answer came again.
fn news(before: Option<&RenewalRow>, after: &RenewalRow) -> Option<(String, Tone)> {
    let detail = after.last_detail.as_deref().map(visible).unwrap_or_default();
    let waited = || elapsed(after.settled_at.unwrap_or(after.detected_at).since(after.detected_at));
    if before.is_some_and(|before| before.state == after.state && before.last_detail == after.last_detail) {
        return None;
    }
    Some(match after.state.as_str() {
        "queued" if after.attempts <= 1 => ("order data fetched, queued".into(), Tone::Plain),
        "queued" => (format!("order data after {}, attempt {}; queued", waited(), after.attempts), Tone::Plain),
        "abandoned" => (format!("order data refused for ever, {detail}"), Tone::Bad),
        _ => (format!("order data not ready, {detail}"), Tone::NotYet),
    })
}

/// What a message tells the shop.
fn arrival(message: &Value) -> (String, Tone) {
    let data = &message["data"];
    let text = |field: &str| visible(data[field].as_str().unwrap_or("?"));
    match event(message) {
        "renewal.ready" => (format!("{} delivered: {}", name_of(data), contents(data)), Tone::Good),
        "renewal.failed" => (format!("shop told: no key for {} ({})", name_of(data), text("reason")), Tone::Bad),
        "renewal.payment_failing" => (format!("shop told: payment fails ({})", text("reason")), Tone::NotYet),
        "subscription.offer" => (format!("shop told: offer {} ({})", text("state"), text("order_number")), Tone::Plain),
        "subscription.status_changed" => (format!("shop told: {} became {}", text("from"), text("to")), Tone::Plain),
        "subscription.renewal_due" => (format!("shop told: payment is due before {}", text("expires_at")), Tone::Plain),
        "subscription.ended" => (format!("shop told: ended ({}); asked monthly now", text("reason")), Tone::Plain),
        "subscription.not_renewed" => ("shop told: not renewed two weeks after its end".into(), Tone::NotYet),
        other => (format!("shop told: {}", visible(other)), Tone::Plain),
    }
}

/// The number of its order, or what else the provider calls it.
fn name_of(data: &Value) -> String {
    let named = ["partner_order_number", "order_number"].iter().find_map(|field| data[*field].as_str());
    named.map_or_else(|| format!("renewal {}", visible(data["reference"].as_str().unwrap_or("?"))), visible)
}

/// `renewal.ready` of `renewald.renewal.ready.v1`.
pub(super) fn event(message: &Value) -> &str {
    let name = message["type"].as_str().unwrap_or_default();
    name.trim_start_matches("renewald.").trim_end_matches(".v1")
}

/// Every serial's data in a `renewal.ready`, in its order.
pub(super) fn keys(data: &Value) -> Vec<&str> {
    serials(data).filter_map(|serial| serial["data"].as_str()).collect()
}

pub(super) fn locker_link(data: &Value) -> Option<&str> {
    let mut links = lines(data).filter_map(|line| line["digital_locker_link"].as_str());
    links.find(|link| !link.is_empty())
}

fn lines(data: &Value) -> impl Iterator<Item = &Value> {
    data["lines"].as_array().into_iter().flatten()
}

fn serials(data: &Value) -> impl Iterator<Item = &Value> {
    lines(data).flat_map(|line| line["serials"].as_array().into_iter().flatten())
}

/// What the customer gets, of each key only the beginning.
fn contents(data: &Value) -> String {
    let shown: Vec<String> = keys(data).into_iter().map(masked).collect();
    let file = serials(data).find_map(|serial| serial["file_name"].as_str().filter(|name| !name.is_empty()));
    match (shown.as_slice(), file) {
        ([], _) if !data["charge"].is_null() => paid(&data["charge"]),
        ([], _) if locker_link(data).is_some() => "link to the digital locker".into(),
        ([], _) => "no key".into(),
        (keys, Some(name)) => format!("file {} ({})", visible(name), keys.join(", ")),
        ([key], None) => format!("key {key}"),
        (keys, None) => format!("keys {}", keys.join(", ")),
    }
}

fn paid(charge: &Value) -> String {
    let text = |field: &str| visible(charge[field].as_str().unwrap_or("?"));
    format!("{} {} paid", text("amount"), text("currency"))
}

fn masked(key: &str) -> String {
    format!("{}…", visible(&key.chars().take(4).collect::<String>()))
}
