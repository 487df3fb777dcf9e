//! Where many meet the same at once the log names the first of them and counts the others; whoever else is told hears of each.

use renewald::sandbox::nexway_connect::{NewOrder, Script};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Daemon, Finished, Site, Track, eventually, numbered};

const MANY: usize = 30;
const NAMED: usize = 20;
const NOT_RENEWED: &str = "10 more not renewed: `renewald list --not-renewed` shows them";

/// So many lines say this.
fn lines(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

/// Orders whose terms ended long enough ago, and were not renewed.
fn ended(site: &Site) {
    for number in numbered("A", MANY) {
        let expires_at = Some(site.now() - 15 * DAY);
        let technical_status = Some("ACTIVE".to_owned());
        site.place(NewOrder { expires_at, auto_renew: false, technical_status, ..NewOrder::new(number) });
    }
}

fn once(site: &Site) -> Finished {
    site.command(&["once", "-q", "--max-time", "30s"])
}

#[test]
fn terms_that_ended_without_renewal_are_named_counted_and_each_told() {
    let site = Site::with(|setup| setup.log_level = "info");
    site.change(|setup| setup.set_webhook("shop", &site.receiver, "events = [\"*\"]"));
    ended(&site);
    let daemon = site.start(&["run", "-q"]);
    site.wait_until_delivered(MANY as i64);
    daemon.wait_for_log(NOT_RENEWED);
    let log = daemon.drain().stderr;
    assert_eq!((lines(&log, ": not renewed"), lines(&log, ": 10 more ")), (NAMED, 1), "{log}");
    assert_eq!(site.messages().len(), MANY);
    let listed = site.command(&["list", "--not-renewed", "--json"]).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(MANY));
}

#[test]
fn a_one_shot_run_counts_the_same() {
    let site = Site::without_sink_and(|setup| setup.log_level = "info");
    ended(&site);
    let run = once(&site).expect_code(0);
    let log = &run.stderr;
    assert_eq!(
        (lines(log, ": not renewed"), lines(log, NOT_RENEWED), lines(log, ": 10 more ")),
        (NAMED, 1, 1),
        "{log}"
    );
    assert!(run.stdout.contains("; 30 not renewed: `renewald list --not-renewed` shows them"), "{run:?}");
}

#[test]
fn each_kind_of_line_has_its_own_count() {
    let site = Site::without_sink_and(|setup| setup.log_level = "info");
    site.track_all(numbered("WRONG", MANY).iter().map(|number| Track::new(number, 4711)));
    let far = numbered("FAR", MANY);
    site.order_all(&far);
    far.iter().for_each(|number| site.renew_times(number, 40));
    let lost = numbered("LOST", MANY);
    site.renewed_all(&lost);
    lost.iter().for_each(|number| site.sandbox.script(format!("{number}-1"), Script::codes([1062])));
    let run = once(&site).expect_code(1);
    for (line, rest) in [
        ("the provider does not know", "10 more not known to the provider: `renewald list --unknown` shows them"),
        ("outside the contract; ", "10 more answers outside the contract: `renewald list --surprise` shows them"),
        ("renewal abandoned", "10 more abandoned: `renewald queue list --type renewal.failed` shows them"),
    ] {
        assert_eq!((lines(&run.stderr, line), lines(&run.stderr, rest)), (NAMED, 1), "{line}: {}", run.stderr);
    }
    assert_eq!(lines(&run.stderr, ": 10 more "), 3, "{}", run.stderr);
    for said in ["30 unknown to the provider", "30 surprises", "30 abandoned"] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    let failed = site.command(&["queue", "list", "--type", "renewal.failed", "--json"]).json();
    assert_eq!(failed["items"].as_array().map(Vec::len), Some(MANY));
}

#[test]
fn messages_that_a_receiver_does_not_take_are_named_and_counted() {
    let site = Site::with(|setup| setup.log_level = "info");
    site.receiver.answer(Answer::Status(422));
    site.renewed_all(&numbered("A", MANY));
    let daemon = Daemon::spawn(&site);
    let is_failing = "SELECT count(*) = 30 FROM dispatches WHERE attempts > 0 AND last_error IS NOT NULL";
    eventually("each has failed", || site.value::<bool>(is_failing).then_some(()));
    let log = daemon.drain().stderr;
    assert_eq!(lines(&log, "not delivered; tried again"), NAMED, "{log}");
    let counted = |line: &str| line.split(" more not delivered: `renewald queue list --state pending`").count() == 2;
    let counts = log.lines().filter(|line| counted(line)).filter_map(|line| {
        let (before, _) = line.split_once(" more ")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    let attempts = site.value::<i64>("SELECT sum(attempts) FROM dispatches") as usize;
    assert_eq!(counts.sum::<usize>() + NAMED, attempts, "each is named or counted: {log}");
}
