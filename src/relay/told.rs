//! What the log is told of attempts that failed because of their message, once that is on disk.

use tokio::time::Instant;
use uuid::Uuid;

use super::Route;
use crate::clock::Timestamp;
use crate::flood::Flood;
use crate::store::Attempt;
use crate::text::visible;

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    TriedAgain { at: Timestamp },
    GivenUp,
}

/// A line about what is on its way to the disk.
#[derive(Debug)]
pub(super) struct Line {
    pub dispatch: i64,
    id: Uuid,
    order_number: String,
    subscription_id: String,
    number: u32,
    reason: String,
    said: Said,
}

/// What many messages may meet at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    TriedAgain,
    GivenUp,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told(Flood<Topic>);

impl Line {
    pub fn new(attempt: Attempt, reason: &str, said: Said) -> Self {
        let Attempt { dispatch, message, order_number, subscription_id, number, .. } = attempt;
        Self { dispatch, id: message.id, order_number, subscription_id, number, reason: reason.to_owned(), said }
    }

    fn tell(&self, sink: &str) {
        let Self { id, order_number, subscription_id, number, reason, .. } = self;
        macro_rules! line {
            ($($text:tt)+) => {
                tracing::warn!(%sink, message.id = %id, order = %visible(order_number),
                    subscription = %visible(subscription_id), attempt = number, %reason, $($text)+)
            };
        }
        match self.said {
            Said::TriedAgain { at } => line!("not delivered; tried again at {at}"),
            Said::GivenUp => {
                line!("given up: this sink gets the message no more, unless `renewald queue retry` sends it again");
            }
        }
    }
}

impl Told {
    /// What it says is on disk.
    pub fn tell(&mut self, route: &Route, line: &Line) {
        let topic = match line.said {
            Said::TriedAgain { .. } => Topic::TriedAgain,
            Said::GivenUp => Topic::GivenUp,
        };
        if self.0.admits(topic, Instant::now()) {
            line.tell(&route.name);
        }
    }

    /// A pass is over, or goes on for long: how many lines of each kind were too many. `is_last`: nobody asks again.
    pub fn count_rest(&mut self, route: &Route, is_last: bool) {
        let rest = if is_last { self.0.last() } else { self.0.rest(Instant::now()) };
        let sink = &route.name;
        for (topic, more) in rest {
            match topic {
                Topic::TriedAgain => {
                    tracing::warn!(%sink, "{more} more not delivered: `renewald queue list --state pending` shows them");
                }
                Topic::GivenUp => tracing::warn!(%sink, "{more} more given up: `renewald queue dead` shows them"),
            }
        }
    }
}
