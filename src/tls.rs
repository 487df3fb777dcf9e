//! TLS for every outgoing connection: which certificate authorities are trusted, and the HTTP client that starts from there;
//! [`Client`] is for more than one request.
//!
//! What a client talks to, its timeouts and its pool belong to the provider or sink that builds it.

mod client;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub use client::{CONNECTION_LIFE, Client};

/// Why no client could be prepared: always the settings or this machine, never the other side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the CA file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("no certificate in the CA file {} (PEM is expected)", path.display())]
    NoCertificate { path: PathBuf },
    #[error("a certificate in the CA file {} cannot be used", path.display())]
    BadCertificate { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the client certificate or key {} cannot be used", path.display())]
    BadIdentity { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the proxy is not a usable URL")] // which is not repeated: it may hold a password
    Proxy(#[source] reqwest::Error),
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// Makes ring the process's crypto provider. Harmless when called again.
pub fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster, with the same provider.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}

/// A client builder that follows no redirect, repeats no request by itself and calls itself `renewald/VERSION`.
///
/// The certificates in `ca_file` are trusted beside the system's. Without `proxy` the environment's (`HTTPS_PROXY`, `NO_PROXY`)
/// is used; an empty `proxy` means none at all.
pub fn client_builder(ca_file: Option<&Path>, proxy: Option<&str>) -> Result<reqwest::ClientBuilder, Error> {
    client_builder_with(client_config(ca_file, None)?, proxy)
}

/// The same with TLS set up otherwise.
pub fn client_builder_with(tls: ClientConfig, proxy: Option<&str>) -> Result<reqwest::ClientBuilder, Error> {
    install_crypto_provider();
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("renewald/", env!("CARGO_PKG_VERSION")));
    match proxy {
        None => Ok(builder),
        Some("") => Ok(builder.no_proxy()),
        Some(url) => Ok(builder.proxy(reqwest::Proxy::all(url).map_err(|error| Error::Proxy(error.without_url()))?)),
    }
}

/// TLS as a client that trusts `ca_file` beside the system's authorities, and shows `identity` to a server that asks for it.
pub fn client_config(ca_file: Option<&Path>, identity: Option<&Identity>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .with_root_certificates(trusted_roots(ca_file)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { certificate, key }) => {
            let bad = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| Error::BadIdentity {
                path: path.to_owned(),
                source,
            };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| bad(certificate, error.into()))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.into()))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| bad(certificate, error.into()))
        }
    }
}

/// The authorities that [`client_config`] trusts, as PEM: for clients that set up TLS by themselves.
pub fn trusted_pem(ca_file: Option<&Path>) -> Result<Vec<u8>, Error> {
    let mut trusted = Vec::new();
    if let Some(path) = ca_file {
        add_file(&mut RootCertStore::empty(), path)?; // the client's own errors name no file
        trusted = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    }
    let usable = |certificate: &CertificateDer| RootCertStore::empty().add(certificate.clone()).is_ok();
    for certificate in rustls_native_certs::load_native_certs().certs.iter().filter(|one| usable(one)) {
        let encoded = BASE64_STANDARD.encode(certificate);
        trusted.extend(format!("\n-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n").into_bytes());
    }
    Ok(trusted)
}

/// A client certificate with its chain, and its private key: two PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A system without any certificate is no error here: plain HTTP on the loopback interface needs none, and everything
/// else then fails as a connection, with the reason in its error.
fn trusted_roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        tracing::warn!("no CA certificate found on this system: HTTPS will fail (package ca-certificates, or ca_file)");
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let bad = |source| Error::BadCertificate { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.into()))?;
        roots.add(certificate).map_err(|error| bad(error.into()))?;
    }
    if roots.is_empty() {
        return Err(Error::NoCertificate { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(ca: &str) -> Result<reqwest::ClientBuilder, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ca).unwrap();
        client_builder(Some(file.path()), None)
    }

    #[test]
    fn a_client_is_built_without_settings() {
        client_builder(None, None).unwrap().build().unwrap();
        client_builder(None, Some("http://user:secret@proxy.example:3128")).unwrap().build().unwrap();
    }

    #[test]
    fn an_extra_authority_is_trusted_beside_the_system() {
        let system = trusted_roots(None).unwrap().len();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), AUTHORITY).unwrap();
        assert_eq!(trusted_roots(Some(file.path())).unwrap().len(), system + 1);
    }

    #[test]
    fn the_trusted_authorities_are_the_same_as_pem() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), AUTHORITY).unwrap();
        for ca_file in [None, Some(file.path())] {
            let pem = trusted_pem(ca_file).unwrap();
            let read = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().unwrap();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(read);
            assert_eq!(roots.len(), trusted_roots(ca_file).unwrap().len());
        }
    }

    #[test]
    fn a_ca_file_that_holds_no_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "-----BEGIN NONSENSE-----\n").unwrap();
        let error = client_builder(Some(file.path()), None).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
        assert!(matches!(build(""), Err(Error::NoCertificate { .. })));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(build(broken), Err(Error::BadCertificate { .. })));
        assert!(matches!(client_builder(Some(Path::new("/does/not/exist")), None), Err(Error::Read { .. })));
    }

    #[test]
    fn a_wrong_proxy_does_not_show_its_password() {
        let error = client_builder(None, Some("http://user:hush@[")).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hush"));
    }

    /// Made for this test; nobody has its key.
    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUQBfZd8ABhbtpNhPR5myERxzUuqwwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXcmVuZXdhbGQgdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMjI1
MDE3WhgPMjEyNjEwMjgyMjUwMTdaMCIxIDAeBgNVBAMMF3JlbmV3YWxkIHRlc3Qg
YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3jWWvYDHgFthziY2
3V1FI/HOtoDfR1LKSoZppuw+BUbTm2xgwW/5TIhGDqIUPufn+L9ttRWfPxyQib2s
pPsSx6NTMFEwHQYDVR0OBBYEFHkZNJYRkgE1O/7kNDDRhivt3OYAMB8GA1UdIwQY
MBaAFHkZNJYRkgE1O/7kNDDRhivt3OYAMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI
zj0EAwIDSQAwRgIhAOnQkorYEIyVp4hr+bD++8ywrERLQfdpjBmDKF5H3IQEAiEA
9ldvTSWVebaASqe/5shCddk9PsRuvD4V+DF/fWcFvhQ=
-----END CERTIFICATE-----
";
}
