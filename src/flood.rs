//! What keeps the log readable where many meet the same: the first lines of a kind are written, the others counted.
//!
//! Only of lines. Store, metrics, alerts and messages hear of each; what is said of the count, and where to see who it was, is
//! with whoever writes the lines.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// So many lines of a kind are written in a window.
const MOST: u64 = 20;
/// A pass may go on for hours: what is met later in it has its lines too.
const WINDOW: Duration = Duration::from_secs(300);

/// The lines of a window, by their kind.
#[derive(Debug)]
pub struct Flood<K> {
    /// With its first line.
    begun: Option<Instant>,
    lines: BTreeMap<K, Lines>,
    /// The count was said once, before the window was over.
    is_told: bool,
}

#[derive(Debug, Default)]
struct Lines {
    written: u64,
    held_back: u64,
}

impl<K> Default for Flood<K> {
    fn default() -> Self {
        Self { begun: None, lines: BTreeMap::new(), is_told: false }
    }
}

impl<K: Ord + Copy> Flood<K> {
    /// Whether one more line of this kind is written. Else it is counted.
    pub fn admits(&mut self, kind: K, now: Instant) -> bool {
        self.begun.get_or_insert(now);
        let lines = self.lines.entry(kind).or_default();
        let admitted = lines.written < MOST;
        *if admitted { &mut lines.written } else { &mut lines.held_back } += 1;
        admitted
    }

    /// A pass is over, or goes on for long. How many lines of which kinds were held back and not counted aloud yet: at the first end
    /// of a pass, and when the window is over. Small passes one after the other would else make a flood of counts.
    pub fn rest(&mut self, now: Instant) -> Vec<(K, u64)> {
        if self.begun.is_some_and(|begun| now >= begun + WINDOW) {
            return self.last();
        }
        if self.is_told {
            return Vec::new();
        }
        let rest = self.held_back();
        self.is_told = !rest.is_empty();
        rest
    }

    /// The same where nobody asks again, or the window is over: all kinds begin anew.
    pub fn last(&mut self) -> Vec<(K, u64)> {
        let rest = self.held_back();
        *self = Self::default();
        rest
    }

    fn held_back(&mut self) -> Vec<(K, u64)> {
        let counts = self.lines.iter_mut().map(|(kind, lines)| (*kind, std::mem::take(&mut lines.held_back)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(flood: &mut Flood<char>, kind: char, lines: u64, now: Instant) -> usize {
        (0..lines).filter(|_| flood.admits(kind, now)).count()
    }

    #[test]
    fn the_first_of_each_kind_are_written_and_the_others_counted() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        assert_eq!(admitted(&mut flood, 'a', 83, now), 20);
        assert_eq!(admitted(&mut flood, 'b', 20, now), 20, "whatever others there are");
        assert_eq!(flood.rest(now), [('a', 63)]);
        assert_eq!(flood.rest(now), [], "said");
    }

    #[test]
    fn a_window_has_its_lines_and_two_counts_at_the_most() {
        let (mut flood, begun) = (Flood::default(), Instant::now());
        admitted(&mut flood, 'a', 30, begun);
        assert_eq!(flood.rest(begun), [('a', 10)]);
        for second in 1..300 {
            let now = begun + Duration::from_secs(second);
            assert_eq!(admitted(&mut flood, 'a', 1, now), 0);
            assert_eq!(flood.rest(now), [], "a small pass each second");
        }
        assert_eq!(flood.rest(begun + WINDOW), [('a', 299)]);
        assert_eq!(admitted(&mut flood, 'a', 1, begun + WINDOW), 1, "and the next begins with its own");
    }

    #[test]
    fn who_asks_for_the_last_time_is_told_all_of_it() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        admitted(&mut flood, 'a', 21, now);
        assert_eq!(flood.rest(now), [('a', 1)]);
        admitted(&mut flood, 'a', 2, now);
        assert_eq!(flood.last(), [('a', 2)]);
        assert_eq!(flood.last(), []);
    }
}
