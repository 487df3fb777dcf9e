//! Times as providers tell them, in the forms that are met, for every kind.
//!
//! One that nobody can have meant is unknown, and what was known before stays: a placeholder such as the year 1 or 1970, or a number in
//! another unit, must not pass for the end of a term.

use std::time::Duration;

use crate::clock::Timestamp;

/// Further back than what is still asked about.
const BEHIND: Duration = years(10);
/// Longer than any term that is sold, "for ever" apart, which has no end.
const AHEAD: Duration = years(30);

const fn years(count: u64) -> Duration {
    Duration::from_secs(count * 31_557_600)
}

/// `now` is when it was told.
pub fn plausible(told: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (now - BEHIND <= told && told <= now + AHEAD).then_some(told)
}

/// Seconds, or milliseconds where seconds would lie beyond the year 5138.
pub fn unix(number: i64, now: Timestamp) -> Option<Timestamp> {
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    let seconds = if number < MILLISECONDS_FROM { number } else { number / 1000 };
    plausible(Timestamp::from_unix(seconds), now)
}

/// RFC 3339 and its relatives, a date with or without dashes, or a number as [`unix`] has it. What has no offset is taken as UTC.
pub fn written(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    // Eight digits are a date without dashes.
    if text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unix(text.parse().ok()?, now);
    }
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.trim_end_matches(" UTC").parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    plausible(Timestamp::from_unix(instant.as_second()), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_291_200); // 2026-11-21T20:00:00Z

    #[test]
    fn what_nobody_can_have_meant_is_unknown() {
        for text in [
            "1970-01-01T01:00:00+01:00",
            "0001-01-01T00:00:00",
            "0001-01-01T00:00:00Z",
            "1899-12-30",
            "1601-01-01 00:00:00",
            "2016-11-20",
            "2056-11-23",
            "2099-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "0000-00-00 00:00:00",
            "99991231",
            // A date and time without signs is none of the forms; as milliseconds it would lie in the 2600s.
            "20261231235959",
            "202612312359",
            "99999999999999999999",
            "-62135596800",
        ] {
            assert_eq!(written(text, NOW), None, "{text}");
        }
        let numbers =
            [0, -5, 3600, 1_000, 946_684_800, 4_102_444_800, 20_261_231_235_959, 253_402_300_799, i64::MIN, i64::MAX];
        for number in numbers {
            assert_eq!(unix(number, NOW), None, "{number}");
        }
    }

    #[test]
    fn what_may_be_meant_is_told_as_it_is() {
        for (text, unix) in [
            ("2016-11-22", 1_479_772_800),
            ("2026-12-31T23:59:59", 1_798_761_599),
            ("20261231", 1_798_675_200),
            ("1798761599", 1_798_761_599),
            ("1798761599000", 1_798_761_599),
            ("2056-11-20", 2_741_904_000),
        ] {
            assert_eq!(written(text, NOW).map(Timestamp::as_unix), Some(unix), "{text}");
        }
    }
}
