//! How much of the budget the last minute used. No waiting here, `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A count for each of these seconds, the present one included.
const SECONDS: usize = 60;

#[derive(Debug)]
pub(super) struct Usage {
    began: Instant,
    /// By second since `began`, in a ring.
    counts: [u32; SECONDS],
    /// The second that is being counted.
    second: u64,
}

impl Usage {
    pub fn new(now: Instant) -> Self {
        Self { began: now, counts: [0; SECONDS], second: 0 }
    }

    /// A slot was taken.
    pub fn note(&mut self, now: Instant) {
        self.forget(now);
        self.counts[self.second as usize % SECONDS] += 1;
    }

    /// Slots a second over the last minute, or since the beginning.
    pub fn mean_rate(&mut self, now: Instant) -> f64 {
        self.forget(now);
        let elapsed = now.saturating_duration_since(self.began);
        let counted =
            elapsed.min(Duration::from_secs(SECONDS as u64 - 1) + Duration::from_nanos(elapsed.subsec_nanos().into()));
        let slots: u32 = self.counts.iter().sum();
        f64::from(slots) / counted.as_secs_f64().max(1.0)
    }

    /// Makes room for the seconds that have passed.
    fn forget(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.began).as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for gone in 0..passed {
            self.counts[(second - gone) as usize % SECONDS] = 0;
        }
        self.second = self.second.max(second);
    }
}
