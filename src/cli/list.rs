//! `renewald list`: subscriptions, a page at a time, with what is odd about each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::naming;
use super::table::{Table, relative, roughly};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::{Outcome, Pace, Rules, State};
use crate::settings::{self, Settings};
use crate::store::{ListFilter, Listed, Store, SubscriptionRow, counts_of};

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// watching, paused, ended or untracked
    #[arg(long)]
    pub state: Option<State>,
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    #[arg(long, value_name = "TERRITORY")]
    pub territory: Option<String>,
    /// Only those without an answer for longer than their interval, unless the budget is the reason
    #[arg(long)]
    pub overdue: bool,
    /// Only those whose term ended without a renewal
    #[arg(long)]
    pub not_renewed: bool,
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Go on where a page ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// What `list --json` prints.
#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    /// For `--cursor`; `null` on the last page.
    next_cursor: Option<String>,
}

/// One subscription, without metadata.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    pub state: State,
    /// `null`: adopted, and not asked yet.
    pub generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub technical_status: Option<String>,
    pub tracked_at: Timestamp,
    pub last_asked_at: Option<Timestamp>,
    /// The last usable one.
    pub last_answer_at: Option<Timestamp>,
    /// Of the last request: `ok`, `not_found`, `refused`, `unreachable` …
    pub last_outcome: Option<Outcome>,
    pub last_detail: Option<String>,
    pub next_poll_at: Option<Timestamp>,
    /// Renewals whose order data is awaited.
    pub waiting_renewals: u32,
    pub overdue: bool,
    /// As late, but only because the budget is too small: asked about once in so many seconds.
    pub expected_wait_seconds: Option<u64>,
    pub not_renewed: bool,
    /// What the last usable answer said that nobody expected.
    pub surprise: Option<String>,
}

impl Item {
    pub fn new(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> Self {
        let subscription = row.subscription.clone();
        Self {
            provider: row.provider.clone(),
            overdue: is_overdue(row, rules, now),
            expected_wait_seconds: None,
            not_renewed: subscription.state == State::Watching
                && subscription.not_renewed_term.is_some()
                && subscription.not_renewed_term == subscription.expires_at,
            territory: subscription.territory,
            partner_order_number: subscription.partner_order_number,
            subscription_id: subscription.subscription_id,
            state: subscription.state,
            generation: subscription.generation,
            expires_at: subscription.expires_at,
            technical_status: subscription.technical_status,
            tracked_at: row.tracked_at,
            last_asked_at: subscription.last_asked_at,
            last_answer_at: subscription.last_answer_at,
            last_outcome: subscription.last_outcome,
            last_detail: subscription.last_detail,
            next_poll_at: subscription.due_at,
            waiting_renewals: row.waiting,
            surprise: subscription.surprise,
        }
    }

    /// Tells one that is overdue from one that the budget lets wait.
    pub fn excuse(&mut self, row: &SubscriptionRow, forecasts: &BTreeMap<String, Forecast>, now: Timestamp) {
        let wait = expected_wait(row, forecasts, now).filter(|_| self.overdue);
        self.expected_wait_seconds = wait.map(|wait| wait.as_secs());
        self.overdue &= wait.is_none();
    }

    /// What a person should look at, shortest first; empty when all is well.
    fn note(&self) -> String {
        let delayed = self.expected_wait_seconds.map(Duration::from_secs);
        let delayed = delayed.map(|wait| format!("delayed by the budget: asked about every {}", roughly(wait)));
        let mut notes = Vec::new();
        match self.last_outcome {
            Some(Outcome::Refused) => notes.push("refused: wrong territory?"),
            Some(Outcome::NotFound) => notes.push("unknown to the provider"),
            Some(Outcome::Ok) | None => {}
            Some(other) => notes.push(other.as_str()),
        }
        for (is_so, note) in [
            (self.overdue, "overdue"),
            (self.surprise.is_some(), "surprise"),
            (self.not_renewed, "not renewed"),
            (self.waiting_renewals > 0, "awaiting order data"),
        ] {
            if is_so {
                notes.push(note);
            }
        }
        notes.extend(delayed.as_deref());
        notes.join(", ")
    }
}

/// As the store's filter has it: watched, not awaiting order data, and without an answer for 1.1 × its interval.
pub fn is_overdue(row: &SubscriptionRow, rules: &Rules, now: Timestamp) -> bool {
    let subscription = &row.subscription;
    let pace = if subscription.pace == Pace::Regular { Pace::Regular } else { Pace::Daily };
    subscription.state == State::Watching
        && row.waiting == 0
        && subscription.last_answer_at.unwrap_or(row.tracked_at) < now - rules.interval(pace).mul_f64(1.1)
}

/// What every provider's budget makes of its subscriptions. Counts all of them: only for when somebody is late.
pub async fn forecasts(settings: &Settings, store: &Store) -> Result<BTreeMap<String, Forecast>, Error> {
    let (groups, rules) = (store.subscription_groups().await?, Rules::from_settings(settings));
    let forecast = |(name, provider): (&String, &settings::Provider)| {
        (name.clone(), Forecast::new(counts_of(&groups, name), &rules, provider.requests_per_second))
    };
    Ok(settings.providers.iter().map(forecast).collect())
}

/// The wait between two polls, for a subscription whose last answer is no older than that makes one expect.
pub fn expected_wait(
    row: &SubscriptionRow,
    forecasts: &BTreeMap<String, Forecast>,
    now: Timestamp,
) -> Option<Duration> {
    let subscription = &row.subscription;
    let wait = forecasts.get(&row.provider)?.wait(subscription.lane, subscription.pace);
    let since = subscription.last_answer_at.unwrap_or(row.tracked_at);
    (subscription.failures == 0 && since >= now - wait.mul_f64(1.1)).then_some(wait)
}

pub async fn run(args: ListArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let rules = Rules::from_settings(&settings);
    let now = Timestamp::now();
    let filter = ListFilter {
        state: args.state,
        provider: args.provider,
        territory: args.territory,
        overdue: args.overdue.then(|| rules.clone()),
        forecasts: if args.overdue { forecasts(&settings, &store).await? } else { BTreeMap::new() },
        not_renewed: args.not_renewed,
        after: args.cursor.as_deref().map_or(Ok(0), cursor)?,
        limit: usize::from(args.limit),
    };
    let Listed { items: rows, next } = store.list(filter, now).await?;
    let mut items: Vec<Item> = rows.iter().map(|row| Item::new(row, &rules, now)).collect();
    if !args.overdue && items.iter().any(|item| item.overdue) {
        let forecasts = forecasts(&settings, &store).await?;
        items.iter_mut().zip(&rows).for_each(|(item, row)| item.excuse(row, &forecasts, now));
    }
    store.close().await;
    let next_cursor = next.map(|row| row.to_string());
    if context.global.json {
        context.print_json(&Page { items, next_cursor })?;
        return Ok(Exit::Done);
    }
    if items.is_empty() {
        context.complain("no subscription matches");
        return Ok(Exit::Done);
    }
    context.print(&table(&items, now).to_text())?;
    if let Some(cursor) = next_cursor {
        context.complain(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

fn cursor(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::usage("--cursor takes the next_cursor of a page"))
}

fn table(items: &[Item], now: Timestamp) -> Table {
    let ago = |at: Option<Timestamp>, none: &str| at.map_or(none.to_owned(), |at| relative(at, now));
    let mut table = Table::new(&[
        "number",
        "subscription",
        "territory",
        "state",
        "generation",
        "expires",
        "last answer",
        "next poll",
        "note",
    ]);
    for item in items {
        table.row([
            item.partner_order_number.clone(),
            item.subscription_id.to_string(),
            format!("{}/{}", item.provider, item.territory),
            item.state.to_string(),
            item.generation.map_or("adopted".to_owned(), |generation| generation.to_string()),
            item.expires_at.map_or(String::new(), |at| at.to_string()[..10].to_owned()),
            ago(item.last_answer_at, "never"),
            item.next_poll_at.map_or("-".to_owned(), |at| if at <= now { "due".to_owned() } else { relative(at, now) }),
            item.note(),
        ]);
    }
    table
}
