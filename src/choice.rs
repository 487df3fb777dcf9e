//! Which request is next (design section 9). No I/O and no clock.
//!
//! While everything fits into the budget the order does not matter; beyond it, it decides who waits.

use crate::text::forms::text_forms;

/// Which queue a poll waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A person or the API wants to know now.
    AskedFor,
    /// Inside the window around the known expiry.
    Urgent,
    /// Everybody else, longest unasked first.
    Other,
}

text_forms!(Lane { AskedFor = "asked_for", Urgent = "urgent", Other = "other" });

impl Lane {
    pub const ALL: [Lane; 3] = [Lane::AskedFor, Lane::Urgent, Lane::Other];

    /// As the `lane` column holds it.
    pub fn rank(self) -> i64 {
        self as i64
    }

    pub fn from_rank(rank: i64) -> Self {
        match rank {
            0 => Lane::AskedFor,
            1 => Lane::Urgent,
            _ => Lane::Other,
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Poll(Lane),
    OrderData,
}

/// What is waiting for a slot now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub asked_for: bool,
    pub order_data: bool,
    pub urgent: bool,
    pub other: bool,
}

/// Of this many slots one belongs to the other lane while somebody waits there: 5 %.
pub(crate) const OTHERS_SHARE: u32 = 20;

/// Hands out slots one by one and remembers what the shares need: two small counters.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    order_data_was_last: bool,
    since_other: u32,
}

impl Choice {
    /// What the next slot is for, or `None` when nothing waits. Others get at least one slot in twenty, order data at most every
    /// second one while polls wait.
    pub fn next(&mut self, waiting: Waiting) -> Option<Want> {
        let polls_wait = waiting.asked_for || waiting.urgent || waiting.other;
        let want = if waiting.other && self.since_other + 1 >= OTHERS_SHARE {
            Want::Poll(Lane::Other)
        } else if waiting.asked_for {
            Want::Poll(Lane::AskedFor)
        } else if waiting.order_data && !(polls_wait && self.order_data_was_last) {
            Want::OrderData
        } else if waiting.urgent {
            Want::Poll(Lane::Urgent)
        } else if waiting.other {
            Want::Poll(Lane::Other)
        } else {
            return None;
        };
        self.order_data_was_last = want == Want::OrderData;
        self.since_other = if want == Want::Poll(Lane::Other) || !waiting.other { 0 } else { self.since_other + 1 };
        Some(want)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Waiting = Waiting { asked_for: true, order_data: true, urgent: true, other: true };

    fn share(waiting: Waiting, want: Want) -> usize {
        let mut choice = Choice::default();
        (0..1000).filter(|_| choice.next(waiting) == Some(want)).count()
    }

    #[test]
    fn what_a_person_asked_for_comes_first() {
        assert_eq!(Choice::default().next(ALL), Some(Want::Poll(Lane::AskedFor)));
    }

    #[test]
    fn order_data_takes_half_of_the_slots_while_polls_wait_and_all_otherwise() {
        let busy = Waiting { asked_for: false, ..ALL };
        assert_eq!(share(busy, Want::OrderData), 500);
        assert_eq!(share(Waiting { order_data: true, ..Waiting::default() }, Want::OrderData), 1000);
    }

    #[test]
    fn others_get_one_slot_in_twenty_whatever_waits() {
        assert_eq!(share(ALL, Want::Poll(Lane::Other)), 50);
        let urgent = Waiting { urgent: true, other: true, ..Waiting::default() };
        assert_eq!(share(urgent, Want::Poll(Lane::Other)), 50);
        assert_eq!(share(urgent, Want::Poll(Lane::Urgent)), 950);
    }

    /// Whatever else comes and goes, short of polls that somebody asks for all the time.
    #[test]
    fn nobody_starves() {
        let mut random = 1u64;
        let mut choice = Choice::default();
        // Slots since each got one while it waited.
        let mut passed_over = [0; 3];
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let waits = |bit: u32| (random >> (40 + bit)) & 7 != 0;
            let waiting = Waiting { asked_for: false, order_data: waits(0), urgent: waits(3), other: waits(6) };
            let taken = choice.next(waiting);
            let wants = [
                // A poll, the others' twentieth.
                (waiting.order_data, Want::OrderData, 3),
                // Order data, the others' twentieth, order data.
                (waiting.urgent, Want::Poll(Lane::Urgent), 4),
                (waiting.other, Want::Poll(Lane::Other), 20),
            ];
            for ((waits, want, most), passed_over) in wants.into_iter().zip(&mut passed_over) {
                *passed_over = if !waits || taken == Some(want) { 0 } else { *passed_over + 1 };
                assert!(*passed_over < most, "{want:?} was passed over {passed_over} times");
            }
        }
    }

    #[test]
    fn nothing_waiting_takes_no_slot() {
        assert_eq!(Choice::default().next(Waiting::default()), None);
    }
}
