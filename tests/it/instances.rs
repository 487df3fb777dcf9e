//! One database, one worker: the instance lock, and how a process ends.

use std::time::{Duration, Instant};

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind};

use crate::fake_receiver::{Answer, FakeReceiver};
use crate::harness::{Daemon, HOUR, PATIENCE, Site, eventually, number};
use crate::nexway_connect::order;

#[test]
fn once_beside_a_running_daemon_is_for_later() {
    let site = Site::new();
    site.order("A");
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.status == Some(200), PATIENCE).expect("the daemon works");

    let finished = site.command(&["once"]).expect_code(75);
    assert!(finished.stderr.contains("another renewald works on"), "{finished:?}");
    let finished = site.command(&["once", "--cron"]).expect_code(75);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "cron would mail it");
    site.command(&["run"]).expect_code(75);
    site.command(&["once", "--dry-run"]).expect_code(0); // reads only

    daemon.drain();
    site.catch_up();
}

#[test]
fn a_killed_daemon_holds_no_lock() {
    let site = Site::without_sink();
    site.order("A");
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.status == Some(200), PATIENCE).expect("the daemon works");
    daemon.kill();
    site.catch_up();
}

#[test]
fn of_five_started_at_once_on_an_empty_directory_one_works() {
    let site = Site::with(|setup| setup.every = "1s");
    let mut running: Vec<_> = (0..5).map(|_| Daemon::spawn(&site)).collect();
    let mut codes = Vec::new();
    eventually("four have ended", || {
        running.retain_mut(|daemon| match daemon.status() {
            Some(status) => {
                codes.push(status.code());
                false
            }
            None => true,
        });
        (running.len() == 1).then_some(())
    });
    assert_eq!(codes, [Some(75); 4]);
    // The one that is left works.
    let id = order(&site.sandbox, "A");
    site.track("A", id);
    site.renew("A");
    assert_eq!(number(&site.next_message()), "A-1");
    assert_eq!(site.value::<String>("PRAGMA integrity_check"), "ok");
    let daemon = running.remove(0);
    daemon.drain();
}

#[test]
fn commands_started_at_once_on_an_empty_directory_all_find_a_database() {
    let site = Site::without_sink();
    std::fs::write(site.path("none.jsonl"), "").unwrap();
    let running: Vec<_> = (0..5).map(|_| site.start(&["import", "none.jsonl"])).collect();
    running.into_iter().for_each(|daemon| drop(daemon.wait().expect_code(0)));
    assert_eq!(site.value::<i64>("PRAGMA user_version"), 1);
}

#[test]
fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::without_sink();
    site.command(&["once"]);
    for name in ["renewald.db", "renewald.db.lock"] {
        let mode = site.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_signal_ends_hanging_requests_within_two_seconds() {
    for endpoint in [Endpoint::Token, Endpoint::Status, Endpoint::Order] {
        for fault in [FaultKind::Hold, FaultKind::Stall] {
            let site = Site::new();
            site.renewed("A");
            site.sandbox.fault(Fault::new(fault).at(endpoint));
            let daemon = Daemon::spawn(&site);
            site.sandbox.wait_for(|request| request.endpoint == endpoint, PATIENCE).expect("it is asked");
            let signalled = Instant::now();
            daemon.drain();
            let took = signalled.elapsed();
            assert!(took < Duration::from_secs(2), "{endpoint:?}: {took:?}");
            // Nothing is lost by it.
            site.sandbox.clear_faults();
            site.sandbox.release();
            site.let_pass(HOUR * 5);
            site.catch_up();
            assert_eq!(site.numbers(), ["A-1"]);
        }
    }
}

#[test]
fn a_signal_waits_for_the_answer_to_a_publish_in_hand() {
    let site = Site::new();
    site.receiver.answer(Answer::Held(200));
    site.renewed("A");
    let mut daemon = Daemon::spawn(&site);
    site.next_message();
    daemon.terminate();
    daemon.wait_for_log("finishing what is in hand");
    assert!(daemon.status().is_none(), "the answer is still to come");
    site.receiver.release();
    daemon.wait().expect_code(0);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["delivered"]);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let site = Site::new();
    site.receiver.answer(Answer::Never);
    site.renewed("A");
    let daemon = Daemon::spawn(&site);
    site.next_message();
    daemon.terminate();
    daemon.wait_for_log("finishing what is in hand");
    let signalled = Instant::now();
    daemon.terminate();
    daemon.wait().expect_code(1);
    assert!(signalled.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_publish_that_a_drain_cuts_off_makes_an_unclean_end() {
    let site = Site::with(|setup| setup.sink_timeout = "60s");
    site.receiver.answer(Answer::Never);
    site.renewed("A");
    let daemon = Daemon::spawn(&site);
    let first = site.next_message();
    daemon.terminate();
    daemon.wait().expect_code(1); // 15 s later
    let receiver = FakeReceiver::start_at(site.receiver.stop());
    site.let_pass(HOUR);
    site.catch_up();
    assert_eq!(receiver.next_message().id, first.id);
}

#[test]
fn catching_up_within_a_time_says_that_work_is_left() {
    let site = Site::without_sink();
    site.order("A");
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status));
    site.command(&["once", "--max-time", "1s"]).expect_code(75);
    site.sandbox.clear_faults();
    site.sandbox.release();
    site.catch_up();
}

#[test]
fn a_provider_that_never_answers_is_69() {
    let site = Site::without_sink();
    site.order("A");
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    site.command(&["once"]).expect_code(69);
}

#[test]
fn catching_up_with_nothing_to_do_is_done() {
    let site = Site::without_sink();
    site.catch_up();
}

/// Of root's commands nothing is left that the daemon's user cannot open. Only root can become somebody else.
#[test]
fn as_root_a_command_becomes_the_owner_of_the_databases_directory() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    const NOBODY: u32 = 65534;
    let site = Site::without_sink();
    chown(site.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let id = order(&site.sandbox, "A").to_string();
    site.command(&["track", "A", &id, "--territory", "eu", "--generation", "0"]).expect_code(0);
    site.catch_up();
    for name in ["renewald.db", "renewald.db.lock", "renewald.db.setup.lock"] {
        let owner = site.path(name).metadata().unwrap();
        assert_eq!((owner.uid(), owner.gid()), (NOBODY, NOBODY), "{name}");
    }
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    for (line, ids) in [("Uid:", 4), ("Gid:", 4), ("Groups:", 1)] {
        let line = status.lines().find(|one| one.starts_with(line)).unwrap();
        assert_eq!(line.split_whitespace().skip(1).collect::<Vec<_>>(), vec!["65534"; ids], "{line}");
    }
}

#[test]
fn a_random_wait_before_a_pass_holds_the_lock_and_ends_by_a_signal() {
    let site = Site::without_sink();
    site.order("A");
    let waiting = site.start(&["once", "--jitter", "1000d"]);
    waiting.wait_for_log("waiting for");
    site.command(&["once", "--cron"]).expect_code(75);
    waiting.terminate();
    waiting.wait().expect_code(75);
    assert_eq!(site.sandbox.request_count(), 0);
    site.catch_up();
}

/// What a slow pass leads to under cron. The provider holds its answer, so the first is at work for as long as we like.
#[test]
fn of_a_hundred_started_by_cron_at_once_one_works_and_the_others_leave_silently() {
    let site = Site::without_sink();
    site.order("A");
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status));
    let mut running: Vec<_> = (0..100).map(|_| site.start(&["once", "--cron", "--max-time", "3h"])).collect();
    let mut ended = Vec::new();
    eventually("99 have ended", || {
        ended.extend(running.extract_if(.., |one| one.status().is_some()));
        (ended.len() >= 99).then_some(())
    });
    for one in ended {
        let finished = one.wait().expect_code(75);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "cron would mail it");
    }
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("the last one works");
    let last = running.pop().expect("one is left");
    site.sandbox.clear_faults();
    site.sandbox.release();
    let finished = last.wait().expect_code(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE last_answer_at IS NOT NULL"), 1);
}
