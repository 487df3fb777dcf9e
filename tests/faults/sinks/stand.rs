//! A server for every kind of sink, how each is made to suffer, and what it has received.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::RwLockReadGuard;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Failed, TIMEOUT, Trouble};
use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{Installation, Setup};
use crate::it::servers::authority::Authority;
use crate::it::servers::nats::Nats;
use crate::it::servers::rabbitmq::{self, RabbitMq, Vhost};
use crate::it::servers::redis::Redis;
use crate::it::servers::smtp::Smtp;
use crate::proxy::{Proxy, Way};

const PASSWORD: &str = "the right one";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Webhook,
    Amqp,
    Nats,
    Redis,
    Smtp,
    Exec,
    File,
}

impl Kind {
    /// The sink's name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Amqp => "amqp",
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Smtp => "smtp",
            Self::Exec => "exec",
            Self::File => "file",
        }
    }

    /// Whether this can happen to it. A file asks for no credentials, answers nothing and looks at no message: it can be
    /// missing. Standard output cannot even be that, and the built-in queue is pulled from: neither is among the kinds.
    pub fn can(self, trouble: Trouble) -> bool {
        self != Self::File || trouble == Trouble::Down
    }

    /// What shows the proxy that the message itself has gone to the server.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Smtp => b"\r\n.\r\n",
            _ => b"specversion",
        }
    }
}

/// The servers of one site. A kind whose server is not installed is left out, as in tests/it.
pub struct Stand {
    name: String,
    webhook: FakeReceiver,
    amqp: Option<RwLockReadGuard<'static, RabbitMq>>,
    nats: Option<Nats>,
    redis: Option<Redis>,
    smtp: Option<Smtp>,
    /// Wants a password.
    strict_smtp: Option<(Smtp, Authority, tempfile::TempDir)>,
    proxies: Vec<(Kind, Proxy)>,
}

impl Stand {
    pub fn open(name: &str) -> Self {
        let webhook = FakeReceiver::start();
        let amqp = rabbitmq::shared();
        let nats = Nats::with(&format!("authorization {{ user: renewald, password: {PASSWORD:?} }}"));
        let redis =
            Redis::with(|port| ["--port", &port.to_string(), "--requirepass", PASSWORD].map(str::to_owned).into());
        let redis = redis.map(|mut redis| {
            redis.client_arguments = ["--no-auth-warning", "-a", PASSWORD].map(str::to_owned).into();
            redis
        });
        let (smtp, strict_smtp) = (Smtp::new(), strict_smtp());
        let mut this = Self { name: name.to_owned(), webhook, amqp, nats, redis, smtp, strict_smtp, proxies: vec![] };
        this.proxies = this.addresses().into_iter().map(|(kind, target)| (kind, Proxy::to(target))).collect();
        this.prepare();
        this
    }

    fn addresses(&self) -> Vec<(Kind, SocketAddr)> {
        let of_url = |url: String| url.split("//").nth(1)?.split('/').next()?.parse().ok();
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let all = [
            (Kind::Webhook, of_url(self.webhook.url())),
            (Kind::Amqp, self.amqp.as_ref().and_then(|server| of_url(server.url()))),
            (Kind::Nats, self.nats.as_ref().and_then(|server| of_url(server.url()))),
            (Kind::Redis, self.redis.as_ref().map(|server| local(server.port()))),
            (Kind::Smtp, self.smtp.as_ref().map(|server| local(server.port()))),
        ];
        all.into_iter().filter_map(|(kind, address)| Some((kind, address?))).collect()
    }

    /// Streams, queues and accounts.
    fn prepare(&self) {
        if let (Some(server), Some(vhost)) = (&self.amqp, self.vhost()) {
            server.user("strict", PASSWORD);
            vhost.permit("strict", ".*");
            vhost.exchange("renewals");
            vhost.queue("renewals", &json!({}));
            vhost.bind("renewals", "renewals", "#");
            vhost.exchange("renewals-of-eu");
            vhost.bind("renewals-of-eu", "renewals", "eu.#");
        }
        if let Some(nats) = &self.nats {
            self.nats_client(nats).create_stream("RENEWALS", &["renewals.*"]);
        }
    }

    fn vhost(&self) -> Option<Vhost<'_>> {
        self.amqp.as_ref().map(|server| server.vhost(&format!("sinks-{}-{}", self.name, std::process::id())))
    }

    fn nats_client(&self, nats: &Nats) -> crate::it::servers::nats::Client {
        nats.client_as(&json!({"user": "renewald", "pass": PASSWORD}))
    }

    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.proxies.iter().map(|(kind, _)| *kind).chain([Kind::Exec, Kind::File])
    }

    fn proxy(&self, kind: Kind) -> Option<&Proxy> {
        self.proxies.iter().find(|(of, _)| *of == kind).map(|(_, proxy)| proxy)
    }

    /// The tables of all sinks.
    pub fn set_sinks(&self, setup: &mut Setup, trouble: Option<Trouble>) {
        let is = |wanted| trouble == Some(wanted);
        let password = if is(Trouble::Unauthorized) { "wrong" } else { "right" };
        for kind in self.kinds() {
            let address = self.proxy(kind).map(|proxy| proxy.address().to_string()).unwrap_or_default();
            let table = match kind {
                Kind::Webhook => format!("url = \"http://{address}/hooks\"\nsigning_secret_file = \"signing\""),
                Kind::Amqp => format!(
                    "url = \"amqp://{address}\"\nuser = \"strict\"\npassword_file = \"{password}\"\nvhost = \"{}\"\n\
                     exchange = \"renewals{}\"\nrouting_key = \"{{territory}}.{{type}}\"",
                    self.vhost().map(|vhost| vhost.name().to_owned()).unwrap_or_default(),
                    // What is of another territory finds no queue there.
                    if matches!(trouble, Some(Trouble::FailsOnSome(_))) { "-of-eu" } else { "" }
                ),
                Kind::Nats => format!(
                    "url = \"nats://{address}\"\nuser = \"renewald\"\npassword_file = \"{password}\"\n\
                     subject = \"renewals.{{territory}}\""
                ),
                Kind::Redis => {
                    format!(
                        "url = \"redis://{address}\"\npassword_file = \"{password}\"\nstream = \"renewals:{{territory}}\""
                    )
                }
                Kind::Smtp => self.mail(&address, trouble),
                Kind::Exec => "command = [\"DIR/deliver\"]".to_owned(),
                Kind::File if is(Trouble::Down) => "path = \"DIR/missing/messages.jsonl\"".to_owned(),
                Kind::File => "path = \"DIR/messages.jsonl\"".to_owned(),
            };
            setup.set_sink(kind.name(), &format!("kind = \"{}\"\n{table}", kind.name()));
        }
    }

    fn mail(&self, address: &str, trouble: Option<Trouble>) -> String {
        let to = match trouble {
            Some(Trouble::FailsOnSome(failing)) => failing.smtp,
            _ => "email",
        };
        let place = match &self.strict_smtp {
            Some((server, authority, _)) if trouble == Some(Trouble::Unauthorized) => format!(
                "host = \"localhost\"\nport = {}\nuser = \"renewald\"\npassword_file = \"wrong\"\nca_file = \"{}\"",
                server.port(),
                authority.file("authority.pem")
            ),
            _ => {
                let (host, port) = address.split_once(':').expect("an address");
                format!("host = \"{host}\"\nport = {port}\ntls = \"none\"")
            }
        };
        format!("{place}\nfrom = \"Acme <licences@acme.example>\"\nto = \"{{metadata.{to}}}\"")
    }

    /// Secrets and the command, and absolute paths in the settings. A process of its own writes the command: what a thread
    /// of ours starts meanwhile would hold the file open for writing, and the kernel starts no such file.
    pub fn equip(&self, site: &Installation) {
        let dir = site.path("").display().to_string();
        let dir = dir.trim_end_matches('/');
        let settings = fs::read_to_string(site.path("renewald.toml")).expect("settings");
        fs::write(site.path("renewald.toml"), settings.replace("DIR/", &format!("{dir}/"))).expect("settings");
        for (name, secret) in [("right", PASSWORD), ("wrong", "a wrong one")] {
            fs::write(site.path("secrets").join(name), secret).expect("a secret");
        }
        let program = site.path("deliver");
        if !program.exists() {
            script(&program, &COMMAND.replace("DIR", dir));
            self.mode(site, "well");
        }
    }

    fn mode(&self, site: &Installation, mode: &str) {
        fs::write(site.path("mode"), mode).expect("a file");
        fs::write(site.path("struck"), "").expect("a file");
    }

    pub fn begin(&self, trouble: Trouble, site: &Installation) {
        let late = TIMEOUT + Duration::from_millis(500);
        for (kind, proxy) in &self.proxies {
            proxy.set(match trouble {
                Trouble::Down => Way::Closed,
                Trouble::Slow => Way::Slow(Duration::from_millis(150)),
                Trouble::AnswerLost => Way::AnswersLost(kind.mark()),
                Trouble::AnswerLate => Way::AnswersLate(kind.mark(), late),
                Trouble::Unauthorized | Trouble::FailsOnSome(_) => Way::Open,
            });
        }
        match trouble {
            Trouble::FailsOnSome(failing) => {
                fs::write(site.path("fails"), failing.exec).expect("a file");
                self.mode(site, "FailsOnSome");
                self.fail_on_us(failing.webhook);
            }
            Trouble::Unauthorized => {
                self.mode(site, "Unauthorized");
                self.webhook.answer(Answer::Status(401));
            }
            _ => self.mode(site, &format!("{trouble:?}")),
        }
    }

    fn fail_on_us(&self, webhook: Failed) {
        let answer = match webhook {
            Failed::Status(status) => Answer::Status(status),
            Failed::Cut => Answer::Cut,
            Failed::Silent => Answer::Never,
        };
        self.webhook.answer_to("\"territory\":\"us\"", answer);
        if let Some(nats) = &self.nats {
            self.nats_client(nats).stream("UPDATE", "RENEWALS", &["renewals.eu"], json!({}));
        }
        if let Some(redis) = &self.redis {
            // Nothing can be added to what is no stream.
            rename(redis, "renewals:us", "kept");
            redis.cli(&["SET", "renewals:us", "no stream"]);
        }
    }

    pub fn end(&self, trouble: Trouble, site: &Installation) {
        self.mode(site, "well");
        self.proxies.iter().for_each(|(_, proxy)| {
            proxy.set(Way::Closed); // nothing of the trouble stays
            proxy.set(Way::Open);
        });
        self.webhook.answer(Answer::Status(200));
        if matches!(trouble, Trouble::FailsOnSome(_)) {
            self.webhook.answer_to("", Answer::Status(200));
            if let Some(nats) = &self.nats {
                self.nats_client(nats).stream("UPDATE", "RENEWALS", &["renewals.*"], json!({}));
            }
            if let Some(redis) = &self.redis {
                redis.cli(&["DEL", "renewals:us"]);
                rename(redis, "kept", "renewals:us");
            }
        }
    }

    /// How often it has suffered, as far as anybody can tell.
    pub fn struck(&self, kind: Kind, site: &Installation) -> usize {
        let sink = kind.name();
        let told: i64 = site.value(&format!(
            "SELECT (SELECT count(*) FROM sinks WHERE sink = '{sink}' AND failures > 0)
                  + (SELECT count(*) FROM dispatches WHERE sink = '{sink}' AND state = 'pending' AND last_error IS NOT NULL)"
        ));
        let commands = if kind == Kind::Exec { lines(&site.path("struck")).len() } else { 0 };
        told as usize + commands + self.proxy(kind).map_or(0, Proxy::struck)
    }
}

/// If it is there.
fn rename(redis: &Redis, from: &str, to: &str) {
    if redis.cli(&["EXISTS", from]).trim() == "1" {
        redis.cli(&["RENAME", from, to]);
    }
}

fn strict_smtp() -> Option<(Smtp, Authority, tempfile::TempDir)> {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::create(dir.path())?;
    let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
    let options = json!({"user": "renewald", "password": PASSWORD, "certificate": certificate, "key": key});
    Some((Smtp::with(options)?, authority, dir))
}

const COMMAND: &str = r#"
body=$(cat)
case $(cat DIR/mode) in
Down) echo . >> DIR/struck; exit 75 ;;
Slow) echo . >> DIR/struck; sleep 1 ;;
Unauthorized) echo . >> DIR/struck; exit 77 ;;
FailsOnSome) case $body in *'"territory":"us"'*) echo . >> DIR/struck; . DIR/fails ;; esac ;;
esac
printf '%s\n' "$body" >> DIR/commanded.jsonl
case $(cat DIR/mode) in
AnswerLost) echo . >> DIR/struck; kill -KILL $$ ;;
AnswerLate) echo . >> DIR/struck; sleep 5 ;;
esac
"#;

fn script(path: &Path, text: &str) {
    let write = "printf '%s\\n' '#!/bin/sh' \"$1\" > \"$0.part\" && chmod 755 \"$0.part\" && mv \"$0.part\" \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(path).arg(text).status();
    assert!(written.expect("a shell").success());
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

impl Stand {
    /// Everything that this sink has got, in its order. `whole` has the messages themselves, for who keeps less of them.
    pub fn received(&self, kind: Kind, site: &Installation, whole: &[Received]) -> Vec<Received> {
        let of_body = |body: &str| {
            let event: Value = serde_json::from_str(body).expect("a message is JSON");
            received(event["id"].as_str().expect("an id"), body)
        };
        let of_bodies = |bodies: Vec<String>| bodies.iter().map(|body| of_body(body)).collect();
        match kind {
            Kind::Webhook => self.webhook.messages(),
            Kind::Amqp => {
                let taken = self.vhost().expect("a server").messages("renewals");
                of_bodies(taken.iter().map(|taken| taken.0["payload"].as_str().expect("text").to_owned()).collect())
            }
            Kind::Nats => {
                let nats = self.nats.as_ref().expect("a server");
                of_bodies(self.nats_client(nats).messages("RENEWALS").into_iter().map(|stored| stored.body).collect())
            }
            Kind::Redis => {
                let redis = self.redis.as_ref().expect("a server");
                let streams = ["renewals:eu", "renewals:us"].iter().flat_map(|stream| redis.entries(stream));
                of_bodies(streams.map(|entry| entry.field("body").to_owned()).collect())
            }
            Kind::Smtp => self.mails(whole),
            Kind::Exec => of_bodies(lines(&site.path("commanded.jsonl"))),
            Kind::File => of_bodies(lines(&site.path("messages.jsonl"))),
        }
    }

    /// A mail has the id and the keys, in words for people.
    fn mails(&self, whole: &[Received]) -> Vec<Received> {
        let mails = self.smtp.as_ref().expect("a server").mails().into_iter();
        mails
            .map(|mail| {
                let message = whole.iter().find(|message| message.id == mail.id());
                let message = message.unwrap_or_else(|| panic!("a mail of its own: {mail:?}")).clone();
                let text = mail.text.as_deref().unwrap_or_default();
                assert!(crate::harness::keys(&message).iter().all(|key| text.contains(key.as_str())), "{mail:?}");
                message
            })
            .collect()
    }
}

fn received(id: &str, body: &str) -> Received {
    Received {
        id: id.to_owned(),
        timestamp: String::new(),
        signature: None,
        content_type: String::new(),
        headers: Vec::new(),
        body: body.to_owned(),
        connection: 0,
        arrived_at: SystemTime::now(),
    }
}
