//! Durations as people write them: `90s`, `15m`, `4h`, `3d`, `1h30m`.

use std::time::Duration;

/// In the order in which they may follow each other.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Ten years: more is a slip of the finger, and sums of instants and durations stay far from any overflow.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration is missing; write for example \"4h\"")]
    Empty,
    #[error("{0} needs a unit; write for example \"{0}s\", \"{0}m\", \"{0}h\" or \"{0}d\"")]
    NoUnit(String),
    #[error(
        "{0:?} is not a duration; write whole numbers with the units d, h, m and s, such as \"90s\", \"4h\" or \"1h30m\""
    )]
    Malformed(String),
    #[error("{0:?} is too long; at most \"3650d\"")]
    TooLong(String),
}

/// Reads a duration. Each unit may occur once, the larger before the smaller, without spaces; weeks, months and
/// fractions are refused, and so is a number without unit.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut seconds = 0_u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next().ok_or_else(malformed)?;
        // `find` consumes the units passed over, so that a smaller one is never followed by a larger or the same.
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        if number.is_empty() {
            return Err(malformed());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        seconds = number.checked_mul(*length).and_then(|n| n.checked_add(seconds)).ok_or_else(too_long)?;
        rest = &tail[unit.len_utf8()..];
    }
    let duration = Duration::from_secs(seconds);
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// Writes a duration as [`parse_duration`] reads it, dropping what is below a second: `1h30m`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("15m", 900), ("4h", 14_400), ("3d", 259_200), ("1h30m", 5_400), ("1d1s", 86_401)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
            assert_eq!(parse_duration(&format_duration(Duration::from_secs(seconds))), parse_duration(text));
        }
        assert_eq!(format_duration(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["4 h", " 4h", "-4h", "4H", "1.5h", "2w", "500ms", "h", "4hh", "1h2h", "30m1h", "4h5", "١h", "4é"]
        {
            assert_eq!(parse_duration(text), Err(DurationError::Malformed(text.to_owned())));
        }
        assert_eq!(parse_duration(""), Err(DurationError::Empty));
        for text in ["3651d", "99999999999999999999s", "9999999999999999999d"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong(text.to_owned())));
        }
    }

    #[test]
    fn a_bare_number_says_how_to_write_it() {
        let message = parse_duration("4").unwrap_err().to_string();
        assert_eq!(message, r#"4 needs a unit; write for example "4s", "4m", "4h" or "4d""#);
    }
}
