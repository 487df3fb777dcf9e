//! How time passes: from one due time to the next, each moment with the daemon's own passes, at the sandbox's clock.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::place::SHOP;
use super::stage::{Act, PROVIDER, Stage};
use super::story::{Happening, Story, Tone};
use super::witness::Witness;
use crate::cli::Error;
use crate::clock::Timestamp;
use crate::daemon::Worker;
use crate::settings::Settings;
use crate::store::{Access, InstanceLock, NewSubscription, Store};

/// The daemon, the provider, and whoever watches them.
pub(super) struct Play {
    settings: Arc<Settings>,
    stage: Arc<dyn Stage>,
    /// Those of the tracked subscriptions.
    territories: Vec<String>,
    /// `None` while it is stopped.
    daemon: Option<Worker>,
    acts: VecDeque<(Timestamp, Act)>,
    end: Timestamp,
    pub(super) witness: Witness,
    pub(super) polls: u64,
}

impl Play {
    /// Starts the daemon on an empty database and tracks the subscriptions. Time will pass until `end`.
    pub(super) async fn begin(
        settings: Arc<Settings>,
        stage: Arc<dyn Stage>,
        tracked: Vec<NewSubscription>,
        witness: Witness,
        end: Timestamp,
    ) -> Result<Self, Error> {
        let daemon = open(settings.clone())?;
        let territories: BTreeSet<_> = tracked.iter().map(|subscription| subscription.territory.clone()).collect();
        let territories = territories.into_iter().collect();
        daemon.store.track(tracked, false, stage.now()).await?;
        let acts = stage.acts();
        Ok(Self { settings, stage, territories, daemon: Some(daemon), acts, end, witness, polls: 0 })
    }

    /// Until the end; then the daemon is closed.
    pub(super) async fn perform(&mut self, story: &mut Story) -> Result<(), Error> {
        loop {
            let now = self.stage.now();
            self.act(now, story).await?;
            tell(story, now, self.witness.at_the_provider())?;
            self.work(now, story).await?;
            match self.next_moment(now).await?.filter(|next| *next <= self.end) {
                Some(next) => self.stage.set_now(next),
                None => break,
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Does what happens from outside at this moment.
    async fn act(&mut self, now: Timestamp, story: &mut Story) -> Result<(), Error> {
        while let Some(&(_, act)) = self.acts.front().filter(|(at, _)| *at <= now) {
            self.acts.pop_front();
            match act {
                Act::AtProvider(number, deed) => {
                    self.stage.act(number, deed)?;
                    if let Some(text) = deed.told() {
                        let (label, text) = (number.to_owned(), text.to_owned());
                        story.tell(now, &Happening { label, text, tone: Tone::Quiet })?;
                    }
                }
                Act::StopDaemon => {
                    self.stop().await;
                    story.interlude(now, "renewald is stopped: nobody asks the provider")?;
                }
                Act::StartDaemon => {
                    self.daemon = Some(open(self.settings.clone())?);
                    story.interlude(now, "renewald is started again and catches up")?;
                }
            }
        }
        Ok(())
    }

    /// One round of the daemon: everything that is due now.
    async fn work(&mut self, now: Timestamp, story: &mut Story) -> Result<(), Error> {
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        let stage = self.stage.clone();
        let clock = move || stage.now();
        let swept = daemon.sweep(&clock).await?;
        self.polls += swept.polls;
        if swept.renewals > 0 || swept.calls > swept.polls {
            tell(story, now, self.witness.in_the_database(&daemon.store, now).await?)?;
        }
        let relayed = daemon.relay(&clock).await?;
        if relayed.delivered > 0 {
            tell(story, now, self.witness.at_the_shop()?)?;
        }
        Ok(())
    }

    /// When something is due next, at the daemon, at the provider or from outside.
    async fn next_moment(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let acts = self.acts.front().map(|(at, _)| *at);
        let mut moments: Vec<Timestamp> = self.stage.renews_at().into_iter().chain(acts).collect();
        if let Some(daemon) = &self.daemon {
            moments.extend(daemon.store.next_renewal_due(PROVIDER, &self.territories).await?);
            moments.extend(daemon.store.next_poll_due(PROVIDER, self.territories.clone()).await?);
            moments.extend(daemon.store.next_dispatch_due(SHOP).await?);
        }
        Ok(moments.into_iter().filter(|at| *at > now).min())
    }

    async fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.close().await;
        }
    }
}

/// As `renewald run` starts: with the instance lock and everything read from the database.
fn open(settings: Arc<Settings>) -> Result<Worker, Error> {
    let lock = InstanceLock::acquire(&settings.store.path)?;
    let store = Store::open(&settings.store.path, Access::Instance(lock))?;
    Ok(Worker::new(settings, store)?)
}

fn tell(story: &mut Story, now: Timestamp, happenings: Vec<Happening>) -> Result<(), Error> {
    happenings.iter().try_for_each(|happening| story.tell(now, happening))
}
