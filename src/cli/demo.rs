//! `renewald demo`: forty days of a reseller's life in seconds, with the fake provider and the daemon's own passes.
//!
//! `stage` is one kind of provider and says who plays; each kind has a folder. `play` lets time pass, `witness` notices
//! what happened, `story` tells it, `verdict` holds what arrived against the provider's books. None of them is known to
//! the daemon.

mod digital_river;
mod nexway_connect;
mod nexway_monetize;
mod place;
mod play;
mod smartpay;
mod stage;
mod story;
mod verdict;
mod witness;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::logging;
use crate::sandbox::Kind;
use crate::settings::{Log, Settings};
use crate::text::for_shell;
use place::Place;
use play::Play;
use stage::{DAYS, Outcome, Stage};
use story::{Story, Tone};
use verdict::{Row, Summary};
use witness::Witness;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Whose subscriptions are resold, as in the settings
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// Keep settings, database and deliveries here: a new or empty directory [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Exit 1 when anything that arrived is not what the provider's books say.
pub async fn run(args: DemoArgs, context: &Context) -> Result<Exit, Error> {
    let place = Place::create(args.dir.as_deref())?;
    let stage = stage(args.kind)
        .map_err(|error| Error::new(Exit::CannotCreate, format!("cannot start the fake provider: {error}")))?;
    let settings = place.settings(&*stage)?;
    show_logs(context, &settings.log)?;

    let mut story = Story::new(context, stage.now());
    let summary = perform(&place, &stage, settings, &mut story).await?;
    if context.global.json {
        context.print_json(&summary)?;
    } else {
        close(&story, &summary)?;
    }
    Ok(if summary.ok { Exit::Done } else { Exit::Failed })
}

/// Tells the whole story, except its end.
async fn perform(
    place: &Place,
    stage: &Arc<dyn Stage>,
    settings: Settings,
    story: &mut Story,
) -> Result<Summary, Error> {
    let begun = Instant::now();
    let (actors, tracked) = stage.enter()?;
    story.open(&opening(actors.len()))?;
    let witness = Witness::new(stage.clone(), actors, &place.deliveries());
    // Until now, so that `list` shows afterwards what it would show of a daemon that has just been stopped.
    let mut play = Play::begin(Arc::new(settings), stage.clone(), tracked, witness, Timestamp::now()).await?;
    play.perform(story).await?;

    let (rows, ok) = verdict::judge(&play.witness, &**stage);
    Ok(Summary {
        ok,
        simulated_days: DAYS,
        real_seconds: (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        polls: play.polls,
        requests: stage.request_count(),
        renewals: rows.iter().map(|row| row.renewals).sum(),
        delivered: rows.iter().map(|row| row.delivered).sum(),
        refused: rows.iter().map(|row| row.refused).sum(),
        messages: play.witness.received().len(),
        directory: place.directory().to_owned(),
        settings: place.settings_file(),
        database: place.database(),
        deliveries: place.deliveries(),
        subscriptions: rows,
    })
}

/// Begins at a midnight that long ago.
fn stage(kind: Kind) -> io::Result<Arc<dyn Stage>> {
    const DAY: i64 = 86_400;
    let today = Timestamp::now().as_unix().div_euclid(DAY) * DAY;
    let start = Timestamp::from_unix(today) - DAYS * Duration::from_secs(DAY as u64);
    Ok(match kind {
        Kind::NexwayConnect => Arc::new(nexway_connect::NexwayConnect::start(start)?),
        Kind::NexwayMonetize => Arc::new(nexway_monetize::NexwayMonetize::start(start)?),
        Kind::Smartpay => Arc::new(smartpay::Smartpay::start(start)?),
        Kind::DigitalRiver => Arc::new(digital_river::DigitalRiver::start(start)?),
    })
}

/// The daemon's log lines are wanted with `-v` only: the story tells the same in other words.
fn show_logs(context: &Context, log: &Log) -> Result<(), Error> {
    if context.verbosity() <= 0 {
        return Ok(());
    }
    logging::init(log, context.verbosity() - 1)
        .map(drop)
        .map_err(|error| Error::new(Exit::Settings, crate::chain(&error)))
}

/// Three lines for a reader who knows nothing.
fn opening(subscriptions: usize) -> [String; 3] {
    [
        format!("{subscriptions} software subscriptions are resold; the provider (here a fake one) renews them"),
        "and tells nobody; renewald asks every 4 hours and hands the shop each new key.".into(),
        format!("{DAYS} days pass in seconds: renewed = at the provider, delivered = at the shop."),
    ]
}

fn close(story: &Story, summary: &Summary) -> Result<(), Error> {
    story.line("", Tone::Plain)?;
    story.line(&table_line("Subscription", "Case", "Renewed", "Delivered", "Right keys"), Tone::Strong)?;
    for row in &summary.subscriptions {
        let (renewed, delivered) = (row.renewals.to_string(), row.delivered.to_string());
        let tone = if row.ok { Tone::Plain } else { Tone::Bad };
        story.line(&table_line(&row.label, row.case, &renewed, &delivered, &keys(row)), tone)?;
    }
    story.line("", Tone::Plain)?;
    let Summary { renewals, delivered, refused, polls, requests, real_seconds, .. } = summary;
    let verdict = if summary.ok {
        "Every key is the provider's, none is missing, none came twice."
    } else {
        "NOT AS IT SHOULD BE: see above."
    };
    story.say(
        &format!("{renewals} renewals at the provider: {delivered} delivered, {refused} refused by it, and the shop told. {verdict}"),
        if summary.ok { Tone::Good } else { Tone::Bad },
    )?;
    story.say(
        &format!("{polls} polls, {requests} requests in all, {DAYS} days in {real_seconds} seconds."),
        Tone::Plain,
    )?;
    story.line("", Tone::Plain)?;
    story.say("Everything is kept. Look further:", Tone::Plain)?;
    let command = format!("{} --config {}", program(), quoted(&summary.settings));
    let first = summary.subscriptions.first().map(|row| format!("explain {}", row.partner_order_number));
    for rest in ["list", first.as_deref().unwrap_or("status"), "queue pull"] {
        story.line(&format!("  {command} {rest}"), Tone::Strong)?;
    }
    story.line(&format!("  rm -r {}", quoted(&summary.directory)), Tone::Strong)
}

fn table_line(subscription: &str, case: &str, renewed: &str, delivered: &str, keys: &str) -> String {
    format!("{subscription:<14} {case:<29} {renewed:>7} {delivered:>9}  {keys}")
}

fn keys(row: &Row) -> String {
    let Row { keys_expected, keys_received, outcome, .. } = row;
    match () {
        () if !row.ok => format!("WRONG: {keys_received} of {keys_expected}"),
        () if row.refused > 0 => "none: shop told".into(),
        () if row.renewals == 0 => "-".into(),
        () if *outcome == Outcome::Charge => "a charge".into(),
        () if *keys_expected == 0 => "locker link".into(),
        () => format!("{keys_received} of {keys_expected}"),
    }
}

/// As the user called us, so that the commands can be pasted.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "renewald".into(), |name| quoted(Path::new(&name)))
}

/// For a shell.
fn quoted(path: &Path) -> String {
    for_shell(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;

    /// Of all renewals: those delivered, those refused.
    async fn played(kind: Kind, place: &Place) -> (usize, usize, usize) {
        let stage = stage(kind).unwrap();
        let settings = place.settings(&*stage).unwrap();
        let silent = Context::new(Global { json: true, ..Global::default() });
        let mut story = Story::new(&silent, stage.now());
        let summary = perform(place, &stage, settings, &mut story).await.unwrap();
        let wrong: Vec<_> = summary.subscriptions.iter().filter(|row| !row.ok).collect();
        assert!(summary.ok, "{wrong:?}");
        (summary.renewals, summary.delivered, summary.refused)
    }

    #[tokio::test]
    async fn every_case_ends_as_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::create(Some(&directory.path().join("new"))).unwrap();
        assert_eq!(played(Kind::NexwayConnect, &place).await, (15, 14, 1));
        assert!(
            Place::create(Some(place.directory())).is_err(),
            "a second demo does not write into the first one's things"
        );
    }

    #[tokio::test]
    async fn every_case_of_the_sellers_platform_ends_as_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::create(Some(&directory.path().join("new"))).unwrap();
        assert_eq!(played(Kind::NexwayMonetize, &place).await, (16, 15, 1));
    }

    #[tokio::test]
    async fn every_case_of_who_only_bills_ends_as_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::create(Some(&directory.path().join("new"))).unwrap();
        assert_eq!(played(Kind::Smartpay, &place).await, (13, 13, 0));
    }

    #[tokio::test]
    async fn every_case_of_a_provider_that_only_bills_ends_as_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::create(Some(&directory.path().join("new"))).unwrap();
        let (renewals, delivered, refused) = played(Kind::DigitalRiver, &place).await;
        assert!(renewals > 10 && (delivered, refused) == (renewals, 0), "{renewals}, {delivered}");
    }

    #[test]
    fn paths_are_quoted_for_a_shell_where_they_need_it() {
        assert_eq!(quoted(Path::new("/tmp/renewald-demo-a1/renewald.toml")), "/tmp/renewald-demo-a1/renewald.toml");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
