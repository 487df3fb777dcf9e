//! Why a receiver refuses a message, in its own words: for the operator, without keys or secrets, and not for ever.

use std::fs;

use crate::fake_receiver::Answer;
use crate::harness::{Finished, Site};
use crate::http::Endpoint;
use crate::removal::holding;

const WHY: &str = "CANARY: no such product";

fn says(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Says(422, body.into())
}

/// Refused once with this answer, by a run that logs all it can; the message's id.
fn refused(site: &Site, answer: Answer) -> (String, Finished) {
    site.receiver.answer(answer);
    let finished = site.command(&["once", "-vvv", "--max-time", "1s"]);
    let id = site.texts("SELECT id FROM messages").pop().unwrap();
    (id, finished)
}

#[test]
fn its_words_are_shown_and_not_logged() {
    let site = Site::with(|setup| setup.log_level = "trace");
    site.renewed("A");
    let (id, finished) =
        refused(&site, says(format!("{{\r\n  \"error\": \"{WHY}\u{1b}[31m\u{7}\"}}{}", " ".repeat(99))));
    assert!(finished.stderr.contains("reason=answered 422 Unprocessable Entity"), "{finished:?}");
    assert!(!(finished.stdout + &finished.stderr).contains("CANARY"));
    let line = format!("{{ \"error\": \"{WHY}[31m\"}}");
    let shown = site.command(&["queue", "show", &id]).expect_code(0);
    assert!(shown.stdout.contains(&format!("answer of shop {line}\n")), "{shown:?}");
    let told = site.command(&["explain", "A"]).expect_code(0);
    assert!(told.stdout.contains(&format!("its answer: {line}")), "{told:?}");
    let json = site.command(&["queue", "show", &id, "--json"]).expect_code(0).json();
    assert_eq!(json["dispatches"][0]["last_answer"], line);
    assert_eq!(json["dispatches"][0]["last_error"], "answered 422 Unprocessable Entity");
    site.execute("UPDATE dispatches SET next_attempt_at = unixepoch() + 3600");
    let (daemon, endpoint) = Endpoint::start(&site, "");
    assert_eq!(endpoint.get(&format!("/v1/messages/{id}")).expect(200).json()["dispatches"][0]["last_answer"], line);
    daemon.terminate();
    assert!(!daemon.wait().stderr.contains("CANARY"));
}

#[test]
fn a_gates_words_are_kept_though_the_sink_is_in_trouble() {
    let site = Site::new();
    site.renewed("A");
    let (_, finished) = refused(&site, Answer::Says(403, b"your IP is not listed".to_vec()));
    assert!(!finished.stderr.contains("not listed"), "{finished:?}");
    let kept = "SELECT last_error || ': ' || last_answer || ' ' || attempts FROM dispatches";
    assert_eq!(site.value::<String>(kept), "answered 403 Forbidden: your IP is not listed 0");
    assert_eq!(site.value::<String>("SELECT last_error FROM sinks"), "answered 403 Forbidden");
    // Not of other answers; and what is delivered was not refused.
    site.execute("UPDATE sinks SET blocked_until = blocked_since; UPDATE dispatches SET next_attempt_at = 0");
    refused(&site, Answer::Says(500, WHY.into()));
    assert_eq!(site.texts("SELECT coalesce(last_answer, '-') FROM dispatches"), ["-"]);
    site.execute("UPDATE sinks SET blocked_until = blocked_since; UPDATE dispatches SET next_attempt_at = 0");
    refused(&site, says(WHY));
    site.execute("UPDATE dispatches SET next_attempt_at = 0");
    refused(&site, Answer::Status(200));
    assert_eq!(site.texts("SELECT state || coalesce(last_answer, '-') FROM dispatches"), ["delivered-"]);
}

#[test]
fn an_echo_shows_no_key_and_no_secret() {
    const TOKEN: &str = "CANARY-token-4711";
    let site = Site::new();
    fs::write(site.path("secrets/token"), format!("Bearer {TOKEN}")).unwrap();
    let headers = "[sinks.shop.headers]\nAuthorization_file = \"token\"\n";
    site.change(|setup| setup.set_webhook("shop", &site.receiver, headers));
    let id = site.renewed("A");
    let key = site.sandbox.expected_keys("A-1", id).remove(0);
    let cut = &key[..key.len() - 2];
    let echo = format!("<{key}> {{\"key\":\"{key}\"}} {cut}... Bearer {TOKEN}, {TOKEN} at /hooks/renewals");
    refused(&site, says(echo));
    let answer: String = site.value("SELECT last_answer FROM dispatches");
    assert_eq!(answer, "<***> {\"key\":\"***\"} ***... ***, *** at ***");
}

#[test]
fn huge_and_strange_answers_are_cut_and_hold_up_nobody() {
    let site = Site::new();
    site.renewed_all(&["A", "B"]);
    site.receiver.answer_to("A-1", says([b"\xff\xfe<html>".to_vec(), vec![b'x'; 1 << 20]].concat()));
    refused(&site, Answer::Status(200));
    assert_eq!(site.delivered(), 1);
    let answer: String = site.value("SELECT last_answer FROM dispatches WHERE state = 'pending'");
    assert_eq!(answer, format!("\u{fffd}\u{fffd}<html>{}", "x".repeat(292)));
}

#[test]
fn it_goes_with_the_payload_and_with_the_customer() {
    for remove in
        [&["queue", "purge", "--subscription", "A", "--undelivered", "--yes"][..], &["untrack", "A", "--forget"]]
    {
        let site = Site::new();
        site.renewed("A");
        refused(&site, says(WHY));
        site.execute("UPDATE dispatches SET state = 'dead', dead_at = unixepoch()");
        assert!(holding(&site, WHY).contains(&"backup.db".to_owned()));
        site.command(remove).expect_code(0);
        assert_eq!(holding(&site, WHY), Vec::<String>::new(), "{remove:?}");
    }
}
