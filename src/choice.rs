//! Which request is next (design section 9). No I/O and no clock.
//!
//! While everything fits into the budget the order does not matter; beyond it, it decides who waits.

use crate::text::forms::text_forms;

/// Which queue a poll waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A person or the API wants to know now.
    AskedFor,
    /// The provider says that there may be something to see.
    Hinted,
    /// Inside the window around the known expiry.
    Urgent,
    /// Everybody else, longest unasked first.
    Other,
}

text_forms!(Lane { AskedFor = "asked_for", Hinted = "hinted", Urgent = "urgent", Other = "other" });

impl Lane {
    pub const ALL: [Lane; 4] = [Lane::AskedFor, Lane::Hinted, Lane::Urgent, Lane::Other];

    /// As the `lane` column holds it.
    pub fn rank(self) -> i64 {
        self as i64
    }

    pub fn from_rank(rank: i64) -> Self {
        match rank {
            0 => Lane::AskedFor,
            1 => Lane::Hinted,
            2 => Lane::Urgent,
            _ => Lane::Other,
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Poll(Lane),
    OrderData,
    /// A page of what the provider lists by itself.
    Feed,
}

/// What is waiting for a slot now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    pub asked_for: bool,
    pub hinted: bool,
    pub order_data: bool,
    pub feed: bool,
    pub urgent: bool,
    pub other: bool,
}

/// Of this many slots one belongs to the other lane while somebody waits there: 5 %.
pub(crate) const OTHERS_SHARE: u32 = 20;

/// The shares of an account's slots (design section 11), once a shop's calls have had their turns: each of these gets one in so many
/// of those that come down to it, while anything further down waits. A share that nobody uses goes down.
const SHARES: [u32; 3] = [2, 2, 4];

/// Hands out slots one by one and remembers what the shares need: a few small counters.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Of each share, how many slots must still pass it by.
    passing: [u32; SHARES.len()],
    since_other: u32,
}

impl Choice {
    /// What the next slot is for, or `None` when nothing waits: polls that are asked for or hinted at at most every second one, order data every second of what remains, pages of feeds every fourth, then those
    /// near their expiry and the others. Others get at least one slot in twenty whatever else waits.
    pub fn next(&mut self, demand: Demand) -> Option<Want> {
        let want = if demand.other && self.since_other + 1 >= OTHERS_SHARE {
            Want::Poll(Lane::Other)
        } else {
            self.shared(demand)?
        };
        self.since_other = if want == Want::Poll(Lane::Other) || !demand.other { 0 } else { self.since_other + 1 };
        Some(want)
    }

    fn shared(&mut self, demand: Demand) -> Option<Want> {
        let asked = if demand.asked_for { Lane::AskedFor } else { Lane::Hinted };
        let shares = [
            (demand.asked_for || demand.hinted).then_some(Want::Poll(asked)),
            demand.order_data.then_some(Want::OrderData),
            demand.feed.then_some(Want::Feed),
        ];
        let rest = match (demand.urgent, demand.other) {
            (true, _) => Some(Want::Poll(Lane::Urgent)),
            (false, true) => Some(Want::Poll(Lane::Other)),
            (false, false) => None,
        };
        for (at, share) in shares.into_iter().enumerate() {
            let Some(want) = share else { continue };
            let is_last = rest.is_none() && shares[at + 1..].iter().all(Option::is_none);
            if is_last || self.passing[at] == 0 {
                self.passing[at] = SHARES[at] - 1;
                return Some(want);
            }
            self.passing[at] -= 1;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::renewal::properties::config;

    const POLLS: Demand =
        Demand { asked_for: false, hinted: false, order_data: false, feed: false, urgent: true, other: true };

    fn share(demand: Demand, want: Want) -> usize {
        let mut choice = Choice::default();
        (0..1000).filter(|_| choice.next(demand) == Some(want)).count()
    }

    #[test]
    fn what_a_person_asked_for_comes_before_what_is_hinted_at_within_their_half() {
        let both = Demand { asked_for: true, hinted: true, ..POLLS };
        assert_eq!(Choice::default().next(both), Some(Want::Poll(Lane::AskedFor)));
        assert_eq!(share(both, Want::Poll(Lane::Hinted)), 0);
        assert_eq!(
            share(both, Want::Poll(Lane::AskedFor)),
            share(Demand { asked_for: false, ..both }, Want::Poll(Lane::Hinted))
        );
    }

    #[test]
    fn order_data_takes_half_of_the_slots_while_polls_wait_and_all_otherwise() {
        let busy = Demand { order_data: true, ..POLLS };
        assert!((470..=500).contains(&share(busy, Want::OrderData)), "{}", share(busy, Want::OrderData));
        assert_eq!(share(Demand { order_data: true, ..Demand::default() }, Want::OrderData), 1000);
    }

    #[test]
    fn nothing_waiting_takes_no_slot() {
        assert_eq!(Choice::default().next(Demand::default()), None);
    }

    fn demand() -> impl Strategy<Value = Demand> {
        any::<[bool; 6]>().prop_map(|[asked_for, hinted, order_data, feed, urgent, other]| Demand {
            asked_for,
            hinted,
            order_data,
            feed,
            urgent,
            other,
        })
    }

    /// From the top of the table down: what each of these may take at the most of the slots that are left to it, and whether it
    /// waits.
    fn table(demand: Demand) -> [(bool, [Want; 2], f64); 3] {
        let asked = [Want::Poll(Lane::AskedFor), Want::Poll(Lane::Hinted)];
        [
            (demand.asked_for || demand.hinted, asked, 0.5),
            (demand.order_data, [Want::OrderData; 2], 0.5),
            (demand.feed, [Want::Feed; 2], 0.25),
        ]
    }

    proptest! {
        #![proptest_config(config())]

        /// Whatever waits all the time: nothing takes more than its share, none is wasted, and the others are not forgotten.
        #[test]
        fn each_takes_its_share_of_what_is_left_to_it(demand in demand(), slots in 1..600_u32) {
            let mut choice = Choice::default();
            let taken: Vec<_> = (0..slots).map_while(|_| choice.next(demand)).collect();
            let nothing = demand == Demand::default();
            prop_assert_eq!(taken.len(), if nothing { 0 } else { slots as usize });
            let count = |wants: &[Want]| f64::from(taken.iter().filter(|want| wants.contains(want)).count() as u32);
            let others = count(&[Want::Poll(Lane::Other)]);
            prop_assert!(!demand.other || others >= f64::from(slots / OTHERS_SHARE));
            let mut left = f64::from(slots);
            for (at, (waits, wants, most)) in table(demand).into_iter().enumerate() {
                let took = count(&wants);
                let below = demand.urgent || demand.other || table(demand)[at + 1..].iter().any(|(waits, ..)| *waits);
                prop_assert!(waits || took == 0.0);
                prop_assert!(nothing || !waits || !below || took <= (left * most).ceil(), "{:?} took {took} of {left}", wants);
                prop_assert!(nothing || !waits || took >= (left * most).floor() - others - 1.0, "{:?} got {took} of {left}", wants);
                left -= took;
            }
        }

        /// Whatever else comes and goes, who waits all the time is served in time.
        #[test]
        fn nobody_starves(comings in prop::collection::vec(demand(), 200), who in 0..5_usize) {
            let mut choice = Choice::default();
            let mut passed_over = 0;
            for coming in comings {
                let mut demand = coming;
                let (waits, wants, most) = match who {
                    0 => (&mut demand.asked_for, Want::Poll(Lane::AskedFor), 3),
                    1 => (&mut demand.order_data, Want::OrderData, 5),
                    2 => (&mut demand.feed, Want::Feed, 18),
                    3 => (&mut demand.urgent, Want::Poll(Lane::Urgent), 8),
                    _ => (&mut demand.other, Want::Poll(Lane::Other), OTHERS_SHARE),
                };
                *waits = true;
                passed_over = if choice.next(demand) == Some(wants) { 0 } else { passed_over + 1 };
                prop_assert!(passed_over < most, "{:?} was passed over {} times", wants, passed_over);
            }
        }
    }
}
