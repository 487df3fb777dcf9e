//! How much of a provider's budget the watched subscriptions need, and what follows when it is not enough (design section 9).
//! No I/O and no clock: from counts to expected waits. What is asked next is decided in [`crate::choice`].

use std::time::Duration;

use crate::choice::{Lane, OTHERS_SHARE};
use crate::renewal::{DAY, HOUR, Pace, Rules};
use crate::settings::format_duration;
use crate::text::number_of;

/// A budget used above this has no room for a day of errors and retries, or for many expiries at once.
const NEARLY_FULL: f64 = 0.8;

/// How many subscriptions of one provider are asked, by what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Inside the window around their expiry: asked every `every`, before all others.
    pub urgent: i64,
    /// Asked every `every` while that fits.
    pub regular: i64,
    pub daily: i64,
    pub monthly: i64,
}

impl Counts {
    pub fn total(&self) -> i64 {
        self.urgent + self.regular + self.daily + self.monthly
    }
}

/// What the counts mean for a budget. Order data and repeats are not in it: they are few.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Forecast {
    pub subscriptions: i64,
    /// To ask each of them at its interval.
    pub requests_a_day: f64,
    /// The same for the other accounts that share the budget.
    pub beside_requests_a_day: f64,
    /// Of what the rate holds, with those of accounts that share it; above 1 somebody waits longer than `every`. `null` without a limit.
    pub share: Option<f64>,
    /// Seconds between two polls of one subscription near its expiry.
    pub urgent_wait_seconds: u64,
    /// The same for one that is far from it.
    pub other_wait_seconds: u64,
    /// So many subscriptions in the same proportions just fit, beside those of other accounts. `null` without a limit.
    pub degrades_above: Option<i64>,
    /// What the provider lists by itself answers for some of them: then less is needed.
    #[serde(skip)]
    pub is_listed: bool,
    #[serde(skip)]
    every: Duration,
    #[serde(skip)]
    requests_per_second: f64,
}

/// What to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    Fits,
    NearlyFull,
    /// Those far from their expiry wait longer than `every`.
    OthersWait,
    /// Even those near their expiry do.
    AllWait,
}

impl Forecast {
    /// `requests_per_second` 0 = no limit.
    pub fn new(counts: Counts, rules: &Rules, requests_per_second: f64) -> Self {
        Self::beside(counts, &[], rules, requests_per_second)
    }

    /// The same where these other accounts draw from the rate too.
    pub fn beside(counts: Counts, accounts: &[Counts], rules: &Rules, requests_per_second: f64) -> Self {
        let Needed { urgent, others } = Needed::new(counts, rules);
        let needed = urgent + others;
        let beside: Vec<f64> = accounts.iter().map(|counts| Needed::new(*counts, rules).total()).collect();
        let unlimited = requests_per_second <= 0.0;
        let all = if unlimited { f64::INFINITY } else { requests_per_second * DAY.as_secs_f64() };
        let held = left_to_one(all, beside.clone());
        // Others have their share even when all is urgent; what urgent ones leave is theirs too.
        let kept = if others > 0.0 { held / f64::from(OTHERS_SHARE) } else { 0.0 };
        let urgent_wait = rules.every.mul_f64((urgent / (held - kept)).max(1.0));
        let other_wait = other_wait(counts, rules, (held - urgent).max(kept));
        // Nobody is tracked yet: as many as fit at the regular pace.
        let regular = || Needed::new(Counts { regular: 1, ..Counts::default() }, rules).total();
        let each = if needed > 0.0 { needed / counts.total() as f64 } else { regular() };
        Self {
            subscriptions: counts.total(),
            requests_a_day: needed,
            beside_requests_a_day: beside.iter().sum(),
            share: (!unlimited).then_some((needed + beside.iter().sum::<f64>()) / all),
            urgent_wait_seconds: urgent_wait.as_secs(),
            other_wait_seconds: other_wait.as_secs(),
            degrades_above: (!unlimited).then_some((held / each) as i64),
            is_listed: false,
            every: rules.every,
            requests_per_second,
        }
    }

    pub fn urgent_wait(&self) -> Duration {
        Duration::from_secs(self.urgent_wait_seconds)
    }

    pub fn other_wait(&self) -> Duration {
        Duration::from_secs(self.other_wait_seconds)
    }

    /// Between two polls of a subscription like this.
    pub fn wait(&self, lane: Lane, pace: Pace) -> Duration {
        match (lane, pace) {
            (Lane::Urgent, _) => self.urgent_wait(),
            (_, Pace::Regular) => self.other_wait(),
            (_, Pace::Daily | Pace::Monthly) => self.other_wait().max(self.every).max(DAY),
        }
    }

    pub fn load(&self) -> Load {
        if self.urgent_wait() > self.every {
            Load::AllWait
        } else if self.other_wait() > self.every {
            Load::OthersWait
        } else if self.share.is_some_and(|share| share > NEARLY_FULL) {
            Load::NearlyFull
        } else {
            Load::Fits
        }
    }

    /// One sentence for `check` and `status`.
    pub fn to_text(&self) -> String {
        let lists = if self.is_listed { ", if its list answers for nobody" } else { "" };
        let s = if self.subscriptions == 1 { "s" } else { "" };
        let subscriptions = number_of(self.subscriptions, "subscription");
        let beside = match self.beside_requests_a_day {
            0.0 => String::new(),
            beside => format!(", with the {beside:.0} of accounts that share it"),
        };
        let need = format!("{subscriptions} need{s} {:.0} requests a day{lists}{beside}", self.requests_a_day);
        let (Some(share), Some(most)) = (self.share, self.degrades_above) else {
            return format!("{need}; no limit is set");
        };
        let held = self.requests_per_second * DAY.as_secs_f64();
        let rate = self.requests_per_second;
        let text = format!("{need}, {:.1} % of the {held:.0} that {rate} a second hold", share * 100.0);
        let every = format_duration(self.every);
        match self.load() {
            Load::Fits => format!("{text}; up to about {most} each is asked every {every}"),
            Load::NearlyFull => {
                format!("{text}: from about {most} on, those far from their expiry wait longer than {every}")
            }
            Load::OthersWait => format!(
                "{text}: more than it holds; those near their expiry are still asked every {every}, the others about every {}",
                rounded(self.other_wait())
            ),
            Load::AllWait => format!(
                "{text}: far more than it holds; those near their expiry are asked about every {}, the others about every {}",
                rounded(self.urgent_wait()),
                rounded(self.other_wait())
            ),
        }
    }
}

/// Requests a day.
struct Needed {
    urgent: f64,
    others: f64,
}

impl Needed {
    fn new(counts: Counts, rules: &Rules) -> Self {
        let a_day = |count: i64, pace| count as f64 * DAY.as_secs_f64() / rules.interval(pace).as_secs_f64();
        let others = a_day(counts.regular, Pace::Regular)
            + a_day(counts.daily, Pace::Daily)
            + a_day(counts.monthly, Pace::Monthly);
        Self { urgent: a_day(counts.urgent, Pace::Regular), others }
    }

    fn total(&self) -> f64 {
        self.urgent + self.others
    }
}

/// What one account gets of `all` if it takes what it can, beside others that need so much. They take turns: who needs less than its
/// equal part leaves the rest to the others.
fn left_to_one(all: f64, mut others: Vec<f64>) -> f64 {
    others.sort_by(f64::total_cmp);
    let (mut left, mut accounts) = (all, others.len() as f64 + 1.0);
    for needed in others {
        if needed >= left / accounts {
            break;
        }
        left -= needed;
        accounts -= 1.0;
    }
    left / accounts
}

/// Between two polls of a subscription among the others, when `a_day` requests are left for them. They are asked in turn, but the
/// slower paces not before their time: the more they wait, the more paces are slower than the wait itself.
fn other_wait(counts: Counts, rules: &Rules, a_day: f64) -> Duration {
    let slow = [(counts.daily, rules.interval(Pace::Daily)), (counts.monthly, rules.interval(Pace::Monthly))];
    let mut in_turn = counts.regular as f64;
    let mut apart: f64 = slow.iter().map(|(count, interval)| *count as f64 / days(*interval)).sum();
    for (count, interval) in slow {
        let wait = in_turn / (a_day - apart);
        if wait >= 0.0 && wait <= days(interval) {
            return longer(rules.every, wait);
        }
        in_turn += count as f64;
        apart -= count as f64 / days(interval);
    }
    longer(rules.every, in_turn / a_day)
}

fn days(interval: Duration) -> f64 {
    interval.as_secs_f64() / DAY.as_secs_f64()
}

/// `wait` in days, at least `every`.
fn longer(every: Duration, wait: f64) -> Duration {
    Duration::try_from_secs_f64(wait * DAY.as_secs_f64()).map_or(every, |wait| wait.max(every))
}

/// To whole minutes, from a day on to whole hours: a forecast is no more exact than that.
fn rounded(wait: Duration) -> String {
    let unit = if wait < DAY { 60 } else { HOUR.as_secs() };
    format_duration(Duration::from_secs(wait.as_secs().div_ceil(unit) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::fixtures::rules;

    fn forecast(counts: Counts, rate: f64) -> Forecast {
        Forecast::new(counts, &rules(), rate)
    }

    #[test]
    fn what_fits_is_asked_at_its_interval() {
        let told = forecast(Counts { urgent: 100, regular: 500, daily: 24, monthly: 30 }, 5.0);
        assert_eq!(told.requests_a_day, 3625.0);
        assert_eq!((told.urgent_wait(), told.other_wait(), told.load()), (4 * HOUR, 4 * HOUR, Load::Fits));
        let none = forecast(Counts::default(), 5.0);
        assert_eq!((none.degrades_above, none.load()), (Some(72_000), Load::Fits));
    }

    #[test]
    fn a_warning_comes_before_it_degrades() {
        let of = |regular| forecast(Counts { regular, ..Counts::default() }, 5.0).load();
        assert_eq!(
            [of(57_000), of(58_000), of(72_000), of(73_000)],
            [Load::Fits, Load::NearlyFull, Load::NearlyFull, Load::OthersWait]
        );
    }

    #[test]
    fn beyond_the_budget_the_others_wait_and_the_urgent_do_not() {
        let told = forecast(Counts { urgent: 10_000, regular: 490_000, ..Counts::default() }, 10.0);
        assert_eq!(told.urgent_wait(), 4 * HOUR);
        // 864,000 less 60,000 for the urgent.
        assert_eq!(told.other_wait().as_secs(), (490_000.0 / 804_000.0 * 86_400.0) as u64);
        assert!(told.to_text().ends_with("the others about every 14h38m"), "{}", told.to_text());
    }

    #[test]
    fn others_keep_a_twentieth_however_many_are_urgent() {
        let told = forecast(Counts { urgent: 200_000, regular: 43_200, ..Counts::default() }, 10.0);
        assert_eq!(told.load(), Load::AllWait);
        assert_eq!(told.other_wait(), DAY, "43,200 a day are theirs");
        assert_eq!(told.urgent_wait().as_secs(), (200_000.0 / (864_000.0 * 0.95) * 86_400.0) as u64);
    }

    #[test]
    fn slow_paces_are_not_asked_before_their_time() {
        let of = |regular, daily| forecast(Counts { regular, daily, ..Counts::default() }, 10.0).other_wait();
        assert_eq!(of(382_000, 100_000), Duration::from_secs(43_200), "half a day, on 764,000");
        assert_eq!(of(1_000_000, 728_000), 2 * DAY, "beyond a day all stand in one line");
    }

    #[test]
    fn accounts_that_share_a_budget_take_turns() {
        let of = |regular| Counts { regular, ..Counts::default() };
        let beside = |mine, others: &[i64]| {
            let others: Vec<_> = others.iter().map(|one| of(*one)).collect();
            Forecast::beside(of(mine), &others, &rules(), 5.0)
        };
        // 432,000 a day: 72,000 at the regular pace.
        let told = beside(30_000, &[30_000]);
        assert_eq!((told.load(), told.degrades_above), (Load::NearlyFull, Some(42_000)));
        assert!(
            told.to_text().contains("180000 requests a day, with the 180000 of accounts that share it, 83.3 %"),
            "{}",
            told.to_text()
        );
        // Whoever needs less than half has it, however much the other wants.
        let (small, large) = (beside(30_000, &[200_000]), beside(200_000, &[30_000]));
        assert_eq!((small.other_wait(), small.degrades_above), (4 * HOUR, Some(36_000)));
        assert_eq!(large.other_wait().as_secs(), (200_000.0 / 252_000.0 * 86_400.0) as u64);
        assert_eq!(small.share, large.share);
        assert_eq!(beside(10, &[0, 0]).degrades_above, Some(72_000));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let told = forecast(Counts { regular: 1_000_000, ..Counts::default() }, 0.0);
        assert_eq!((told.share, told.load()), (None, Load::Fits));
        assert!(told.to_text().ends_with("no limit is set"));
    }
}
