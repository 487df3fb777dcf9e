//! `[providers.NAME.hints]`: where a provider's notifications come in, and who may send them.

use std::net::SocketAddr;

use super::Settings;
use super::reader::{Report, Section};
use super::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Hints {
    /// A socket address in its usual form, or `unix:` and an absolute path; never empty.
    pub listen: String,
    pub sender: HintSender,
}

/// Who may send them.
#[derive(Clone, Debug, PartialEq)]
pub enum HintSender {
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    /// Everybody who reaches the address.
    Anybody,
}

impl Hints {
    pub fn secret(&self) -> Option<&Secret> {
        match &self.sender {
            HintSender::Basic { password: secret, .. } | HintSender::Bearer(secret) => Some(secret),
            HintSender::Anybody => None,
        }
    }
}

/// Of a kind that sends notifications; `None` where they are switched off, or cannot be used.
pub(super) fn read(mut section: Section) -> Option<Hints> {
    let given = listen(&mut section);
    let sender = sender(&mut section, given.is_some());
    if let (Some(Listen { is_public: true, .. }), Some(sender)) = (&given, &sender) {
        section.warning(
            "listen",
            match sender {
                HintSender::Anybody => "beyond loopback, and with auth = \"none\" whoever reaches it makes us ask, once a second",
                _ => "beyond loopback, and http sends the secret in plain text: let a proxy with a certificate stand before it",
            },
        );
    }
    section.finish();
    Some(Hints { listen: given?.address, sender: sender? })
}

struct Listen {
    address: String,
    is_public: bool,
}

fn listen(section: &mut Section) -> Option<Listen> {
    let text = section.text("listen").ok()??;
    match parse_listen(&text) {
        Ok(address) => Some(Listen { is_public: is_public(&address), address }),
        Err(reason) => {
            section.problem("listen", reason);
            None
        }
    }
}

/// In its usual form, so that the same address is the same text.
pub(super) fn parse_listen(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(text.to_owned()),
        Some(_) => Err("the socket's path must be absolute: \"unix:/run/renewald/NAME.sock\""),
        None => text.parse::<SocketAddr>().map(|address| address.to_string()).map_err(
            |_| "must be an IP address and port such as \"127.0.0.1:9464\", \"unix:/absolute/path\", or \"\" for none",
        ),
    }
}

/// Whether it can be reached from beyond this machine.
pub(super) fn is_public(listen: &str) -> bool {
    listen.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
}

/// `is_needed`: somebody may come.
fn sender(section: &mut Section, is_needed: bool) -> Option<HintSender> {
    let auth = if is_needed {
        section.required("auth", "\"basic\", \"bearer\" or \"none\"")
    } else {
        section.text("auth").ok()?
    };
    let user = section.text("user").ok().flatten();
    let (password, token) = (section.secret("password"), section.secret("token"));
    let auth = auth?;
    let given = [("user", user.is_some()), ("password_file", password.is_some()), ("token_file", token.is_some())];
    let needed: &[&str] = match auth.as_str() {
        "basic" => &["user", "password_file"],
        "bearer" => &["token_file"],
        "none" => &[],
        _ => {
            section.problem("auth", format!("{auth:?} is unknown; known are basic, bearer, none"));
            return None;
        }
    };
    for (key, is_given) in given {
        match (is_given, needed.contains(&key)) {
            (true, false) => section.problem(key, format!("is not used with auth = {auth:?}")),
            (false, true) => section.problem(key, format!("missing; auth = {auth:?} needs it")),
            _ => {}
        }
    }
    match auth.as_str() {
        "basic" => {
            let user = user?;
            if user.contains(':') {
                section.problem("user", "must not hold a colon: it ends where the password begins");
            }
            Some(HintSender::Basic { user, password: password? })
        }
        "bearer" => token.map(HintSender::Bearer),
        _ => Some(HintSender::Anybody),
    }
}

/// Two programs cannot listen at one address, and neither can two parts of one.
pub(super) fn check(settings: &Settings, report: &mut Report) {
    let admin = parse_listen(&settings.admin.listen);
    for (name, provider) in &settings.providers {
        if provider.hints.as_ref().is_some_and(|hints| Ok(&hints.listen) == admin.as_ref()) {
            let text =
                "is the address of admin.listen, and others than the provider must not reach that: choose another";
            report.problem(&format!("providers.{name}.hints.listen"), text);
        }
    }
}
