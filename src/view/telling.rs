//! The story of a subscription for a person, chapter by chapter.

use serde::Serialize;

use super::ages::{roughly, when};
use super::next;
use super::story::Known;
use super::subscription::{is_overdue, label};
use crate::clock::Timestamp;
use crate::convention::Advice;
use crate::delivery::Occasion;
use crate::renewal::aside::{Episode, LastOffer};
use crate::renewal::{Outcome, Rules, State};
use crate::store::{DispatchRow, MessageRow, RenewalRow, ShopCall};
use crate::text::{for_shell, visible};

/// What belongs together, under a heading.
#[derive(Debug, PartialEq, Serialize)]
pub struct Chapter {
    pub heading: String,
    pub facts: Vec<Fact>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Fact {
    /// A word or two; empty where the text goes on with the fact before it.
    pub what: String,
    pub text: String,
}

/// Tells what happened to a subscription so far and what comes next. Safe to show on a terminal.
pub fn tell(known: &Known, rules: &Rules, advice: Option<&Advice>, now: Timestamp) -> Vec<Chapter> {
    let mut story = Story { chapters: Vec::new(), known, advice, now };
    story.beginning();
    for renewal in &known.renewals {
        story.generation(renewal);
    }
    story.other_messages();
    story.oddities(rules);
    story.ending(rules);
    story.chapters
}

struct Story<'a> {
    chapters: Vec<Chapter>,
    known: &'a Known,
    advice: Option<&'a Advice>,
    now: Timestamp,
}

impl Story<'_> {
    fn heading(&mut self, heading: &str) {
        self.chapters.push(Chapter { heading: visible(heading), facts: Vec::new() });
    }

    /// With all that could harm a terminal made visible.
    fn fact(&mut self, what: &str, text: &str) {
        let fact = Fact { what: visible(what), text: visible(text) };
        // The beginning has opened one.
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.facts.push(fact);
        }
    }

    fn when(&self, at: Timestamp) -> String {
        when(at, self.now)
    }

    fn beginning(&mut self) {
        let row = &self.known.row;
        let subscription = &row.subscription;
        let generation = match subscription.generation {
            Some(generation) => format!("generation {generation}"),
            None => "adopted, generation not known yet".to_owned(),
        };
        self.heading(&format!("{}: {}, {generation}", label(row), subscription.state));
        let how = match row.tracked_by.as_str() {
            "order" => "from an order",
            "import" => "by import",
            "discovery" => "as it was found in the provider's list",
            _ => "by hand",
        };
        self.fact("tracked", &format!("{} {how}", self.when(subscription.tracked_at)));
        if let Some(name) = &subscription.partner_reference {
            self.fact("your reference", &format!("{name}, as the provider has it"));
        }
        match subscription.expires_at {
            Some(at) => {
                let who = if subscription.expiry_reported { "the provider" } else { "whoever tracked it" };
                self.fact("expires", &format!("{}, says {who}", self.when(at)));
            }
            None => self.fact("expires", "not known"),
        }
        if let Some(end) = self.told_as_due() {
            self.fact("told", &format!("payment is due on {}", self.when(end)));
        }
        if let Some(ended) = subscription.ended_at {
            self.fact("ended", &self.when(ended));
        }
        if let Some(status) = &subscription.technical_status {
            self.fact("status", &format!("{status}, in the provider's words"));
        }
        if let Some(offer) = &subscription.offer {
            let LastOffer { order_number, state, seen_at } = offer.as_ref();
            self.fact("offer", &format!("{state} as order {order_number}, seen {}", self.when(*seen_at)));
        }
        for one in &self.known.shop_calls {
            let ShopCall { call, asked_at, asked_by, outcome, code } = one;
            self.fact(
                "changed",
                &format!("{call} {}, asked for by {asked_by}: {outcome} (code {code})", self.when(*asked_at)),
            );
        }
        self.asking();
    }

    /// The end of the present term, where that was told ahead of it and nothing has renewed since.
    fn told_as_due(&self) -> Option<Timestamp> {
        let subscription = &self.known.row.subscription;
        let end = subscription.expires_at.filter(|end| subscription.renewal_due_term == Some(*end))?;
        let renewals = self.known.renewals.iter();
        let renewals = renewals.filter(|one| one.state != "known" && one.occasion != Occasion::Upgrade);
        let renewed_at = renewals.map(|one| one.detected_at).max();
        let mut messages = self.known.messages.iter();
        let told = |one: &MessageRow| one.event == "subscription.renewal_due" && Some(one.queued_at) > renewed_at;
        messages.any(told).then_some(end)
    }

    fn asking(&mut self) {
        let subscription = &self.known.row.subscription;
        let answer = subscription.last_answer_at.map_or("none yet".to_owned(), |at| self.when(at));
        self.fact("last answer", &answer);
        let Some(asked) = subscription.last_asked_at else { return };
        let outcome = match subscription.last_outcome {
            Some(Outcome::Ok) | None => "answered".to_owned(),
            Some(Outcome::NotFound) => "unknown to the provider".to_owned(),
            Some(Outcome::Refused) => {
                self.advice.map_or("refused".to_owned(), |advice| format!("refused ({})", advice.refused))
            }
            Some(other) => other.to_string(),
        };
        let detail = subscription.last_detail.as_ref().map_or(String::new(), |detail| format!(", {detail}"));
        self.fact("last asked", &format!("{}: {outcome}{detail}", self.when(asked)));
    }

    fn generation(&mut self, renewal: &RenewalRow) {
        let again =
            if renewal.revision > 0 { format!(", fetched again {}", times(renewal.revision)) } else { String::new() };
        let kind =
            if renewal.occasion == Occasion::Renewal { String::new() } else { format!(", {}", renewal.occasion) };
        let late = if renewal.late { ", older than one before it" } else { "" };
        self.heading(&format!("generation {} as {}{kind}{late}{again}", renewal.generation, renewal.reference));
        let late = match renewal.seconds_after_expiry {
            Some(seconds) if seconds < 0 => format!(", {} before the expiry", span(seconds)),
            Some(seconds) => format!(", {} after the expiry", span(seconds)),
            None => String::new(),
        };
        self.fact("seen", &format!("{}{late}", self.when(renewal.detected_at)));
        self.order_data(renewal);
        self.warnings(renewal);
        let messages = self.known.messages.iter();
        for message in messages.filter(|m| m.reference == renewal.reference) {
            self.message(message);
        }
    }

    fn order_data(&mut self, renewal: &RenewalRow) {
        if renewal.state == "known" {
            return self.fact("order data", "not asked for: the customer had it before");
        }
        let asked = match (renewal.attempts, renewal.last_attempt_at) {
            (_, None) => "not asked for yet".to_owned(),
            (0, Some(at)) => format!("asked for without an answer, last {}", self.when(at)),
            (1, Some(at)) => format!("answered once, {}", self.when(at)),
            (attempts, Some(at)) => format!("answered {attempts} times, last {}", self.when(at)),
        };
        self.fact("order data", &asked);
        if let Some(outcome) = renewal.last_outcome.as_ref().filter(|outcome| *outcome != "ok") {
            let detail = renewal.last_detail.as_ref().map_or(String::new(), |detail| format!(", {detail}"));
            self.fact("", &format!("{outcome}{detail}"));
        }
        match (renewal.state.as_str(), renewal.settled_at, renewal.next_attempt_at) {
            ("awaiting_order_data", _, Some(next)) => self.fact("asked next", &self.when(next)),
            ("abandoned", Some(at), _) => {
                // The label of what the provider names by itself may be another's too.
                let is_label = |other: &&RenewalRow| other.generation == renewal.generation;
                let again = match self.known.renewals.iter().filter(is_label).count() {
                    1 if renewal.occasion == Occasion::Renewal => format!("--generation {}", renewal.generation),
                    _ => format!("--reference {}", for_shell(&renewal.reference)),
                };
                self.fact("given up", &format!("{}; `refetch {again}` asks again", self.when(at)));
            }
            ("dropped", Some(at), _) => self.fact("dropped", &format!("{}, as it was untracked", self.when(at))),
            _ => {}
        }
    }

    /// What was odd about what was delivered, and whether that may change.
    fn warnings(&mut self, renewal: &RenewalRow) {
        if renewal.warnings.is_empty() {
            return;
        }
        let names: Vec<_> = renewal.warnings.iter().map(|warning| warning.as_str()).collect();
        self.fact("delivered with", &names.join(", "));
        if let Some(at) = renewal.look_again_at {
            self.fact("looked at again", &format!("{}, for what is missing", self.when(at)));
        }
    }

    fn message(&mut self, message: &MessageRow) {
        self.fact("queued", &format!("{}: {} {}", self.when(message.queued_at), message.event, message.id));
        let dispatches: Vec<_> = self.known.dispatches.iter().filter(|d| d.id == message.id).collect();
        if dispatches.is_empty() {
            self.fact("", "for no sink: none was configured to take it");
        }
        for dispatch in dispatches {
            self.dispatch(dispatch);
        }
    }

    fn dispatch(&mut self, dispatch: &DispatchRow) {
        let error = dispatch.last_error.as_ref().map_or(String::new(), |error| format!("; {error}"));
        // What a sink in trouble answers counts for no message.
        let attempts = match (dispatch.attempts, &dispatch.last_error) {
            (0, Some(_)) => "no attempt counted".to_owned(),
            (count, _) => attempts(count),
        };
        let is_pulled = self.known.pulled.contains(&dispatch.sink);
        let what = match (dispatch.state.as_str(), dispatch.delivered_at, dispatch.dead_at, dispatch.next_attempt_at) {
            ("delivered", Some(at), ..) => format!("delivered {}, {attempts}", self.when(at)),
            ("dead", _, Some(at), _) => {
                format!("DEAD since {}, {attempts}{error}; `queue retry {}` sends it again", self.when(at), dispatch.id)
            }
            (_, _, _, Some(next)) => match dispatch.leased_until.filter(|until| *until > self.now) {
                Some(until) => format!("pulled by a consumer, who has it until {}", self.when(until)),
                None if is_pulled => "waits to be pulled".to_owned(),
                None => format!("pending, {attempts}{error}; next attempt {}", self.when(next)),
            },
            (state, ..) => state.to_owned(),
        };
        self.fact(&format!("  to {}", dispatch.sink), &what);
        if let Some(answer) = &dispatch.last_answer {
            self.fact("", &format!("its answer: {answer}"));
        }
        if let Some(at) = dispatch.replayed_at {
            let first =
                dispatch.first_delivered_at.map_or(String::new(), |at| format!("; first delivered {}", self.when(at)));
            self.fact("", &format!("sent again {}, last {}{first}", times(dispatch.replays.into()), self.when(at)));
        }
    }

    /// Those about the subscription and not about a renewal, or whose renewal is not known any more.
    fn other_messages(&mut self) {
        let told = |m: &&MessageRow| self.known.renewals.iter().any(|r| r.reference == m.reference);
        let others: Vec<_> = self.known.messages.iter().filter(|message| !told(message)).collect();
        if others.is_empty() {
            return;
        }
        self.heading("other messages");
        for message in others {
            self.message(message);
        }
    }

    fn oddities(&mut self, rules: &Rules) {
        let row = &self.known.row;
        let subscription = &row.subscription;
        let mut odd = Vec::new();
        if let Some(surprise) = &subscription.surprise {
            odd.push(("surprise", format!("{surprise} ({} so far)", subscription.surprises)));
        }
        if let (Some(over), Some(at)) = (&subscription.past_surprise, subscription.past_surprise_at) {
            let text = format!("{over} ({} so far, the last of these {})", subscription.surprises, self.when(at));
            odd.push(("surprise, over", text));
        }
        if let Some(wait) = self.known.expected_wait {
            odd.push(("delayed", format!("by the budget: it is asked about every {}", roughly(wait))));
        } else if is_overdue(row, rules, self.now) {
            let since = subscription.last_answer_at.unwrap_or(subscription.tracked_at);
            let limit = roughly(rules.interval(subscription.pace).mul_f64(1.1));
            odd.push((
                "overdue",
                format!("no usable answer for {}, more than {limit}", roughly(self.now.since(since))),
            ));
        }
        if let Some(term) = subscription.not_renewed_term.filter(|term| Some(*term) == subscription.expires_at) {
            odd.push(("not renewed", format!("its term ended {} and no renewal was seen", self.when(term))));
        }
        if let Some(episode) = &subscription.failing {
            let Episode { generation, since, seen_at, reason } = episode.as_ref();
            let since = since.map_or(String::new(), |at| format!("since {}, ", self.when(at)));
            let seen = self.when(*seen_at);
            odd.push(("payment fails", format!("{since}seen {seen}: {reason}, for generation {generation}")));
        }
        if let Some(since) = subscription.terminal_since.filter(|_| subscription.state == State::Watching) {
            odd.push(("ending", format!("cancelled or expired since {}", self.when(since))));
        }
        if let Some(stopped) = &self.known.stopped {
            let text = format!(
                "{} is not asked since {}: {}; one probe a minute",
                subscription.territory,
                self.when(stopped.stopped_at),
                stopped.reason
            );
            odd.push(("territory", text));
        }
        if odd.is_empty() {
            return;
        }
        self.heading("to look at");
        for (what, text) in odd {
            self.fact(what, &text);
        }
    }

    fn ending(&mut self, rules: &Rules) {
        let next = next::of(self.known, rules, self.now);
        self.heading("next");
        let what = match next.step {
            "order_data" => "order data",
            step => step,
        };
        match next.at {
            Some(at) if at <= self.now => self.fact(what, &format!("due since {}: {}", self.when(at), next.why)),
            Some(at) => self.fact(what, &format!("{}: {}", self.when(at), next.why)),
            None => self.fact(what, &next.why),
        }
    }
}

/// A signed number of seconds, without its sign.
fn span(seconds: i64) -> String {
    roughly(std::time::Duration::from_secs(seconds.unsigned_abs()))
}

fn times(count: i64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn attempts(count: u32) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}

#[cfg(test)]
mod tests;
