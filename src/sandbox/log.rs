//! The request log: who asked what, when, and what was answered.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, Method};
use serde::{Serialize, Serializer};

use super::call::{About, Call};
use super::rate::busiest_second;
use crate::clock::Timestamp;

/// One request, logged when it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Request<E, A> {
    /// Counts all requests from 0.
    pub seq: u64,
    #[serde(skip)]
    pub at: Instant,
    /// By the sandbox's clock.
    pub time: Timestamp,
    pub endpoint: E,
    #[serde(serialize_with = "method_name")]
    pub method: Method,
    #[serde(flatten)]
    pub about: A,
    #[serde(serialize_with = "header_names")]
    pub headers: Arc<[HeaderName]>,
    /// The status answered; `None` while the answer is held, when the client left before it, and for a cut.
    pub status: Option<u16>,
}

/// What it is about can be read off the request itself.
impl<E, A> Deref for Request<E, A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.about
    }
}

fn header_names<S: Serializer>(names: &Arc<[HeaderName]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}

fn method_name<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// The last `limit` requests.
#[derive(Debug)]
pub(super) struct Log<E, A> {
    requests: VecDeque<Request<E, A>>,
    limit: usize,
    next_seq: u64,
    /// Clients send the same headers over and over: one list serves them all.
    last_headers: Arc<[HeaderName]>,
}

impl<E: Copy, A: About> Log<E, A> {
    pub(super) fn new(limit: usize) -> Self {
        Self { requests: VecDeque::new(), limit, next_seq: 0, last_headers: Arc::new([]) }
    }

    /// Logs an arrival and returns its `seq`.
    pub(super) fn arrived(&mut self, call: &Call<E, A>, at: Instant, time: Timestamp) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        let request = Request {
            seq,
            at,
            time,
            endpoint: call.endpoint,
            method: call.method.clone(),
            about: call.about.clone(),
            headers: self.headers(&call.headers),
            status: None,
        };
        self.requests.push_back(request);
        if self.requests.len() > self.limit {
            self.requests.pop_front();
        }
        seq
    }

    pub(super) fn answered(&mut self, seq: u64, status: u16) {
        let newer = (self.next_seq - seq) as usize; // this one included
        if let Some(index) = self.requests.len().checked_sub(newer) {
            self.requests[index].status = Some(status);
        }
    }

    pub(super) fn requests(&self) -> impl DoubleEndedIterator<Item = &Request<E, A>> {
        self.requests.iter()
    }

    pub(super) fn total(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn busiest_second(&self) -> usize {
        busiest_second(self.requests.iter().map(|request| request.at))
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }

    fn headers(&mut self, headers: &HeaderMap) -> Arc<[HeaderName]> {
        if !headers.keys().eq(self.last_headers.iter()) {
            self.last_headers = headers.keys().cloned().collect();
        }
        self.last_headers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Named;
    use super::*;

    #[test]
    fn keeps_the_last_and_counts_all() {
        let mut log = Log::new(2);
        let call = Call::for_tests('s', Named::new("A"));
        for _ in 0..3 {
            log.arrived(&call, Instant::now(), Timestamp::from_unix(0));
        }
        log.answered(0, 200); // gone already
        log.answered(2, 429);
        let seen: Vec<_> = log.requests().map(|request| (request.seq, request.status)).collect();
        assert_eq!(seen, [(1, None), (2, Some(429))]);
        assert_eq!(log.total(), 3);
    }
}
