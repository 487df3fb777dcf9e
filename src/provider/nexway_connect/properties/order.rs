//! A renewal that waits for its order data, under any sequence of answers, beside a model of design section 4: whose lines are
//! ours, which class counts, and when patience ends.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::delivery::{FailReason, LicenceKey, Serial, Warning};
use crate::provider::nexway_connect::answers::{LineItem, OrderData, OrderLine};
use crate::provider::nexway_connect::order::fetched;
use crate::provider::{Claim, Class, Error, Verdict};
use crate::renewal::order::{Patience, Step, decide};
use crate::renewal::properties::{NOW, after, config, gap, no_answer, obeyed, rules};

const NUMBER: &str = "ACME-2024-001-3";
const OURS: i64 = 5_618_577;
const HOUR: i64 = 3600;

/// One unit of a line: whose (`None` says nobody), how it stands, and whether it has a key.
type Item = (Option<i64>, Class, bool);

#[derive(Clone, Debug)]
enum Reply {
    /// `number`: whether the answer names one, and if so whether it is ours.
    Order {
        number: Option<bool>,
        class: Class,
        lines: Vec<(Class, Vec<Item>)>,
    },
    None(Error),
}

fn class() -> impl Strategy<Value = Class> {
    use Class::*;
    prop_oneof![
        8 => Just(Success),
        1 => Just(NotFound),
        2 => Just(Waiting),
        2 => Just(Transient),
        1 => Just(Permanent),
        1 => Just(Configuration),
    ]
}

fn lines() -> impl Strategy<Value = Vec<(Class, Vec<Item>)>> {
    let named = (prop::option::weighted(0.9, prop_oneof![3 => Just(OURS), 1 => Just(7_i64)]), class(), any::<bool>());
    let nobodys = (Just(None), class(), any::<bool>());
    prop_oneof![
        3 => prop::collection::vec((class(), prop::collection::vec(named, 0..4)), 0..3),
        1 => prop::collection::vec((class(), prop::collection::vec(nobodys, 0..3)), 0..3),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let number = prop_oneof![4 => Just(Some(true)), 3 => Just(None), 1 => Just(Some(false))];
    let order = (number, class(), lines()).prop_map(|(number, class, lines)| Reply::Order { number, class, lines });
    prop_oneof![5 => order, 1 => no_answer().prop_map(Reply::None)]
}

/// The same answer again and again, as a provider gives it, with others in between.
fn replies() -> impl Strategy<Value = Vec<Reply>> {
    let run = (reply(), 1..12_usize).prop_map(|(reply, times)| vec![reply; times]);
    prop::collection::vec(run, 1..4).prop_map(|runs| runs.concat())
}

fn verdict(class: Class) -> Verdict {
    Verdict { class, code: i64::from(class != Class::Success), message: String::new() }
}

/// The key of an item names its place.
fn answer(reply: &Reply) -> Result<OrderData, Error> {
    let (number, class, lines) = match reply {
        Reply::Order { number, class, lines } => (number, class, lines),
        Reply::None(error) => return Err(error.clone()),
    };
    let item = |at: (usize, usize), (subscription_id, class, has_key): &Item| LineItem {
        verdict: verdict(*class),
        subscription_id: *subscription_id,
        serials: has_key.then(|| key(at)).into_iter().collect(),
    };
    let line = |(n, (class, items)): (usize, &(Class, Vec<Item>))| OrderLine {
        verdict: verdict(*class),
        product_ref: None,
        remark: String::new(),
        digital_locker_link: String::new(),
        download_until: None,
        files: Vec::new(),
        items: items.iter().enumerate().map(|(m, one)| item((n, m), one)).collect(),
    };
    Ok(OrderData {
        verdict: verdict(*class),
        partner_order_number: number.map(|ours| if ours { NUMBER.to_owned() } else { "ACME-2024-001".to_owned() }),
        order_number: None,
        lines: lines.iter().enumerate().map(line).collect(),
        download_manager: None,
    })
}

fn key((line, item): (usize, usize)) -> Serial {
    let data = LicenceKey::new(format!("{line}/{item}"));
    Serial { data, encoding: "text".into(), charset: "utf-8".into(), file_name: String::new() }
}

/// What follows from one answer.
#[derive(Debug, PartialEq)]
enum Expected {
    /// These keys; whether the receiver is told that there is more.
    Deliver(Vec<String>, bool),
    /// Not yet, and this class's patience is spent a little.
    NotReady(Class),
    Refused,
    /// Whether something will never come besides.
    Empty(bool),
    GiveUp,
    NoAnswer,
}

/// Who is meant by the lines: as the design says it, key by key.
fn expected(reply: &Reply, original_of_another: bool) -> Expected {
    let (number, order, lines) = match reply {
        Reply::Order { number, class, lines } => (number, class, lines),
        Reply::None(Error::Unreadable { .. } | Error::Rejected { .. }) => return Expected::NotReady(Class::Transient),
        Reply::None(_) => return Expected::NoAnswer,
    };
    let nobody_named = lines.iter().all(|(_, items)| items.iter().all(|(whose, ..)| whose.is_none()));
    let is_ours = |whose: &Option<i64>| nobody_named || *whose == Some(OURS);
    let any_ours = if nobody_named { !original_of_another } else { parts(lines, &is_ours).next().is_some() };
    match order {
        _ if *number == Some(false) => return Expected::NotReady(Class::NotFound),
        Class::NotFound => return Expected::NotReady(Class::NotFound),
        Class::Configuration => return Expected::Refused,
        _ if !any_ours => return Expected::NotReady(not_yet(*order, lines)),
        Class::Permanent => return Expected::GiveUp,
        _ => {}
    }
    let classes: Vec<Class> = parts(lines, &is_ours).map(|(class, _)| class).collect();
    let waits = [Class::Configuration, Class::Waiting, Class::Transient, Class::NotFound];
    let waits = waits.into_iter().find(|class| order == class || classes.contains(class));
    let permanent = classes.contains(&Class::Permanent);
    match waits {
        None if permanent && !classes.contains(&Class::Success) => Expected::GiveUp,
        Some(Class::Configuration) => Expected::Refused,
        Some(class) => Expected::NotReady(class),
        None => {
            let ready = parts(lines, &is_ours).filter(|(class, _)| *class == Class::Success);
            let keys: Vec<String> = ready.filter_map(|(_, key)| key).collect();
            if keys.is_empty() { Expected::Empty(permanent) } else { Expected::Deliver(keys, permanent) }
        }
    }
}

/// An order without us: what says "not yet" for nobody by name may say it for us.
fn not_yet(order: Class, lines: &[(Class, Vec<Item>)]) -> Class {
    let mut said = vec![order];
    for (line, items) in lines {
        let nobodys = items.iter().filter(|(whose, ..)| whose.is_none()).map(|(_, class, _)| *class);
        said.extend(nobodys);
        if items.is_empty() || items.iter().any(|(whose, ..)| whose.is_none()) {
            said.push(*line);
        }
    }
    let passing = [Class::Waiting, Class::Transient].into_iter().find(|class| said.contains(class));
    passing.unwrap_or(Class::NotFound)
}

/// Our items, each with the worse of its own class and its line's, and its key. A line that will never come, and one without
/// items where nobody is named, counts as one.
fn parts<'a>(
    lines: &'a [(Class, Vec<Item>)],
    is_ours: &'a dyn Fn(&Option<i64>) -> bool,
) -> impl Iterator<Item = (Class, Option<String>)> + 'a {
    let worst = [Class::Permanent, Class::Configuration, Class::Waiting, Class::Transient, Class::NotFound];
    lines.iter().enumerate().flat_map(move |(n, (line, items))| {
        let alone = (items.is_empty() && is_ours(&None)).then_some((*line, None));
        let ours = items.iter().enumerate().filter(|(_, (whose, ..))| is_ours(whose));
        let of_items = ours.map(move |(m, (_, class, has_key))| {
            let worse = worst.into_iter().find(|bad| bad == line || bad == class).unwrap_or(Class::Success);
            (worse, has_key.then(|| format!("{n}/{m}")))
        });
        alone.into_iter().chain(of_items)
    })
}

/// What a renewal has been through: of each class the answers and the seconds between them.
#[derive(Default)]
struct Model {
    spent: BTreeMap<&'static str, (u32, i64)>,
    answered: Option<i64>,
}

impl Model {
    /// Whether patience with this class is over.
    fn not_ready(&mut self, class: Class, now: i64) -> bool {
        match class {
            Class::NotFound => self.is_spent("not found", 48 * HOUR, now),
            Class::Waiting => self.is_spent("waiting", 30 * 24 * HOUR, now),
            _ => self.is_spent("transient", 72 * HOUR, now),
        }
    }

    /// Whether an answer without content is believed.
    fn empty(&mut self, now: i64) -> bool {
        self.is_spent("empty", 72 * HOUR, now)
    }

    fn is_spent(&mut self, name: &'static str, bound: i64, now: i64) -> bool {
        let since = self.answered.map_or(0, |before| (now - before).clamp(0, 26 * HOUR));
        let (answers, seconds) = self.spent.entry(name).or_default();
        *seconds += if *answers == 0 { 0 } else { since };
        *answers += 1;
        self.answered = Some(now);
        *answers >= 8 && *seconds >= bound
    }
}

fn delivered(step: &Step) -> Option<Vec<String>> {
    let Step::Deliver { delivery, .. } = step else { return None };
    Some(delivery.serials().map(|serial| serial.data.reveal().to_owned()).collect())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_wait_ends_as_the_model_says(
        rules in rules(),
        original_of_another in prop::bool::weighted(0.2),
        replies in replies(),
        gaps in prop::collection::vec(gap(), 33),
    ) {
        let claim = Claim { subscription_id: &OURS.to_string(), is_anothers: original_of_another };
        let (mut patience, mut model, mut now) = (Patience::default(), Model::default(), NOW);
        for (reply, gap) in replies.iter().zip(gaps) {
            let answer = answer(reply).map(|order| fetched(NUMBER, order).part(claim));
            let step = decide(&patience, answer.as_ref().cloned(), &rules, now);
            let expected = expected(reply, original_of_another);
            let over = match &expected {
                Expected::NotReady(class) => model.not_ready(*class, now.as_unix()),
                Expected::Empty(_) => model.empty(now.as_unix()),
                Expected::Refused | Expected::NoAnswer => {
                    model.answered = None;
                    false
                }
                Expected::Deliver(..) | Expected::GiveUp => true,
            };
            match (&step, &expected) {
                (Step::Deliver { partial, .. }, Expected::Deliver(keys, more)) => {
                    prop_assert_eq!(delivered(&step), Some(keys.clone()));
                    prop_assert_eq!(partial.is_some(), *more);
                }
                (Step::Deliver { delivery, partial }, Expected::Empty(more)) => {
                    prop_assert!(over && partial.is_some() == *more && delivery.warnings.contains(&Warning::Empty));
                }
                (Step::Deliver { partial: Some(failed), .. }, Expected::NotReady(_)) => {
                    prop_assert!(over && failed.reason == FailReason::Partial);
                    prop_assert!(delivered(&step).is_some_and(|keys| keys.iter().all(|key| is_ours(reply, key))));
                }
                (Step::GiveUp(failed), Expected::GiveUp) => prop_assert_eq!(failed.reason, FailReason::Refused),
                (Step::GiveUp(_), Expected::NotReady(_)) => prop_assert!(over, "given up too soon"),
                (Step::AskAgain { at, .. }, _) => {
                    prop_assert!(!over, "asked again, not {:?}", expected);
                    let none = Duration::ZERO;
                    let refused = if expected == Expected::Refused { Duration::from_secs(86_400) } else { none };
                    let after = if let Reply::None(error) = reply { Duration::from_secs_f64(obeyed(error)) } else { none };
                    let longest = rules.retry_max.max(refused).max(after);
                    prop_assert!(*at > now && *at <= now + longest, "{:?}", at.since(now));
                }
                (step, expected) => prop_assert!(false, "{:?}, not {:?}", step, expected),
            }
            let Step::AskAgain { patience: after_it, .. } = step else { break };
            patience = after_it;
            now = after(now, gap);
        }
    }
}

/// Whether a key may go to us at all: its item names us, or nobody is named.
fn is_ours(reply: &Reply, key: &str) -> bool {
    let Reply::Order { lines, .. } = reply else { return false };
    let (line, item) = key.split_once('/').expect("its place");
    let whose = lines[line.parse::<usize>().expect("a number")].1[item.parse::<usize>().expect("a number")].0;
    whose.map_or_else(|| lines.iter().flat_map(|(_, items)| items).all(|(whose, ..)| whose.is_none()), |id| id == OURS)
}
