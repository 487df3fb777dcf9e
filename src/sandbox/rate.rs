//! The rate limit: so many answered requests in any window of one second of real time, all endpoints together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// The instants of the requests let through within the last second. Refused ones do not count.
#[derive(Debug, Default)]
pub(super) struct Window {
    admitted: VecDeque<Instant>,
}

impl Window {
    /// Whether a request at `at` is let through; `limit` 0 lets everything through.
    pub(super) fn admits(&mut self, at: Instant, limit: u32) -> bool {
        if limit == 0 {
            self.admitted.clear();
            return true;
        }
        while self.admitted.front().is_some_and(|first| at.saturating_duration_since(*first) >= WINDOW) {
            self.admitted.pop_front();
        }
        let room = self.admitted.len() < limit as usize;
        if room {
            self.admitted.push_back(at);
        }
        room
    }
}

/// The most of these instants (ascending) that lie in any window of one second.
pub(super) fn busiest_second(instants: impl Iterator<Item = Instant>) -> usize {
    let mut window = VecDeque::new();
    let mut most = 0;
    for at in instants {
        while window.front().is_some_and(|first| at.saturating_duration_since(*first) >= WINDOW) {
            window.pop_front();
        }
        window.push_back(at);
        most = most.max(window.len());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_a_second_holds_more_than_the_limit() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = Window::default();
        assert!([0, 400, 900].into_iter().all(|millis| window.admits(at(millis), 3)));
        assert!(!window.admits(at(999), 3));
        // The request at 0 has left the window, those at 400 and 900 have not: fixed seconds would allow two more.
        assert!(window.admits(at(1000), 3));
        assert!(!window.admits(at(1399), 3));
        assert!(window.admits(at(1400), 3));
    }

    #[test]
    fn limit_0_is_off() {
        let mut window = Window::default();
        let now = Instant::now();
        assert!((0..1000).all(|_| window.admits(now, 0)));
    }

    #[test]
    fn the_busiest_second_is_half_open() {
        let start = Instant::now();
        let instants = [0, 0, 999, 1000, 1500].map(|millis| start + Duration::from_millis(millis));
        assert_eq!(busiest_second(instants.into_iter()), 3);
    }
}
