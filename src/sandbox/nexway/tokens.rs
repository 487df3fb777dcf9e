//! The token service: both spellings of the request, life times in real seconds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::platform_error;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::random::Random;

/// Who may have a token.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Credentials {
    pub(in crate::sandbox) realm: String,
    pub(in crate::sandbox) client_secret: String,
}

/// Real seconds that tokens are good for.
#[derive(Clone, Copy, Debug)]
pub(in crate::sandbox) struct Lives {
    pub(in crate::sandbox) access: u64,
    /// `None` hands out no refresh token.
    pub(in crate::sandbox) refresh: Option<u64>,
}

/// Tokens given out and until when they are good.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Tokens {
    access: HashMap<String, Instant>,
    refresh: HashMap<String, Instant>,
}

impl Tokens {
    /// Whether an `Authorization` header carries a token that is still good.
    pub(in crate::sandbox) fn accepts(&self, authorization: Option<&str>, at: Instant) -> bool {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        token.and_then(|token| self.access.get(token)).is_some_and(|until| at < *until)
    }

    /// Forgets every access token, and the refresh tokens too if asked.
    pub(in crate::sandbox) fn expire(&mut self, refresh_too: bool) {
        self.access.clear();
        if refresh_too {
            self.refresh.clear();
        }
    }

    /// What `/iam/tokens` answers: a token to who asks for one, and with DELETE it forgets them all.
    pub(in crate::sandbox) fn answer<E, A>(
        &mut self,
        call: &Call<E, A>,
        credentials: &Credentials,
        lives: Lives,
        random: &mut Random,
    ) -> Answer {
        if call.method == Method::POST {
            return self.request(&call.body, credentials, lives, random, Instant::now());
        }
        self.expire(true);
        Answer::raw(204, [])
    }

    fn request(
        &mut self,
        body: &[u8],
        credentials: &Credentials,
        lives: Lives,
        random: &mut Random,
        at: Instant,
    ) -> Answer {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return platform_error(400, "JSON parse error", "/iam/tokens");
        };
        match self.check(&fields, credentials, at) {
            Ok(()) => self.issue(lives, random, at),
            Err(reason) => platform_error(401, &format!("Authentication Failed: {reason}"), "/iam/tokens"),
        }
    }

    fn check(&self, fields: &Map<String, Value>, credentials: &Credentials, at: Instant) -> Result<(), &'static str> {
        let field = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name)?.as_str());
        // The newer spelling may fold the realm into the client id.
        let folded = || field(["client_id", "clientId"])?.split_once("--").map(|(realm, _)| realm);
        if field(["realmName", "realm"]).or_else(folded) != Some(credentials.realm.as_str()) {
            return Err("realm is not known");
        }
        let secret = field(["clientSecret", "client_secret"]);
        if secret.is_some_and(|secret| secret != credentials.client_secret) {
            return Err("client secret is not valid");
        }
        match field(["grantType", "grant_type"]) {
            Some("client_credentials") => secret.map(|_| ()).ok_or("client secret is missing"),
            Some("refresh_token") => {
                let until = field(["refreshToken", "refresh_token"]).and_then(|token| self.refresh.get(token));
                if until.is_some_and(|until| at < *until) { Ok(()) } else { Err("refresh token is not valid") }
            }
            _ => Err("grant type is not allowed"), // it is `password` when absent
        }
    }

    fn issue(&mut self, lives: Lives, random: &mut Random, at: Instant) -> Answer {
        self.access.retain(|_, until| at < *until);
        self.refresh.retain(|_, until| at < *until);
        let access = format!("sandbox.access.{:016x}{:016x}", random.draw(), random.draw());
        self.access.insert(access.clone(), at + Duration::from_secs(lives.access));
        let mut body = json!({
            "access_token": access,
            "expires_in": lives.access,
            "refresh_expires_in": lives.refresh.unwrap_or(0),
            "token_type": "bearer",
            "not-before-policy": 0,
            "session_state": "3f1c5f52-0000-4000-8000-000000000000",
        });
        if let Some(life) = lives.refresh {
            let refresh = format!("sandbox.refresh.{:016x}{:016x}", random.draw(), random.draw());
            body["refresh_token"] = refresh.clone().into();
            self.refresh.insert(refresh, at + Duration::from_secs(life));
        }
        Answer::json(200, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(tokens: &mut Tokens, body: Value, at: Instant) -> (u16, Value) {
        let credentials = Credentials { realm: "sandbox".into(), client_secret: "s".into() };
        let body = body.to_string();
        let lives = Lives { access: 300, refresh: Some(1800) };
        let answer = tokens.request(body.as_bytes(), &credentials, lives, &mut Random::new(1), at);
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn both_spellings_and_the_folded_realm_are_understood() {
        let at = Instant::now();
        let connect = json!({"clientSecret": "s", "realmName": "sandbox", "grantType": "client_credentials"});
        let platform =
            json!({"client_id": "x", "client_secret": "s", "realm": "sandbox", "grant_type": "client_credentials"});
        let folded = json!({"client_id": "sandbox--x", "client_secret": "s", "grant_type": "client_credentials"});
        for body in [connect, platform, folded] {
            assert_eq!(ask(&mut Tokens::default(), body.clone(), at).0, 200, "{body}");
        }
        let no_grant = json!({"clientSecret": "s", "realmName": "sandbox"});
        let wrong = json!({"clientSecret": "x", "realmName": "sandbox", "grantType": "client_credentials"});
        for body in [no_grant, wrong] {
            assert_eq!(ask(&mut Tokens::default(), body.clone(), at).0, 401, "{body}");
        }
    }

    #[test]
    fn tokens_end_with_their_life() {
        let (at, mut tokens) = (Instant::now(), Tokens::default());
        let login = json!({"clientSecret": "s", "realmName": "sandbox", "grantType": "client_credentials"});
        let (_, answer) = ask(&mut tokens, login, at);
        let header = format!("Bearer {}", answer["access_token"].as_str().unwrap());
        assert!(tokens.accepts(Some(&header), at + Duration::from_secs(299)));
        assert!(!tokens.accepts(Some(&header), at + Duration::from_secs(300)));
        let refresh =
            json!({"realmName": "sandbox", "grantType": "refresh_token", "refreshToken": answer["refresh_token"]});
        assert_eq!(ask(&mut tokens, refresh.clone(), at + Duration::from_secs(1800)).0, 401);
        assert_eq!(ask(&mut tokens, refresh, at + Duration::from_secs(1799)).0, 200);
    }
}
