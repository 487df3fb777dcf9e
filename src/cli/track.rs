//! `renewald track`: watches one subscription, or those of an order. How the fields of a subscription are written is
//! here too, as `import` reads the same.

mod differences;
mod order;

use std::num::IntErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::convention::{Convention, Created};
use crate::renewal::State;
use crate::settings::Settings;
use crate::store::{Identity, Metadata, NewSubscription, Store, SubscriptionRow, Tracked};
use crate::text::visible;

/// Why a generation has no default.
pub(super) const NEVER_GUESSED: &str = "the generation is never guessed: with one too low the customer gets keys again, with one \
                                        too high a paid renewal is never delivered";
pub(super) const PADDED: &str =
    "begins or ends with white space: the provider is asked for it with that, byte for byte";
pub(super) const ADOPT: &str = "--adopt, which takes what the provider reports at the first poll as delivered";

#[derive(Clone, Debug, clap::Args)]
pub struct TrackArgs {
    /// The number the order was created with, without a renewal's -N; may be left out where the provider has none
    #[arg(value_name = "PARTNER_ORDER_NUMBER", required_unless_present = "from_order")]
    pub number: Option<String>,
    /// The provider's id of it
    #[arg(value_name = "SUBSCRIPTION_ID")]
    pub subscription_id: Option<String>,
    /// Track every subscription in the JSON that Create order answered, at generation 0; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["number", "subscription_id", "generation", "adopt"])]
    pub from_order: Option<PathBuf>,
    /// May be left out where the settings have only one
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// May be left out where the provider has only one
    #[arg(long, value_name = "TERRITORY")]
    pub territory: Option<String>,
    /// The last generation the customer has: 0 for the first purchase, N for the N-th renewal; not needed to --update
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "adopt")]
    pub generation: Option<String>,
    /// Take the generation of the first poll as delivered
    #[arg(long)]
    pub adopt: bool,
    /// End of the current term: 2026-11-21T20:00:00Z, 2026-11-21 or Unix seconds
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// A JSON object of your own, passed on with every message
    #[arg(long, value_name = "JSON")]
    pub metadata: Option<String>,
    /// Change territory, expiry and metadata of one that is tracked already; never its generation
    #[arg(long)]
    pub update: bool,
}

/// What `track --json` prints.
#[derive(Serialize)]
struct Answer {
    subscriptions: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    provider: String,
    /// As stored.
    territory: String,
    partner_order_number: String,
    subscription_id: String,
    /// As stored; `null`: the first poll notes it.
    generation: Option<i64>,
    /// `added`, `already_tracked` (left as it was), `updated` or `revived` (it had been untracked).
    outcome: &'static str,
}

pub async fn run(args: TrackArgs, context: &Context) -> Result<Exit, Error> {
    let lacks_generation = args.from_order.is_none() && args.generation.is_none() && !args.adopt;
    if lacks_generation && !args.update {
        return Err(generation_is_missing());
    }
    let settings = context.settings()?.settings;
    if lacks_generation && !settings.store.path.exists() {
        return Err(generation_is_missing());
    }
    let mut new = match &args.from_order {
        Some(path) => of_order(&args, path, &settings)?.map_err(Error::bad_input)?,
        None => vec![one(&args, &settings)?],
    };
    if let Some(padded) = new.iter().find(|new| is_padded(&new.partner_order_number)) {
        context.complain(&format!("\"{}\" {PADDED}", visible(&padded.partner_order_number)));
    }
    let store = context.store_to_fill(&settings)?;
    if lacks_generation {
        for subscription in &mut new {
            subscription.generation = tracked_generation(&store, subscription).await?;
        }
    }
    let outcomes = store.track(new.clone(), args.update, Timestamp::now()).await?;
    let (mut items, mut differences, mut clashes) = (Vec::new(), Vec::new(), Vec::new());
    for (new, outcome) in new.into_iter().zip(outcomes) {
        let outcome = match outcome {
            Tracked::Added => "added",
            Tracked::Already => "already_tracked",
            Tracked::Updated => "updated",
            Tracked::Revived => "revived",
            Tracked::Clashes(clash) => {
                clashes.push(clash.to_string());
                continue;
            }
        };
        let stored = store.subscription(&Identity::of(&new)).await?;
        differences.extend(stored.as_ref().map_or_else(Vec::new, |row| differences::of(&new, row)));
        items.push(Item::new(new, outcome, stored));
    }
    store.close().await;
    if context.global.json && !items.is_empty() {
        context.print_json(&Answer { subscriptions: items })?;
    } else {
        for item in &items {
            context.print(&item.to_text())?;
        }
    }
    differences.iter().for_each(|difference| context.complain(difference));
    if clashes.is_empty() { Ok(Exit::Done) } else { Err(Error::bad_input(clashes.join("\n"))) }
}

fn generation_is_missing() -> Error {
    Error::usage(format!(
        "{NEVER_GUESSED}; give --generation N, the last one the customer has (0 for the first purchase, N for the N-th \
         renewal), or {ADOPT}"
    ))
}

/// An update changes no generation, and needs none. What is not tracked, or not any more, is none.
async fn tracked_generation(store: &Store, new: &NewSubscription) -> Result<Option<i64>, Error> {
    match store.subscription(&Identity::of(new)).await? {
        Some(row) if row.subscription.state != State::Untracked => Ok(row.subscription.generation),
        _ => Err(generation_is_missing()),
    }
}

/// The subscription that the arguments describe.
fn one(args: &TrackArgs, settings: &Settings) -> Result<NewSubscription, Error> {
    let place = settings.place(args.provider.as_deref(), args.territory.as_deref()).map_err(Error::bad_input)?;
    let (number, id) = match (args.number.as_deref(), args.subscription_id.as_deref()) {
        (Some(id), None) if !settings.convention(&place.0).is_numbered() => (None, id),
        (_, None) => return Err(Error::usage("SUBSCRIPTION_ID is missing: it stands behind the partner order number")),
        (number, Some(id)) => (number, id),
    };
    named(args, number, id, place, settings).map_err(Error::bad_input)
}

fn named(
    args: &TrackArgs,
    number: Option<&str>,
    id: &str,
    (provider, territory): (String, String),
    settings: &Settings,
) -> Result<NewSubscription, String> {
    let convention = settings.convention(&provider);
    let subscription_id = convention.subscription_id(id)?;
    Ok(NewSubscription {
        provider,
        convention,
        territory,
        partner_order_number: convention.number_or(number, &subscription_id)?,
        subscription_id,
        generation: args.generation.as_deref().map(|text| generation(text, convention)).transpose()?,
        known: Vec::new(),
        known_before: None,
        expires_at: args.expires_at.as_deref().map(expiry).transpose()?,
        metadata: args.metadata.as_deref().map(Metadata::parse).transpose()?,
        tracked_by: "track",
    })
}

/// One for each subscription of an order that was just created.
///
/// # Errors
/// When the file cannot be read; inside, what is wrong with what was given beside it.
fn of_order(args: &TrackArgs, file: &Path, settings: &Settings) -> Result<Result<Vec<NewSubscription>, String>, Error> {
    let place = settings.place(args.provider.as_deref(), args.territory.as_deref());
    let (provider, territory) = place.map_err(Error::bad_input)?;
    let order = order::read(file, settings.convention(&provider))?;
    Ok(of_created(args, order, (provider, territory), settings))
}

fn of_created(
    args: &TrackArgs,
    order: Created,
    (provider, territory): (String, String),
    settings: &Settings,
) -> Result<Vec<NewSubscription>, String> {
    let convention = settings.convention(&provider);
    let template = NewSubscription {
        provider,
        convention,
        territory,
        partner_order_number: convention.number(&order.partner_order_number)?,
        subscription_id: String::new(),
        generation: Some(0),
        known: Vec::new(),
        known_before: None,
        expires_at: args.expires_at.as_deref().map(expiry).transpose()?,
        metadata: args.metadata.as_deref().map(Metadata::parse).transpose()?,
        tracked_by: "order",
    };
    let ids = order.subscription_ids.into_iter();
    Ok(ids.map(|subscription_id| NewSubscription { subscription_id, ..template.clone() }).collect())
}

impl Item {
    /// `stored` is what there is now: one that was tracked already keeps its own. `None`: forgotten meanwhile.
    fn new(new: NewSubscription, outcome: &'static str, stored: Option<SubscriptionRow>) -> Self {
        let (territory, generation) = match stored {
            Some(SubscriptionRow { subscription, .. }) => (subscription.territory, subscription.generation),
            None => (new.territory, new.generation),
        };
        Self {
            provider: new.provider,
            territory,
            partner_order_number: new.partner_order_number,
            subscription_id: new.subscription_id,
            generation,
            outcome,
        }
    }

    fn to_text(&self) -> String {
        let what = match self.outcome {
            "already_tracked" => "already tracked, left as it was (--update changes its attributes)",
            other => other,
        };
        let generation = match self.generation {
            Some(generation) => format!("generation {generation}"),
            None => "the first poll notes its generation".to_owned(),
        };
        visible(&format!(
            "{}, subscription {} ({}/{}): {what}, {generation}",
            self.partner_order_number, self.subscription_id, self.provider, self.territory
        ))
    }
}

/// A number is data, blanks included; more often they came with copying.
pub(super) fn is_padded(number: &str) -> bool {
    number.trim().len() < number.len()
}

pub(super) fn generation(text: &str, convention: &Convention) -> Result<i64, String> {
    let lowest = convention.lowest_generation;
    match text.trim().parse::<i64>() {
        Ok(generation) if generation >= lowest => Ok(generation),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            Err(format!("generation {} is above the largest, {}", quoted(text), i64::MAX))
        }
        _ => Err(format!("generation {} is not a whole number from {lowest}", quoted(text))),
    }
}

/// RFC 3339, a date (its beginning in UTC) or Unix seconds.
pub(super) fn expiry(text: &str) -> Result<Timestamp, String> {
    /// 1973 and 5138: what lies outside is a date without dashes, or milliseconds.
    const SECONDS: std::ops::Range<i64> = 100_000_000..100_000_000_000;
    let trimmed = text.trim();
    let wrong = || {
        format!("expiry {} is none of 2026-11-21T20:00:00Z (with offset), 2026-11-21 and Unix seconds", quoted(text))
    };
    if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = trimmed.parse().ok().filter(|seconds| SECONDS.contains(seconds));
        return seconds.map(Timestamp::from_unix).ok_or_else(wrong);
    }
    let instant = trimmed.parse::<jiff::Timestamp>().ok().or_else(|| {
        // A date and nothing behind it: jiff would take a time without offset for one, too.
        let date = trimmed.parse::<jiff::civil::Date>().ok().filter(|_| trimmed.len() == 10)?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    let instant = instant.map(|instant| Timestamp::from_unix(instant.as_second()));
    instant.ok_or_else(|| {
        if names_no_day(trimmed) { format!("expiry {}: there is no such day", quoted(text)) } else { wrong() }
    })
}

/// Whether it begins as a date does, `2026-02-30`, and the calendar has no such day.
fn names_no_day(text: &str) -> bool {
    let Some(date) = text.get(..10) else { return false };
    let is_written_so = date
        .bytes()
        .enumerate()
        .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    is_written_so && date.parse::<jiff::civil::Date>().is_err()
}

/// At most 40 characters of what was given.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", visible(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::fixtures::COUNTS;

    #[test]
    fn an_expiry_may_be_an_instant_a_date_or_seconds() {
        for text in ["2026-11-21T20:00:00Z", "2026-11-21T21:00:00+01:00", "1795291200", " 1795291200 "] {
            assert_eq!(expiry(text), Ok(Timestamp::from_unix(1_795_291_200)), "{text}");
        }
        assert_eq!(expiry("2026-11-21").unwrap().to_string(), "2026-11-21T00:00:00Z");
        for text in ["", "soon", "2026-11-21T20:00:00", "20261121", "1795291200000", "-5", "21.11.2026", "2026-13-01"] {
            assert!(expiry(text).is_err(), "{text}");
        }
        for text in ["2026-02-30", "2026-13-01T00:00:00Z"] {
            assert_eq!(expiry(text).unwrap_err(), format!("expiry \"{text}\": there is no such day"));
        }
    }

    #[test]
    fn generations_are_whole_and_in_range() {
        let generation = |text| generation(text, &COUNTS);
        assert_eq!(generation("0"), Ok(0));
        assert_eq!(generation("-1").unwrap_err(), "generation \"-1\" is not a whole number from 0");
        let too_large = generation("99999999999999999999").unwrap_err();
        assert!(too_large.ends_with("is above the largest, 9223372036854775807"), "{too_large}");
    }

    #[test]
    fn what_was_given_is_quoted_harmlessly_and_briefly() {
        assert_eq!(quoted("a\x1b"), "\"a\\u{1b}\"");
        assert_eq!(quoted(&"x".repeat(50)), format!("\"{}…\"", "x".repeat(40)));
    }
}
