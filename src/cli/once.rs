//! `renewald once`: one catch-up pass, for cron and for a look at what there is to do.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use super::context::style;
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::daemon::{self, CaughtUp, Worker};
use crate::delivery::Warned;
use crate::logging;
use crate::renewal::Rules;
use crate::settings::{Settings, SinkKind, parse_duration};
use crate::signals::{Shutdown, Signals};
use crate::store::{self, Access, Alert, AlertChange, InstanceLock, LastFailure, Store};
use crate::text::number_of;
use crate::view::ages::relative;

const POLLING: &str = "{bar:30} {pos}/{len} polls, {rate}/s, {eta} left";
/// A bar that did not move for so long does not tell what the run waits for.
const STANDS_STILL: Duration = Duration::from_secs(5);
/// What is due so soon is waited for.
const SOON: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub struct OnceArgs {
    /// Say nothing unless a person is needed: for cron
    #[arg(long)]
    pub cron: bool,
    /// Stop asking after this long (exit 75 if something is left to do)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub max_time: Option<Duration>,
    /// Wait a random part of this first, unless on a terminal: not everybody is to ask on the hour
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub jitter: Option<Duration>,
    /// Tell what would be asked and sent; ask, send and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What `once --json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    polls: u64,
    renewals: u64,
    queued: u64,
    /// Of these, those with a warning.
    warned: Warned,
    abandoned: u64,
    delivered: u64,
    dead: u64,
    /// Calls without a usable answer.
    failures: u64,
    /// Polls that the provider refused: wrong territory, secret or address.
    refused: u64,
    /// Polls of subscriptions that the provider does not know.
    unknown: u64,
    surprises: u64,
    /// Terms that ended without a renewal, told this once.
    not_renewed: u64,
    stopped_territories: Vec<String>,
    /// Ended early by a signal, `--max-time` or a provider that stays away, or a sink in trouble keeps messages waiting.
    work_left: bool,
}

/// What `once --dry-run --json` prints.
#[derive(Debug, Serialize)]
struct DryRun {
    polls: i64,
    order_data: i64,
    dispatches: i64,
}

pub async fn run(args: OnceArgs, context: &Context) -> Result<Exit, Error> {
    let loaded = context.settings()?;
    let settings = Arc::new(loaded.settings);
    if args.dry_run {
        return dry_run(context, &settings).await;
    }
    let bar = ProgressBar::hidden();
    // Under cron every line is a mail, and an outage would send one each time: what a person must know is said at the end.
    if !args.cron {
        // A bar has the terminal to itself, but for what needs a look.
        let bar_is_shown = context.shows_progress() && context.global.verbose == 0;
        let verbosity = context.verbosity().saturating_sub(i8::from(bar_is_shown));
        logging::init_around(bar.clone(), &settings.log, verbosity)
            .map_err(|e| Error::new(Exit::Settings, crate::chain(&e)))?;
    }
    context.become_owner(&settings)?;
    let lock = match InstanceLock::acquire(&settings.store.path) {
        Err(store::Error::Locked { .. }) if args.cron => return Ok(Exit::TryLater),
        other => other?,
    };
    let signals = Signals::install().map_err(daemon::Error::Signals)?;
    let store = Store::open(&settings.store.path, Access::Instance(lock))?;
    let mut worker = Worker::new(settings.clone(), store)?;
    let store = worker.store.clone();
    if let Some(reason) = store.vault().trouble() {
        return Err(Error::new(Exit::Settings, reason));
    }
    let limit = args.max_time.map(|limit| stop_after(limit, signals.shutdown.clone()));
    // With the lock in hand: a second copy leaves at once.
    if let Some(longest) = args.jitter.filter(|_| !std::io::stderr().is_terminal()) {
        wait_a_part_of(longest, &signals.shutdown).await;
    }

    let begun = Timestamp::now();
    let horizon = begun + Rules::from_settings(&settings).every / 8;
    let due = if context.shows_progress() { store.count_due(horizon).await?.polls } else { 0 };
    context.show(&bar, u64::try_from(due).unwrap_or(0), POLLING);
    let progress = |polls| bar.set_position(polls);
    let done = tokio::select! {
        done = worker.catch_up(&signals.shutdown, &progress) => done,
        never = tell_waiting(&bar, &store), if context.shows_progress() => match never {},
    };
    bar.finish_and_clear();
    if let Some(limit) = limit {
        limit.abort();
    }
    let done = done?;
    if done.sweep.failures > 0 {
        tell_failures(&store, begun).await?;
    }
    let work_left = work_is_left(&done, &store, &settings).await?;
    let exit = exit_code(&done, work_left);
    let after = worker.look_after(&done, !args.cron).await?;
    if exit == Exit::Done && after.is_well {
        worker.beat().await?;
    }
    let changes = if args.cron { changes(after.change) } else { Vec::new() };
    drop(store);
    worker.close().await;

    let summary = Summary::of(done, work_left);
    // Told once per term, and by no alert: without the log this is where it is said.
    let needs_person = !changes.is_empty() || summary.not_renewed > 0 || exit == Exit::Failed;
    if !args.cron || needs_person {
        changes.iter().try_for_each(|change| context.print(change))?;
        if context.global.json { context.print_json(&summary)? } else { context.print(&text(&summary))? }
    }
    Ok(exit)
}

/// Says what the run waits for while it asks nobody.
async fn tell_waiting(bar: &ProgressBar, store: &Store) -> Infallible {
    let mut polls = (bar.position(), Instant::now());
    loop {
        if bar.position() != polls.0 {
            polls = (bar.position(), Instant::now());
        }
        // Not all that is counted as due is asked: a territory may have stopped.
        let is_asking = Some(bar.position()) < bar.length() && polls.1.elapsed() < STANDS_STILL;
        let now = Timestamp::now();
        if is_asking {
            bar.set_style(style(POLLING));
        // Where it cannot be read, the run itself fails and says so.
        } else if let Ok(due) = store.renewals_due(now + SOON).await {
            bar.set_style(style("{msg}"));
            bar.set_message(waiting(due.count, due.next_at, now));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn waiting(count: i64, next: Option<Timestamp>, now: Timestamp) -> String {
    match next {
        None => "waiting for what is due soon".to_owned(),
        Some(next) if next <= now => format!("asking for the order data of {}", number_of(count, "renewal")),
        Some(next) => {
            format!("waiting for the order data of {}, next {}", number_of(count, "renewal"), relative(next, now))
        }
    }
}

impl Summary {
    fn of(CaughtUp { sweep, relay }: CaughtUp, work_left: bool) -> Self {
        Self {
            polls: sweep.polls,
            renewals: sweep.renewals,
            queued: sweep.queued,
            warned: sweep.warned,
            abandoned: sweep.abandoned,
            delivered: relay.delivered,
            dead: relay.dead,
            failures: sweep.failures,
            refused: sweep.refused,
            unknown: sweep.unknown,
            surprises: sweep.surprises,
            not_renewed: sweep.not_renewed,
            stopped_territories: sweep.stopped_territories,
            work_left,
        }
    }
}

fn text(summary: &Summary) -> String {
    let Summary { polls, queued, delivered, .. } = summary;
    let renewals = number_of(summary.renewals, "renewal");
    let mut text = format!("{polls} polled, {renewals} seen, {queued} queued, {delivered} delivered");
    let mut also = |count: u64, what: &str| {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    };
    also(summary.failures, "without answer");
    also(summary.refused, "refused");
    also(summary.unknown, "unknown to the provider");
    also(summary.surprises, if summary.surprises == 1 { "surprise" } else { "surprises" });
    also(summary.abandoned, "abandoned");
    also(summary.dead, "dead");
    if summary.warned.renewals > 0 {
        text.push_str(&format!("; {} queued with a warning: {}", summary.warned.renewals, summary.warned));
    }
    for territory in &summary.stopped_territories {
        text.push_str(&format!("; territory {territory} refuses everybody"));
    }
    if summary.not_renewed > 0 {
        text.push_str(&format!("; {} not renewed: `renewald list --not-renewed` shows them", summary.not_renewed));
    }
    if summary.work_left {
        text.push_str("; work is left for the next run");
    }
    text
}

fn exit_code(done: &CaughtUp, work_left: bool) -> Exit {
    let CaughtUp { sweep, relay } = done;
    if sweep.abandoned > 0 || relay.dead > 0 || !sweep.stopped_territories.is_empty() {
        Exit::Failed
    } else if sweep.calls > 0 && sweep.answers == 0 && !sweep.interrupted {
        Exit::NoProvider
    } else if work_left {
        Exit::TryLater
    } else {
        Exit::Done
    }
}

/// Single failures are nobody's news while a daemon runs; one run that got no answer says why.
async fn tell_failures(store: &Store, begun: Timestamp) -> Result<(), Error> {
    for LastFailure { provider, detail, .. } in store.last_failures(begun).await? {
        let error = crate::text::visible(&detail);
        tracing::warn!(%provider, %error, "calls without a usable answer; this is what the last of them met");
    }
    Ok(())
}

async fn work_is_left(done: &CaughtUp, store: &Store, settings: &Settings) -> Result<bool, Error> {
    let now = Timestamp::now();
    // What waits for a sink in trouble is due once the sink is, which may be a moment from now.
    if done.relay.unanswered > 0 || done.relay.blocked || !store.key_trouble().await?.is_empty() {
        return Ok(true);
    }
    for name in sinks_sent_to(settings) {
        // While a sink is in trouble its messages' next times lie ahead, and they wait all the same.
        if store.next_dispatch_due(name).await?.is_some_and(|due| due <= now || done.relay.blocked) {
            return Ok(true);
        }
    }
    if done.sweep.interrupted || done.sweep.given_up {
        let due = store.count_due(now).await?;
        return Ok(due.polls > 0 || due.order_data > 0);
    }
    Ok(false)
}

/// All but those whose messages are pulled.
fn sinks_sent_to(settings: &Settings) -> impl Iterator<Item = &str> {
    let sent_to = settings.sinks.iter().filter(|(_, sink)| !matches!(sink.kind, SinkKind::Queue));
    sent_to.map(|(name, _)| name.as_str())
}

fn stop_after(limit: Duration, shutdown: Shutdown) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(limit).await;
        shutdown.request();
    })
}

async fn wait_a_part_of(longest: Duration, shutdown: &Shutdown) {
    let random = RandomState::new().hash_one(()) >> 32;
    let wait = longest.mul_f64(random as f64 / f64::from(u32::MAX));
    tracing::info!("waiting for {} s", wait.as_secs());
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// For a mail: one line for each alert that is new or over.
fn changes(change: AlertChange) -> Vec<String> {
    let lines = |alerts: Vec<Alert>, word: &'static str| {
        alerts.into_iter().map(move |alert| format!("{word}: {}", crate::text::visible(&alert.to_string())))
    };
    lines(change.raised, "alert").chain(lines(change.cleared, "over")).collect()
}

async fn dry_run(context: &Context, settings: &Settings) -> Result<Exit, Error> {
    let store = context.store_to_list(settings)?;
    let until = Timestamp::now() + Rules::from_settings(settings).every / 8;
    let due = store.count_due(until).await?;
    let dispatches = store.count_dispatches_due(&sinks_sent_to(settings).collect::<Vec<_>>(), until).await?;
    store.close().await;
    let dry = DryRun { polls: due.polls, order_data: due.order_data, dispatches };
    if context.global.json {
        context.print_json(&dry)?;
    } else {
        context.print(&format!(
            "would ask for {} and the order data of {}, and send {}; did nothing",
            number_of(dry.polls, "subscription"),
            number_of(dry.order_data, "renewal"),
            number_of(dry.dispatches, "message")
        ))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told() {
        let now = Timestamp::from_unix(1_795_291_200);
        let next = |seconds: u64| Some(now + Duration::from_secs(seconds));
        assert_eq!(waiting(1, next(40), now), "waiting for the order data of 1 renewal, next in 40 s");
        assert_eq!(waiting(2, next(0), now), "asking for the order data of 2 renewals");
        assert_eq!(waiting(0, None, now), "waiting for what is due soon");
    }
}
