//! When a subscription's next step is due, and why then.

use serde::Serialize;
use utoipa::ToSchema;

use super::story::Known;
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::life::Life;
use crate::renewal::{Outcome, Pace, Rules, State, Subscription};
use crate::settings::format_duration;
use crate::store::RenewalRow;

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Next {
    /// `order_data`, `poll` or `nothing`.
    pub step: &'static str,
    /// `null` where nothing is due.
    pub at: Option<Timestamp>,
    /// For a person.
    pub why: String,
}

pub fn of(known: &Known, rules: &Rules, now: Timestamp) -> Next {
    let subscription = &known.row.subscription;
    let waiting = known.renewals.iter().filter(|renewal| renewal.state == "awaiting_order_data");
    let first = waiting.min_by_key(|renewal| renewal.next_attempt_at);
    let is_polled_before = |renewal: &RenewalRow| {
        !known.rests_while_waiting && subscription.due_at.is_some_and(|due| Some(due) < renewal.next_attempt_at)
    };
    if let Some(first) = first.filter(|first| !is_polled_before(first)) {
        let rests = if known.rests_while_waiting { "; polls wait meanwhile, a day at most" } else { "" };
        let why = match &first.last_outcome {
            Some(_) => format!("generation {} was not ready{rests}", first.generation),
            None => format!("generation {} was seen and not asked for yet", first.generation),
        };
        return Next { step: "order_data", at: first.next_attempt_at, why };
    }
    match subscription.due_at {
        Some(at) => Next { step: "poll", at: Some(at), why: why_then(subscription, rules, now) },
        None => Next { step: "nothing", at: None, why: why_never(subscription.state).to_owned() },
    }
}

fn why_never(state: State) -> &'static str {
    match state {
        State::Untracked => "it is untracked: `track` watches it again",
        State::Paused => "it is paused: `resume` goes on asking",
        State::Ended => "it ended more than a year ago: `poll` asks once more",
        State::Watching => "it has no due time, which should not be: `poll` gives it one",
    }
}

fn why_then(subscription: &Subscription, rules: &Rules, now: Timestamp) -> String {
    let every = format_duration(rules.interval(subscription.pace));
    if subscription.lane == Lane::AskedFor && subscription.last_asked_at.is_some() {
        return "somebody asked for it".to_owned();
    }
    if subscription.lane == Lane::Hinted {
        return "a list or a notification hinted at something".to_owned();
    }
    match (subscription.last_outcome, subscription.pace) {
        (None, _) if subscription.generation.is_none() => {
            "it was never asked; the first answer only notes the generation".to_owned()
        }
        (None, _) => "it was never asked".to_owned(),
        (Some(Outcome::Refused), _) => {
            format!("refused {}: asked after 1 h, 4 h, then daily", times(subscription.refusals))
        }
        (Some(_), _) if subscription.failures > 0 => {
            format!(
                "{} without a usable answer: asked after 10 s, 1 min, 5 min, 30 min, then every {every}",
                polls(subscription.failures)
            )
        }
        (Some(Outcome::NotFound), _) => format!("the provider does not know it: asked every {every}"),
        (Some(_), Pace::Monthly) => format!("it ended: asked every {every} for a year, in case it renews after all"),
        (Some(_), Pace::Daily) => match subscription.life {
            Some(Life::Running) => "nothing can happen to it before, the provider says".to_owned(),
            Some(Life::Paused) => format!("it is paused at the provider: asked every {every}"),
            _ => format!("it was cancelled or expired: asked every {every}"),
        },
        (Some(_), Pace::Regular) if rules.in_window(subscription.expires_at, now) => {
            format!("every {every}, and ahead of others so near to its expiry")
        }
        (Some(_), Pace::Regular) => format!("every {every}"),
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times in a row") }
}

fn polls(count: u32) -> String {
    if count == 1 { "1 poll".to_owned() } else { format!("{count} polls in a row") }
}
