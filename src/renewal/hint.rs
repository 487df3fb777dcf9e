//! What a hint changes: somebody says that there may be something to see at a subscription. It makes it due, and is not believed.

use std::time::Duration;

use super::State;
use crate::choice::Lane;
use crate::clock::Timestamp;

/// Hints for one subscription come to one look in so long.
const ONE_LOOK_IN: Duration = Duration::from_secs(60);

/// A subscription as far as that matters.
#[derive(Clone, Copy, Debug)]
pub struct Hinted {
    pub state: State,
    pub lane: Lane,
    pub due_at: Option<Timestamp>,
    /// When it was asked last because of a hint.
    pub hinted_at: Option<Timestamp>,
}

/// What becomes of the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is asked ahead of those that nobody hinted at, from then on.
    Raised(Timestamp),
    /// It is due, and may be being asked at this moment: another look follows that one.
    Again,
    /// It is asked soon as it is.
    Soon,
    /// It is not asked any more: a hint wakes up nobody.
    AtRest,
}

pub fn effect(of: Hinted, now: Timestamp) -> Effect {
    let (State::Watching | State::Ended, Some(due)) = (of.state, of.due_at) else { return Effect::AtRest };
    match of.lane {
        Lane::AskedFor | Lane::Hinted if due <= now => Effect::Again,
        Lane::AskedFor => Effect::Soon,
        Lane::Hinted if due <= earliest(of.hinted_at, now) => Effect::Soon,
        _ => Effect::Raised(due.min(earliest(of.hinted_at, now))),
    }
}

/// When the next look may follow that a hint asks for. A last one that lies ahead was stored under another clock.
fn earliest(hinted_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    hinted_at.filter(|asked| *asked <= now).map_or(now, |asked| now.max(asked + ONE_LOOK_IN))
}

/// When a subscription is due that was hinted at while it was asked, and would be due at `due` otherwise.
pub fn due_again(due: Timestamp, asked: Timestamp) -> Timestamp {
    due.min(asked + ONE_LOOK_IN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::renewal::DAY;
    use crate::renewal::properties::config;

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    fn of(lane: Lane, due: i64, asked: i64) -> Hinted {
        let at = |seconds: i64| Timestamp::from_unix(NOW.as_unix() + seconds);
        Hinted { state: State::Watching, lane, due_at: Some(at(due)), hinted_at: Some(at(asked)) }
    }

    fn raised(seconds: i64) -> Effect {
        Effect::Raised(Timestamp::from_unix(NOW.as_unix() + seconds))
    }

    #[test]
    fn a_hint_makes_due_at_once_and_a_second_one_a_minute_after_the_look() {
        assert_eq!(effect(of(Lane::Other, 9000, -5400), NOW), raised(0));
        assert_eq!(effect(of(Lane::Urgent, 9000, -60), NOW), raised(0));
        assert_eq!(effect(of(Lane::Other, 9000, -5), NOW), raised(55));
        assert_eq!(effect(Hinted { hinted_at: None, ..of(Lane::Other, 0, 0) }, NOW), raised(0));
        assert_eq!(effect(of(Lane::Other, 9000, 500), NOW), raised(0), "asked in the future: the clock was set");
    }

    #[test]
    fn nothing_comes_later_by_a_hint_and_what_a_person_wants_stays_his() {
        assert_eq!(effect(of(Lane::Other, -7, -5400), NOW), raised(-7), "due already, and overtakes the others");
        assert_eq!(effect(of(Lane::Other, 10, -5), NOW), raised(10), "asked again soon after no answer");
        assert_eq!(effect(of(Lane::Hinted, 55, -5), NOW), Effect::Soon);
        assert_eq!(effect(of(Lane::Hinted, 0, -90), NOW), Effect::Again);
        assert_eq!(effect(of(Lane::Hinted, 300, -90), NOW), raised(0), "one that is not answered waits longer");
        assert_eq!(effect(of(Lane::AskedFor, 0, -90), NOW), Effect::Again);
        assert_eq!(effect(of(Lane::AskedFor, 300, -90), NOW), Effect::Soon);
    }

    #[test]
    fn who_is_not_asked_any_more_stays_so_and_who_has_ended_may_begin_again() {
        let effect_on = |state, due_at| effect(Hinted { state, due_at, ..of(Lane::Other, 0, -90) }, NOW);
        for state in [State::Paused, State::Untracked] {
            assert_eq!(effect_on(state, Some(NOW)), Effect::AtRest);
        }
        assert_eq!(effect_on(State::Ended, Some(NOW + 30 * DAY)), raised(0));
        assert_eq!(effect_on(State::Ended, None), Effect::AtRest, "long ago");
    }

    proptest! {
        #![proptest_config(config())]

        /// However many hints come, and whenever: never two looks within a minute that only they are the reason for.
        #[test]
        fn hints_come_to_one_look_a_minute(hints in prop::collection::vec(0..2000_u32, 1..200)) {
            let (mut hints, hour) = (hints, 14_400);
            hints.sort_unstable();
            let mut row = of(Lane::Other, hour, -5400);
            let mut looks = Vec::new();
            for second in 0..2200_u32 {
                let now = Timestamp::from_unix(NOW.as_unix() + i64::from(second));
                while hints.first().is_some_and(|at| *at == second) {
                    hints.remove(0);
                    if let Effect::Raised(due) = effect(row, now) {
                        (row.lane, row.due_at) = (Lane::Hinted, Some(due));
                    }
                }
                if row.due_at.is_some_and(|due| due <= now) {
                    looks.push(second);
                    row = Hinted { lane: Lane::Other, due_at: Some(now + Duration::from_secs(14_400)), hinted_at: Some(now), ..row };
                }
            }
            prop_assert!(!looks.is_empty());
            prop_assert!(looks.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{:?}", looks);
        }
    }
}
