//! Providers that cannot even be spoken to: wrong certificates, wrong names. The real binary asks them beside one that is well.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use renewald::sandbox::nexway_connect::Sandbox;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::harness::{ACCOUNT, DAY, Installation, PATIENCE, Site, numbered};
use crate::it::servers::authority::Authority;
use crate::proxy::Proxy;
use crate::{Round, Tally, Trial, oracle};

pub const CONNECTING: Trial = Trial {
    name: "connecting",
    what: "expired, foreign and unknown certificates; names that do not resolve",
    long: 50,
    run,
};

/// One after the other, and fewer than open the breaker: each asks for a token of its own.
const SUBSCRIPTIONS: usize = 8;
const RUNS: usize = 3;
/// A name that may exist. Its resolver, on this machine, is not there.
const NOT_RESOLVED: &str = "https://provider.example:1";
/// Gives the binary a resolver of its own: for itself alone, so that only root can.
const WITHOUT_RESOLVER: &str = "mount --bind \"$0\" \"$(realpath /etc/resolv.conf)\" && exec \"$@\"";
/// A label of 64 letters: it is no name, and no resolver is asked.
const NO_NAME: &str = "https://nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.invalid:1";

/// Shakes hands with whoever comes, and counts.
struct Front {
    url: String,
    handshakes: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Front {
    /// Its thread ends with the tests.
    fn start(certificate: &str, key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("it fits");
        let (config, handshakes, accepted) = (Arc::new(config), Arc::default(), Arc::default());
        let front = Self { url: format!("https://localhost:{port}"), handshakes, accepted };
        let (handshakes, accepted) = (front.handshakes.clone(), front.accepted.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                handshakes.fetch_add(1, Ordering::Relaxed);
                if shake_hands(stream, config.clone()) {
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        front
    }

    fn counts(&self) -> [usize; 2] {
        [&self.handshakes, &self.accepted].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Whether the client was content, and sent a request.
fn shake_hands(mut stream: TcpStream, config: Arc<ServerConfig>) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let Ok(mut session) = ServerConnection::new(config) else { return false };
    let mut request = [0];
    let mut wire = rustls::Stream::new(&mut session, &mut stream);
    wire.read_exact(&mut request).is_ok()
}

/// The provider's name in the settings, why nobody can speak to it, and where it is.
struct Broken {
    name: &'static str,
    says: &'static str,
    url: String,
    front: Option<Front>,
}

fn broken(dir: &Path) -> Option<Vec<Broken>> {
    let (ours, theirs) = (dir.join("ours"), dir.join("theirs"));
    [&ours, &theirs].iter().for_each(|dir| std::fs::create_dir(dir).expect("a directory"));
    let (authority, stranger) = (Authority::create(&ours)?, Authority::create(&theirs)?);
    authority.issue_for("elsewhere", "other.example", None)?;
    authority.issue_for("expired", "localhost", Some("2021-03-04 05:06:07"))?;
    let front = |name, says, authority: &Authority, certificate: &str| {
        let file = |kind: &str| authority.file(&format!("{certificate}.{kind}"));
        let front = Front::start(&file("pem"), &file("key"));
        Broken { name, says, url: front.url.clone(), front: Some(front) }
    };
    Some(vec![
        front("expired", "certificate expired", &authority, "expired"),
        front("wrong_host", "not valid for name", &authority, "elsewhere"),
        front("unknown_ca", "invalid peer certificate", &stranger, "server"),
        Broken { name: "no_name", says: "invalid dns name", url: NO_NAME.to_owned(), front: None },
        Broken { name: "not_resolved", says: "failure in name resolution", url: NOT_RESOLVED.to_owned(), front: None },
    ])
}

fn run(_: &mut Round) -> Tally {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(broken) = broken(dir.path()) else { return Tally::of(0) };
    let names: Vec<_> = broken.iter().map(|one| one.name).collect();
    let ca = dir.path().join("ours/authority.pem").display().to_string();
    let site = Site::with(|setup| setup.more = broken.iter().map(|one| table(one, &ca, None)).collect());
    track(&site, ACCOUNT);
    names.iter().for_each(|name| track(&site, name));
    let resolver = dir.path().join("resolv.conf").display().to_string();
    std::fs::write(&resolver, "nameserver 127.53.53.53\noptions timeout:1 attempts:1\n").expect("a file");
    for run in 1..=RUNS {
        let starter = ["unshare", "--mount", "sh", "-c", WITHOUT_RESOLVER, &resolver];
        let finished = site.start_through(&starter, &["once"]).wait().expect_code(0);
        assert!(!finished.stderr.contains("panicked"), "{finished:?}");
        assert_eq!(site.messages().len(), run * SUBSCRIPTIONS, "those of the one that is well are delivered");
        (0..SUBSCRIPTIONS).for_each(|n| site.renew(&format!("{ACCOUNT}-{n}")));
        site.let_pass(DAY);
    }
    let cases: usize = broken.iter().map(|one| judge(one, &site)).sum();
    // No two accounts may have the same address.
    let api = site.sandbox.api_url().replace("http://", "").replace("/connect", "").parse().expect("an address");
    let ways: Vec<_> = broken.iter().map(|_| Proxy::to(api)).collect();
    let mended = broken.iter().zip(&ways).map(|(one, way)| table(one, &ca, Some((way, &*site.sandbox))));
    let mended = mended.collect();
    site.change(|setup| setup.more = mended);
    oracle::finish(&site);
    let held = oracle::judge(&site, &site.messages());
    Tally::of(cases as u64).count("renewals", held.renewals)
}

/// It was tried often enough, in vain, and the store says why.
fn judge(broken: &Broken, site: &Installation) -> usize {
    let Broken { name, says, front, .. } = broken;
    let of = format!("FROM subscriptions WHERE provider = '{name}'");
    let told = site.texts(&format!("SELECT last_outcome || ': ' || last_detail {of}"));
    assert!(told.iter().all(|told| told.starts_with("unreachable") && told.contains(says)), "{name}: {told:?}");
    let failures: i64 = site.value(&format!("SELECT sum(failures) {of}"));
    // And one again in the first run, after its first retry, to see whether that is over.
    assert_eq!(failures as usize, RUNS * SUBSCRIPTIONS + 1, "{name}");
    if let Some([handshakes, accepted]) = front.as_ref().map(Front::counts) {
        assert!(handshakes >= RUNS * SUBSCRIPTIONS, "{name}: {handshakes} handshakes");
        assert_eq!(accepted, 0, "{name}: no secret was sent");
    }
    failures as usize
}

fn track(site: &Site, provider: &str) {
    site.renewed_all(&numbered(&format!("{provider}-"), SUBSCRIPTIONS));
    site.execute(&format!(
        "UPDATE subscriptions SET provider = '{provider}' WHERE partner_order_number LIKE '{provider}-%'"
    ));
}

fn table(broken: &Broken, ca: &str, mended: Option<(&Proxy, &Sandbox)>) -> String {
    let Broken { name, url, .. } = broken;
    let (api, iam) = match mended {
        Some((way, sandbox)) => (format!("http://{}/connect", way.address()), sandbox.iam_url()),
        None => (format!("{url}/connect"), format!("{url}/iam")),
    };
    format!(
        "[providers.{name}]\nkind = \"nexway-connect\"\napi_url = \"{api}\"\niam_url = \"{iam}\"\nrealm = \"sandbox\"\n\
         client_secret_file = \"client\"\nrequests_per_second = 0\nconcurrency = 1\ntimeout = \"5s\"\nca_file = \"{ca}\"\n\
         [providers.{name}.territories.eu]\nsecret_file = \"eu\"\n"
    )
}
