//! What happens at the provider: when each subscription really renews. Nothing here knows how renewald asks.

use renewald::clock::Timestamp;
use renewald::life::Life;
use renewald::provider::{Seen, Sighting, Verdict};

pub const DAY: f64 = 86_400.0;
pub const YEAR: f64 = 365.0 * DAY;
pub const MONTH: f64 = YEAR / 12.0;

/// Renewals that keep to the expiry come between these, from it.
const ON_TIME: (f64, f64) = (-2.0 * DAY, 1.0 * DAY);
/// The rest come at any time of their term.
pub const AT_RANDOM: f64 = 0.02;
const NEVER: f64 = 0.1;

/// The second 0 of every simulation.
const BEGIN: i64 = 1_800_000_000;

pub fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_unix(BEGIN + seconds as i64)
}

/// A small generator, the same numbers on every machine (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, less than 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.share()
    }
}

/// One subscription as the provider knows it. Times are seconds since the beginning.
pub struct Truth {
    pub generation: i64,
    pub expires: f64,
    /// `None`: never. It stays active all the same, so that it costs polls like any other.
    renews: Option<f64>,
    /// The last renewal, until somebody has seen it.
    pub unseen: Option<Renewal>,
}

#[derive(Clone, Copy)]
pub struct Renewal {
    pub at: f64,
    pub on_time: bool,
}

impl Truth {
    pub fn new(expires: f64, term: f64, random: &mut Random) -> Self {
        let mut truth = Self { generation: 0, expires, renews: None, unseen: None };
        if random.share() >= NEVER {
            truth.renews = Some(truth.draw(f64::MIN, term, random));
            // What is past by the beginning is not news: else all that renews at random would do so after it.
            truth.advance(0.0, term, random);
            (truth.generation, truth.unseen) = (0, None);
        }
        truth
    }

    fn draw(&self, now: f64, term: f64, random: &mut Random) -> f64 {
        if random.share() < AT_RANDOM {
            random.between(now.max(self.expires - term), self.expires)
        } else {
            (self.expires + random.between(ON_TIME.0, ON_TIME.1)).max(now)
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: f64, term: f64, random: &mut Random) {
        while let Some(at) = self.renews.filter(|at| *at <= now) {
            self.generation += 1;
            // The first of several unseen ones is the one that waits longest.
            self.unseen.get_or_insert(Renewal { at, on_time: at >= self.expires + ON_TIME.0 });
            self.expires += term;
            self.renews = Some(self.draw(at, term, random));
        }
    }

    /// Whether a renewal that keeps to no expiry may come at `at`, as things stand.
    pub fn may_renew_at_random(&self, at: f64, term: f64) -> bool {
        self.renews.is_some() && (self.expires - term..self.expires + ON_TIME.0).contains(&at)
    }

    pub fn sighting(&self) -> Sighting {
        Sighting {
            seen: Seen::Counted { generation: self.generation, doubt: None, besides: Vec::new() },
            words: Some("ACTIVE".to_owned()),
            life: Some(Life::Running),
            expires_at: Some(timestamp(self.expires)),
            ..Sighting::refused(Verdict::success())
        }
    }
}

/// From the renewal to the answer that showed it: how often each delay came, in steps of a hundredth of an hour.
#[derive(Default)]
pub struct Delays {
    weights: Vec<f64>,
}

const STEP: f64 = 36.0;

impl Delays {
    /// `weight` renewals were seen after `delay` seconds.
    pub fn add(&mut self, delay: f64, weight: f64) {
        let at = (delay / STEP) as usize;
        if at >= self.weights.len() {
            self.weights.resize(at + 1, 0.0);
        }
        self.weights[at] += weight;
    }

    pub fn add_all(&mut self, other: &Delays) {
        for (at, weight) in other.weights.iter().enumerate() {
            self.add(at as f64 * STEP, *weight);
        }
    }

    /// So many renewals in all.
    pub fn count(&self) -> f64 {
        self.weights.iter().sum()
    }

    /// Rounded up to the next step.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut left = self.count() * share;
        let above = self.weights.iter().position(|weight| {
            left -= weight;
            left <= 0.0
        });
        (above.unwrap_or(self.weights.len()) + 1) as f64 * STEP
    }
}
