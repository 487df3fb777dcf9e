//! Instants and lengths of time as a person reads them.

use std::time::Duration;

use crate::clock::Timestamp;

/// `3 h ago`, `in 2 d`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at < now {
        format!("{} ago", roughly(now.since(at)))
    } else if at > now {
        format!("in {}", roughly(at.since(now)))
    } else {
        "now".to_owned()
    }
}

/// `2026-11-21T20:00:00Z (3 h ago)`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({})", relative(at, now))
}

/// In its largest unit, rounded down: up to 119 s, 119 min and 47 h, then days.
pub fn roughly(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_relative_to_now() {
        let now = Timestamp::from_unix(1_795_291_200);
        for (seconds, expected) in [
            (0, "now"),
            (5, "in 5 s"),
            (300, "in 5 min"),
            (-7_300, "2 h ago"),
            (-172_800, "2 d ago"),
            (-119, "119 s ago"),
        ] {
            let at = Timestamp::from_unix(now.as_unix() + seconds);
            assert_eq!(relative(at, now), expected);
        }
        assert_eq!(when(now, now), "2026-11-21T20:00:00Z (now)");
    }
}
