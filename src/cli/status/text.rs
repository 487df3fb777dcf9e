//! `status` for a person: what is well in one line each, what is not with what it means.

use std::fmt::Write;

use crate::cli::table::{bold, folded};
use crate::clock::Timestamp;
use crate::convention::Advice;
use crate::renewal::walk::End;
use crate::renewal::ways::Trust;
use crate::settings::Settings;
use crate::store::counted;
use crate::text::{number_of, size, visible};
use crate::view::ages::{relative, roughly};
use crate::view::{Account, Distrusted, Feed, Receiver, Status, Walk};

pub fn of(status: &Status, settings: &Settings) -> String {
    let mut text = String::new();
    let database = &status.database;
    let running = if status.running { "running" } else { "not running: nobody asks and nothing is delivered" };
    line(&mut text, "instance", running);
    line(&mut text, "database", &format!("{}, {}", database.path, size(database.bytes.unsigned_abs())));
    for alert in &status.alerts {
        let since = relative(alert.raised_at, status.at);
        line(&mut text, "alert", &format!("{} {}, {since}: {}", alert.kind, alert.subject, alert.text));
    }
    for (name, account) in &status.providers {
        text.push_str(&format!("\n{}\n", bold(&format!("provider {}", visible(name)))));
        describe(&mut text, account, settings.advice(name), status.at);
        trouble(&mut text, account, status);
    }
    text.push_str(&format!("\n{}\n", bold("sinks")));
    for receiver in &status.sinks {
        line(&mut text, &receiver.sink, &sink(receiver, status.at));
    }
    text
}

fn describe(text: &mut String, account: &Account, advice: Option<&Advice>, now: Timestamp) {
    let states: Vec<_> = account.subscriptions.iter().filter(|(_, count)| **count > 0).collect();
    let states: Vec<_> = states.into_iter().rev().map(|(state, count)| format!("{count} {state}")).collect();
    line(text, "subscriptions", if states.is_empty() { "none".to_owned() } else { states.join(", ") }.as_str());
    let late = &account.late;
    if late.overdue > 0 {
        line(text, "overdue", &format!("{}: see `renewald list --overdue`", counted(late.overdue)));
    }
    if late.delayed > 0 {
        let wait = roughly(account.forecast.other_wait());
        line(text, "delayed", &format!("{} by the budget; each is asked about every {wait}", counted(late.delayed)));
    }
    if late.failing > 0 {
        let what = "at the last poll without a usable answer: `renewald explain` says what came instead";
        line(text, "failing", &format!("{} {what}", counted(late.failing)));
    }
    if late.refused > 0 {
        let reasons = advice.map(|advice| format!("{}: ", advice.reasons)).unwrap_or_default();
        line(text, "refused", &format!("{}: {reasons}see `renewald list --refused`", counted(late.refused)));
    }
    if late.unknown > 0 {
        let what = "wrong number, id or territory: see `renewald list --unknown`";
        line(text, "unknown", &format!("{}: {what}", counted(late.unknown)));
    }
    if late.surprises > 0 {
        let what = "answered for as cannot be right: see `renewald list --surprise`";
        line(text, "surprise", &format!("{}: {what}", counted(late.surprises)));
    }
    let waiting = &account.waiting;
    let wait = if waiting.renewals == 1 { "waits" } else { "wait" };
    let oldest =
        waiting.oldest_detected_at.map_or(String::new(), |at| format!(", the oldest seen {}", relative(at, now)));
    line(text, "order data", &format!("{} {wait} for it{oldest}", number_of(waiting.renewals, "renewal")));
    let orders = &account.orders;
    if orders.unclear + orders.waiting > 0 {
        let told = format!("{} not known to be placed, {} waiting at the provider", orders.unclear, orders.waiting);
        line(text, "orders", &told);
    }
    let warned = &account.warned;
    if warned.renewals > 0 {
        let renewals = if warned.renewals == 1 { "renewal" } else { "renewals" };
        let told = format!(
            "{} {renewals} in the last 30 days: {warned}; see `renewald list --warned`",
            counted(warned.renewals)
        );
        line(text, "warned", &told);
    }
    for stopped in &account.stopped_territories {
        let since = relative(stopped.stopped_at, now);
        line(text, "stopped", &format!("territory {}, {since}: {}", stopped.territory, stopped.reason));
    }
    if let Some(feed) = &account.feed {
        lists(text, feed, now);
    }
    let shared = match account.shares_budget_with.join(", ") {
        none if none.is_empty() => String::new(),
        names => format!("; shared with {names}"),
    };
    line(text, "budget", &format!("{}{shared}", account.forecast.to_text()));
}

/// What the provider lists by itself, and how far to believe it.
fn lists(text: &mut String, feed: &Feed, now: Timestamp) {
    let walks: Vec<_> = [("changes", &feed.changes), ("everything", &feed.everything)]
        .into_iter()
        .filter_map(|(what, walk)| Some(walked(what, walk.as_ref()?, now)))
        .collect();
    line(text, "lists", if walks.is_empty() { "not read yet".to_owned() } else { walks.join("; ") }.as_str());
    let untracked = [&feed.changes, &feed.everything].into_iter().flatten().filter_map(|walk| walk.untracked).max();
    if let Some(untracked) = untracked.filter(|untracked| *untracked > 0) {
        line(text, "not tracked", &format!("{untracked} of those listed: see `renewald discover`"));
    }
    for Distrusted { way, trust, why, since, seen_at } in &feed.distrusted {
        let what = match trust {
            Trust::Off => "not read",
            Trust::HintsOnly => "not believed, only taken for hints",
        };
        let (since, seen) = (relative(*since, now), relative(*seen_at, now));
        line(text, "list", &format!("{way}: {what}, first {since}, last {seen}, tried again daily: {why}"));
    }
}

fn walked(what: &str, walk: &Walk, now: Timestamp) -> String {
    let Walk { way, begun_at, pages, ended, whole_at, .. } = walk;
    let pages = number_of(i64::from(*pages), "page");
    let how = match ended {
        None => format!("under way since {}, {pages} so far", relative(*begun_at, now)),
        Some(End::Whole) => format!("read {}, {pages}", relative(*begun_at, now)),
        Some(End::Repeats) => format!("broken off {} after {pages} that brought nobody new", relative(*begun_at, now)),
        Some(End::TooLong) => format!("broken off {} after {pages}: it has no end", relative(*begun_at, now)),
        Some(End::TooDear) => "not read: asking about each alone takes fewer requests".to_owned(),
        Some(End::Fault) => format!("broken off {}", relative(*begun_at, now)),
    };
    let whole = whole_at.filter(|_| !matches!(ended, Some(End::Whole | End::TooDear)));
    let whole = whole.map(|at| format!(", all of it {}", relative(at, now))).unwrap_or_default();
    format!("{what} by {way} {how}{whole}")
}

/// What holds requests up, and until when.
fn trouble(text: &mut String, account: &Account, status: &Status) {
    if let Some(breaker) = &account.trouble.breaker {
        let next = if !status.running {
            "asked again at the next start".to_owned()
        } else if breaker.next_probe_at > status.at {
            format!("single requests only, the next {}", relative(breaker.next_probe_at, status.at))
        } else {
            "single requests only, one is under way".to_owned()
        };
        let length = roughly(status.at.since(breaker.open_since));
        line(text, "no answer", &format!("for {length}, {next}: {}", breaker.reason));
    }
    if let Some(until) = account.trouble.paused_until {
        let again = relative(until, status.at);
        line(text, "paused", &format!("the provider answered 429 with Retry-After: asked again {again}"));
    }
    if let Some(slowed) = &account.trouble.slowed {
        let (from, to) = (slowed.requests_per_second, account.requests_per_second);
        let whole = relative(slowed.until, status.at);
        line(
            text,
            "slowed down",
            &format!("the provider answered 429: {from:.1} of {to} requests a second, all of them {whole}"),
        );
    }
}

fn sink(receiver: &Receiver, now: Timestamp) -> String {
    let mut told = format!("{} pending, {} dead", receiver.pending, receiver.dead);
    if let Some(at) = receiver.last_success_at {
        told.push_str(&format!(", last success {}", relative(at, now)));
    }
    if let Some(since) = receiver.blocked_since {
        let error = receiver.last_error.as_deref().unwrap_or("unknown");
        told.push_str(&format!("; in trouble for {}: {error}", roughly(now.since(since))));
    }
    if !receiver.configured {
        told.push_str(&format!(
            "; not in the settings: `renewald queue move --from {} --to …` or `purge`",
            receiver.sink
        ));
    }
    told
}

/// The names stand in a column of their own.
fn line(text: &mut String, name: &str, told: &str) {
    let name = format!("{:<14}", visible(name));
    let told = folded(&visible(told), name.chars().count(), 14);
    // Writing to a string cannot fail.
    writeln!(text, "{name}{told}").ok();
}
