//! `/`: is every promise kept, what waits, and what must somebody do?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::Mutex;

use super::Pages;
use super::door::Visitor;
use super::html::Page;
use super::plots::{Bar, Plot};
use crate::clock::Timestamp;
use crate::settings::format_duration;
use crate::store::{self, RenewalDay};
use crate::view::{Status, Sums, Verdict};

const DAYS: i64 = 90;
const DAY: i64 = 86_400;
/// Ages are counted no oftener, and take a twentieth of the time at the most: every subscription is read for it.
const AGES_EVERY: Duration = Duration::from_secs(60);
const REST: u32 = 20;

#[derive(Serialize)]
struct Overview<'a> {
    verdict: Verdict,
    status: &'a Status,
    budgets: BTreeMap<&'a str, i64>,
    freshness: Plot,
    days: Plot,
    delivered: Delivered,
}

/// Of the renewals of these days.
#[derive(Serialize)]
struct Delivered {
    days: i64,
    seen: i64,
    delivered: i64,
    within: [(&'static str, String); 3],
}

pub async fn show(State(pages): State<Arc<Pages>>, visitor: Visitor) -> Response {
    pages.html.shown(overview(&pages, &visitor).await)
}

async fn overview(pages: &Pages, visitor: &Visitor) -> Page {
    let (site, now) = (&pages.site, Timestamp::now());
    let live = site.live();
    let every = live.settings.poll.every;
    let status = Status::read(&live.settings, &site.counting, now).await?;
    let today = now.as_unix().div_euclid(DAY);
    let days = site.store.renewal_days(today - DAYS + 1).await?;
    let ages = pages.freshness.of(&site.counting, status.providers.keys(), every, now).await?;
    let budgets = live.budgets.iter().map(|(name, budget)| (name.as_str(), (budget.state().used_share * 100.0) as i64));
    let content = Overview {
        verdict: Sums::of(&status).verdict(every),
        budgets: budgets.collect(),
        freshness: freshness(&ages, every),
        delivered: delivered(&days),
        days: plot(&days, today),
        status: &status,
    };
    Ok(pages.html.page("overview.html", "overview", visitor, content))
}

fn plot(days: &[RenewalDay], today: i64) -> Plot {
    let of = |day: i64| days.iter().find(|one| one.day == day).map_or(0, |one| one.seen);
    let date =
        |day: i64| Timestamp::from_unix(day * DAY).to_string().chars().take("2026-12-24".len()).collect::<String>();
    let bars = (today - DAYS + 1..=today).map(|day| Bar::new(date(day), of(day), "good"));
    Plot::new("days", format!("Renewals seen a day, {DAYS} days"), bars.collect())
}

fn delivered(days: &[RenewalDay]) -> Delivered {
    let sum = |of: fn(&RenewalDay) -> i64| days.iter().map(of).sum::<i64>();
    let (seen, delivered) = (sum(|day| day.seen), sum(|day| day.delivered));
    let share = |within: i64| match delivered {
        0 => "–".to_owned(),
        all => format!("{:.1} %", within as f64 * 100.0 / all as f64),
    };
    let within = [
        ("a minute", share(sum(|day| day.within_minute))),
        ("an hour", share(sum(|day| day.within_hour))),
        ("a day", share(sum(|day| day.within_day))),
    ];
    Delivered { days: DAYS, seen, delivered, within }
}

/// Quarters of the promised interval, the tenth that is forgiven, and what is late.
const PARTS: [f64; 5] = [0.25, 0.5, 0.75, 1.0, 1.1];

fn freshness(ages: &[i64], every: Duration) -> Plot {
    let label = |n: usize| match PARTS.get(n) {
        Some(part) => format!("under {}", format_duration(Duration::from_secs(every.mul_f64(*part).as_secs()))),
        None => "older".to_owned(),
    };
    let tone = |n: usize| match n {
        0..=3 => "good",
        4 => "fair",
        _ => "bad",
    };
    let bars = ages.iter().enumerate().map(|(n, count)| Bar::new(label(n), *count, tone(n)));
    let title = format!("Age of the last answers, promised every {}", format_duration(every));
    Plot::new("freshness", title, bars.collect())
}

/// The ages that were counted last.
#[derive(Default)]
pub struct Freshness(Mutex<Option<Counted>>);

struct Counted {
    /// The interval that they were held against.
    every: Duration,
    at: Instant,
    took: Duration,
    ages: Vec<i64>,
}

impl Freshness {
    async fn of(
        &self,
        store: &store::Store,
        providers: impl Iterator<Item = &String>,
        every: Duration,
        now: Timestamp,
    ) -> Result<Vec<i64>, store::Error> {
        let mut last = self.0.lock().await;
        let is_fresh = |one: &&Counted| one.every == every && one.at.elapsed() < AGES_EVERY.max(one.took * REST);
        if let Some(counted) = last.as_ref().filter(is_fresh) {
            return Ok(counted.ages.clone());
        }
        let started = Instant::now();
        let bounds: Vec<i64> = PARTS.iter().map(|part| every.mul_f64(*part).as_secs() as i64).collect();
        let mut ages = vec![0; bounds.len() + 1];
        for provider in providers {
            let counts = store.count_ages(provider, bounds.clone(), now).await?;
            ages.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        *last = Some(Counted { every, at: Instant::now(), took: started.elapsed(), ages: ages.clone() });
        Ok(ages)
    }
}

/// What the script asks for: the sentence as it is now.
pub async fn brief(pages: &Pages) -> Result<Verdict, store::Error> {
    let live = pages.site.live();
    let status = Status::read(&live.settings, &pages.site.counting, Timestamp::now()).await?;
    Ok(Sums::of(&status).verdict(live.settings.poll.every))
}
