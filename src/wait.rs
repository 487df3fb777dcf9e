//! What a loop waits for beside its work. Where it is missing it never comes, and a future of these may be dropped and begun anew.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Timestamp;
use crate::pulse::LONGEST_WAIT;

/// Due times are whole seconds, and `now` may be nearly a second old: without this, a loop turns as fast as it can meanwhile.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// How long a loop has nothing to do; `due: None`: as long as it may.
pub(crate) fn until_due(due: Option<Timestamp>, now: Timestamp) -> Duration {
    due.map_or(LONGEST_WAIT, |due| due.since(now).max(SHORTEST_WAIT).min(LONGEST_WAIT))
}

/// The next ring of a bell.
pub(crate) async fn rung(bell: Option<&Notify>) {
    match bell {
        Some(bell) => bell.notified().await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What comes of what goes on; `None` at once when nothing does. The place is empty afterwards.
pub(crate) async fn ready<T>(going_on: &mut Option<BoxFuture<'_, T>>) -> Option<T> {
    let done = going_on.as_mut()?.await;
    *going_on = None;
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_neither_spins_until_something_is_due_nor_waits_longer_than_it_may() {
        let now = Timestamp::constant(1_795_291_200);
        let after = |seconds| until_due(Some(now + Duration::from_secs(seconds)), now);
        assert_eq!([after(0), after(5), after(86_400)], [SHORTEST_WAIT, Duration::from_secs(5), LONGEST_WAIT]);
        assert_eq!((until_due(Some(now - LONGEST_WAIT), now), until_due(None, now)), (SHORTEST_WAIT, LONGEST_WAIT));
    }
}
