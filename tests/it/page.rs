//! The page, as a browser's requests have it: who gets in, what he sees, what a form must bring, and that nothing of what providers
//! send does anything there. In a real browser it is tried by tests/browser.

use crate::harness::{Daemon, Site, eventually};
use crate::hostile::with_hostile_texts;
use crate::http::{Answer, Endpoint, get_over};
use crate::nexway_connect::order;

const TOKEN: &str = "a-token-of-some-length";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// Somebody with a browser: what he was given he brings along.
struct Browser {
    endpoint: Endpoint,
    cookie: String,
}

impl Browser {
    fn log_in(endpoint: Endpoint) -> Self {
        let answer = endpoint.ask("POST", "/page/login", &[FORM], Some(&format!("token={TOKEN}"))).expect(303);
        let set = answer.header("set-cookie").expect("a cookie");
        assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
        let cookie = format!("Cookie: {}", set.split(';').next().unwrap());
        Self { endpoint, cookie }
    }

    fn get(&self, path: &str) -> Answer {
        self.endpoint.ask("GET", path, &[&self.cookie], None)
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.endpoint.ask("POST", path, &[&self.cookie, FORM], Some(body))
    }

    /// Sends the form with this button as the page has it: with all that is hidden in it.
    fn press(&self, page: &str, button: &str) -> Answer {
        let html = self.get(page).expect(200).body;
        let form = html.split("<form").find(|form| form.contains(&format!("value=\"{button}\""))).expect("its form");
        let form = form.split("</form>").next().unwrap();
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1);
        let mut fields: Vec<_> = hidden
            .map(|field| {
                let (name, rest) = field.split_once("\" value=\"").unwrap();
                format!("{name}={}", rest.split('"').next().unwrap())
            })
            .collect();
        fields.push(format!("do={button}"));
        let action = form.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
        self.post(action, &fields.join("&"))
    }
}

fn with_token() -> (Site, Daemon, Endpoint) {
    let site = Site::new();
    let (daemon, endpoint) = Endpoint::start(&site, &format!("token = \"{TOKEN}\""));
    (site, daemon, endpoint)
}

/// Of one that is tracked, whose renewal is delivered.
fn story_of(site: &Site) -> String {
    let id = order(&site.sandbox, "PARTNER689");
    site.renew("PARTNER689");
    site.track("PARTNER689", id);
    site.next_message();
    format!("/page/subscription?provider=nexway&number=PARTNER689&id={id}")
}

#[test]
fn only_who_has_the_token_gets_in_and_no_page_is_kept_or_framed() {
    let (_site, _daemon, endpoint) = with_token();
    for path in ["/", "/page/subscriptions", "/page/receivers", "/page/figures"] {
        let answer = endpoint.get(path).expect(303);
        assert_eq!(answer.header("location"), Some("/page/login"), "{path}");
    }
    let wrong = endpoint.ask("POST", "/page/login", &[FORM], Some("token=wrong")).expect(403);
    assert!(wrong.body.contains("This is not the token") && wrong.header("set-cookie").is_none(), "{wrong:?}");
    let browser = Browser::log_in(endpoint);
    let page = browser.get("/").expect(200);
    assert!(page.body.contains("Nothing is tracked yet."), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(
        (page.header("cache-control"), page.header("x-content-type-options")),
        (Some("no-store"), Some("nosniff"))
    );
    assert!(!page.body.contains(" style=") && !page.body.contains("<style") && !page.body.contains("onclick"));
}

#[test]
fn logging_out_ends_it_in_the_browser() {
    let (_site, _daemon, endpoint) = with_token();
    let browser = Browser::log_in(endpoint);
    let html = browser.get("/").expect(200).body;
    let word = html.split("name=\"word\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let out = browser.post("/page/logout", &format!("word={word}")).expect(303);
    assert!(out.header("set-cookie").unwrap().starts_with("renewald=; Path=/; Max-Age=0"));
}

#[test]
fn another_name_or_another_pages_form_is_refused() {
    let (site, _daemon, endpoint) = with_token();
    let story = story_of(&site);
    let rebound = endpoint.ask("GET", "/page/login", &["Host: evil.example"], None).expect(403);
    assert!(rebound.body.contains("asked as evil.example"), "{}", rebound.body);
    let browser = Browser::log_in(endpoint);
    let id = story.rsplit('=').next().unwrap();
    let body = format!("provider=nexway&number=PARTNER689&id={id}&do=pause");
    let refused = browser.post("/page/subscription", &body).expect(403);
    assert!(refused.body.contains("not of your present login"), "{}", refused.body);
    let word = "word=made-up&";
    browser.post("/page/subscription", &format!("{word}{body}")).expect(403);
    let elsewhere = [browser.cookie.as_str(), FORM, "Origin: https://evil.example"];
    browser.endpoint.ask("POST", "/page/subscription", &elsewhere, Some(&body)).expect(403);
    assert_eq!(site.texts("SELECT state FROM subscriptions"), ["watching"]);
}

#[test]
fn one_is_found_its_story_told_and_changed() {
    let (site, _daemon, endpoint) = with_token();
    let story = story_of(&site);
    let browser = Browser::log_in(endpoint);
    for (query, found) in
        [("?q=PARTNER6", true), ("?q=PARTNER7", false), ("?state=watching", true), ("?overdue=1", false)]
    {
        let page = browser.get(&format!("/page/subscriptions{query}")).expect(200);
        assert_eq!(page.body.contains("PARTNER689</a>"), found, "{query}");
    }
    browser.get("/page/subscriptions?nothing=1").expect(400);
    let told = browser.get(&story).expect(200).body;
    for part in ["generation 1 as PARTNER689-1", "order data", "delivered"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let paused = browser.press(&story, "pause").expect(303);
    let to = paused.header("location").unwrap();
    assert!(browser.get(to).expect(200).body.contains("Its polls are paused."));
    assert_eq!(site.texts("SELECT state FROM subscriptions"), ["paused"]);
    browser.press(&story, "resume").expect(303);
    assert_eq!(site.texts("SELECT state FROM subscriptions"), ["watching"]);
    browser.press(&story, "refetch").expect(303);
    assert_eq!(site.next_message().data()["revision"], 1, "it was fetched again");
}

#[test]
fn a_message_is_sent_again_and_its_keys_are_shown_only_where_that_is_permitted() {
    let site = Site::new();
    let more = format!("token = \"{TOKEN}\"\nreveal = true");
    let (daemon, endpoint) = Endpoint::start(&site, &more);
    story_of(&site);
    let browser = Browser::log_in(endpoint);
    let path = eventually("it is marked as delivered", || {
        let list = browser.get("/page/messages?state=delivered").expect(200).body;
        let id = list.split("href=\"/page/message?id=").nth(1)?.split('"').next()?.to_owned();
        Some(format!("/page/message?id={id}"))
    });
    let key = site.sandbox.expected_keys("PARTNER689-1", order_id(&site)).remove(0);
    assert!(!browser.get(&path).expect(200).body.contains(&key));
    let shown = browser.press(&path, "reveal").expect(200).body;
    let content = shown.split("<pre").nth(1).unwrap().split("</pre>").next().unwrap();
    assert!(content.contains(&key) && content.lines().count() > 20 && content.ends_with('}'), "{content}");
    browser.press(&path, "replay").expect(303);
    let delivered = || site.value::<i64>("SELECT count(*) FROM dispatches WHERE replays = 1 AND state = 'delivered'");
    eventually("it is sent again", || (delivered() == 1).then_some(()));
    let log = daemon.drain().stderr;
    assert!(log.contains("the page: licence keys shown") && log.contains("the page: sent again by hand"), "{log}");
    assert!(!log.contains(&key), "the key is in the log");

    let (_daemon, endpoint) = Endpoint::start(&site, &format!("token = \"{TOKEN}\""));
    let browser = Browser::log_in(endpoint);
    let page = browser.get(&path).expect(200).body;
    assert!(!page.contains("Show the keys"), "{page}");
    let word = page.split("name=\"word\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let id = path.split('=').nth(1).unwrap();
    browser.post("/page/message", &format!("word={word}&id={id}&do=reveal")).expect(403);
}

fn order_id(site: &Site) -> i64 {
    site.texts("SELECT subscription_id FROM subscriptions")[0].parse().unwrap()
}

#[test]
fn without_a_token_there_are_figures_and_nothing_else() {
    let site = Site::new();
    let (_daemon, endpoint) = Endpoint::start(&site, "");
    let story = story_of(&site);
    let page = endpoint.get("/").expect(200).body;
    assert!(page.contains("All 1") || page.contains("The one subscription was answered for"), "{page}");
    assert!(!page.contains("PARTNER689") && !page.contains("<form"), "{page}");
    for path in [story.as_str(), "/page/subscriptions", "/page/messages", "/page/receivers"] {
        let refused = endpoint.get(path).expect(403);
        assert!(refused.body.contains("figures only"), "{path}: {}", refused.body);
    }
}

#[test]
fn over_the_unix_socket_everything_is_seen() {
    let site = Site::new();
    let socket = site.path("admin.sock");
    site.change(|setup| setup.admin = format!("listen = \"unix:{}\"", socket.display()));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    let story = story_of(&site);
    assert!(get_over(&socket, &story).expect(200).body.contains("PARTNER689-1"));
}

#[test]
fn a_link_of_the_command_lets_in_once() {
    let (site, _daemon, endpoint) = with_token();
    let link = site.command(&["page"]).expect_code(0).stdout;
    let path = link.trim().split_once("/page/enter").map(|(_, rest)| format!("/page/enter{rest}")).expect("a link");
    let entered = endpoint.get(&path).expect(303);
    let cookie = format!("Cookie: {}", entered.header("set-cookie").unwrap().split(';').next().unwrap());
    endpoint.ask("GET", "/page/subscriptions", &[&cookie], None).expect(200);
    assert!(endpoint.get(&path).expect(403).body.contains("this link was used"));
}

/// From a port that leads to the socket, for who came with the link and nobody else.
#[test]
fn over_a_unix_socket_the_command_brings_one_browser_there() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let site = Site::new();
    site.change(|setup| setup.admin = format!("listen = \"unix:{}\"", site.path("admin.sock").display()));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    let story = story_of(&site);
    let mut command = Command::new(env!("CARGO_BIN_EXE_renewald"))
        .current_dir(site.path("."))
        .arg("page")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut link = String::new();
    BufReader::new(command.stdout.as_mut().unwrap()).read_line(&mut link).unwrap();
    let (port, path) = link.trim().strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
    let endpoint = Endpoint::at(port.parse().unwrap());
    endpoint.get(&story).expect(403);
    let entered = endpoint.get(&format!("/{path}")).expect(303);
    let cookie = format!("Cookie: {}", entered.header("set-cookie").unwrap().split(';').next().unwrap());
    assert!(endpoint.ask("GET", &story, &[&cookie], None).expect(200).body.contains("PARTNER689-1"));
    endpoint.get(&format!("/{path}")).expect(403);
    let browser = Browser { endpoint, cookie };
    browser.press(&story, "pause").expect(303);
    assert_eq!(site.texts("SELECT state FROM subscriptions"), ["paused"]);
    command.kill().unwrap();
    command.wait().unwrap();
    daemon.drain();
}

#[test]
fn figures_go_on_by_themselves() {
    use std::io::{BufRead, BufReader, Write};
    let site = Site::new();
    let (daemon, endpoint) = Endpoint::start(&site, "");
    let mut stream = endpoint.connect();
    write!(stream, "GET /page/figures HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event");
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&data["is_well"], &data["sentence"]), (&true.into(), &"Nothing is tracked yet.".into()));
    daemon.drain();
}

#[test]
fn what_the_provider_sends_is_shown_and_does_nothing() {
    let site = Site::new();
    with_hostile_texts(&site);
    site.command(&["once", "--max-time", "3s"]);
    let (_daemon, endpoint) = Endpoint::start(&site, &format!("token = \"{TOKEN}\""));
    let browser = Browser::log_in(endpoint);
    let rows = site.texts("SELECT partner_order_number || '&id=' || subscription_id FROM subscriptions");
    let stories = rows.iter().map(|row| format!("/page/subscription?provider=nexway&number={row}"));
    let lists = ["/", "/page/subscriptions", "/page/messages", "/page/receivers"].map(str::to_owned);
    for path in stories.chain(lists) {
        let page = browser.get(&path).expect(200).body;
        let raw = page.chars().find(|c| *c != '\n' && renewald::text::is_unsafe(*c));
        assert_eq!(raw, None, "{path}");
        assert!(page.len() < 200_000, "{path}: {} bytes", page.len());
    }
}

/// A day's row for the plot: what was seen, and how soon it was delivered.
#[test]
fn the_days_are_counted_once() {
    let (site, daemon, _endpoint) = with_token();
    story_of(&site);
    let days = || site.texts("SELECT seen || ' ' || delivered || ' ' || within_minute FROM renewal_days");
    eventually("the delivery is counted", || (days() == ["1 1 1"]).then_some(()));
    site.command(&["queue", "replay", "--all"]);
    daemon.drain();
    assert_eq!(days(), ["1 1 1"], "what is sent again is no delivery of its own");
}
