//! Days, and when they begin: the API bills by the day in the subscription's own time zone (smartpay.md, section 2).

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use crate::clock::Timestamp;
use crate::provider::times::plausible;

/// Bytes. The longest that there are have some thirty.
const LONGEST_NAME: usize = 64;
/// Where a day begins first.
const EARLIEST: Offset = Offset::constant(14);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// A date alone, or with a time behind it.
    pub fn read(text: &str) -> Option<Self> {
        text.trim().get(..10)?.parse().ok().map(Self)
    }

    fn start(self, zone: TimeZone) -> Option<Timestamp> {
        self.0.to_zoned(zone).ok().map(|start| Timestamp::from_unix(start.timestamp().as_second()))
    }

    /// When it begins where the subscription is, if anybody can have meant that.
    pub fn begins(self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        plausible(self.start(zone.0.clone().unwrap_or(TimeZone::UTC))?, now)
    }

    /// When it is over there: it counts as a whole.
    pub fn ends(self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        Self(self.0.tomorrow().ok()?).begins(zone, now)
    }

    /// Before which it cannot have begun, wherever that is.
    pub fn begins_not_before(self, zone: &Zone) -> Option<Timestamp> {
        self.start(zone.0.clone().unwrap_or_else(|| TimeZone::fixed(EARLIEST)))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A time zone; without a name that is known here, none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    pub fn read(name: Option<&str>) -> Self {
        let is_name = |name: &&str| {
            name.len() <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
        };
        Self(name.filter(is_name).and_then(|name| TimeZone::get(name).ok()))
    }

    pub fn name(&self) -> Option<&str> {
        self.0.as_ref()?.iana_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000); // 2026-05-28T20:26:40Z

    #[test]
    fn a_day_begins_where_the_subscription_is() {
        let day = Day::read("2026-06-01").unwrap();
        let begins = |zone: &str| day.begins(&Zone::read(Some(zone)), NOW).unwrap().to_string();
        assert_eq!(begins("UTC"), "2026-06-01T00:00:00Z");
        assert_eq!(begins("Europe/Berlin"), "2026-05-31T22:00:00Z");
        assert_eq!(begins("nowhere"), "2026-06-01T00:00:00Z");
        assert_eq!(day.begins_not_before(&Zone::default()).unwrap().to_string(), "2026-05-31T10:00:00Z");
        let berlin = Zone::read(Some("Europe/Berlin"));
        assert_eq!(day.begins_not_before(&berlin), day.begins(&berlin, NOW));
        assert_eq!(day.ends(&Zone::default(), NOW).unwrap().to_string(), "2026-06-02T00:00:00Z");
        assert_eq!(Zone::read(berlin.name()), berlin);
    }

    #[test]
    fn what_is_no_day_or_zone_is_none() {
        for text in ["", "2026", "2026-13-01", "soon or later", "2026-06-3", "äöüäöüäöü", "9999-99-99"] {
            assert_eq!(Day::read(text), None, "{text}");
        }
        assert_eq!(Day::read("2026-06-01T00:00:00.000+02:00"), Day::read(" 2026-06-01 "));
        for name in ["../../etc/passwd", "/etc/localtime", "", "a\0b", &"x".repeat(65)] {
            assert_eq!(Zone::read(Some(name)), Zone::default(), "{name:?}");
        }
        let last = Day::read("9999-12-31").unwrap();
        assert_eq!((last.begins(&Zone::default(), NOW), last.ends(&Zone::default(), NOW)), (None, None));
    }
}
