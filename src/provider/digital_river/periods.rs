//! Which order pays for which period (digital-river.md, section 4). A period that moves on without an order is waited for a while,
//! then told by itself; an order of it that appears later is its own, and no delivery beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::convention::Reference;
use super::order::Order;
use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::provider::Listed;

/// Looks that a period's order is waited for.
pub const PATIENCE: u32 = 6;
/// Times of an order and of its period are the same when they are no further apart.
const SAME: i64 = 86_400;
/// A term that was told without an order takes one that comes within so many seconds: the core looks for it somewhat longer.
const TAKES_FOR: i64 = 28 * 86_400;
/// An order may be made somewhat before its invoice is due.
const EARLY: i64 = 3600;

/// A term that began while it was watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Period {
    /// The end of the one before it.
    pub from: i64,
    pub end: i64,
    /// How long before `from` it is billed.
    pub ahead: i64,
    pub seen_at: i64,
    /// Looks that have found no order of it.
    pub looks: u32,
    /// It was told without one: that is its name now.
    pub told: bool,
    pub order: Option<String>,
}

/// How the end of the period has changed since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    None,
    Forward,
    /// By more than one period.
    Far,
    Back,
}

impl Move {
    /// `before` is the period that was noted, as far as it was told.
    pub fn of(before: (Option<i64>, Option<i64>), start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        let ((before_start, Some(before)), Some(end)) = (before, end.map(Timestamp::as_unix)) else {
            return Self::None;
        };
        let length = before_start.map(|start| before - start).or(start.map(|start| end - start.as_unix()));
        match end - before {
            0 => Self::None,
            by if by < 0 => Self::Back,
            // Months differ in length.
            by if length.is_some_and(|length| 2 * by > 3 * length) => Self::Far,
            _ => Self::Forward,
        }
    }
}

impl Period {
    /// The one that follows `from`, billed so long ahead; unknown, that is a quarter of it.
    pub fn begun(from: i64, end: Timestamp, ahead: Option<Duration>, now: Timestamp) -> Self {
        let quarter = (end.as_unix() - from) / 4;
        let ahead = ahead.and_then(|ahead| i64::try_from(ahead.as_secs()).ok()).unwrap_or(quarter);
        let (end, seen_at) = (end.as_unix(), now.as_unix());
        Self { from, end, ahead, seen_at, looks: 0, told: false, order: None }
    }

    /// Whether this order would be its own, were it paid for.
    pub fn would_take(&self, order: &Order, subscription_id: &str) -> bool {
        self.distance(order, subscription_id, false).is_some()
    }

    pub fn waits(&self) -> bool {
        self.order.is_none() && !self.told
    }

    /// Whether its order was listed as any other.
    pub fn is_closed(&self) -> bool {
        self.order.is_some() && !self.told
    }

    /// As a delivery of its own.
    pub fn listed(&self) -> Listed {
        Listed {
            reference: Reference::of_period(Timestamp::from_unix(self.end)),
            occasion: Occasion::Renewal,
            completed_at: Some(Timestamp::from_unix(self.seen_at)),
        }
    }

    /// How far this order is from being its own; `None`: it is another's. By the term that the order names, else by when it was
    /// made: nearer to this period's invoice than to the next one's. While it is waited for, one that appears and was made before
    /// any invoice was due is better than none: somebody renewed by hand.
    fn distance(&self, order: &Order, subscription_id: &str, may_be_by_hand: bool) -> Option<i64> {
        const BY_HAND: i64 = i64::MAX / 4;
        let is = |told: Option<Timestamp>, own: i64| told.is_some_and(|told| (told.as_unix() - own).abs() <= SAME);
        let (start, end) = order.period(subscription_id);
        if is(end, self.end) || (end.is_none() && is(start, self.from)) {
            return Some(-1);
        }
        let (billed, next) = (self.from - self.ahead, self.end - self.ahead);
        let may_be_by_hand = may_be_by_hand && !self.told;
        let Some(made) = order.created_at.map(Timestamp::as_unix) else { return may_be_by_hand.then_some(i64::MAX) };
        if made < billed - EARLY {
            return may_be_by_hand.then_some(BY_HAND + (billed - made));
        }
        let distance = (made - billed).abs();
        (made <= self.end && distance < (next - made).abs()).then_some(distance)
    }
}

/// Gives each period without an order the nearest of those that are nobody's; each once. One that was told takes only an order that
/// `is_new`: the others are deliveries already; and only while it is looked for, or nobody would fetch it.
pub fn assign(
    periods: &mut [Period],
    orders: &[&Order],
    subscription_id: &str,
    is_new: impl Fn(&Order) -> bool,
    now: Timestamp,
) {
    let mut pairs = Vec::new();
    // One of a term that was told is that one's, also where it comes too late for it: nobody renewed by hand.
    let is_late = |order: &Order| periods.iter().any(|period| period.told && period.would_take(order, subscription_id));
    for (at, period) in periods.iter().enumerate().filter(|(_, period)| period.order.is_none()) {
        for order in orders {
            let is_new = is_new(order);
            let may_take = !period.told || (is_new && now.as_unix() < period.seen_at + TAKES_FOR);
            let may_be_by_hand = is_new && !is_late(order);
            let distance = period.distance(order, subscription_id, may_be_by_hand).filter(|_| may_take);
            pairs.extend(distance.map(|distance| (distance, period.end, at, order)));
        }
    }
    pairs.sort_by_key(|(distance, end, _, order)| (*distance, *end, order.age()));
    for (_, _, at, order) in pairs {
        let is_taken = periods.iter().any(|period| period.order.as_ref() == Some(&order.id));
        if periods[at].order.is_none() && !is_taken {
            periods[at].order = Some(order.id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::digital_river::order;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);
    const DAY: i64 = 86_400;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_unix(NOW.as_unix() + days * DAY)
    }

    /// Billed five days ahead.
    fn period(from: i64, end: i64) -> Period {
        Period::begun(at(from).as_unix(), at(end), Some(Duration::from_secs(5 * 86_400)), NOW)
    }

    fn order(id: &str, made: i64, info: serde_json::Value) -> Order {
        let mut info = info;
        info["subscriptionId"] = json!("s");
        let body = json!({"id": id, "state": "accepted", "createdTime": at(made).to_string(), "items": [{"subscriptionInfo": info}]});
        order::read(body.to_string().as_bytes(), NOW).unwrap()
    }

    fn assigned(periods: &[Period], orders: &[Order]) -> Vec<Option<String>> {
        let mut periods = periods.to_vec();
        assign(&mut periods, &orders.iter().collect::<Vec<_>>(), "s", |order| order.id.starts_with('N'), NOW);
        periods.into_iter().map(|period| period.order).collect()
    }

    fn plain(made: i64) -> Order {
        order(&format!("O{made}"), made, json!({}))
    }

    #[test]
    fn an_order_pays_for_the_period_whose_invoice_it_is_nearest_to() {
        let one = [period(0, 30)];
        for (made, is_its_own) in [(-6, false), (-5, true), (0, true), (9, true), (11, false), (25, false), (31, false)]
        {
            assert_eq!(assigned(&one, &[plain(made)])[0].is_some(), is_its_own, "{made}");
        }
        let two = [period(0, 30), period(30, 60)];
        let some = |made: i64| Some(format!("O{made}"));
        assert_eq!(assigned(&two, &[plain(25)]), [None, some(25)]);
        assert_eq!(assigned(&two, &[plain(26), plain(-4)]), [some(-4), some(26)]);
        assert_eq!(assigned(&two, &[plain(-4), plain(-5)]), [some(-5), None], "the nearest, and each once");
    }

    #[test]
    fn what_an_order_says_of_its_term_counts_before_when_it_was_made() {
        let two = [period(0, 30), period(30, 60)];
        let late = order("L", 29, json!({"startTime": at(0).to_string(), "endTime": at(30).to_string()}));
        assert_eq!(assigned(&two, &[late]), [Some("L".to_owned()), None]);
        let begun = order("B", 29, json!({"startTime": at(0).to_string()}));
        assert_eq!(assigned(&two, &[begun]), [Some("B".to_owned()), None]);
        let contract = order("C", 26, json!({"endTime": at(700).to_string()}));
        assert_eq!(
            assigned(&two, &[contract]),
            [None, Some("C".to_owned())],
            "a term that is none of these is no sign"
        );
    }

    #[test]
    fn one_that_was_renewed_by_hand_is_taken_while_it_is_waited_for() {
        let by_hand = order("N1", -20, json!({}));
        assert_eq!(assigned(&[period(0, 30)], std::slice::from_ref(&by_hand)), [Some("N1".to_owned())]);
        assert_eq!(
            assigned(&[period(0, 30)], &[by_hand.clone(), plain(1)]),
            [Some("O1".to_owned())],
            "its own goes before"
        );
        assert_eq!(assigned(&[Period { told: true, ..period(0, 30) }], &[by_hand]), [None]);
        assert_eq!(assigned(&[period(0, 30)], &[order("N2", 26, json!({}))]), [None], "that is the next one's");
    }

    #[test]
    fn one_that_was_told_takes_no_order_that_was_listed() {
        let mut periods = [Period { told: true, ..period(0, 30) }];
        assign(&mut periods, &[&plain(1)], "s", |_| false, NOW);
        assert_eq!(periods[0].order, None);
        assign(&mut periods, &[&plain(1)], "s", |_| true, at(28));
        assert_eq!(periods[0].order, None, "nobody looks for it any more: it is a delivery of its own");
        assign(&mut periods, &[&plain(1)], "s", |_| true, at(27));
        assert_eq!(periods[0].order.as_deref(), Some("O1"));
    }

    #[test]
    fn a_move_is_of_one_period_or_odd() {
        let of = |start: Option<i64>, before, end: i64| {
            Move::of((start.map(|start| at(start).as_unix()), before), None, Some(at(end)))
        };
        let end = Some(at(30).as_unix());
        assert_eq!(of(Some(0), end, 30), Move::None);
        assert_eq!(of(Some(0), None, 30), Move::None, "nothing to compare with");
        assert_eq!([61, 58, 31].map(|to| of(Some(0), end, to)), [Move::Forward; 3]);
        assert_eq!([90, 76].map(|to| of(Some(0), end, to)), [Move::Far; 2]);
        assert_eq!(of(None, end, 700), Move::Forward, "how long a period is was never told");
        assert_eq!(of(Some(0), end, 29), Move::Back);
        assert_eq!(Move::of((Some(0), end), None, None), Move::None);
    }
}
