//! Notifications: who is told, how often, and what became of each. What they say is each kind's.

mod calls;
mod sender;

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::call::Fake;
use super::clock::duration;
use super::controls::Controls;
use crate::clock::Timestamp;

pub(super) use calls::{router, shown};
pub(super) use sender::run;

/// A provider that tells by itself of what happens.
pub trait Notifying: Fake {
    /// The statuses by which a receiver takes one.
    const TAKEN: RangeInclusive<u16> = 200..=299;

    fn outbox(&mut self) -> &mut Outbox;
    /// Does what is due, and puts what there is to tell into the outbox.
    fn catch_up(&mut self, now: Timestamp);
}

/// How the sender behaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifications {
    /// None is ever sent.
    pub lost: bool,
    /// Each is sent so many times more.
    pub duplicates: u32,
    /// What happened last is sent first.
    pub reversed: bool,
    /// Each is followed by one of a type that nobody has heard of.
    pub unknown_types: bool,
    /// Each is followed by the same about ids that do not exist.
    pub strangers: bool,
    /// What they say of status, charges and keys is not true.
    pub forged: bool,
}

/// Who is told. The sender tries until the receiver takes it.
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
pub struct Outbox {
    receiver: Option<Receiver>,
    /// Rings when there is something to send.
    bell: Arc<Notify>,
    sent: VecDeque<Sent>,
    next_seq: u64,
    /// What is due when.
    waiting: BTreeSet<(Instant, u64)>,
}

/// How many are kept.
const KEPT: usize = 100_000;

impl Outbox {
    pub(super) fn is_heard(&self) -> bool {
        self.receiver.is_some()
    }

    /// What one step of the provider brought, each as it would be sent. `unknown`: the same of another type, `estranged`: about another.
    pub(super) fn add(
        &mut self,
        told: Vec<Value>,
        how: &Notifications,
        unknown: impl Fn(&Value) -> Value,
        estranged: impl Fn(Value) -> Value,
    ) {
        if !self.is_heard() || how.lost {
            return; // nobody is told later, either
        }
        let mut bodies = Vec::new();
        for body in told {
            bodies.extend(std::iter::repeat_n(body.clone(), how.duplicates as usize + 1));
            if how.unknown_types {
                bodies.push(unknown(&body));
            }
            if how.strangers {
                bodies.push(estranged(body));
            }
        }
        if how.reversed {
            bodies.reverse();
        }
        bodies.into_iter().for_each(|body| self.push(body));
    }

    fn push(&mut self, body: Value) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.sent.push_back(Sent { seq, body, attempts: 0, state: SendState::InProgress, status: None });
        if self.sent.len() > KEPT {
            self.sent.pop_front();
        }
        self.waiting.insert((Instant::now(), seq));
        self.bell.notify_one();
    }

    fn all(&self) -> Vec<Sent> {
        self.sent.iter().cloned().collect()
    }

    /// `None` once it is no longer kept.
    fn kept(&mut self, seq: u64) -> Option<&mut Sent> {
        let newer = self.next_seq - seq; // this one included
        let place = self.sent.len().checked_sub(newer as usize)?;
        self.sent.get_mut(place)
    }

    /// The next that is due, oldest first.
    fn take(&mut self, at: Instant) -> Option<(u64, Receiver, String)> {
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
    fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    fn settle(&mut self, seq: u64, status: Option<u16>, is_taken: bool, at: Instant) {
        let (attempts, every) = self.receiver.as_ref().map_or((0, Duration::ZERO), |r| (r.attempts, r.every));
        let Some(sent) = self.kept(seq) else { return };
        sent.status = status;
        if is_taken {
            sent.state = SendState::Done;
        } else if sent.attempts >= attempts {
            sent.state = SendState::Error;
        } else {
            self.waiting.insert((at + every, seq));
        }
    }
}

impl<F: Notifying> Controls<F> {
    /// Who is told from now on; `None` tells nobody.
    pub fn set_receiver(&self, receiver: Option<Receiver>) {
        self.provider(|provider, now| {
            provider.catch_up(now); // nobody is told of what was before
            let outbox = provider.outbox();
            outbox.receiver = receiver;
            outbox.bell.notify_one();
        });
    }

    /// Sends this body as it is.
    pub fn notify(&self, body: Value) {
        self.provider(|provider, _| provider.outbox().push(body));
    }

    /// The last of them, oldest first, and what became of each.
    pub fn notifications(&self) -> Vec<Sent> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            provider.outbox().all()
        })
    }
}
