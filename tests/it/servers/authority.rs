//! Certificates for one test: an authority, a server's certificate for loopback, and a client's. Made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

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

    fn issue(&self, openssl: &Path, name: &str, by: &[&str], extensions: &[&str]) {
        let (certificate, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        let made = Command::new(openssl)
            .args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &certificate])
            .args(by)
            .args(extensions.iter().flat_map(|extension| ["-addext", extension]))
            .output()
            .expect("openssl starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}
