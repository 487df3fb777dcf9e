//! The keys of a sink of kind `nats`.

use reqwest::Url;

use crate::delivery::AddressTemplate;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;
use crate::sink::broker::{self, TlsFiles};

#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// The servers of one cluster, tried in this order.
    pub urls: Vec<Url>,
    pub auth: NatsAuth,
    pub subject: AddressTemplate,
    /// The stream that must take the messages; none = whichever has the subject.
    pub stream: Option<String>,
    pub tls: TlsFiles,
}

/// How we say who we are.
#[derive(Clone, Debug, PartialEq)]
pub enum NatsAuth {
    /// Not at all, or by the client certificate.
    None,
    Password {
        user: String,
        password: Secret,
    },
    Token(Secret),
    /// A file with a JWT and the seed of an NKey, as `nsc` writes it.
    Credentials(Secret),
}

impl Nats {
    pub fn secrets(&self) -> Vec<&Secret> {
        let secret = match &self.auth {
            NatsAuth::None => None,
            NatsAuth::Password { password: secret, .. } | NatsAuth::Token(secret) | NatsAuth::Credentials(secret) => {
                Some(secret)
            }
        };
        secret.into_iter().chain(self.tls.secret()).collect()
    }
}

pub(crate) const KEYS: &[&str] = &[
    "url",
    "user",
    "password",
    "password_file",
    "token",
    "token_file",
    "credentials_file",
    "subject",
    "stream",
    broker::CA_FILE,
    broker::CERTIFICATE_FILE,
    broker::KEY_FILE,
];

const SCHEMES: [&str; 2] = ["nats", "tls"];

pub(crate) fn read(section: &mut Section) -> Nats {
    let urls = broker::urls(section, SCHEMES, "tls://nats.example");
    let tls = TlsFiles::read(section);
    // With certificates given, plain text is refused whatever the scheme.
    if tls.is_empty() {
        broker::warn_of_plain_text(section, &urls, SCHEMES);
    }
    let subject = broker::template(section, "subject", AddressTemplate::of_type());
    if !is_subject(&subject.longest()) {
        let text = "not a subject: words with dots between them, without spaces, * and >";
        section.problem("subject", text);
    }
    let stream = section.text("stream").ok().flatten();
    if stream.as_ref().is_some_and(|name| name.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c))) {
        section.problem("stream", "not the name of a stream: no spaces, and none of . * > / \\");
    }
    Nats { urls, auth: auth(section), subject, stream, tls }
}

/// What may be published to.
fn is_subject(subject: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    subject.split('.').all(|word| !word.is_empty() && word != "*" && word != ">" && !word.contains(bad))
}

fn auth(section: &mut Section) -> NatsAuth {
    let account = broker::account(section).map(|(user, password)| NatsAuth::Password { user, password });
    let token = section.secret("token").map(NatsAuth::Token);
    let credentials = section.secret_lines("credentials_file").map(NatsAuth::Credentials);
    let mut given: Vec<_> = [account, token, credentials].into_iter().flatten().collect();
    if given.len() > 1 {
        section.problem("user", "give one of user with password_file, token_file, credentials_file");
    }
    given.pop().unwrap_or(NatsAuth::None)
}
