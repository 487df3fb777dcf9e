//! Notifications: who is told, how often, and what became of each.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::books::News;
use super::envelope::{envelope, estranged};
use super::order_answer::View;
use crate::clock::Timestamp;
use crate::sandbox::clock::duration;

/// Who is told. The sender tries until it is answered 200 or 201.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    pub url: String,
    /// Verbatim `Authorization`: `Basic …` or `Bearer …`; none without.
    #[serde(default)]
    pub authorization: Option<String>,
    /// So often in all.
    #[serde(default = "ten")]
    pub attempts: u32,
    /// Real time between two attempts.
    #[serde(default = "half_a_second", with = "duration")]
    pub every: Duration,
}

fn ten() -> u32 {
    10
}

fn half_a_second() -> Duration {
    Duration::from_millis(500)
}

impl Receiver {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), authorization: None, attempts: ten(), every: half_a_second() }
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self { authorization: Some(format!("Basic {pair}")), ..self }
    }

    pub fn bearer(self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self }
    }
}

/// One notification, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    pub seq: u64,
    pub body: Value,
    pub attempts: u32,
    pub state: SendState,
    /// Answered to the last attempt; `None` where nobody was reached.
    pub status: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SendState {
    InProgress,
    Done,
    Error,
}

/// What was to be sent since there is a receiver: the last of it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) receiver: Option<Receiver>,
    /// Rings when there is something to send.
    pub(super) bell: Arc<Notify>,
    sent: VecDeque<Sent>,
    next_seq: u64,
    /// What is due when.
    waiting: BTreeSet<(Instant, u64)>,
}

/// How many are kept.
const KEPT: usize = 100_000;

impl Outbox {
    /// What one step of the provider brought.
    pub(super) fn add(&mut self, news: Vec<News>, view: &View<'_>, now: Timestamp) {
        let switches = &view.switches.notifications;
        let mut bodies = Vec::new();
        for one in &news {
            let body = envelope(one, view, now);
            bodies.extend(std::iter::repeat_n(body.clone(), switches.duplicates as usize + 1));
            if switches.unknown_types {
                bodies.push(json!({"subject": body["subject"], "type": "somethingElse", "objectId": body["objectId"]}));
            }
            if switches.strangers {
                bodies.push(estranged(body));
            }
        }
        if switches.reversed {
            bodies.reverse();
        }
        bodies.into_iter().for_each(|body| self.push(body));
    }

    pub(super) fn push(&mut self, body: Value) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.sent.push_back(Sent { seq, body, attempts: 0, state: SendState::InProgress, status: None });
        if self.sent.len() > KEPT {
            self.sent.pop_front();
        }
        self.waiting.insert((Instant::now(), seq));
        self.bell.notify_one();
    }

    pub(super) fn all(&self) -> Vec<Sent> {
        self.sent.iter().cloned().collect()
    }

    /// `None` once it is no longer kept.
    fn kept(&mut self, seq: u64) -> Option<&mut Sent> {
        let newer = self.next_seq - seq; // this one included
        let place = self.sent.len().checked_sub(newer as usize)?;
        self.sent.get_mut(place)
    }

    /// The next that is due, oldest first.
    pub(super) fn take(&mut self, at: Instant) -> Option<(u64, Receiver, String)> {
        let receiver = self.receiver.clone()?;
        while let Some((due, seq)) = self.waiting.first().copied().filter(|(due, _)| *due <= at) {
            self.waiting.remove(&(due, seq));
            if let Some(sent) = self.kept(seq) {
                sent.attempts += 1;
                return Some((seq, receiver, sent.body.to_string()));
            }
        }
        None
    }

    /// When to look again, if anything waits for its next attempt.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    pub(super) fn settle(&mut self, seq: u64, status: Option<u16>, at: Instant) {
        let (attempts, every) = self.receiver.as_ref().map_or((0, Duration::ZERO), |r| (r.attempts, r.every));
        let Some(sent) = self.kept(seq) else { return };
        sent.status = status;
        if matches!(status, Some(200 | 201)) {
            sent.state = SendState::Done;
        } else if sent.attempts >= attempts {
            sent.state = SendState::Error;
        } else {
            self.waiting.insert((at + every, seq));
        }
    }
}
