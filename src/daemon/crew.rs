//! The crew: every part that works in turns has a task of its own, and can be replaced without disturbing the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::alerts::Watchman;
use super::{Drained, Error};
use crate::clock::Timestamp;
use crate::metrics::Metrics;
use crate::provider;
use crate::pulse::{LONGEST_WAIT, Pulse, Pulses};
use crate::relay::{self, Relay};
use crate::signals::Shutdown;
use crate::sink::Configured;
use crate::store::{self, PROBE_EVERY, Store};
use crate::sweep::{self, Sweeper};
use crate::wait::until_due;

/// With no publish in hand a drain takes less than two seconds: this, and closing.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Who is who.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Provider(String),
    Sink(String),
    Watchman,
}

/// Something that works in turns.
pub(super) enum Part {
    Sweeper(Box<Sweeper<provider::Configured>>),
    Relay(Box<Relay<Configured>>),
    Watchman(Box<Watchman>),
}

/// What follows once a part has wound up.
pub(super) enum Next {
    Nobody,
    Part(Part),
    /// The same sweeper, with other settings.
    Reloaded(Box<sweep::Reloaded<provider::Configured>>),
}

/// A part that has come to its end, and whether something it had in hand was cut off.
struct Ended {
    part: Part,
    cut_off: bool,
}

struct Member {
    bell: Arc<Notify>,
    shutdown: Shutdown,
    next: Option<Next>,
}

pub(super) struct Crew {
    store: Store,
    shutdown: Shutdown,
    members: BTreeMap<Name, Member>,
    tasks: JoinSet<(Name, Result<Ended, store::Error>)>,
    outcome: Result<Drained, Error>,
    metrics: Metrics,
    pulses: Pulses,
}

impl Part {
    /// Works turn after turn until it is asked to stop. A part that can do nothing waits until it is rung for, or until the time
    /// that it has told; a ring during a turn is not missed. A store that fails for a while is waited for.
    ///
    /// # Errors
    /// Only a store that will not work again by itself.
    async fn work(
        mut self,
        who: &Name,
        store: &Store,
        bell: &Notify,
        pulse: &Pulse,
        shutdown: &Shutdown,
    ) -> Result<Ended, store::Error> {
        // The first turn before the first wait, so that a restart catches up at once.
        while outlast(store, pulse, shutdown).await {
            pulse.turn();
            let grace = self.grace();
            let turned = tokio::select! {
                turned = self.turn(bell, shutdown) => turned,
                () = over(shutdown, grace) => {
                    tracing::warn!(who = who.as_str(), "the database did not answer in time: ended without it");
                    // Who only looks has nothing in hand.
                    return Ok(Ended { cut_off: !matches!(self, Self::Watchman(_)), part: self });
                }
            };
            let wait = match turned {
                Ok(wait) => wait,
                // What was learned or done could not be written down.
                Err(error) if error.is_transient() && shutdown.is_requested() => {
                    store.fail(who.as_str(), &error);
                    return Ok(Ended { part: self, cut_off: true });
                }
                Err(error) if error.is_transient() => {
                    store.fail(who.as_str(), &error);
                    Duration::ZERO
                }
                Err(error) => return Err(error),
            };
            rest(wait, bell, pulse, shutdown).await;
        }
        let cut_off = matches!(&self, Self::Relay(relay) if relay.total().unanswered > 0);
        Ok(Ended { part: self, cut_off })
    }

    /// What a turn gets to come to its end when we drain. It keeps below this by itself, but for a statement that waits for another
    /// process's transaction.
    fn grace(&self) -> Duration {
        match self {
            Self::Sweeper(_) | Self::Watchman(_) => STUCK_AFTER,
            Self::Relay(_) => relay::LONGEST_DRAIN + STUCK_AFTER,
        }
    }

    /// Counts there, and shows there that it lives.
    fn observed(self, metrics: &Metrics, pulse: &Pulse) -> Self {
        match self {
            Self::Sweeper(sweeper) => Self::Sweeper(Box::new(sweeper.observed(metrics, pulse.clone()))),
            Self::Relay(relay) => Self::Relay(Box::new(relay.observed(metrics, pulse.clone()))),
            Self::Watchman(watchman) => Self::Watchman(watchman),
        }
    }

    /// It makes no turn any more.
    fn ends(&mut self) {
        match self {
            Self::Sweeper(sweeper) => sweeper.ends(),
            Self::Relay(relay) => relay.ends(),
            Self::Watchman(_) => {}
        }
    }

    /// Says how long there is nothing to do.
    async fn turn(&mut self, bell: &Notify, shutdown: &Shutdown) -> Result<Duration, store::Error> {
        let due = match self {
            Self::Sweeper(sweeper) => sweeper.turn(bell, shutdown).await?,
            Self::Relay(relay) => relay.turn(bell, shutdown).await?,
            Self::Watchman(watchman) => return watchman.turn(shutdown).await,
        };
        Ok(until_due(due, Timestamp::now()))
    }
}

/// Nothing to do for so long. Ends sooner when it is rung for or is to stop.
async fn rest(wait: Duration, bell: &Notify, pulse: &Pulse, shutdown: &Shutdown) {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        tokio::select! {
            () = shutdown.winding_up() => return,
            () = bell.notified() => return,
            () = sleep_until(end.min(Instant::now() + LONGEST_WAIT)) => pulse.turn(),
        }
    }
}

/// So long after the end was asked for.
async fn over(shutdown: &Shutdown, grace: Duration) {
    shutdown.requested().await;
    tokio::time::sleep(grace).await;
}

/// Waits while nothing can be written. False at the end.
async fn outlast(store: &Store, pulse: &Pulse, shutdown: &Shutdown) -> bool {
    loop {
        tokio::select! {
            biased;
            () = shutdown.winding_up() => return false,
            () = store.works() => return true,
            () = tokio::time::sleep(PROBE_EVERY) => pulse.turn(),
        }
    }
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Provider(name) | Self::Sink(name) => name,
            Self::Watchman => "alerts",
        }
    }
}

/// As readiness names a loop.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Provider(name) => write!(f, "sweep {name}"),
            Self::Sink(name) => write!(f, "relay {name}"),
            Self::Watchman => f.write_str("alerts"),
        }
    }
}

impl Crew {
    pub fn new(store: Store, shutdown: Shutdown, metrics: Metrics, pulses: Pulses) -> Self {
        let (members, tasks, outcome) = (BTreeMap::new(), JoinSet::new(), Ok(Drained::Clean));
        Self { store, shutdown, members, tasks, outcome, metrics, pulses }
    }

    pub fn start(&mut self, name: Name, part: Part, bell: Arc<Notify>) {
        let shutdown = self.shutdown.of_one();
        let member = Member { bell: bell.clone(), shutdown: shutdown.clone(), next: None };
        self.members.insert(name.clone(), member);
        let (store, pulse) = (self.store.clone(), self.pulses.start(name.to_string()));
        let part = part.observed(&self.metrics, &pulse);
        self.tasks.spawn(async move {
            let ended = part.work(&name, &store, &bell, &pulse, &shutdown).await;
            (name, ended)
        });
    }

    /// Lets one wind up, and `next` follow it. Not while it is being replaced already.
    pub fn replace(&mut self, name: &Name, next: Next) {
        if let Some(member) = self.members.get_mut(name) {
            member.next = Some(next);
            member.shutdown.wind_up();
        }
    }

    pub fn is_being_replaced(&self) -> bool {
        self.members.values().any(|member| member.next.is_some())
    }

    /// Everybody looks at once for what is due.
    pub fn ring(&self) {
        self.members.values().for_each(|member| member.bell.notify_one());
    }

    /// Whoever asks a provider looks at once for what is due.
    pub fn ring_sweepers(&self) {
        let sweepers = self.members.iter().filter(|(name, _)| matches!(name, Name::Provider(_)));
        sweepers.for_each(|(_, member)| member.bell.notify_one());
    }

    /// Waits until somebody ends, and starts who is to follow. False when nobody is left. Cancel-safe.
    pub async fn somebody_ended(&mut self) -> bool {
        match self.tasks.join_next().await {
            None => return false,
            Some(Ok((name, Ok(ended)))) => self.ended(name, ended),
            Some(Ok((_, Err(error)))) => self.fail(error.into()),
            Some(Err(error)) => self.fail(Error::Task(error)),
        }
        true
    }

    pub fn outcome(self) -> Result<Drained, Error> {
        self.outcome
    }

    fn ended(&mut self, name: Name, Ended { mut part, cut_off }: Ended) {
        part.ends();
        let member = self.members.remove(&name);
        let Some(Member { bell, next: Some(next), .. }) = member.filter(|_| !self.shutdown.is_requested()) else {
            if cut_off && self.outcome.is_ok() {
                self.outcome = Ok(Drained::Unclean);
            }
            return;
        };
        match (next, part) {
            (Next::Reloaded(reloaded), Part::Sweeper(mut sweeper)) => {
                sweeper.reload(*reloaded);
                self.start(name, Part::Sweeper(sweeper), bell);
            }
            (Next::Part(part), _) => self.start(name, part, bell),
            // Only sweepers go on.
            (Next::Nobody | Next::Reloaded(_), _) => {}
        }
    }

    /// The first that ends before it was asked to takes the others along.
    pub fn fail(&mut self, error: Error) {
        tracing::error!(error = %crate::chain(&error), "cannot go on");
        self.shutdown.request();
        if self.outcome.is_ok() {
            self.outcome = Err(error);
        }
    }
}
