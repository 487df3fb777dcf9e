//! Whole numbers as options: who writes another one is told which are taken.

use std::ops::RangeInclusive;

/// For clap, whose own words for `abc` are those of Rust's parser.
pub fn whole<T: TryFrom<i64> + Clone + Send + Sync + 'static>(
    taken: RangeInclusive<i64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let number = text.trim().parse().ok().filter(|number| taken.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let (least, most) = taken.clone().into_inner();
            format!("write a whole number from {least} to {most}")
        })
    }
}

/// A number of any size, where what is out of range is refused later, with more to say.
pub fn any(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("write a whole number, at most {}", i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_no_number_is_told_which_are_taken() {
        let limit = whole::<u16>(1..=10_000);
        assert_eq!((limit("1"), limit("10000")), (Ok(1), Ok(10_000)));
        for text in ["abc", "", "0", "10001", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(limit(text).unwrap_err(), "write a whole number from 1 to 10000", "{text}");
        }
        assert_eq!((any("-1"), any("7")), (Ok(-1), Ok(7)));
        assert!(any("x").unwrap_err().contains("whole number"));
    }
}
