//! Each rule of the settings, on files in a temporary directory and environments made up here.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::source::Environment;
use super::*;

const PROVIDER: &str = r#"
[providers.nexway]
kind = "nexway-connect"
api_url = "https://api.example/connect/"
iam_url = "https://iam.example/iam"
realm = "acme"
client_secret_file = "client"
[providers.nexway.territories.eu]
secret_file = "eu"
"#;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    Environment { variables, ..Environment::default() }
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renewald.toml");
    fs::write(&path, text).unwrap();
    let prefix = format!("{}/", dir.path().display());
    match load(Some(&path), &environment(variables), &[]) {
        Ok(mut loaded) => {
            loaded.warnings.iter_mut().for_each(|warning| *warning = warning.replace(&prefix, ""));
            Ok(loaded)
        }
        Err(problems) => Err(problems.to_string().replace(&prefix, "")),
    }
}

fn loaded(text: &str) -> Loaded {
    load_with(text, &[]).unwrap()
}

/// The messages for a file with a good provider, to which `text` is added at line 10.
fn refused(text: &str) -> String {
    load_with(&format!("{PROVIDER}{text}"), &[]).unwrap_err()
}

fn warned(text: &str) -> Vec<String> {
    loaded(&format!("{PROVIDER}{text}")).warnings
}

#[test]
fn a_notice_that_nobody_would_get_is_a_mistake_and_one_that_never_comes_is_warned_of() {
    let provider = PROVIDER.replace("realm =", "notify_before = \"7d\"\nrealm =");
    let with = |sink: &str| load_with(&format!("{provider}{sink}"), &[]);
    let refused = with("").unwrap_err();
    let text = "renewald.toml:6: providers.nexway.notify_before: nobody would be told: no sink has subscription.renewal_due \
                among its events";
    assert_eq!(refused, text);
    for events in ["\"*\"", "[\"renewal.ready\", \"subscription.renewal_due\"]"] {
        let sink = format!("[sinks.queue]\nkind = \"queue\"\nevents = {events}\n");
        let loaded = with(&sink).unwrap();
        assert_eq!(loaded.settings.providers["nexway"].notify_before, Duration::from_secs(7 * 86_400));
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
    let named = "[sinks.queue]\nkind = \"queue\"\nevents = [\"renewal.ready\", \"subscription.renewal_due\"]\n";
    let text =
        "renewald.toml:12: sinks.queue.events: subscription.renewal_due never comes: no provider has notify_before";
    assert_eq!(warned(named), [text]);
    assert_eq!(warned("[sinks.queue]\nkind = \"queue\"\nevents = \"*\"\n"), Vec::<String>::new());
}

#[test]
fn a_variable_that_was_meant_as_a_setting_is_warned_of() {
    let ours = ["RENEWALD_POLL_EVERY", "RENEWALD_LOG__LEVEL", "RENEWALD_order_data_RETRY_MAX"];
    assert!(ours.into_iter().all(source::is_slip));
    let others = [
        "RENEWALD_CONFIG",
        "RENEWALD__POLL__EVERY",
        "RENEWALD___POLL_EVERY",
        "RENEWALD_PORT",
        "RENEWALD_PORT_9464_TCP",
        "RENEWALD_SERVICE_HOST",
        "RENEWALD_MESSAGE_ID",
        "RENEWALD_LOGO",
        "POLL_EVERY",
    ];
    assert!(!others.into_iter().any(source::is_slip));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renewald.toml");
    fs::write(&path, PROVIDER).unwrap();
    let environment = Environment { ignored: vec!["RENEWALD_POLL_EVERY".to_owned()], ..Environment::default() };
    let warnings = load(Some(&path), &environment, &[]).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("RENEWALD_POLL_EVERY: is ignored: "), "{warnings:?}");
}

#[test]
fn defaults_are_those_of_the_design() {
    let Loaded { settings, warnings, .. } = loaded(PROVIDER);
    assert_eq!(warnings, Vec::<String>::new());
    let provider = &settings.providers["nexway"];
    assert_eq!(provider.kind.to_string(), "https://api.example/connect, realm acme, territories eu");
    assert_eq!(
        (provider.requests_per_second, provider.concurrency, provider.timeout, provider.connect_timeout),
        (5.0, 16, Duration::from_secs(30), Duration::from_secs(10))
    );
    assert_eq!(settings.store.path, Path::new("/var/lib/renewald/renewald.db"));
    assert_eq!(settings.poll.every, Duration::from_secs(4 * 3_600));
    assert_eq!(settings.poll.max_generation_jump, 24);
    assert_eq!(settings.order_data.retry_max, Duration::from_secs(4 * 3_600));
    assert_eq!(settings.admin.listen, "127.0.0.1:9464");
    assert_eq!((settings.log.level.as_str(), settings.log.format), ("info", LogFormat::Auto));
    let queue = &settings.sinks["queue"];
    assert!(matches!(queue.kind, SinkKind::Queue));
    assert_eq!(queue.events.as_deref().unwrap(), DEFAULT_EVENTS);
    assert_eq!((queue.concurrency, queue.max_attempts), (8, 36));
}

#[test]
fn the_implied_queue_is_what_a_written_one_would_be() {
    let written = loaded(&format!("{PROVIDER}[sinks.queue]\nkind = 'queue'"));
    assert_eq!(format!("{:?}", written.settings.sinks), format!("{:?}", loaded(PROVIDER).settings.sinks));
}

#[test]
fn the_shipped_file_shows_every_default() {
    let shipped = include_str!("../../deploy/renewald.toml");
    let is_default =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let uncommented: String =
        shipped.lines().map(|line| if is_default(line) { &line[1..] } else { line }.to_owned() + "\n").collect();
    assert_ne!(uncommented, shipped);
    let show = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.toml");
        fs::write(&path, text).unwrap();
        let loaded = load(Some(&path), &Environment::default(), &[]).unwrap();
        format!("{:?} {:?}", loaded.settings, loaded.warnings).replace(&dir.path().display().to_string(), "")
    };
    assert_eq!(show(&uncommented), show(shipped));
}

/// The readers tell what is known in each table when they meet an unknown key; all of it must be in the shipped file.
#[test]
fn the_shipped_file_names_every_key() {
    let shipped = include_str!("../../deploy/renewald.toml");
    let unknown: String = shipped
        .lines()
        .map(|line| line.to_owned() + if line.starts_with('[') { "\nzzzz = 1\n" } else { "\n" })
        .collect();
    let message = load_with(&unknown, &[]).unwrap_err();
    let mut keys = 0;
    for line in message.lines() {
        let (place, known) = line.split_once("zzzz: unknown key; known here: ").unwrap();
        for key in known.split(", ") {
            // The shipped file shows secrets by file only, and says once that they can be given directly.
            let inline_secret = [
                "client_secret",
                "encryption_key",
                "encryption_key_previous",
                "password",
                "secret",
                "shop_token",
                "signing_secret",
                "signing_secret_previous",
                "token",
            ];
            let written = shipped.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{key} = ")));
            assert!(written || inline_secret.contains(&key), "{place}{key}");
            keys += 1;
        }
    }
    assert!(keys > 40, "{message}");
}

#[test]
fn a_dozen_mistakes_are_reported_at_once() {
    let text = r#"[store]
retention = "30"
[poll]
evrey = "4h"
every = "0s"
window_before = 3
[order_data]
retry_first = "5h"
[providers.Nexway]
kind = "nexway-conect"
api_url = "ftp://api.example/connect"
realm = ""
client_secret = "hush"
client_secret_file = "client"
concurrency = 0
requests_per_second = -1
[providers.Nexway.territories.eu]
secret_file = "secrets/eu"
[sinks.shop]
kind = "webhok"
events = ["renewal.redy"]
territories = ["us"]
[sinks.log]
kind = "file"
path = "out.jsonl"
url = "https://shop.example"
[sinks.mail]
kind = "sms"
server = "mail.example"
[admin]
listen = "localhost:9464"
[log]
level = "inof"
format = "xml"
[metrics]
"#;
    let variables = [
        ("RENEWALD__POLL__EVREY", "1h"),
        ("RENEWALD__POL__EVERY", "1h"),
        ("RENEWALD__SINKS__LOG__CONCURRENCY", "many"),
    ];
    let expected = r#"renewald.toml:2: store.retention: 30 needs a unit; write for example "30s", "30m", "30h" or "30d"
renewald.toml:4: poll.evrey: unknown key; did you mean "every"?
renewald.toml:5: poll.every: must be at least 1s
renewald.toml:6: poll.window_before: 3 needs a unit; write for example "3s", "3m", "3h" or "3d"
renewald.toml:8: order_data.retry_first: must not be longer than order_data.retry_max
renewald.toml:9: providers.Nexway: not a name: at most 32 of a-z, 0-9 and _, beginning with a letter
renewald.toml:9: providers.Nexway.iam_url: missing; give the token service's address, such as https://api.nexway.store/iam
renewald.toml:10: providers.Nexway.kind: "nexway-conect" is unknown (did you mean "nexway-connect"?); known are nexway-connect, nexway-monetize, smartpay, digital-river, test-counter, test-lister
renewald.toml:11: providers.Nexway.api_url: must begin with https:// or http://
renewald.toml:12: providers.Nexway.realm: missing; give the realm name from your access data
renewald.toml:13: providers.Nexway.client_secret: given twice: providers.Nexway.client_secret and providers.Nexway.client_secret_file; keep one
renewald.toml:15: providers.Nexway.concurrency: must be a whole number from 1 to 1024
renewald.toml:16: providers.Nexway.requests_per_second: must be a number from 0.001 to 10000, or 0 for no limit
renewald.toml:18: providers.Nexway.territories.eu.secret_file: must be an absolute path, or a bare file name that is looked up in secrets/ beside the settings file
renewald.toml:20: sinks.shop.kind: "webhok" is unknown (did you mean "webhook"?); known are webhook, amqp, nats, redis, smtp, exec, file, stdout, queue
renewald.toml:21: sinks.shop.events: unknown event "renewal.redy" (did you mean "renewal.ready"?); known are renewal.ready, renewal.failed, renewal.payment_failing, subscription.status_changed, subscription.renewal_due, subscription.offer, subscription.ended, subscription.discovered, subscription.not_renewed, "*"
renewald.toml:22: sinks.shop.territories: unknown territory "us"; configured are: eu
renewald.toml:26: sinks.log.url: a key of kind "webhook", "amqp", "nats", "redis"; this sink is of kind "file"
renewald.toml:28: sinks.mail.kind: "sms" is unknown; known are webhook, amqp, nats, redis, smtp, exec, file, stdout, queue
renewald.toml:31: admin.listen: must be an IP address and port such as "127.0.0.1:9464", "unix:/absolute/path", or "" for none
renewald.toml:33: log.level: "inof" is unknown; known are error, warn, info, debug, trace, and directives such as "info,renewald::sweep=debug"
renewald.toml:34: log.format: "xml" is unknown; known are auto, text, json, journald
renewald.toml:35: metrics: unknown key; known here: store, poll, order_data, providers, sinks, admin, log
RENEWALD__POLL__EVREY: unknown name; did you mean RENEWALD__POLL__EVERY?
RENEWALD__POL__EVERY: unknown name; did you mean RENEWALD__POLL__EVERY?
RENEWALD__SINKS__LOG__CONCURRENCY: must be a whole number from 1 to 1024"#;
    assert_eq!(load_with(text, &variables).unwrap_err(), expected);
}

#[test]
fn a_syntax_error_comes_alone_and_shows_nothing_of_the_line() {
    let message = load_with("[poll]\nevrey = 1\nclient_secret = \"hush\" \"hush\"\n", &[]).unwrap_err();
    assert!(message.starts_with("renewald.toml:3: column 24: not valid TOML: "), "{message}");
    assert_eq!(message.lines().count(), 1);
    assert!(!message.contains("hush"), "{message}");
}

#[test]
fn the_environment_lies_over_the_file() {
    let variables = [
        ("RENEWALD__POLL__EVERY", "2h"),
        ("RENEWALD__PROVIDERS__NEXWAY__REQUESTS_PER_SECOND", "7.5"),
        ("RENEWALD__PROVIDERS__NEXWAY__CONCURRENCY", "4"),
        ("RENEWALD__PROVIDERS__NEXWAY__REALM", "123"),
        ("RENEWALD__SINKS__Q__KIND", "queue"),
        ("RENEWALD__SINKS__Q__EVENTS", "renewal.ready, subscription.ended"),
        ("RENEWALD__ADMIN__LISTEN", ""),
        ("RENEWALD__ADMIN__REVEAL", "true"),
    ];
    let settings =
        load_with(&format!("{PROVIDER}[poll]\nevery = '3h'\nwindow_after = '1d'\n"), &variables).unwrap().settings;
    let provider = &settings.providers["nexway"];
    assert_eq!(settings.poll.every, Duration::from_secs(7_200));
    assert_eq!(settings.poll.window_after, Duration::from_secs(86_400));
    assert_eq!((provider.requests_per_second, provider.concurrency), (7.5, 4));
    assert!(provider.kind.to_string().contains("realm 123"), "{}", provider.kind);
    assert_eq!(settings.sinks["q"].events.as_deref().unwrap(), ["renewal.ready", "subscription.ended"]);
    assert_eq!((settings.admin.listen.as_str(), settings.admin.reveal), ("", true));
}

#[test]
fn the_environment_alone_is_enough() {
    let variables = [
        ("RENEWALD__PROVIDERS__NEXWAY__KIND", "nexway-connect"),
        ("RENEWALD__PROVIDERS__NEXWAY__API_URL", "https://api.example/connect"),
        ("RENEWALD__PROVIDERS__NEXWAY__IAM_URL", "https://iam.example"),
        ("RENEWALD__PROVIDERS__NEXWAY__REALM", "acme"),
        ("RENEWALD__PROVIDERS__NEXWAY__CLIENT_SECRET_FILE", "/run/secrets/client"),
        ("RENEWALD__PROVIDERS__NEXWAY__TERRITORIES__EU__SECRET", "hush"),
    ];
    let loaded = load(None, &environment(&variables), &[]).unwrap();
    assert_eq!(loaded.path, None);
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].starts_with("RENEWALD__PROVIDERS__NEXWAY__TERRITORIES__EU__SECRET: the secret itself"));
    assert!(!format!("{loaded:?}").contains("hush"));
}

#[test]
fn a_misnamed_variable_is_told_the_nearest_name() {
    let errors = |name: &str| load_with(PROVIDER, &[(name, "x")]).unwrap_err();
    let message = errors("RENEWALD__PROVIDERS__NEXWY__REALM");
    let missing = "RENEWALD__PROVIDERS__NEXWY__KIND: missing; give \"nexway-connect\" or ";
    assert!(message.contains(missing), "{message}");
    assert!(message.contains("; did you mean RENEWALD__PROVIDERS__NEXWAY__…?"), "{message}");
    assert_eq!(
        errors("RENEWALD__PROVIDERS__NEXWAY__TIMEOT"),
        "RENEWALD__PROVIDERS__NEXWAY__TIMEOT: unknown name; did you mean RENEWALD__PROVIDERS__NEXWAY__TIMEOUT?"
    );
    assert_eq!(errors("RENEWALD__POLL"), "RENEWALD__POLL: must be a table: [poll]");
    assert_eq!(
        errors("RENEWALD__POLL__EVERY__X"),
        "RENEWALD__POLL__EVERY__X: must be a duration such as \"4h\", not a table"
    );
    assert_eq!(errors("RENEWALD____X"), "RENEWALD____X: unknown name; write for example RENEWALD__POLL__EVERY");
}

#[test]
fn the_file_is_looked_for_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, every: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("{PROVIDER}[poll]\nevery = '{every}'")).unwrap();
        path
    };
    let (explicit, variable) = (write("a", "1h"), write("b", "2h"));
    let (here, etc) = (write("c", "3h"), write("d", "4h"));
    let usual = [here.as_path(), etc.as_path()];
    let path = |explicit: Option<&Path>, config: Option<&Path>| {
        let environment = Environment { config: config.map(Path::to_owned), ..Environment::default() };
        load(explicit, &environment, &usual).unwrap().path.unwrap()
    };
    assert_eq!(path(Some(&explicit), Some(&variable)), explicit);
    assert_eq!(path(None, Some(&variable)), variable);
    assert_eq!(path(None, None), here);
    fs::remove_file(&here).unwrap();
    assert_eq!(path(None, None), etc);
    fs::remove_file(&etc).unwrap();
    let nothing = load(None, &Environment::default(), &usual).unwrap_err().to_string();
    assert!(nothing.starts_with("no settings: looked for ") && nothing.ends_with("run: renewald init"), "{nothing}");
    let missing = load(Some(&here), &Environment::default(), &usual).unwrap_err().to_string();
    assert!(missing.contains("/c: cannot be read: No such file"), "{missing}");
}

#[test]
fn wrong_types_say_what_is_wanted() {
    assert_eq!(
        refused("[poll]\nevery = true"),
        "renewald.toml:11: poll.every: must be a duration such as \"4h\", not true or false"
    );
    assert_eq!(
        refused("[poll]\nmax_generation_jump = \"24\""),
        "renewald.toml:11: poll.max_generation_jump: must be a whole number from 1 to 1000000, not text"
    );
    assert_eq!(refused("[log]\nlevel = 3"), "renewald.toml:11: log.level: must be text in quotes, not a number");
    assert_eq!(refused("[[sinks]]\nkind = 'queue'"), "renewald.toml:10: sinks: must be a table: [sinks]");
    assert_eq!(
        refused("[sinks.q]\nkind = 'queue'\nevents = 'renewal.ready'"),
        "renewald.toml:12: sinks.q.events: must be a list of texts such as [\"a\", \"b\"], not text"
    );
    assert_eq!(
        refused("[poll]\nmax_generation_jump = 99999999999999999999"),
        "renewald.toml:11: poll.max_generation_jump: the number is too large"
    );
    assert_eq!(
        refused("[poll]\n\"every.x\" = 1"),
        "renewald.toml:11: poll.every.x: unknown key; keys are made of letters, digits, _ and -"
    );
    assert_eq!(refused("[admin]\nalert_after = nan"), "renewald.toml:11: admin.alert_after: must be a finite number");
    let wanted = "renewald.toml:11: admin.reveal: must be true or false, not text";
    assert_eq!(refused("[admin]\nreveal = 'true'"), wanted);
}

#[test]
fn one_account_belongs_to_one_provider() {
    let twin = PROVIDER.replace("nexway]", "twin]").replace("nexway.", "twin.").replace("connect/\"", "connect\"");
    let message = refused(&twin);
    assert!(
        message.starts_with("renewald.toml:11: providers.twin: api_url and realm are those of \"nexway\""),
        "{message}"
    );
    assert!(load_with(&format!("{PROVIDER}{}", twin.replace("acme", "other")), &[]).is_ok());
}

#[test]
fn accounts_of_one_realm_at_one_token_service_share_a_budget_and_so_do_those_that_name_the_same() {
    let account = |name: &str, more: &str| {
        let text = PROVIDER.replace("nexway]", &format!("{name}]")).replace("nexway.", &format!("{name}."));
        text.replace("/connect/", &format!("/{name}/")).replace("realm =", &format!("{more}\nrealm ="))
    };
    let counter = |name: &str, more: &str| {
        format!("[providers.{name}]\nkind = \"test-counter\"\nurl = \"https://c.example/{name}\"\n{more}\n")
    };
    let told = |text: &str| {
        let loaded = loaded(text);
        let budgets = loaded.settings.budgets();
        (
            budgets.iter().map(|one| (one.providers.join(" "), one.requests_per_second)).collect::<Vec<_>>(),
            loaded.warnings,
        )
    };
    let one = |names: &str, rate: f64| (names.to_owned(), rate);
    // Another path of the same token service.
    let twins = account("a", "") + &account("b", "requests_per_second = 2").replace("/iam\"", "/other\"");
    assert_eq!(told(&twins), (vec![one("a b", 2.0)], vec![]));
    for other in [twins.replacen("acme", "acme2", 1), twins.replacen("iam.example", "iam2.example", 1)] {
        assert_eq!(told(&other).0, [one("a", 5.0), one("b", 2.0)]);
    }
    // Whoever is named beside brings those together who had nothing to do with each other.
    let named = account("a", "budget = \"x\"") + &counter("c", "budget = \"x\"\nrequests_per_second = 0");
    assert_eq!(told(&(named.clone() + &account("b", ""))).0, [one("a b c", 5.0)]);
    assert_eq!(told(&(named + &counter("d", ""))).0, [one("a c", 5.0), one("d", 5.0)]);
    let unlimited = counter("c", "requests_per_second = 0") + &counter("d", "");
    assert_eq!(told(&unlimited).0, [one("c", 0.0), one("d", 5.0)]);
    let (budgets, warnings) = told(&counter("c", "budget = \"x\""));
    assert_eq!(budgets, [one("c", 5.0)]);
    assert!(warnings[0].contains("providers.c.budget: no other provider names \"x\""), "{warnings:?}");
}

#[test]
fn notifications_come_in_where_somebody_says_who_may_send_them() {
    let provider = "[providers.c]\nkind = \"test-counter\"\nurl = \"https://c.example\"\n[providers.c.hints]\n";
    let of = |hints: &str| load_with(&format!("{provider}{hints}"), &[]);
    let hints = |text: &str| of(text).unwrap().settings.providers["c"].hints.clone();
    let (listen, token) = ("listen = \"127.0.0.1:9470\"\n", "auth = \"bearer\"\ntoken_file = \"t\"\n");
    assert_eq!(hints(""), None);
    assert_eq!(hints(token), None, "switched off");
    let bearer = hints(&format!("{listen}{token}")).unwrap();
    assert!(bearer.listen == "127.0.0.1:9470" && matches!(bearer.sender, HintSender::Bearer(_)), "{bearer:?}");
    let basic = hints("listen = \"unix:/run/h\"\nauth = \"basic\"\nuser = \"u\"\npassword_file = \"p\"").unwrap();
    assert!(matches!(basic.sender, HintSender::Basic { .. }), "{basic:?}");
    assert_eq!(hints(&format!("{listen}auth = \"none\"")).unwrap().sender, HintSender::Anybody);

    for (text, mistake) in [
        (listen, "renewald.toml:4: providers.c.hints.auth: missing; give \"basic\", \"bearer\" or \"none\""),
        (
            "listen = \"9470\"\nauth = \"none\"",
            "renewald.toml:5: providers.c.hints.listen: must be an IP address and port",
        ),
        ("listen = \"unix:h\"\nauth = \"none\"", "the socket's path must be absolute"),
        ("listen = \"127.0.0.1:9464\"\nauth = \"none\"", "is the address of admin.listen"),
        ("auth = \"digest\"", "\"digest\" is unknown; known are basic, bearer, none"),
        ("auth = \"bearer\"", "token_file: missing; auth = \"bearer\" needs it"),
        ("auth = \"basic\"\nuser = \"a:b\"\npassword_file = \"p\"", "must not hold a colon"),
        ("auth = \"none\"\ntoken_file = \"t\"", "token_file: is not used with auth = \"none\""),
        ("lissen = \"\"", "unknown key; did you mean \"listen\"?"),
    ] {
        let told = of(text).unwrap_err();
        assert!(told.contains(mistake), "{told}");
    }
    let basic = of("auth = \"basic\"").unwrap_err();
    assert!(basic.contains("hints.user: missing") && basic.contains("hints.password_file: missing"), "{basic}");
    let public = of("listen = \"0.0.0.0:9470\"\nauth = \"none\"").unwrap();
    assert!(public.warnings[0].contains("whoever reaches it makes us ask"), "{:?}", public.warnings);
    let public = of(&format!("listen = \"[::]:9470\"\n{token}")).unwrap();
    assert!(public.warnings[0].contains("http sends the secret in plain text"), "{:?}", public.warnings);

    let of_another_kind = refused("[providers.nexway.hints]\nlisten = \"\"\n");
    assert!(
        of_another_kind
            .contains("providers.nexway.hints: a provider of kind \"nexway-connect\" sends no notifications"),
        "{of_another_kind}"
    );
}

#[test]
fn a_provider_of_unknown_kind_brings_no_other_mistakes() {
    let text = PROVIDER.replace("nexway-connect", "sms");
    assert_eq!(
        load_with(&format!("{text}[sinks.q]\nkind = 'queue'\nterritories = ['eu']"), &[]).unwrap_err(),
        "renewald.toml:3: providers.nexway.kind: \"sms\" is unknown; known are nexway-connect, nexway-monetize, smartpay, digital-river, test-counter, test-lister"
    );
}

#[test]
fn something_must_be_configured() {
    assert_eq!(
        load_with("", &[]).unwrap_err(),
        "renewald.toml: providers: no provider is configured; add a table [providers.NAME]"
    );
    let (without, _) = PROVIDER.split_once("[providers.nexway.territories").unwrap();
    let message = load_with(without, &[]).unwrap_err();
    assert!(message.starts_with("renewald.toml:2: providers.nexway.territories: no territory"), "{message}");
}

#[test]
fn each_territory_needs_somebody_to_tell() {
    let message = refused("[sinks.q]\nkind = 'queue'\nevents = ['renewal.failed']");
    assert_eq!(
        message,
        "renewald.toml:8: providers.nexway.territories.eu: no sink takes renewal.ready of this territory: its keys would reach nobody"
    );
    let us = "[providers.nexway.territories.us]\nsecret_file = 'us'\n[sinks.q]\nkind = 'queue'\nterritories = ['eu']";
    assert!(refused(us).starts_with("renewald.toml:10: providers.nexway.territories.us: no sink"));
    assert!(refused("[sinks.q]\nkind = 'queue'\nevents = []").contains("names no event"));
}

#[test]
fn a_message_goes_to_the_sinks_that_take_it() {
    let text = "[providers.nexway.territories.us]\nsecret_file = 'us'\n\
                [sinks.b]\nkind = 'stdout'\nterritories = ['eu']\n\
                [sinks.a]\nkind = 'queue'\nevents = '*'\n\
                [sinks.c]\nkind = 'file'\npath = '/x'\nevents = ['subscription.ended']\nterritories = ['*']\n";
    let settings = loaded(&format!("{PROVIDER}{text}")).settings;
    assert_eq!(settings.sinks_for("renewal.ready", "eu"), ["a", "b"]);
    assert_eq!(settings.sinks_for("renewal.ready", "us"), ["a"]);
    assert_eq!(settings.sinks_for("subscription.ended", "us"), ["a", "c"]);
    assert_eq!(settings.sinks["a"].events, None);
}

#[test]
fn addresses_are_checked_and_their_text_not_repeated() {
    let refused_url = |url: &str| refused(&format!("[admin]\nheartbeat_url = \"{url}\""));
    for (url, reason) in [
        ("shop.example", "not a URL: relative URL without a base; write for example https://host/path"),
        ("https://", "not a URL: empty host; write for example https://host/path"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
        ("https://me:hush@shop.example", "must not hold a user name or password: addresses are shown in logs"),
        ("https://shop.example/#x", "must not have a fragment (#…): it is never sent"),
    ] {
        assert_eq!(refused_url(url), format!("renewald.toml:11: admin.heartbeat_url: {reason}"));
    }
    let query = PROVIDER.replace("/connect/", "/connect?a=b");
    assert!(load_with(&query, &[]).unwrap_err().contains("api_url: must not have a query"));
}

#[test]
fn what_is_unwise_is_warned_of() {
    let warns = |text: &str, beginning: &str| {
        let warnings = warned(text);
        assert!(warnings.len() == 1 && warnings[0].starts_with(beginning), "{warnings:?}");
    };
    warns("[poll]\nevery = '59m'", "renewald.toml:11: poll.every: below 1h");
    warns("[admin]\nheartbeat_url = 'http://shop.example'", "renewald.toml:11: admin.heartbeat_url: http sends");
    warns("[admin]\nlisten = '0.0.0.0:9464'", "renewald.toml:11: admin.listen: beyond loopback");
    warns(
        "[sinks.s]\nkind = 'webhook'\nurl = 'https://x.example'",
        "renewald.toml:10: sinks.s.signing_secret_file: none",
    );
    let rate = |rate: &str| PROVIDER.replace("realm =", &format!("requests_per_second = {rate}\nrealm ="));
    assert!(
        loaded(&rate("0")).warnings[0].starts_with("renewald.toml:6: providers.nexway.requests_per_second: 0 means")
    );
    assert!(loaded(&rate("9.5")).warnings[0].contains("above 9"));
    assert_eq!(loaded(&rate("9")).warnings.len(), 0);
    for local in ["http://127.0.0.1:80", "http://localhost", "http://[::1]:8080"] {
        assert_eq!(warned(&format!("[admin]\nheartbeat_url = '{local}'")).len(), 0, "{local}");
    }
    assert_eq!(loaded(&PROVIDER.replace("realm =", "proxy = 'http://proxy.example:3128'\nrealm =")).warnings.len(), 0);
    for fine in ["unix:/run/x.sock", "[::1]:9464", ""] {
        assert_eq!(warned(&format!("[admin]\nlisten = '{fine}'")).len(), 0, "{fine}");
    }
    assert_eq!(warned("[admin]\nlisten = '0.0.0.0:9464'\ntoken_file = 'token'").len(), 0);
}

#[test]
fn contradictions_are_errors() {
    assert!(refused("[admin]\nlisten = 'unix:run.sock'").contains("must be absolute"));
    let previous = "[sinks.s]\nkind = 'webhook'\nurl = 'https://x.example'\nsigning_secret_previous_file = 'old'";
    assert!(refused(previous).contains("needs signing_secret_file"));
    let timeouts = PROVIDER.replace("realm =", "timeout = '5s'\nconnect_timeout = '6s'\nrealm =");
    assert!(load_with(&timeouts, &[]).unwrap_err().contains("connect_timeout: must not be longer than timeout"));
    let short = loaded(&PROVIDER.replace("realm =", "timeout = '5s'\nrealm =")).settings;
    assert_eq!(short.providers["nexway"].connect_timeout, Duration::from_secs(5));
    assert!(refused("[store]\nencryption_key_previous_file = 'key'").contains("needs encryption_key_file"));
    let twice = [("RENEWALD__PROVIDERS__NEXWAY__CLIENT_SECRET", "hush")];
    assert_eq!(
        load_with(PROVIDER, &twice).unwrap_err(),
        "RENEWALD__PROVIDERS__NEXWAY__CLIENT_SECRET: given twice: RENEWALD__PROVIDERS__NEXWAY__CLIENT_SECRET and \
         providers.nexway.client_secret_file; keep one"
    );
}

#[test]
fn names_are_checked_everywhere() {
    for name in ["1eu", "e-u", "EU", "_eu", &"e".repeat(33)] {
        let message = refused(&format!("[providers.nexway.territories.{name}]\nsecret_file = 'x'"));
        assert!(message.starts_with(&format!("renewald.toml:10: providers.nexway.territories.{name}: not a name")));
    }
    assert!(refused("[sinks.Q]\nkind = 'queue'").contains("sinks.Q: not a name"));
    assert!(loaded(&format!("{PROVIDER}[sinks.{}]\nkind = 'queue'", "q".repeat(32))).settings.sinks.len() == 1);
}

fn secret_in(dir: &TempDir, name: &str, credentials: Option<PathBuf>) -> Secret {
    let secrets = dir.path().join("secrets");
    Secret::File { name: name.into(), key: "admin.token_file".to_owned(), secrets, credentials, lines: false }
}

#[test]
fn a_secret_is_looked_up_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    let secret = secret_in(&dir, "x", Some(credentials.clone()));
    let message = secret.read().unwrap_err().to_string();
    let at = dir.path().display();
    assert_eq!(
        message,
        format!(
            "admin.token_file: there is no file {at}/credentials/secrets_x nor {at}/credentials/x nor {at}/secrets/x"
        )
    );
    fs::create_dir(&credentials).unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    let read_after = |path: PathBuf, content: &str| {
        fs::write(path, content).unwrap();
        secret.read().unwrap().expose_secret().to_owned()
    };
    assert_eq!(read_after(dir.path().join("secrets/x"), "beside\n"), "beside");
    assert_eq!(read_after(credentials.join("x"), "plain\r\n"), "plain");
    assert_eq!(read_after(credentials.join("secrets_x"), "of a directory"), "of a directory");
    let absolute = dir.path().join("secrets/x").display().to_string();
    assert_eq!(secret_in(&dir, &absolute, Some(credentials)).read().unwrap().expose_secret(), "beside");
}

#[test]
fn an_unusable_secret_is_an_error_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    let secret = secret_in(&dir, "x", None);
    let refused = |content: &[u8]| {
        fs::write(dir.path().join("secrets/x"), content).unwrap();
        let error = secret.read().unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    };
    assert!(refused(b"").contains("is empty"));
    assert!(refused(b"\n").contains("is empty"));
    for content in [&b"hush\nhush\n"[..], b"hush\n\n", b"hu\xffsh", b"hu\0sh"] {
        let message = refused(content);
        assert!(message.contains("must hold one line of text") && !message.contains("hu"), "{message}");
    }
    assert!(refused(&[b'x'; 64 * 1024 + 1]).contains("larger than 64 KiB"));
    fs::remove_file(dir.path().join("secrets/x")).unwrap();
    fs::create_dir(dir.path().join("secrets/x")).unwrap();
    assert!(secret.read().unwrap_err().to_string().ends_with("secrets/x cannot be read"));
}

#[test]
fn a_secret_readable_by_all_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    let path = dir.path().join("secrets/x");
    let secret = secret_in(&dir, "x", None);
    assert_eq!(secret.warnings(), Vec::<String>::new());
    fs::write(&path, "hush").unwrap();
    let warnings_at = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        secret.warnings()
    };
    assert_eq!(warnings_at(0o640), Vec::<String>::new());
    assert!(warnings_at(0o644)[0].starts_with("admin.token_file: every user may read"));
    fs::write(&path, "hush \n").unwrap();
    assert_eq!(warnings_at(0o640), ["admin.token_file: begins or ends with a blank, which is taken as part of it"]);
}

#[test]
fn signing_secrets_have_a_form() {
    let key = |text: &str| Secret::Inline(text.to_owned().into()).read_signing_key();
    assert_eq!(key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap().expose_secret().len(), 24);
    for bad in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%%"] {
        assert!(matches!(key(bad), Err(SecretError::NotASigningSecret { .. })), "{bad}");
    }
    assert!(key(&format!("whsec_{}", "A".repeat(88))).is_err()); // 66 bytes
    let inline = "[sinks.s]\nkind = 'webhook'\nurl = 'https://x.example'\nsigning_secret = 'whsec_abc'";
    assert!(refused(inline).contains("sinks.s.signing_secret: must be whsec_"));
}

#[test]
fn a_brokers_sink_is_read_strictly() {
    let sink = |text: &str| format!("[sinks.s]\n{text}");
    let amqp = |text: &str| refused(&sink(&format!("kind = 'amqp'\nexchange = 'e'\n{text}")));
    let nats = |text: &str| refused(&sink(&format!("kind = 'nats'\n{text}")));
    let url = "url = 'amqps://broker.example'\n";
    for (text, expected) in [
        ("", "sinks.s.url: missing; give the broker's address, such as amqps://rabbit.example"),
        ("url = 'https://x.example'", "sinks.s.url: must begin with amqps:// or amqp://"),
        ("url = 'amqps://a:hush@x.example'", "must not hold a user name or password"),
        ("url = 'amqps://x.example/shop'", "sinks.s.url: must end after host and port"),
        ("url = 'amqp://127.0.0.1'\nca_file = 'ca.pem'", "must begin with amqps:// where certificates are given"),
        ("url = 'amqps://m\u{fc}ller\u{ff20}x'", "sinks.s.url: holds a domain with letters that no domain may have"),
    ] {
        assert!(amqp(text).contains(expected), "{}", amqp(text));
        assert!(!amqp(text).contains("hush"));
    }
    for (text, expected) in [
        ("routing_key = '{typ}'", "unknown placeholder \"{typ}\"; known are {type}, {provider}, {territory}"),
        ("user = 'u'", "sinks.s.password_file: missing"),
        ("password_file = 'p'", "sinks.s.user: missing"),
        ("client_key_file = 'key'", "sinks.s.client_certificate_file: missing"),
        ("declare = true", "sinks.s.queue: missing"),
        ("declare = 'true'", "sinks.s.declare: must be true or false, not text"),
        ("exchange_type = 'headers'", "known are topic, direct, fanout"),
        ("declare = true\nqueue = 'q'\nexchange_type = 'direct'", "direct exchanges know no patterns"),
        ("subject = 'x'", "a key of kind \"nats\", \"smtp\"; this sink is of kind \"amqp\""),
    ] {
        assert!(amqp(&format!("{url}{text}")).contains(expected), "{}", amqp(&format!("{url}{text}")));
    }
    let long = format!("{url}routing_key = '{}.{{type}}'", "x".repeat(250));
    assert!(amqp(&long).contains("longer than 255 bytes"));
    assert!(refused(&sink(&format!("kind = 'amqp'\n{url}"))).contains("give exchange, or queue alone"));
    let url = "url = 'tls://a.example, tls://b.example'\n";
    for (text, expected) in [
        ("subject = 'a b'", "sinks.s.subject: not a subject"),
        ("subject = 'a.*'", "sinks.s.subject: not a subject"),
        ("subject = 'a..{type}'", "sinks.s.subject: not a subject"),
        ("stream = 'a.b'", "sinks.s.stream: not the name of a stream"),
        ("token_file = 't'\ncredentials_file = 'c'", "give one of user with password_file, token_file"),
    ] {
        assert!(nats(&format!("{url}{text}")).contains(expected), "{}", nats(&format!("{url}{text}")));
    }
}

#[test]
fn a_brokers_defaults_and_warnings() {
    let text = "[sinks.a]\nkind = 'amqp'\nurl = 'amqp://broker.example'\nqueue = '{q}'\n\
                [sinks.b]\nkind = 'amqp'\nurl = 'amqp://[::1]:5673'\nexchange = 'e'\n\
                [sinks.c]\nkind = 'nats'\nurl = 'nats://broker.example'\n\
                [sinks.d]\nkind = 'nats'\nurl = 'nats://broker.example'\nca_file = 'ca.pem'\n\
                [sinks.e]\nkind = 'redis'\nurl = 'rediss://m\u{fc}ller.example/0'\n";
    let loaded = loaded(&format!("{PROVIDER}{text}"));
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("sinks.a.url: amqp:// sends secrets and licence keys in plain text; use amqps://"));
    assert!(warnings[1].contains("sinks.c.url: nats:// sends"), "{warnings:?}");
    let SinkKind::Amqp(a) = &loaded.settings.sinks["a"].kind else { panic!() };
    assert_eq!(a.routing_key.filled("", "", ""), "{q}", "a queue's name is no template");
    let SinkKind::Redis(e) = &loaded.settings.sinks["e"].kind else { panic!() };
    assert_eq!(e.url, "rediss://xn--mller-kva.example/0");
    let SinkKind::Amqp(b) = &loaded.settings.sinks["b"].kind else { panic!() };
    assert_eq!(b.routing_key.filled("type", "", ""), "type");
    assert_eq!((b.vhost.as_str(), b.declare, b.heartbeat.as_secs()), ("/", false, 30));
}

#[test]
fn a_private_key_may_have_lines() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/x"), "-----BEGIN\nhush\n-----END\n").unwrap();
    let secret = secret_in(&dir, "x", None);
    assert!(secret.read().is_err());
    let Secret::File { name, key, secrets, credentials, .. } = secret else { panic!() };
    let several = Secret::File { name, key, secrets, credentials, lines: true };
    assert_eq!(several.read().unwrap().expose_secret(), "-----BEGIN\nhush\n-----END");
    assert_eq!(several.path().unwrap(), dir.path().join("secrets/x"));
}

#[test]
fn no_debug_output_shows_a_secret() {
    let text = PROVIDER
        .replace("client_secret_file = \"client\"", "client_secret = \"hush\"")
        .replace("secret_file = \"eu\"", "secret = \"hush\"");
    let loaded = loaded(&text);
    assert_eq!(loaded.warnings.len(), 2);
    assert!(!format!("{loaded:?}").contains("hush"));
    let secrets = loaded.settings.secrets();
    assert_eq!(secrets.len(), 2);
    assert!(secrets.iter().all(|secret| secret.read().unwrap().expose_secret() == "hush"));
}

#[test]
fn lists_are_read_where_there_are_any() {
    let with =
        |keys: &str| format!("[providers.counts]\nkind = \"test-counter\"\nurl = \"http://127.0.0.1:1\"\n{keys}");
    let feed = |keys: &str| load_with(&with(keys), &[]).unwrap().settings.providers["counts"].feed.unwrap();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(feed(""), Feed { every: minutes(10), discover: Discover::Off });
    assert_eq!(feed("feed_every = \"0s\""), Feed { every: Duration::ZERO, discover: Discover::Off });
    let deliver = "feed_every = \"1m\"\ndiscover = \"deliver\"";
    assert_eq!(feed(deliver), Feed { every: minutes(1), discover: Discover::Deliver });
    let refused = |keys: &str| load_with(&with(keys), &[]).unwrap_err();
    assert_eq!(
        refused("discover = \"all\""),
        "renewald.toml:4: providers.counts.discover: \"all\" is unknown; known are off, adopt, deliver"
    );
    assert_eq!(
        refused("feed_every = \"0s\"\ndiscover = \"adopt\""),
        "renewald.toml:5: providers.counts.discover: needs feed_every: without reading the provider's lists nobody is found"
    );
    let lister = with("discover = \"adopt\"\nfeed_every = \"1m\"").replace("test-counter", "test-lister");
    let expected =
        "renewald.toml:4: providers.counts.discover: a provider of kind \"test-lister\" lists nothing by itself
renewald.toml:5: providers.counts.feed_every: a provider of kind \"test-lister\" lists nothing by itself";
    assert_eq!(load_with(&lister, &[]).unwrap_err(), expected);
}

#[test]
fn a_kind_has_a_timeout_of_its_own_and_may_have_another_name() {
    let billing = |more: &str| {
        format!(
            "[providers.b]\nkind = 'subscription-module'\napi_url = 'https://pay.example/v1/'\nmerchant_key_file = 'k'\n{more}"
        )
    };
    let Loaded { settings, warnings, .. } = loaded(&billing(""));
    assert_eq!(warnings, Vec::<String>::new());
    let provider = &settings.providers["b"];
    assert_eq!((provider.timeout, provider.connect_timeout), (Duration::from_secs(90), Duration::from_secs(10)));
    assert_eq!(provider.kind.to_string(), "https://pay.example/v1, merchant key");
    assert_eq!(provider.kind.kind().as_str(), "smartpay");
    let short =
        loaded(&billing("timeout = '20s'\norigin = 'https://shop.example/'\nauthentication_key_file = 'a'")).settings;
    assert_eq!(short.providers["b"].timeout, Duration::from_secs(20));
    for (more, expected) in [
        ("origin = 'https://shop.example/path'", "providers.b.origin: must be your address without a path"),
        ("keys_pointer = 'key'", "providers.b.keys_pointer: must be a JSON pointer into merchantMetadata"),
        (
            "realm = 'x'",
            "providers.b.realm: a key of kind \"nexway-connect\", \"nexway-monetize\"; this provider is of kind \"smartpay\"",
        ),
        ("first_cycle_is_purchase = 'no'", "providers.b.first_cycle_is_purchase: must be true or false"),
    ] {
        let message = load_with(&billing(more), &[]).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let twice = billing("") + &billing("").replace("providers.b", "providers.c");
    let message = load_with(&twice, &[]).unwrap_err();
    assert!(message.contains("providers.c: api_url and merchant key are those of \"b\""), "{message}");
    let without = load_with("[providers.b]\nkind = 'smartpay'", &[]).unwrap_err();
    assert!(without.contains("api_url: missing") && without.contains("merchant_key_file: missing"), "{without}");
}
