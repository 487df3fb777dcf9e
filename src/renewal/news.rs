//! Which deliveries a look has shown that are not known yet, and what each is called.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use super::{DAY, Rules, Subscription};
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::delivery::Occasion;
use crate::provider::{Listed, Seen};

/// The provider's clock and ours may differ by so much. Rather is a key sent twice to the one who has it than never.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(900);

/// A delivery to be recorded before its order data is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRenewal {
    /// The label for people.
    pub generation: i64,
    /// The provider's name for it.
    pub reference: String,
    pub occasion: Occasion,
    /// Older than one that was recorded before it.
    pub late: bool,
    pub expires_at: Option<Timestamp>,
    pub seconds_after_expiry: Option<i64>,
}

impl NewRenewal {
    /// One of those that the provider counts.
    pub fn counted(generation: i64, reference: String) -> Self {
        let (occasion, late) = (Occasion::Renewal, false);
        Self { generation, reference, occasion, late, expires_at: None, seconds_after_expiry: None }
    }
}

/// A delivery that is recorded, or is to be recorded as had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDelivery {
    pub generation: i64,
    pub reference: String,
}

/// What is new about a subscription's deliveries.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The highest label there is now.
    pub generation: i64,
    /// Oldest first. Each was paid for and has its own keys, so none is skipped.
    pub renewals: Vec<NewRenewal>,
    /// Those that the customer has had.
    pub had: Vec<KnownDelivery>,
    /// What is odd about it all the same.
    pub doubt: Option<String>,
}

/// Reads what was seen.
///
/// # Errors
/// Why nothing can be concluded; inside it, what cannot be right about the answer: a surprise.
pub(super) fn read(
    seen: &Seen,
    before: &Subscription,
    known: &[KnownDelivery],
    rules: &Rules,
    convention: &Convention,
    now: Timestamp,
) -> Result<Result<News, String>, &'static str> {
    let reader = Reader { before, known, most: rules.max_generation_jump, convention, now };
    match seen {
        Seen::Counted { generation, doubt, besides } => {
            let doubt = doubt.map(|doubt| format!("{doubt}; {generation} was taken"));
            Ok(reader.counted(*generation, besides).map(|news| News { doubt, ..news }))
        }
        Seen::Listed { first, deliveries, doubt } => {
            Ok(reader.listed(*first, deliveries).map(|news| News { doubt: doubt.map(str::to_owned), ..news }))
        }
        Seen::Foreign(why) => Ok(Err(why.clone())),
        Seen::Unclear(why) => Err(why),
    }
}

struct Reader<'a> {
    before: &'a Subscription,
    known: &'a [KnownDelivery],
    most: i64,
    convention: &'a Convention,
    now: Timestamp,
}

impl Reader<'_> {
    fn counted(&self, seen: i64, besides: &[Listed]) -> Result<News, String> {
        let (had, besides): (Vec<_>, Vec<_>) = self.unknown(besides).into_iter().partition(|one| self.was_had(one));
        let had = had.into_iter().map(|one| one.known(seen)).collect();
        let Some(known) = self.before.generation else {
            return Ok(News { generation: seen, had, ..News::default() }); // adopted: noted, nothing delivered
        };
        if seen < known {
            return Err(format!(
                "generation went back from {known} to {seen}; once it is back its order data may hold another key: \
                 `renewald refetch --generation {known}` asks for it"
            ));
        }
        if seen.saturating_sub(known) > self.most {
            return Err(format!(
                "generation jumped from {known} to {seen}, more than max_generation_jump = {}; `refetch` accepts it",
                self.most
            ));
        }
        let mut renewals: Vec<_> = (known..seen).map(|before| self.renewal(before + 1)).collect();
        self.bounded(renewals.len() + besides.len())?;
        renewals.extend(besides.into_iter().map(|one| one.renewal(seen, false)));
        Ok(News { generation: seen, renewals, had, doubt: None })
    }

    /// Whether the customer had what came beside the count: with the generation that was given all that was completed before, with
    /// none all that there is. Which look is the first to show it tells nothing: one before it may have brought no usable answer.
    fn was_had(&self, one: &Listed) -> bool {
        if self.before.generation.is_none() {
            return true;
        }
        // A time that lies ahead was noted under a wrong clock.
        let until = Some(self.before.known_before).filter(|at| *at <= self.now + DAY);
        one.completed_at.zip(until).is_some_and(|(completed, until)| completed < until - CLOCKS_DIFFER_BY)
    }

    fn renewal(&self, generation: i64) -> NewRenewal {
        let reference = self.convention.reference_of(&self.before.partner_order_number, generation);
        // What is new is above the generation that was known, and below the first purchase there is only a trial. But of one that
        // was found by itself nobody has said yet that it was one.
        let is_first_look = self.before.discovered && self.before.last_answer_at.is_none();
        let occasion = match generation {
            0 if is_first_look => Occasion::Purchase,
            0 => Occasion::TrialConversion,
            _ => Occasion::Renewal,
        };
        NewRenewal { occasion, ..NewRenewal::counted(generation, reference) }
    }

    /// Those not known yet get the next free labels in the order of their completion.
    fn listed(&self, first: i64, deliveries: &[Listed]) -> Result<News, String> {
        let unknown = self.unknown(deliveries);
        let known: HashSet<_> = self.known.iter().map(|one| one.reference.as_str()).collect();
        let is_dated = |one: &&Listed| known.contains(one.reference.as_str()) && one.completed_at.is_some();
        let newest_known = deliveries.iter().filter(is_dated).map(Listed::order).max();
        let highest = self.known.iter().map(|one| one.generation).max();
        let generation = self.before.generation.or(highest).unwrap_or(first - 1);
        let mut news = News { generation, ..News::default() };
        let had_up_to = match (self.before.generation, highest) {
            (None, _) => i64::MAX, // adopted: noted, nothing delivered
            (Some(given), None) => given,
            (Some(_), Some(_)) => i64::MIN,
        };
        let next = highest.map_or(first, |highest| highest.max(news.generation).saturating_add(1));
        for (label, one) in (next..=i64::MAX).zip(unknown) {
            if label <= had_up_to {
                news.had.push(one.known(label));
            } else {
                news.renewals.push(one.renewal(label, newest_known > Some(one.order())));
            }
            news.generation = news.generation.max(label);
        }
        self.bounded(news.renewals.len())?;
        Ok(news)
    }

    /// In the order of their completion.
    fn unknown<'a>(&self, listed: &'a [Listed]) -> Vec<&'a Listed> {
        let mut known: HashSet<_> = self.known.iter().map(|one| one.reference.as_str()).collect();
        let mut unknown: Vec<_> = listed.iter().filter(|one| known.insert(&one.reference)).collect();
        unknown.sort_by_key(|one| one.order());
        unknown
    }

    fn bounded(&self, new: usize) -> Result<(), String> {
        let most = self.most;
        if i64::try_from(new).is_ok_and(|new| new <= most) {
            return Ok(());
        }
        Err(format!("{new} new deliveries at once, more than max_generation_jump = {most}; raise it to accept them"))
    }
}

impl Listed {
    /// By completion. One of which that is unknown counts as just completed: it is neither taken for had, nor called late.
    fn order(&self) -> (bool, Option<Timestamp>, &str) {
        (self.completed_at.is_none(), self.completed_at, &self.reference)
    }

    fn known(&self, generation: i64) -> KnownDelivery {
        KnownDelivery { generation, reference: self.reference.clone() }
    }

    fn renewal(&self, generation: i64, late: bool) -> NewRenewal {
        NewRenewal { occasion: self.occasion, late, ..NewRenewal::counted(generation, self.reference.clone()) }
    }
}
