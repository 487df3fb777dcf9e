//! What is not quite as it should be about a delivery, and how many were delivered so.

use std::fmt;

use crate::text::forms::text_forms;

/// What goes with a delivery that is not quite as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// Some lines never became ready; `renewal.failed` with reason `partial` is queued beside it.
    Partial,
    /// Success for days, yet neither serial nor file nor locker nor remark, or a serial that is blank.
    Empty,
    /// A serial's encoding is neither `text` nor `base64`; its data is passed on as it is.
    UnknownEncoding,
    /// No line named a subscription: all lines were taken.
    LinesUnmatched,
    /// A licence is a file that only a person can fetch.
    FileNotFetched,
    /// A term was paid for, or given, by the provider's word, and no order of it is to be seen.
    OrderMissing,
}

text_forms!(Warning {
    Partial = "partial",
    Empty = "empty",
    UnknownEncoding = "unknown_encoding",
    LinesUnmatched = "lines_unmatched",
    FileNotFetched = "file_not_fetched",
    OrderMissing = "order_missing",
});

impl Warning {
    /// Whether something is missing that may still come.
    pub fn is_lack(self) -> bool {
        matches!(self, Self::Partial | Self::Empty | Self::OrderMissing)
    }
}

/// Deliveries with a warning, by warning; one may have several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Warned {
    pub renewals: i64,
    pub partial: i64,
    pub empty: i64,
    pub unknown_encoding: i64,
    pub lines_unmatched: i64,
    pub file_not_fetched: i64,
    pub order_missing: i64,
}

impl Warned {
    /// One more, if there are any to it.
    pub fn count(&mut self, warnings: &[Warning]) {
        self.renewals += i64::from(!warnings.is_empty());
        for warning in warnings {
            *match warning {
                Warning::Partial => &mut self.partial,
                Warning::Empty => &mut self.empty,
                Warning::UnknownEncoding => &mut self.unknown_encoding,
                Warning::LinesUnmatched => &mut self.lines_unmatched,
                Warning::FileNotFetched => &mut self.file_not_fetched,
                Warning::OrderMissing => &mut self.order_missing,
            } += 1;
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.renewals += other.renewals;
        self.partial += other.partial;
        self.empty += other.empty;
        self.unknown_encoding += other.unknown_encoding;
        self.lines_unmatched += other.lines_unmatched;
        self.file_not_fetched += other.file_not_fetched;
        self.order_missing += other.order_missing;
    }
}

/// `1 partial, 2 empty`
impl fmt::Display for Warned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.partial, Warning::Partial),
            (self.empty, Warning::Empty),
            (self.unknown_encoding, Warning::UnknownEncoding),
            (self.lines_unmatched, Warning::LinesUnmatched),
            (self.file_not_fetched, Warning::FileNotFetched),
            (self.order_missing, Warning::OrderMissing),
        ];
        let mut before = "";
        for (count, warning) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{before}{count} {warning}")?;
            before = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_with_two_warnings_is_one_delivery() {
        let mut warned = Warned::default();
        warned.count(&[]);
        warned.count(&[Warning::Partial, Warning::Empty]);
        warned.count(&[Warning::Empty]);
        assert_eq!((warned.renewals, warned.to_string().as_str()), (2, "1 partial, 2 empty"));
        let mut sum = warned;
        sum.add(&warned);
        assert_eq!((sum.renewals, sum.empty), (4, 4));
    }
}
