//! `status --renewals`: what the renewals so far taught about the provider, as two small histograms.

use serde::Serialize;

use crate::store::{self, Store};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// Seconds after the expiry then known, up to each bound; negative: before it.
const AFTER_EXPIRY: [(i64, &str); 10] = [
    (-14 * DAY, "more than 14 d before"),
    (-3 * DAY, "14 d to 3 d before"),
    (-2 * DAY, "3 d to 2 d before"),
    (-DAY, "2 d to 1 d before"),
    (0, "1 d before to expiry"),
    (4 * HOUR, "up to 4 h after"),
    (DAY, "4 h to 1 d after"),
    (3 * DAY, "1 d to 3 d after"),
    (14 * DAY, "3 d to 14 d after"),
    (i64::MAX, "more than 14 d after"),
];

/// Seconds from seeing a renewal to its readable order data.
const READABLE: [(i64, &str); 8] = [
    (MINUTE, "under a minute"),
    (10 * MINUTE, "1 to 10 min"),
    (HOUR, "10 min to 1 h"),
    (4 * HOUR, "1 h to 4 h"),
    (DAY, "4 h to 1 d"),
    (3 * DAY, "1 d to 3 d"),
    (14 * DAY, "3 d to 14 d"),
    (i64::MAX, "more than 14 d"),
];

/// The longest bar, in characters.
const BAR: f64 = 40.0;

/// What `status --renewals --json` prints.
#[derive(Serialize)]
pub struct Learnt {
    /// When renewals were seen, by seconds after the expiry known before.
    seen_after_expiry: Vec<Span>,
    /// How soon order data could be read, by seconds after the renewal was seen.
    readable_after_seen: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    /// `null`: no bound.
    below_seconds: Option<i64>,
    renewals: i64,
    #[serde(skip)]
    name: &'static str,
}

impl Learnt {
    pub async fn read(store: &Store) -> Result<Self, store::Error> {
        let (after_expiry, readable) = store.count_renewals(bounds(&AFTER_EXPIRY), bounds(&READABLE)).await?;
        Ok(Self {
            seen_after_expiry: spans(&AFTER_EXPIRY, &after_expiry),
            readable_after_seen: spans(&READABLE, &readable),
        })
    }

    pub fn to_text(&self) -> String {
        format!(
            "{}\n{}",
            histogram("Renewals seen, from the expiry then known", &self.seen_after_expiry),
            histogram("Order data readable, from the renewal seen", &self.readable_after_seen)
        )
    }
}

/// All but the open end.
fn bounds(spans: &[(i64, &str)]) -> Vec<i64> {
    spans.iter().map(|(bound, _)| *bound).filter(|bound| *bound < i64::MAX).collect()
}

fn spans(named: &[(i64, &'static str)], counts: &[i64]) -> Vec<Span> {
    let span = |((bound, name), renewals): (&(i64, &'static str), &i64)| Span {
        below_seconds: Some(*bound).filter(|bound| *bound < i64::MAX),
        renewals: *renewals,
        name,
    };
    named.iter().zip(counts).map(span).collect()
}

fn histogram(title: &str, spans: &[Span]) -> String {
    let total: i64 = spans.iter().map(|span| span.renewals).sum();
    let most = spans.iter().map(|span| span.renewals).max().unwrap_or(0);
    if total == 0 {
        return format!("{title}: none yet\n");
    }
    let mut text = format!("{title}: {total}\n");
    for Span { name, renewals, .. } in spans {
        // What there is shows, however little it is.
        let bar = "#".repeat((*renewals as f64 * BAR / most as f64).ceil() as usize);
        let percent = *renewals as f64 * 100.0 / total as f64;
        text.push_str(format!("  {name:<22}{renewals:>8} {percent:>5.1} %  {bar}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_are_in_proportion_and_nothing_is_too_small_to_see() {
        let text = histogram("Seen", &spans(&READABLE, &[400, 200, 1, 0, 0, 0, 0, 0]));
        let bars: Vec<_> = text.lines().skip(1).map(|line| line.matches('#').count()).collect();
        assert_eq!(bars, [40, 20, 1, 0, 0, 0, 0, 0]);
        assert!(text.starts_with("Seen: 601\n  under a minute             400  66.6 %  ####"), "{text}");
        assert_eq!(histogram("Seen", &spans(&READABLE, &[0; 8])), "Seen: none yet\n");
    }
}
