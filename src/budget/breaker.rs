//! The circuit breaker: after enough outages in a row only single probes pass, further and further apart. No waiting here,
//! `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Outages in a row that open the breaker. Requests in flight during one hiccup may be as many as that; then the first probe,
/// a few seconds later, closes it again.
pub const OPENS_AFTER: u32 = 10;

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Who has not answered for so long, and may have closed, is asked once in so long.
const DAY: Duration = Duration::from_secs(86_400);

/// A probe whose outcome nobody reported for this long (its caller was cancelled) is forgotten.
const PROBE_LOST_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Outages since the last success.
    pub failures: u32,
    last_success: Option<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// Without jitter.
    pause: Duration,
    probe: Probe,
}

#[derive(Debug)]
enum Probe {
    DueAt(Instant),
    LostAt(Instant),
}

impl Breaker {
    pub fn open_since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since)
    }

    /// From when on the next slot may be given, as far as the breaker has a say.
    pub fn due(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| match open.probe {
            Probe::DueAt(at) | Probe::LostAt(at) => at,
        })
    }

    /// A slot was given: while open, it is the probe.
    pub fn take(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.probe = Probe::LostAt(now + PROBE_LOST_AFTER);
        }
    }

    /// Goes on where an earlier process stopped, after so many failures in a row; `open`: since when, and when its next probe is due.
    pub fn resume(&mut self, failures: u32, open: Option<(Instant, Instant)>) {
        self.failures = failures;
        self.open = open.map(|(since, at)| Open { since, pause: LONGEST_PAUSE, probe: Probe::DueAt(at) });
    }

    /// Counts the outage of a request that was sent at `started`; true when this one opened the breaker. `may_be_gone`: the provider
    /// may have closed for good. `jitter` lies between -1 and 1.
    pub fn outage(&mut self, started: Instant, may_be_gone: bool, now: Instant, jitter: f64) -> bool {
        // Slow failures come in together, behind the fast answers of requests sent later: they tell of no outage.
        if self.open.is_none() && self.last_success.is_some_and(|success| started < success) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            None if self.failures < OPENS_AFTER => false,
            None => {
                let probe = Probe::DueAt(now + jittered(FIRST_PAUSE, jitter));
                self.open = Some(Open { since: now, pause: FIRST_PAUSE, probe });
                true
            }
            Some(open) => {
                // Without a probe under way this is an answer to a request from before the opening: nothing new.
                if let Probe::LostAt(_) = open.probe {
                    let is_gone = may_be_gone && now >= open.since + DAY;
                    open.pause = if is_gone { DAY } else { (open.pause * 2).min(LONGEST_PAUSE) };
                    open.probe = Probe::DueAt(now + jittered(open.pause, jitter));
                }
                false
            }
        }
    }

    /// As [`outage`](Self::outage), but this one is enough.
    pub fn lockout(&mut self, now: Instant, jitter: f64) -> bool {
        self.failures = self.failures.max(OPENS_AFTER - 1);
        self.outage(now, false, now, jitter)
    }

    /// True when it closed the breaker.
    pub fn success(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.last_success = Some(now);
        self.open.take().is_some()
    }
}

fn jittered(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(1.0 + 0.1 * jitter)
}
