//! A subscription's life under any sequence of answers, beside a model of design section 4.

use proptest::prelude::*;

use crate::clock::Clock;
use crate::delivery::Event;
use crate::provider::nexway_connect::answers::Status;
use crate::provider::nexway_connect::convention::CONVENTION;
use crate::provider::nexway_connect::sighting::sighting;
use crate::provider::{Class, Error, Verdict};
use crate::renewal::poll::{Decision, Look, decide};
use crate::renewal::properties::{NOW, after, config, gap, is_about, no_answer, obeyed, rules};
use crate::renewal::{Pace, Rules, State, Subscription, fixtures};

const ORIGINAL: &str = "ACME-2024-001";
const DAY: i64 = 86_400;

/// What the provider says when it is asked.
#[derive(Clone, Debug)]
enum Reply {
    /// `number`: `None` says nothing, `Some(0)` the original, `Some(-1)` another's; `expires`: days from the start.
    Status {
        number: Option<i64>,
        field: Option<i64>,
        status: Option<&'static str>,
        expires: Option<i64>,
    },
    Code(Class, i64),
    None(Error),
}

fn reply() -> impl Strategy<Value = Reply> {
    let number = prop_oneof![8 => 0..6_i64, 1 => 0..60_i64, 1 => Just(-1), 1 => 0..=i64::MAX];
    let field = prop_oneof![8 => 0..6_i64, 1 => 0..60_i64, 1 => -3..0_i64, 1 => any::<i64>()];
    let statuses = vec!["ACTIVE", "Active", "Canceled", "cancelled", "EXPIRED", "Dunning", "?"];
    let status = (
        prop::option::weighted(0.8, number),
        prop::option::weighted(0.7, field),
        prop::option::weighted(0.9, prop::sample::select(statuses)),
        prop::option::weighted(0.7, -60..400_i64),
    );
    prop_oneof![
        8 => status.prop_map(|(number, field, status, expires)| Reply::Status { number, field, status, expires }),
        1 => Just(Reply::Code(Class::NotFound, 1010)),
        1 => Just(Reply::Code(Class::Configuration, 71)),
        1 => Just(Reply::Code(Class::Transient, 1000)),
        2 => no_answer().prop_map(Reply::None),
    ]
}

impl Reply {
    fn answer(&self) -> Result<Status, Error> {
        let bare = |verdict| Status {
            verdict,
            partner_order_number: None,
            generation: None,
            technical_status: None,
            expires_at: None,
        };
        match self {
            Self::Status { number, field, status, expires } => Ok(Status {
                partner_order_number: number.map(|number| match number {
                    -1 => "ACME-2024-1".to_owned(),
                    0 => ORIGINAL.to_owned(),
                    number => format!("{ORIGINAL}-{number}"),
                }),
                generation: *field,
                technical_status: status.map(str::to_owned),
                expires_at: expires.map(|days| after(NOW, days * DAY)),
                ..bare(Verdict::success())
            }),
            Self::Code(class, code) => Ok(bare(Verdict { class: *class, code: *code, message: String::new() })),
            Self::None(error) => Err(error.clone()),
        }
    }
}

/// The row as the design tells of it; times in Unix seconds.
#[derive(Clone, Debug)]
struct Model {
    tracked: i64,
    ended: Option<i64>,
    generation: Option<i64>,
    expires: Option<i64>,
    reported: bool,
    due_term: Option<i64>,
    told_term: Option<i64>,
    status: Option<String>,
    changes: i64,
    terminal_since: Option<i64>,
    pace: Pace,
    failures: u32,
    refusals: u32,
}

/// What one answer must lead to.
#[derive(Debug, Default)]
struct Expected {
    renewals: Vec<i64>,
    events: Vec<&'static str>,
    surprises: i64,
    /// Seconds until the next poll: about this, never more than that.
    due: (f64, f64),
}

impl Model {
    fn new(generation: Option<i64>, expires: Option<i64>, tracked: i64) -> Self {
        Self {
            tracked,
            ended: None,
            generation,
            expires,
            reported: false,
            due_term: None,
            told_term: None,
            status: None,
            changes: 0,
            terminal_since: None,
            pace: Pace::Regular,
            failures: 0,
            refusals: 0,
        }
    }

    fn answered(&mut self, reply: &Reply, rules: &Rules, now: i64) -> Expected {
        let mut expected = Expected::default();
        match reply {
            Reply::Status { number: Some(-1), .. } => {
                self.usable();
                expected.surprises = 1;
            }
            Reply::Status { number, field, status, expires } => {
                let is_odd = field.is_some_and(|field| field < -1);
                let field = field.map(|field| if field == -1 { 0 } else { field }).filter(|field| *field >= 0);
                let suffix = number.filter(|number| *number > 0);
                let original = number.filter(|_| !is_odd);
                let Some(seen) = suffix.max(field).or(original) else { return self.failed(expected, 0.0, rules) };
                self.usable();
                if self.generation.is_some_and(|known| seen < known || seen - known > rules.max_generation_jump) {
                    expected.surprises = 1;
                } else {
                    let expires = expires.map(|days| NOW.as_unix() + days * DAY);
                    let near_end = self.expires.filter(|end| self.reported && self.is_near(*end, rules, now));
                    self.expires = expires.or(self.expires);
                    self.reported |= expires.is_some();
                    let contradicts = suffix.is_some() && field.is_some() && suffix != field;
                    self.generation(seen, contradicts, expires, near_end, &mut expected);
                    self.status(*status, rules, now, &mut expected);
                    self.due(rules, now, &mut expected);
                }
            }
            Reply::Code(Class::NotFound, _) => {
                self.usable();
                self.daily();
            }
            Reply::Code(Class::Configuration, _) => return self.refused(expected),
            Reply::Code(..) => return self.failed(expected, 0.0, rules),
            Reply::None(Error::Rejected { .. }) => self.failures += 1,
            Reply::None(error) => return self.failed(expected, obeyed(error), rules),
        }
        let interval = if expected.renewals.is_empty() { self.interval(rules) } else { DAY as f64 };
        expected.due = (interval, interval);
        expected
    }

    fn usable(&mut self) {
        (self.failures, self.refusals) = (0, 0);
        self.pace = if self.ended.is_some() { Pace::Monthly } else { Pace::Regular };
    }

    fn daily(&mut self) {
        self.pace = if self.ended.is_some() { self.pace } else { Pace::Daily };
    }

    fn interval(&self, rules: &Rules) -> f64 {
        let every = rules.every.as_secs_f64();
        match self.pace {
            Pace::Regular => every,
            Pace::Daily => every.max(86_400.0),
            Pace::Monthly => 30.0 * 86_400.0,
        }
    }

    fn failed(&mut self, mut expected: Expected, retry_after: f64, rules: &Rules) -> Expected {
        self.failures += 1;
        let interval = self.interval(rules);
        let soon = match self.failures {
            1 => 10.0,
            2 => 60.0,
            3 => 300.0,
            4 => 1800.0,
            _ => interval,
        };
        let about = soon.min(interval);
        expected.due =
            if retry_after > about * 1.1 { (retry_after, retry_after) } else { (about, about.max(retry_after)) };
        expected
    }

    fn refused(&mut self, mut expected: Expected) -> Expected {
        self.refusals += 1;
        self.failures += 1;
        self.daily();
        let seconds = [3600.0, 4.0 * 3600.0, 86_400.0][self.refusals.min(3) as usize - 1];
        expected.due = (seconds, seconds);
        expected
    }

    fn is_near(&self, end: i64, rules: &Rules, now: i64) -> bool {
        let [before, after] = [rules.window_before, rules.window_after].map(|window| window.as_secs() as i64);
        (end - before..end + after).contains(&now)
    }

    /// `near_end`: of the term that was known, as the provider had told it.
    fn generation(
        &mut self,
        seen: i64,
        contradicts: bool,
        expires: Option<i64>,
        near_end: Option<i64>,
        expected: &mut Expected,
    ) {
        let Some(known) = self.generation else {
            self.generation = Some(seen);
            return;
        };
        expected.surprises = i64::from(contradicts);
        if seen > known {
            expected.renewals = (known..seen).map(|before| before + 1).collect();
            self.generation = Some(seen);
            (self.ended, self.terminal_since, self.pace) = (None, None, Pace::Regular);
            self.due_term = near_end.or(self.due_term);
            // The term that was known is the one that was renewed.
            if expires.is_none() {
                (self.expires, self.told_term, self.reported) = (None, None, false);
            }
        }
    }

    fn due(&mut self, rules: &Rules, now: i64, expected: &mut Expected) {
        let Some(end) = self.expires else { return };
        if self.due_term.is_some_and(|term| (term - end).abs() <= 3 * DAY) {
            self.due_term = Some(end);
            return;
        }
        let is_over = |status: &String| ["canceled", "cancelled", "expired"].contains(&status.as_str());
        let may_renew = self.ended.is_none() && !self.status.as_ref().is_some_and(is_over);
        let notify_before = rules.notify_before.as_secs() as i64;
        if may_renew && expected.renewals.is_empty() && (end - notify_before..end).contains(&now) {
            self.due_term = Some(end);
            expected.events.push("subscription.renewal_due");
        }
    }

    fn status(&mut self, status: Option<&str>, rules: &Rules, now: i64, expected: &mut Expected) {
        let before = self.status.clone();
        if let Some(status) = status {
            self.status = Some(status.to_lowercase());
            if before.is_some() && before != self.status {
                self.changes += 1;
                expected.events.push("subscription.status_changed");
            }
        }
        let is_one_of = |names: &[&str]| status.is_some_and(|status| names.contains(&status.to_lowercase().as_str()));
        let (cancelled, expired) = (is_one_of(&["canceled", "cancelled"]), is_one_of(&["expired"]));
        if cancelled || expired {
            self.terminal(rules, now, expected);
        } else if status.is_some() {
            self.terminal_since = None;
            if self.ended.take().is_some() {
                self.pace = Pace::Regular;
            }
        }
        let stays_cancelled = status.is_none() && before.is_some_and(|before| before.starts_with("cancel"));
        let over = |end| end >= self.tracked && now >= end + rules.window_after.as_secs() as i64;
        let over = self.expires.is_some_and(over);
        let may_renew = !cancelled && !stays_cancelled && self.ended.is_none();
        if over && may_renew && expected.renewals.is_empty() && self.told_term != self.expires {
            self.told_term = self.expires;
            expected.events.push("subscription.not_renewed");
        }
    }

    fn terminal(&mut self, rules: &Rules, now: i64, expected: &mut Expected) {
        // Seen under a clock that has been set back since: it counts from now on.
        let since = self.terminal_since.filter(|since| *since <= now).unwrap_or(now);
        self.terminal_since = Some(since);
        if self.ended.is_some() {
            return;
        }
        self.pace = Pace::Daily;
        let long_over = now >= self.expires.unwrap_or(since) + rules.ended_after.as_secs() as i64;
        if expected.renewals.is_empty() && now - since >= DAY && long_over {
            self.ended = Some(now);
            self.pace = Pace::Monthly;
            expected.events.push("subscription.ended");
        }
    }
}

fn tracked(generation: Option<i64>, expires: Option<i64>, tracked: i64, asked: bool) -> Subscription {
    Subscription {
        row: 4711,
        partner_order_number: ORIGINAL.into(),
        generation,
        expires_at: expires.map(|at| after(NOW, at - NOW.as_unix())),
        expiry_reported: false,
        tracked_at: after(NOW, tracked - NOW.as_unix()),
        last_asked_at: asked.then_some(NOW),
        last_answer_at: asked.then_some(NOW),
        last_outcome: None,
        technical_status: None,
        life: None,
        ..fixtures::watched(0, NOW)
    }
}

/// Holds one decision against the model.
fn compare(
    decision: &Decision,
    before: &Subscription,
    model: &Model,
    expected: &Expected,
    rules: &Rules,
    now: i64,
) -> Result<(), TestCaseError> {
    let Decision { after, renewals, events, .. } = decision;
    let state = if model.ended.is_some() { State::Ended } else { State::Watching };
    prop_assert_eq!((after.state, after.generation, after.pace), (state, model.generation, model.pace));
    prop_assert_eq!((after.failures, after.refusals), (model.failures, model.refusals));
    prop_assert_eq!((after.status_changes, after.surprises - before.surprises), (model.changes, expected.surprises));
    prop_assert_eq!(renewals.iter().map(|renewal| renewal.generation).collect::<Vec<_>>(), expected.renewals.clone());
    for renewal in renewals {
        prop_assert_eq!(&renewal.reference, &format!("{ORIGINAL}-{}", renewal.generation));
        prop_assert!(renewal.expires_at.is_none() || Some(renewal.generation) == model.generation);
    }
    prop_assert_eq!(events.iter().map(Event::name).collect::<Vec<_>>(), expected.events.clone());
    let end = model.ended.map(|ended| ended + 365 * DAY);
    let Some(due) = after.due_at else {
        prop_assert!(end.is_some_and(|end| now as f64 + expected.due.1 * 1.1 > end as f64), "asked no more");
        return Ok(());
    };
    prop_assert!(end.is_none_or(|end| due.as_unix() <= end), "asked beyond a year");
    let delay = due.since(self::after(NOW, now - NOW.as_unix()));
    let first = before.last_asked_at.is_none() && after.failures == 0 && renewals.is_empty();
    let spread = if first { rules.every.as_secs_f64() / 2.0 } else { 0.0 };
    let (about, longest) = expected.due;
    let spread_out = delay.as_secs_f64() <= longest && delay.as_secs_f64() >= about - spread - 1.0;
    prop_assert!(is_about(delay, about, longest) || (first && spread_out), "{:?}, not {:?}", delay, expected.due);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_life_is_what_the_model_says(
        rules in rules(),
        generation in prop::option::weighted(0.9, 0..4_i64),
        expires in prop::option::of(-60..60_i64),
        tracked_days in 0..60_i64,
        asked in any::<bool>(),
        polls in prop::collection::vec((reply(), gap()), 1..16),
    ) {
        let expires = expires.map(|days| NOW.as_unix() + days * DAY);
        let since = NOW.as_unix() - tracked_days * DAY;
        let mut row = tracked(generation, expires, since, asked);
        let mut model = Model::new(generation, expires, since);
        let mut now = NOW;
        let mut delivered = Vec::new();
        for (reply, gap) in &polls {
            let answer = reply.answer().map(|status| sighting(ORIGINAL, status));
            let look = Look { before: &row, known: &[], answer: &answer, now, account_answered_at: None, clock: Clock::Believed };
            let decision = decide(look, &rules, &CONVENTION);
            let expected = model.answered(reply, &rules, now.as_unix());
            compare(&decision, &row, &model, &expected, &rules, now.as_unix())?;
            prop_assert!(decision.after.generation >= row.generation, "a generation is never lowered");
            delivered.extend(decision.renewals.iter().map(|renewal| renewal.generation));
            row = decision.after;
            now = after(now, *gap);
        }
        // Each once, in order, without a gap, up to what is stored.
        prop_assert!(delivered.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", delivered);
        prop_assert!(delivered.last().is_none_or(|last| Some(*last) == row.generation));
        if let (Some(first), Some(start)) = (delivered.first(), generation) {
            prop_assert_eq!(*first, start + 1);
        }
    }
}
