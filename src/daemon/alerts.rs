//! What a person must know: looked for now and then, told once when it appears and once when it is over, also across restarts.
//! While nothing of it stands the heartbeat goes out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{StepDetector, Timestamp};
use crate::forecast::Forecast;
use crate::heartbeat::Heartbeat;
use crate::renewal::Rules;
use crate::retry::{REFUSED_WARNING, UNANSWERED_WARNING, WAITING_WARNING};
use crate::settings::{Settings, format_duration};
use crate::signals::Shutdown;
use crate::store::{self, Alert, AlertChange, BreakerState, Group, Leeway, NOBODY_ASKS, Store, counted, counts_of};
use crate::text::number_of;
use crate::vault::Error::Damaged;

/// How long nobody looks at the most. Bells ring more often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A receiver that is restarted is back by then; four probes have failed.
const SINK_BACK_WITHIN: Duration = Duration::from_secs(60);
/// A step of the clock, or a sleep of the machine, above this is an absence.
const ABSENCE: Duration = Duration::from_secs(5 * 60);
/// What catching up takes beside the requests themselves: connections, tokens, the first commits.
const WARM_UP: Duration = Duration::from_secs(5 * 60);

/// An order that is there is found within seconds, and one that is not is known to be absent after five minutes.
const UNCLEAR_ORDER: Duration = Duration::from_secs(15 * 60);

/// The daemon's part that looks.
pub(super) struct Watchman {
    store: Store,
    settings: watch::Receiver<Arc<Settings>>,
    every: Duration,
    clock: StepDetector,
    /// After an absence, until what is overdue should have been caught up; `None`: not known yet.
    catching_up_until: Option<Instant>,
    heartbeat: Heartbeat,
}

/// What a look found.
struct Found {
    alerts: Vec<Alert>,
    /// However young it is.
    overdue: bool,
}

impl Watchman {
    pub fn new(store: Store, settings: watch::Receiver<Arc<Settings>>) -> Self {
        let every = settings.borrow().poll.every;
        let (clock, heartbeat) = (StepDetector::start(), Heartbeat::default());
        Self { store, settings, every, clock, catching_up_until: None, heartbeat }
    }

    /// Looks once, and says how long there is nothing to look at.
    pub async fn turn(&mut self, shutdown: &Shutdown) -> Result<Duration, store::Error> {
        let settings = self.settings.borrow_and_update().clone();
        let now = Timestamp::now();
        let until = self.catching_up(&settings, now).await?;
        let found = look(&self.store, &settings, SINK_BACK_WITHIN, now).await?;
        let is_well = !found.overdue && found.alerts.is_empty();
        tell(&record(&self.store, found, Instant::now() < until, now).await?);
        if is_well {
            tokio::select! {
                () = shutdown.winding_up() => {}
                beaten = self.heartbeat.beat(&self.store, &settings.admin, crate::heartbeat::EVERY, now) => beaten?,
            }
        }
        Ok(LOOK_EVERY)
    }

    /// Until when what is overdue is no news: nobody was there to ask, and now it is being asked for as fast as the budget
    /// allows. Never longer than `alert_after`, or than a shorter interval takes to be in force.
    async fn catching_up(&mut self, settings: &Settings, now: Timestamp) -> Result<Instant, store::Error> {
        let every = std::mem::replace(&mut self.every, settings.poll.every);
        let was_away = self.clock.has_stepped(ABSENCE);
        let mut until = match self.catching_up_until {
            Some(until) if !was_away => until,
            _ => Instant::now() + catch_up_time(&self.store, settings, now).await?.min(settings.admin.alert_after),
        };
        if self.every < every {
            until = until.max(Instant::now() + WARM_UP + self.every.mul_f64(1.1));
        }
        self.catching_up_until = Some(until);
        Ok(until)
    }
}

/// The same for a one-shot run that is over: what changed, and whether all is well. A run that ran out of time is caught up by
/// the next.
pub(super) async fn after_catch_up(
    store: &Store,
    settings: &Settings,
    ran_out: bool,
) -> Result<(AlertChange, bool), store::Error> {
    let now = Timestamp::now();
    let found = look(store, settings, Duration::ZERO, now).await?;
    let is_well = !found.overdue && found.alerts.is_empty();
    Ok((record(store, found, ran_out, now).await?, is_well))
}

/// One line for each change.
pub(super) fn tell(change: &AlertChange) {
    for Alert { kind, subject, text } in &change.raised {
        tracing::error!(%kind, %subject, "alert: {}", crate::text::visible(text));
    }
    for Alert { kind, subject, .. } in &change.cleared {
        tracing::info!(%kind, %subject, "the alert is over");
    }
}

/// Makes what was found the alerts that stand. While catching up, nobody is newly told of overdue subscriptions.
async fn record(store: &Store, found: Found, catching_up: bool, now: Timestamp) -> Result<AlertChange, store::Error> {
    let stood: Vec<Alert> = store.alerts().await?.into_iter().map(|raised| raised.alert).collect();
    let mut alerts = found.alerts;
    alerts.retain(|alert| !(catching_up && alert.kind == "overdue") || stood.iter().any(|one| one.is_same(alert)));
    let unchanged = alerts.len() == stood.len() && alerts.iter().all(|alert| stood.contains(alert));
    if unchanged { Ok(AlertChange::default()) } else { store.replace_alerts(alerts, now).await }
}

/// How long it takes to ask for all that is due now, with a quarter more for what comes between.
async fn catch_up_time(store: &Store, settings: &Settings, now: Timestamp) -> Result<Duration, store::Error> {
    let due = store.count_due(now).await?.polls as f64;
    let rates = settings.providers.values().map(|provider| provider.requests_per_second).filter(|rate| *rate > 0.0);
    let slowest = rates.fold(f64::INFINITY, f64::min);
    Ok(WARM_UP + Duration::try_from_secs_f64(due * 1.25 / slowest).unwrap_or(Duration::MAX / 2))
}

async fn look(
    store: &Store,
    settings: &Settings,
    sink_patience: Duration,
    now: Timestamp,
) -> Result<Found, store::Error> {
    let mut found = Found { alerts: Vec::new(), overdue: false };
    let groups = store.subscription_groups().await?;
    for name in settings.providers.keys() {
        provider(store, settings, name, &groups, now, &mut found).await?;
    }
    let asked = settings.territories();
    for (provider, territory) in store.territories_beside(asked.clone(), now).await? {
        found.alerts.push(Alert::new("territory", &format!("{provider}/{territory}"), NOBODY_ASKS));
    }
    for stopped in store.stopped_territories().await? {
        if asked.contains(&(stopped.provider.clone(), stopped.territory.clone())) {
            let subject = format!("{}/{}", stopped.provider, stopped.territory);
            let text = format!("refuses every subscription: {}", stopped.reason);
            found.alerts.push(Alert::new("territory", &subject, &text));
        }
    }
    let counts = store.dispatch_counts().await?;
    for state in store.sink_states().await? {
        let is_long = state.blocked_since.is_some_and(|since| now.since(since) >= sink_patience);
        // Where nothing waits nothing is tried, and nobody would ever learn that it is over.
        let is_waited_for = counts.iter().any(|count| count.sink == state.sink && count.pending > 0);
        if is_long && is_waited_for && settings.sinks.contains_key(&state.sink) {
            let text = format!("in trouble, its messages wait: {}", state.last_error.unwrap_or_default());
            found.alerts.push(Alert::new("sink", &state.sink, &text));
        }
    }
    for (sink, count) in store.dead_messages().await? {
        let text = format!("{} given up for this sink; `renewald queue dead` shows them", number_of(count, "message"));
        found.alerts.push(Alert::new("dead", &sink, &text));
    }
    let key_trouble = store.key_trouble().await?;
    if !key_trouble.is_empty() {
        found.alerts.push(Alert::new("encryption", "key", &key_trouble.join("; ")));
    }
    for message in store.damaged().await? {
        let text = format!("{}; it is not delivered; see docs/encryption.md", Damaged { message });
        found.alerts.push(Alert::new("damaged", &message.to_string(), &text));
    }
    Ok(found)
}

fn subscriptions(count: i64) -> String {
    if count == 1 { "1 subscription".to_owned() } else { format!("{} subscriptions", counted(count)) }
}

async fn provider(
    store: &Store,
    settings: &Settings,
    name: &str,
    groups: &[Group],
    now: Timestamp,
    found: &mut Found,
) -> Result<(), store::Error> {
    let (rules, alert_after) = (Rules::from_settings(settings), settings.admin.alert_after);
    open_orders(store, name, now, found).await?;
    // Who has to wait for a budget that is too small is no alert: `status` says so.
    let forecast = Forecast::of_provider(settings, name, |name| counts_of(groups, name));
    let late = store.count_late(name, &Leeway::new(rules, forecast, alert_after), now).await?;
    found.overdue |= late.overdue() > 0;
    let unheard = late.unasked + late.unanswered;
    let odd = store.count_odd(name, now - alert_after).await?;
    if settings.may_have_closed(name)
        && let Some(BreakerState { open_since, reason, .. }) = breaker(store, name).await?
    {
        // It is all that there is to be told: what it says of each, or does not, is no news of anybody.
        let is_told = unheard > 0 || late.refused_for_long > 0 || odd.unknown > 0;
        if is_told || now.since(open_since) >= alert_after {
            let text =
                format!("answers for nobody: {reason}; it may have closed, and is probed once a day after a day");
            found.alerts.push(Alert::new("provider", name, &text));
        }
        return lacking(store, name, found).await;
    }
    if unheard > 0 {
        let age = format_duration(alert_after.max(settings.poll.every.mul_f64(1.1)));
        let text = format!("{} without an answer for {age}; see `renewald list --overdue`", subscriptions(unheard));
        found.alerts.push(Alert::new("overdue", name, &text));
    }
    if late.refused_for_long > 0 {
        let advice = settings.advice(name).map(|advice| format!(": {}", advice.refused)).unwrap_or_default();
        let text = format!("{} refused for long{advice}", subscriptions(late.refused_for_long));
        found.alerts.push(Alert::new("refused", name, &text));
    }
    if odd.unknown > 0 {
        let text = format!("{} unknown to the provider; see `renewald list --unknown`", subscriptions(odd.unknown));
        found.alerts.push(Alert::new("unknown", name, &text));
    }
    if odd.surprises > 0 {
        let text =
            format!("{} answered for as cannot be right; see `renewald list --surprise`", subscriptions(odd.surprises));
        found.alerts.push(Alert::new("surprise", name, &text));
    }
    waiting(store, name, found).await?;
    lacking(store, name, found).await
}

async fn breaker(store: &Store, name: &str) -> Result<Option<BreakerState>, store::Error> {
    Ok(store.provider_troubles().await?.remove(name).and_then(|trouble| trouble.breaker))
}

async fn waiting(store: &Store, name: &str, found: &mut Found) -> Result<(), store::Error> {
    let waiting = store.count_long_waits(name, WAITING_WARNING, UNANSWERED_WARNING, REFUSED_WARNING).await?;
    if waiting > 0 {
        let age = format_duration(WAITING_WARNING);
        let text = format!(
            "renewals whose order data has been awaited for more than {age}, or asked for {UNANSWERED_WARNING} times without \
             an answer, or refused {REFUSED_WARNING} times in a row: {waiting}"
        );
        found.alerts.push(Alert::new("waiting", name, &text));
    }
    Ok(())
}

async fn open_orders(store: &Store, name: &str, now: Timestamp, found: &mut Found) -> Result<(), store::Error> {
    let open = store.count_open_orders(name, now - UNCLEAR_ORDER, now - WAITING_WARNING).await?;
    let unclear = (open.unclear > 0).then(|| {
        let age = format_duration(UNCLEAR_ORDER);
        format!("{} sent more than {age} ago and not known to be placed", number_of(open.unclear, "order"))
    });
    let waiting = (open.waiting > 0).then(|| {
        let age = format_duration(WAITING_WARNING);
        format!("{} waiting at the provider for more than {age}", number_of(open.waiting, "order"))
    });
    let told: Vec<_> = unclear.into_iter().chain(waiting).collect();
    if !told.is_empty() {
        found.alerts.push(Alert::new("orders", name, &told.join("; ")));
    }
    Ok(())
}

async fn lacking(store: &Store, name: &str, found: &mut Found) -> Result<(), store::Error> {
    let lacking = store.count_lacking(name).await?;
    if lacking > 0 {
        let were =
            if lacking == 1 { "1 renewal was".to_owned() } else { format!("{} renewals were", counted(lacking)) };
        let text = format!(
            "{were} delivered without all that belongs to it, which is looked for daily; see `renewald list --warned`"
        );
        found.alerts.push(Alert::new("warned", name, &text));
    }
    Ok(())
}
