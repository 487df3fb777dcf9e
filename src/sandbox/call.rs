//! A request and its answer, as every part of a sandbox sees them, and what a kind of provider has to say about both.

use std::fmt::Debug;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::random::Random;
use crate::clock::Timestamp;

/// One kind of provider: its state, how it reads a request, and what it truly answers. No I/O, no waiting.
///
/// All that goes wrong with an answer on its way is the floor's.
pub trait Fake: Sized + Debug + Send + 'static {
    /// How it starts: credentials, switches, whatever it needs.
    type Account: Clone + Debug + Default;
    /// Its calls, as rules and the log name them.
    type Endpoint: Copy + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    type About: About;
    /// How it behaves where its reference leaves that open.
    type Switches: Clone + Serialize + DeserializeOwned;

    /// The services that it offers, each on a port of its own.
    const SERVICES: &'static [Service];
    /// A text and a number among its fields, for bodies that are made up.
    const FIELDS: [&'static str; 2];

    fn open(account: Self::Account, random: Random) -> Self;
    /// What a request to one of the services (by its place among them) asks for.
    fn read(&self, service: usize, parts: &Parts, body: &[u8]) -> (Self::Endpoint, Self::About);
    /// The true answer.
    fn answer(&mut self, call: &CallOf<Self>, now: Timestamp) -> Answer;
    /// What it says of a request that it does not get to: too long, one too many, a fault.
    fn error(status: u16, text: &str, path: &str) -> Answer;
    fn switches(&mut self) -> &mut Self::Switches;
    /// Requests let through in any second of real time (0 = no limit), and the `Retry-After` of the others.
    fn rate_limit(&self) -> (u32, Option<&str>);
}

/// One service of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Behind host and port.
    pub path: &'static str,
    /// The name of its address in JSON and in settings.
    pub name: &'static str,
    /// The same for people.
    pub title: &'static str,
}

/// Whom a request is about, as far as rules and the log tell requests apart. In a rule, what is left out fits all.
pub trait About: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    fn fits(&self, rule: &Self) -> bool;
}

/// A request, read as far as every part of the sandbox needs it.
#[derive(Debug)]
pub struct Call<E, A> {
    pub endpoint: E,
    pub about: A,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl<E, A> Call<E, A> {
    /// As if parameters of these names had not been sent.
    pub(super) fn ignoring(self, names: &[String]) -> Self {
        let ignored = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            names.iter().any(|known| percent_decode_str(name).eq(known.bytes()))
        };
        let kept: Vec<&str> = self.query.split('&').filter(|pair| !ignored(pair)).collect();
        Self { query: kept.join("&"), ..self }
    }

    #[cfg(test)]
    pub(super) fn for_tests(endpoint: E, about: A) -> Self {
        let (path, query, headers, body) = (String::new(), String::new(), HeaderMap::new(), Bytes::new());
        Self { endpoint, about, method: Method::GET, path, query, headers, body }
    }
}

pub type CallOf<F> = Call<<F as Fake>::Endpoint, <F as Fake>::About>;

/// For tests of the floor alone.
#[cfg(test)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct Named {
    name: Option<String>,
}

#[cfg(test)]
impl Named {
    pub(super) fn new(name: &str) -> Self {
        Self { name: Some(name.to_owned()) }
    }
}

#[cfg(test)]
impl About for Named {
    fn fits(&self, rule: &Self) -> bool {
        rule.name.is_none() || self.name == rule.name
    }
}

/// A complete answer, before any fault.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub header: Option<(HeaderName, String)>,
}

impl Answer {
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Plain data with string keys: serde_json cannot fail on it.
        Self::raw(status, serde_json::to_vec(body).unwrap_or_default())
    }

    pub fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), header: None }
    }

    pub fn with_header(self, name: HeaderName, value: impl Into<String>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_parameters_are_as_if_never_sent() {
        let call = Call { query: "page=2&after%5Bgt%5D=7&sort=id".into(), ..Call::for_tests((), Named::default()) };
        let ignoring = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let call = call.ignoring(&ignoring(&["after"]));
        assert_eq!(call.query, "page=2&after%5Bgt%5D=7&sort=id");
        assert_eq!(call.ignoring(&ignoring(&["after[gt]", "sort"])).query, "page=2");
    }
}
