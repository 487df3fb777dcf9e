//! Certificates for one test: an authority, a server's certificate for loopback, and a client's. Made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// PEM files in a directory.
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// `None` where there is no openssl, as for a server.
    pub fn create(directory: &Path) -> Option<Self> {
        let openssl = super::find("openssl", "openssl")?;
        let this = Self { directory: directory.to_owned() };
        this.issue(&openssl, "authority", &["-x509"], &["basicConstraints=critical,CA:TRUE"]);
        let (certificate, key) = (this.file("authority.pem"), this.file("authority.key"));
        let by = ["-x509", "-CA", &certificate, "-CAkey", &key];
        let extensions = ["basicConstraints=CA:FALSE", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        this.issue(&openssl, "server", &by, &extensions);
        this.issue(&openssl, "client", &by, &["basicConstraints=CA:FALSE"]);
        Some(this)
    }

    /// `authority.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// A certificate for another host, or of another time: `2021-03-04 05:06:07`, two days from then. `None` without a program that
    /// can make one.
    #[allow(dead_code, reason = "tests/faults wants wrong ones")]
    pub fn issue_for(&self, name: &str, host: &str, time: Option<&str>) -> Option<()> {
        let openssl = super::find("openssl", "openssl")?;
        let (certificate, key) = (self.file("authority.pem"), self.file("authority.key"));
        let by = ["-x509", "-CA", &certificate, "-CAkey", &key];
        let extensions = ["basicConstraints=CA:FALSE".to_owned(), format!("subjectAltName=DNS:{host}")];
        let extensions = extensions.each_ref().map(String::as_str);
        match time {
            None => self.issue(&openssl, name, &by, &extensions),
            Some(time) => {
                let faketime = super::find("faketime", "faketime")?;
                self.issue_by(Command::new(faketime).arg(time).arg(openssl), name, &by, &extensions);
            }
        }
        Some(())
    }

    /// A server with `server.pem` that takes only clients with a certificate of this authority.
    #[allow(dead_code, reason = "tests/faults has no gate")]
    pub fn that_wants_certificates(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = |name| CertificateDer::from_pem_file(self.file(name)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate("authority.pem")).expect("an authority");
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients.expect("a verifier"))
            .with_single_cert(vec![certificate("server.pem")], key);
        Arc::new(config.expect("a server's certificate"))
    }

    fn issue(&self, openssl: &Path, name: &str, by: &[&str], extensions: &[&str]) {
        self.issue_by(&mut Command::new(openssl), name, by, extensions);
    }

    fn issue_by(&self, openssl: &mut Command, name: &str, by: &[&str], extensions: &[&str]) {
        let (certificate, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        let made = openssl
            .args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &certificate])
            .args(by)
            .args(extensions.iter().flat_map(|extension| ["-addext", extension]))
            .output()
            .expect("openssl starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}
