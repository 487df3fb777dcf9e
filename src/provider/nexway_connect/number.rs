//! Reading a generation out of an answer, by comparison with the stored original number only: `NEXWAY-1` may be an
//! original, the first renewal of `NEXWAY`, or both (nexway-connect.md, section 4.3).

use super::answers::Status;

/// What a usable status answer says about the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub generation: i64,
    /// The field and the number's suffix disagreed; the generation is the one to believe.
    pub contradicts: bool,
}

/// The returned number is neither the original nor one of its renewals, or nothing tells the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    Foreign,
    NoGeneration,
}

/// Reads the generation from the field and the suffix of the returned number.
pub fn observe(original: &str, status: &Status) -> Result<Observed, Unusable> {
    let suffix = match status.partner_order_number.as_deref() {
        Some(returned) => Some(generation_in(original, returned).ok_or(Unusable::Foreign)?),
        None => None,
    };
    // -1 is a trial on the sister platform: no renewal yet.
    let field = status.generation.map(|generation| if generation == -1 { 0 } else { generation });
    match (field, suffix) {
        // Nobody knows what it says: beside the original number it may say that there is a renewal.
        (Some(..0), Some(suffix)) if suffix > 0 => Ok(Observed { generation: suffix, contradicts: false }),
        (Some(..0), _) => Err(Unusable::NoGeneration),
        (Some(field), Some(suffix)) if suffix > 0 => {
            Ok(Observed { generation: field.max(suffix), contradicts: field != suffix })
        }
        // An unsuffixed number contradicts nothing: the API may always return the original.
        (Some(field), _) => Ok(Observed { generation: field, contradicts: false }),
        (None, Some(suffix)) => Ok(Observed { generation: suffix, contradicts: false }),
        (None, None) => Err(Unusable::NoGeneration),
    }
}

/// N where `number` is exactly `original-N`, without sign or leading zeros; 0 where it is `original` itself.
pub fn generation_in(original: &str, number: &str) -> Option<i64> {
    let rest = number.strip_prefix(original)?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix('-')?;
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The number that Get order data is asked with.
pub fn order_number(original: &str, generation: i64) -> String {
    if generation == 0 { original.to_owned() } else { format!("{original}-{generation}") }
}

/// The number that this one, by its looks, is a renewal's of: all before the last dash, where digits follow it.
pub fn original_of(number: &str) -> Option<&str> {
    let (before, _) = number.rsplit_once('-')?;
    generation_in(before, number).map(|_| before)
}

/// Why no request can carry this number, if so.
pub fn refused(number: &str) -> Option<&'static str> {
    matches!(number, "." | "..").then_some("which no URL path can carry")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Verdict;
    use crate::provider::nexway_connect::convention::CONVENTION;

    fn status(number: Option<&str>, generation: Option<i64>) -> Status {
        Status {
            verdict: Verdict::success(),
            partner_order_number: number.map(Into::into),
            generation,
            technical_status: None,
            expires_at: None,
        }
    }

    #[test]
    fn only_the_tracked_original_tells_what_a_suffix_is() {
        assert_eq!(generation_in("PARTNER689", "PARTNER689"), Some(0));
        assert_eq!(generation_in("PARTNER689", "PARTNER689-12"), Some(12));
        assert_eq!(generation_in("NEXWAY", "NEXWAY-1"), Some(1));
        assert_eq!(generation_in("NEXWAY-1", "NEXWAY-1"), Some(0));
        assert_eq!(generation_in("NEXWAY-1", "NEXWAY-1-1"), Some(1));
        assert_eq!(generation_in("ACME-2024-001", "ACME-2024-001-3"), Some(3));
        for foreign in ["PARTNER68", "PARTNER6890", "PARTNER689-", "PARTNER689-01", "PARTNER689-0", "PARTNER689-+1"] {
            assert_eq!(generation_in("PARTNER689", foreign), None, "{foreign}");
        }
        assert_eq!(generation_in("P", "P-99999999999999999999"), None);
        assert_eq!(generation_in("P", "P-\u{661}"), None, "an Arabic-Indic digit is no digit here");
    }

    #[test]
    fn either_signal_or_both_may_carry_the_generation() {
        let seen =
            |number, generation| observe("P", &status(number, generation)).map(|o| (o.generation, o.contradicts));
        assert_eq!(seen(Some("P-1"), Some(1)), Ok((1, false)));
        assert_eq!(seen(Some("P"), Some(1)), Ok((1, false)));
        assert_eq!(seen(Some("P-2"), None), Ok((2, false)));
        assert_eq!(seen(None, Some(3)), Ok((3, false)));
        assert_eq!(seen(Some("P-2"), Some(1)), Ok((2, true)));
        assert_eq!(seen(Some("P-2"), Some(5)), Ok((5, true)));
        assert_eq!(seen(Some("P"), Some(-1)), Ok((0, false)));
        assert_eq!(seen(Some("P"), Some(-7)), Err(Unusable::NoGeneration));
        assert_eq!(seen(Some("P-2"), Some(-7)), Ok((2, false)));
        assert_eq!(seen(None, Some(-7)), Err(Unusable::NoGeneration));
        assert_eq!(seen(Some("Q"), Some(1)), Err(Unusable::Foreign));
        assert_eq!(seen(None, None), Err(Unusable::NoGeneration));
    }

    #[test]
    fn a_number_that_may_be_a_renewals_names_its_original() {
        for (number, original) in
            [("A-1", Some("A")), ("A-1-2", Some("A-1")), ("A", None), ("A-01", None), ("-1", Some(""))]
        {
            assert_eq!(original_of(number), original, "{number}");
        }
    }

    #[test]
    fn numbers_that_no_path_can_carry_are_refused() {
        for good in ["a/b", "..%2f", "#?&%", " ", "Ünïcode", "...", &"x".repeat(255)] {
            assert_eq!(CONVENTION.number(good).as_deref(), Ok(good), "{good}");
        }
        for bad in ["", ".", "..", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(256), &"é".repeat(128)] {
            assert!(CONVENTION.number(bad).is_err(), "{bad}");
        }
    }
}
