//! The command sink with real programs: what a child gets, what its end means, and that nothing of it stays behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::delivery::Message;
use renewald::sink::exec::{Exec, ExecConfig};
use renewald::sink::{Failure, Sink};
use tempfile::TempDir;

use crate::harness::{Daemon, HOUR, Installation, Site, Track, eventually, keys_of};
use crate::queued::{assert_complete, documented_example, thousand, wait_for_delivered};

const CUSTOMER: &str = "CANARY-customer";

/// Writes a shell script that may be run. By another process: what a thread of ours starts meanwhile would hold the file open
/// for writing, and the kernel starts no such file.
fn script(path: &Path, text: &str) {
    let write = "printf '%s\\n' '#!/bin/sh' \"$1\" > \"$0.part\" && chmod 755 \"$0.part\" && mv \"$0.part\" \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(path).arg(text).status();
    assert!(written.expect("a shell").success());
}

/// A site whose sink runs `deliver` in its directory with these arguments.
fn site(text: &str, more: &str) -> (Site, PathBuf) {
    let site = Site::without_sink();
    let program = site.path("deliver");
    site.change(|setup| {
        (setup.log_level, setup.sink_timeout) = ("trace", "10s");
        setup.set_sink("shop", &format!("kind = \"exec\"\ncommand = [{program:?}]\n{more}"));
    });
    script(&program, &text.replace("DIR", &site.path("").display().to_string()));
    (site, program)
}

fn renewed(site: &Site, count: usize) {
    for n in 0..count {
        let number = format!("A{n}");
        let metadata = format!("{{\"customer\": \"{CUSTOMER}\"}}");
        site.order_as(&number, |track| Track { metadata: &metadata, ..track });
        site.renew(&number);
    }
}

fn states(site: &Installation) -> Vec<String> {
    let query =
        "SELECT state || ' ' || attempts || ' ' || coalesce(last_error, '') FROM dispatches ORDER BY subscription, id";
    site.texts(query)
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect()
}

#[test]
fn the_readmes_example_gives_a_command_the_message_and_little_else() {
    let (site, program) = site("cat > DIR/message; env > DIR/environment; echo $# \"$@\"; echo out; echo err >&2", "");
    let program = program.display().to_string();
    let example = documented_example("exec").replace("/usr/local/bin/deliver", &program);
    site.change(|setup| setup.set_sink("shop", &example));
    renewed(&site, 1);
    let daemon = site.start_through(
        &["env", "CREDENTIALS_DIRECTORY=/run/CANARY", "RENEWALD__POLL__EVERY=4h", "CANARY=1"],
        &["once", "-vvv"],
    );
    let finished = daemon.wait().expect_code(0);

    let text = fs::read_to_string(site.path("message")).unwrap();
    let message: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(text.ends_with("}\n") && text.lines().count() == 1);
    assert_eq!(site.texts("SELECT CAST(body AS TEXT) FROM messages"), [text.trim_end()], "byte for byte");
    let environment = fs::read_to_string(site.path("environment")).unwrap();
    assert!(
        environment.contains(&format!("RENEWALD_MESSAGE_ID={}\n", message["id"].as_str().unwrap())),
        "{environment}"
    );
    assert!(environment.contains("RENEWALD_MESSAGE_TYPE=renewald.renewal.ready.v1\n"), "{environment}");
    let known = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "RENEWALD_MESSAGE_ID", "RENEWALD_MESSAGE_TYPE"];
    let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        assert!(known.contains(&name) || of_the_shell.contains(&name), "{line}");
    }
    assert!(
        finished.stderr.contains("stdout_bytes=") && finished.stderr.contains("stderr_bytes=4"),
        "{}",
        finished.stderr
    );
    for canary in site.sandbox.expected_keys("A0-1", site.id_of("A0")).iter().map(String::as_str).chain([CUSTOMER]) {
        assert!(text.contains(canary) && !finished.stderr.contains(canary), "{canary}: {}", finished.stderr);
    }
}

#[test]
fn a_program_that_is_gone_among_a_thousand_messages_loses_none() {
    let (site, program) = site("cat >> DIR/arrived", "");
    thousand(&site);
    let daemon = Daemon::spawn(&site);
    eventually("some have arrived", || (lines_of(&site.path("arrived")) >= 50).then_some(()));
    fs::rename(&program, site.path("away")).unwrap();
    daemon.wait_for_log("sink is in trouble");
    assert!(daemon.stderr().contains("could not start: No such file"), "{}", daemon.stderr());
    assert!(site.delivered() < 1000, "it was taken away among them");
    fs::rename(site.path("away"), &program).unwrap();
    wait_for_delivered(&site, 1000);
    daemon.drain();
    let arrived = lines(&site.path("arrived"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let arrived: Vec<_> = arrived.iter().map(|m| (text(&m["id"]), text(&m["data"]["partner_order_number"]))).collect();
    assert_complete(&arrived);
}

fn lines_of(path: &Path) -> usize {
    fs::read(path).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn each_end_is_somebodys_fault() {
    let ends = "read -r line; case \"$line\" in *A0-1*) exit 65;; *A1-1*) exit 100;; *A2-1*) exit 1;; *A3-1*) kill -9 $$;; esac";
    let (site, program) = site(&format!("{ends}; echo \"$line\" >> DIR/arrived"), "");
    renewed(&site, 6);
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.dead, report.blocked), (2, 2, false), "{:?}", states(&site));
    let expected =
        ["dead 1 exit status 65", "dead 1 exit status 100", "pending 1 exit status 1", "pending 1 ended by signal 9"];
    assert_eq!(states(&site)[..4], expected);
    assert_eq!(lines(&site.path("arrived")).len(), 2);

    // 75 is the sink's: no attempt is counted, and the next message is tried instead.
    script(&program, "exit 75");
    let mut work = site.work();
    for hours in 1..4 {
        let report = work.relay(site.now() + hours * HOUR);
        assert_eq!((report.delivered, report.dead, report.blocked), (0, 0, true));
    }
    assert!(states(&site)[2..4].iter().all(|state| state.starts_with("pending 1 ")), "{:?}", states(&site));
    script(&program, "cat > /dev/null");
    assert_eq!(work.relay(site.now() + 9 * HOUR).delivered, 2);
}

#[test]
fn what_cannot_be_started_is_told_by_a_check() {
    let (site, program) = site("exit 0", "");
    renewed(&site, 1);
    site.command(&["check"]).expect_code(0);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let checked = site.command(&["check"]).expect_code(1);
    assert!(checked.stdout.contains("is not executable; run: chmod +x"), "{checked:?}");
    let (_, report) = site.work().pass(site.now());
    assert!(report.blocked);
    assert_eq!(
        site.value::<String>("SELECT last_error FROM sinks"),
        "could not start: Permission denied (os error 13)"
    );
    assert_eq!(site.value::<i64>("SELECT attempts FROM dispatches"), 0);
    fs::remove_file(&program).unwrap();
    let checked = site.command(&["check"]).expect_code(1);
    assert!(checked.stdout.contains("No such file or directory"), "{checked:?}");
}

#[test]
fn mistakes_in_its_settings_are_named() {
    let site = Site::without_sink();
    for (table, part) in [
        ("", "command: missing; give the program and its arguments"),
        ("command = []", "command: missing; give the program and its arguments"),
        ("command = \"/bin/true\"", "command: must be a list of texts"),
        ("command = [\"deliver\"]", "command: must begin with the program's absolute path"),
        ("command = [\"/bin/true\"]\ncomand = []", "comand: unknown key; did you mean \"command\"?"),
    ] {
        site.change(|setup| setup.set_sink("shop", &format!("kind = \"exec\"\n{table}")));
        let finished = site.command(&["check"]).expect_code(78);
        assert!(finished.stderr.contains(&format!("sinks.shop.{part}")), "{table}: {}", finished.stderr);
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A sink that runs this script.
    fn sink(&self, text: &str, timeout: Duration) -> Exec {
        let program = self.0.path().join("deliver");
        script(&program, &text.replace("DIR", &self.0.path().display().to_string()));
        let environment = vec![("PATH".into(), std::env::var_os("PATH").unwrap())];
        Exec::new(ExecConfig { program, arguments: vec![], environment, timeout })
    }

    /// A number that the script wrote.
    fn process(&self, file: &str) -> u32 {
        let path = self.0.path().join(file);
        eventually("the child writes its number", || fs::read_to_string(&path).ok()?.trim().parse().ok())
    }
}

fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie is dead, whoever has not yet looked.
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn message(body: Vec<u8>) -> Message {
    Message {
        id: "ca7413ce-2f68-51bc-b542-7a17d45b4d6b".parse().unwrap(),
        event: "renewal.ready".to_owned(),
        queued_at: Timestamp::from_unix(1_795_291_200),
        body,
        replays: 0,
    }
}

const FAMILY: &str = "sleep 600 & echo $! > DIR/grandchild; echo $$ > DIR/child; wait";

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_takes_too_long_is_killed_with_its_children() {
    let place = Place::new();
    let failure = place.sink(FAMILY, Duration::from_secs(2)).publish(&message(b"{}".to_vec())).await.unwrap_err();
    let reason = "not finished within 2s: killed".to_owned();
    assert_eq!(failure, Failure::Sink { reason, answer: None, retry_after: None, surely: false });
    for file in ["grandchild", "child"] {
        let process = place.process(file);
        eventually("it is gone", || (!is_alive(process)).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_nobody_waits_for_any_more_kills_its_child() {
    let place = Place::new();
    let sink = place.sink(FAMILY, Duration::from_secs(600));
    let publish = tokio::spawn(async move { sink.publish(&message(b"{}".to_vec())).await });
    let processes = ["grandchild", "child"].map(|file| place.process(file));
    assert!(processes.into_iter().all(is_alive));
    publish.abort();
    for process in processes {
        eventually("it is gone", || (!is_alive(process)).then_some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_may_leave_its_input_and_its_output_alone() {
    let place = Place::new();
    let large = vec![b'x'; 4 * 1024 * 1024];
    let patience = Duration::from_secs(600);
    place.sink("exit 0", patience).publish(&message(large.clone())).await.unwrap();
    place.sink("exec <&- >&- 2>&-; exit 0", patience).publish(&message(large.clone())).await.unwrap();
    place.sink("head -c 8000000 /dev/zero; cat > DIR/all", patience).publish(&message(large.clone())).await.unwrap();
    assert_eq!(fs::metadata(place.0.path().join("all")).unwrap().len(), large.len() as u64 + 1);

    // Something that it has started holds its input and its output, far longer than anybody waits.
    place.sink("sleep 600 <&0 & echo $! > DIR/background", patience).publish(&message(large)).await.unwrap();
    let background = place.process("background");
    assert!(is_alive(background), "a child that has ended by itself leaves it alone");
    let killed = Command::new("sh").args(["-c", "kill -9 \"$0\"", &background.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn keys_reach_the_command_whole() {
    let (site, _) = site("cat >> DIR/arrived", "");
    renewed(&site, 3);
    site.catch_up();
    let arrived = lines(&site.path("arrived"));
    for message in &arrived {
        assert_eq!(keys_of(message), site.expected_keys(message));
    }
    assert_eq!(arrived.len(), 3);
}
