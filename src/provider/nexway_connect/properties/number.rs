//! Numbers with dashes, leading zeros, signs, digits of other scripts, and larger than any integer.

use proptest::prelude::*;

use crate::provider::Verdict;
use crate::provider::nexway_connect::answers::Status;
use crate::provider::nexway_connect::convention::CONVENTION;
use crate::provider::nexway_connect::number::{Observed, Unusable, generation_in, observe, order_number};
use crate::renewal::properties::config;

/// As resellers make them up, and as nobody would.
fn original() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Z]{1,6}(-[0-9]{1,4}){0,3}",
        2 => "[0-9-]{1,8}",
        1 => "[A-Z]{1,3}-(٣|１|²|0|-){1,4}",
        1 => any::<String>(),
    ]
}

/// What may stand behind an original.
fn behind() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..40_i64).prop_map(|n| format!("-{n}")),
        2 => any::<i64>().prop_map(|n| format!("-{n}")),
        2 => any::<u128>().prop_map(|n| format!("-{n}")),
        2 => "-0{1,3}[0-9]{0,3}",
        2 => "-[0-9]{1,40}",
        1 => "(-[0-9]{1,2}){2}",
        2 => "-(٣|１|²|৪|𝟗|[0-9]){1,4}",
        1 => "-[+ ]?[0-9]{1,2}[ \r\n\u{0}]?",
        1 => any::<String>(),
        1 => Just(String::new()),
    ]
}

/// A number that has to do with the original, or not.
fn returned(original: &str) -> BoxedStrategy<String> {
    let original = original.to_owned();
    let shorter: String = original.chars().take(original.chars().count().saturating_sub(1)).collect();
    prop_oneof![
        6 => behind().prop_map(move |behind| format!("{original}{behind}")),
        1 => behind().prop_map(move |behind| format!("{shorter}{behind}")),
        1 => self::original(),
    ]
    .boxed()
}

fn both() -> impl Strategy<Value = (String, String)> {
    original().prop_flat_map(|original| (Just(original.clone()), returned(&original)))
}

/// The decimal number behind the last dash, written as a person would, where all before it is the original.
fn model(original: &str, number: &str) -> Option<i64> {
    if number == original {
        return Some(0);
    }
    let (before, digits) = number.rsplit_once('-')?;
    let value = digits.chars().try_fold(0_i128, |value, digit| {
        let digit = "0123456789".find(digit)? as i128;
        (value < i128::from(i64::MAX)).then_some(value * 10 + digit)
    })?;
    let plain = before == original && !digits.is_empty() && !digits.starts_with('0');
    i64::try_from(value).ok().filter(|_| plain)
}

/// Section 4.3 of the reference: which of the two signals counts.
fn seen(suffix: Option<Option<i64>>, field: Option<i64>) -> Result<Observed, Unusable> {
    let is_odd = field.is_some_and(|field| field < -1);
    let field = field.map(|field| if field == -1 { 0 } else { field }).filter(|field| *field >= 0);
    let (generation, contradicts) = match (suffix, field) {
        (Some(None), _) => return Err(Unusable::Foreign),
        (None, None) => return Err(Unusable::NoGeneration),
        (Some(Some(0)), None) if is_odd => return Err(Unusable::NoGeneration),
        (None | Some(Some(0)), Some(field)) => (field, false),
        (Some(Some(suffix)), None) => (suffix, false),
        (Some(Some(suffix)), Some(field)) => (if suffix > field { suffix } else { field }, suffix != field),
    };
    Ok(Observed { generation, contradicts })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_generation_is_what_the_model_reads((original, number) in both()) {
        let generation = generation_in(&original, &number);
        prop_assert_eq!(generation, model(&original, &number));
        if let Some(generation) = generation {
            prop_assert_eq!(order_number(&original, generation), number, "and leads back to the number");
        }
    }

    #[test]
    fn every_renewal_of_every_original_is_recognised(original in original(), generation in 0..=i64::MAX) {
        prop_assert_eq!(generation_in(&original, &order_number(&original, generation)), Some(generation));
    }

    #[test]
    fn field_and_suffix_are_weighed_as_written(
        (original, number) in both(),
        has_number in any::<bool>(),
        field in prop::option::of(prop_oneof![-3..40_i64, any::<i64>()]),
    ) {
        let status = Status {
            verdict: Verdict::success(),
            partner_order_number: has_number.then(|| number.clone()),
            generation: field,
            technical_status: None,
            expires_at: None,
        };
        let suffix = has_number.then(|| model(&original, &number));
        prop_assert_eq!(observe(&original, &status), seen(suffix, field));
    }

    #[test]
    fn what_may_be_tracked_fits_a_path_and_a_line(number in prop_oneof![original(), behind(), "\\.{0,4}", ".{200,300}"]) {
        let fits = !matches!(number.as_str(), "" | "." | "..") && number.len() <= 255 && !number.contains(char::is_control);
        prop_assert_eq!(CONVENTION.number(&number).is_ok(), fits);
    }
}
