//! A NATS operator: its account, and users that prove who they are by a JWT and an NKey.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

pub struct Operator {
    account: KeyPair,
    /// Of the server.
    pub configuration: String,
}

/// Somebody with an account at the server.
pub struct User {
    jwt: String,
    key: KeyPair,
}

impl Operator {
    /// With one account, which may use JetStream.
    pub fn create() -> Self {
        let operator = KeyPair::new(KeyPairType::Operator);
        let [account, system] = [(), ()].map(|()| KeyPair::new(KeyPairType::Account));
        let mut limits = json!({"wildcards": true});
        for unlimited in [
            "subs",
            "data",
            "payload",
            "imports",
            "exports",
            "conn",
            "leaf",
            "mem_storage",
            "disk_storage",
            "streams",
            "consumer",
        ] {
            limits[unlimited] = json!(-1);
        }
        let itself = jwt(&operator, &operator, "operator", json!({}));
        let ours = jwt(&account, &operator, "account", json!({"limits": limits}));
        // The server's own, without which there is no JetStream; it must not use that itself.
        let servers = jwt(&system, &operator, "account", json!({"limits": {"subs": -1, "conn": -1}}));
        let [account_id, system_id] = [&account, &system].map(KeyPair::public_key);
        let configuration = format!(
            "operator: {itself}\nsystem_account: {system_id}\nresolver: MEMORY\n\
             resolver_preload: {{ {account_id}: {ours}, {system_id}: {servers} }}\n"
        );
        Self { account, configuration }
    }

    /// One who may publish to these subjects alone; to all, where there are none.
    pub fn user(&self, publish: &[&str]) -> User {
        let key = KeyPair::new(KeyPairType::User);
        let rights = json!({"pub": {"allow": publish}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        User { jwt: jwt(&key, &self.account, "user", rights), key }
    }
}

impl User {
    /// The content of a credentials file, as `nsc` writes it.
    pub fn credentials(&self) -> String {
        let seed = self.key.seed().expect("it has one");
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
            self.jwt
        )
    }

    /// What it says when it connects, after the server's nonce.
    pub fn connect(&self, nonce: &str) -> Value {
        let signature = self.key.sign(nonce.as_bytes()).expect("it signs");
        json!({"jwt": self.jwt, "sig": BASE64_URL_SAFE_NO_PAD.encode(signature)})
    }
}

/// What the issuer says of somebody.
fn jwt(of: &KeyPair, issuer: &KeyPair, kind: &str, mut claims: Value) -> String {
    (claims["type"], claims["version"]) = (kind.into(), 2.into());
    let claims = json!({"jti": "1", "iat": 1_795_291_200, "iss": issuer.public_key(), "name": kind,
                        "sub": of.public_key(), "nats": claims});
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).expect("it signs");
    format!("{signed}.{}", encode(&signature))
}
