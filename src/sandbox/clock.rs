//! The sandbox's own clock, and the text forms of durations, instants and terms in the control endpoint.
//!
//! Only calendar time is here. The rate limit, the life of tokens and every fault run on real time, because the client
//! under test does.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Span, SpanRelativeTo, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::clock::Timestamp;

/// Runs at `speed` sandbox seconds a real second from the last time it was set.
#[derive(Debug)]
pub(super) struct Clock {
    set_at: Instant,
    set_to: f64, // Unix seconds: a fraction must survive many small steps
    speed: f64,
}

impl Clock {
    pub(super) fn new(start: Timestamp, speed: f64) -> Self {
        Self { set_at: Instant::now(), set_to: start.as_unix() as f64, speed }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.seconds().floor() as i64)
    }

    pub(super) fn speed(&self) -> f64 {
        self.speed
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.restart(self.seconds() + by.as_secs_f64());
    }

    pub(super) fn set(&mut self, to: Timestamp) {
        self.restart(to.as_unix() as f64);
    }

    pub(super) fn set_speed(&mut self, speed: f64) {
        self.restart(self.seconds());
        self.speed = speed;
    }

    fn seconds(&self) -> f64 {
        self.set_to + self.set_at.elapsed().as_secs_f64() * self.speed
    }

    fn restart(&mut self, at: f64) {
        self.set_to = at;
        self.set_at = Instant::now();
    }
}

/// A subscription's term, written as an ISO 8601 duration: `P1Y`, `P1M`, `P30D`.
#[derive(Clone, Copy, Debug)]
pub struct Period(Span);

impl Period {
    pub fn years(years: i16) -> Self {
        Self(Span::new().years(years))
    }

    pub fn months(months: i16) -> Self {
        Self(Span::new().months(months))
    }

    pub fn days(days: i16) -> Self {
        Self(Span::new().days(days))
    }

    /// One term after `start`, by the calendar in UTC; the end of the calendar when there is none.
    pub fn after(&self, start: Timestamp) -> Timestamp {
        jiff::Timestamp::from_second(start.as_unix())
            .ok()
            .and_then(|start| start.to_zoned(TimeZone::UTC).checked_add(self.0).ok())
            .map_or(Timestamp::from_unix(i64::MAX), |end| Timestamp::from_unix(end.timestamp().as_second()))
    }
}

impl FromStr for Period {
    type Err = String;

    /// Refuses a term that does not lead forward: renewals would never end.
    fn from_str(text: &str) -> Result<Self, String> {
        let span: Span = text.parse().map_err(|error| format!("{text:?} is no term such as \"P1Y\": {error}"))?;
        if span.is_positive() { Ok(Self(span)) } else { Err(format!("the term {text:?} is not positive")) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Reads `4h`, `1d 12h`, `-30m`, `PT4H`; a day has 24 hours.
pub(super) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|error| format!("{text:?} is no duration such as \"4h\": {error}"))
}

/// Reads RFC 3339.
pub(super) fn parse_timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse::<jiff::Timestamp>()
        .map(|instant| Timestamp::from_unix(instant.as_second()))
        .map_err(|error| format!("{text:?} is no instant such as \"2026-11-21T20:00:00Z\": {error}"))
}

/// `#[serde(with)]` for a [`Duration`] written as `4h`.
pub(super) mod duration {
    use super::*;

    pub(in crate::sandbox) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        match SignedDuration::try_from(*value) {
            Ok(value) => serializer.collect_str(&format_args!("{value:#}")),
            Err(_) => serializer.serialize_str("forever"),
        }
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Duration::MAX);
        }
        let signed = parse_duration(&text).map_err(D::Error::custom)?;
        Duration::try_from(signed).map_err(|_| D::Error::custom(format!("the duration {text:?} is negative")))
    }
}

/// `#[serde(with)]` for an optional [`Duration`].
pub(super) mod optional_duration {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Wrapped(#[serde(with = "super::duration")] Duration);

    pub(in crate::sandbox) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Wrapped).serialize(serializer)
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|Wrapped(value)| value))
    }
}

/// `#[serde(with)]` for a [`SignedDuration`] written as `-2h`.
pub(super) mod signed_duration {
    use super::*;

    pub(in crate::sandbox) fn serialize<S: Serializer>(value: &SignedDuration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{value:#}"))
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
        parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// `#[serde(deserialize_with)]` for an optional [`Timestamp`] in RFC 3339.
pub(super) fn optional_timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| parse_timestamp(&text).map_err(D::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_at_speed_0_until_advanced() {
        let start = Timestamp::from_unix(1_795_291_200);
        let mut clock = Clock::new(start, 0.0);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(14_400));
        assert_eq!(clock.now(), start + Duration::from_secs(14_400));
    }

    #[test]
    fn terms_follow_the_calendar() {
        let leap_day = parse_timestamp("2028-02-29T12:00:00Z").unwrap();
        assert_eq!(Period::years(1).after(leap_day), parse_timestamp("2029-02-28T12:00:00Z").unwrap());
        assert_eq!("P1M".parse::<Period>().unwrap().to_string(), "P1M");
        assert!("PT0S".parse::<Period>().is_err());
        assert!("-P1Y".parse::<Period>().is_err());
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(parse_duration("4h").unwrap(), SignedDuration::from_hours(4));
        assert_eq!(parse_duration("1d 12h").unwrap(), SignedDuration::from_hours(36));
        assert_eq!(parse_duration("-30m").unwrap(), SignedDuration::from_mins(-30));
        assert!(parse_duration("soon").is_err());
    }
}
