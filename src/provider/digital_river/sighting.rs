//! From a subscription, and its orders where they were read, to what the core is told (digital-river.md, sections 3 and 4).

use std::time::Duration;

use super::convention::Reference;
use super::memo::{Episode, Memo};
use super::order::{Order, Standing};
use super::periods::{self, Move, PATIENCE, Period};
use super::subscription::{State, Subscription};
use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::provider::{Failing, Listed, Payment, Seen, Sighting, Subject};
use crate::text::visible;

/// Characters of a foreign id that are shown.
const SHOWN: usize = 100;
/// An invoice that is not there so long after it was due will not come by itself.
const OVERDUE: Duration = Duration::from_secs(6 * 3600);
/// Before its invoice nothing can happen to a subscription, some leeway for its clock apart.
const LEEWAY: Duration = Duration::from_secs(4 * 3600);
/// Somebody should have activated it by then.
const DRAFT_FOR: Duration = Duration::from_secs(3 * 86_400);

/// Why an answer tells nothing about the subscription that was asked for, if so.
pub fn unusable(asked: &str, subscription: &Subscription) -> Option<Seen> {
    if asked == subscription.id {
        return None;
    }
    let shown = visible(&subscription.id.chars().take(SHOWN).collect::<String>());
    Some(Seen::Foreign(format!("answered for the foreign subscription {shown:?}")))
}

/// What a usable answer tells. `orders`: those that name it, where they were read, and whether by the customer.
pub fn sighting(
    subject: Subject<'_>,
    subscription: &Subscription,
    orders: Option<&(Vec<Order>, bool)>,
    now: Timestamp,
) -> Sighting {
    let before = Memo::read(subject.memo);
    let moved = match &before {
        Some(memo) => Move::of((memo.start, memo.end), subscription.start, subscription.end),
        None => Move::None,
    };
    let mut memo = before.clone().unwrap_or_default();
    let deliveries = match orders {
        Some((orders, by_customer)) => {
            memo.by_customer = *by_customer;
            listed(&mut memo, before.as_ref(), subject, subscription, moved, orders, now)
        }
        None => Vec::new(),
    };
    // A look that has not read the orders leaves a move to be seen by the next.
    if orders.is_some() || moved == Move::None {
        memo.note(subscription);
    }
    let coming = coming(subject.generation, &deliveries);
    let payment = payment(subscription, &mut memo, coming, now);
    Sighting {
        words: subscription.word.clone(),
        life: subscription.life(),
        expires_at: subscription.end,
        as_of: subscription.updated_at,
        partner_reference: subscription.partner_reference.as_deref().map(Into::into),
        next_look: next_look(subscription, &memo, &payment, now),
        payment,
        memo: memo.written(),
        ..Sighting::of(Seen::Listed { first: 0, deliveries, doubt: doubt(subscription, moved, now) })
    }
}

/// Every paid order but those of periods that were told without one; and these periods.
fn listed(
    memo: &mut Memo,
    before: Option<&Memo>,
    subject: Subject<'_>,
    subscription: &Subscription,
    moved: Move,
    orders: &[Order],
    now: Timestamp,
) -> Vec<Listed> {
    let id = subject.subscription_id;
    let mut counted: Vec<_> =
        orders.iter().filter(|order| order.standing() == Standing::Paid && order.is_of(id)).collect();
    counted.sort_by_key(|order| order.age());
    begin(memo, before, subscription, moved, now);
    let is_new = |order: &Order| before.is_some_and(|memo| memo.is_new(order, &counted));
    periods::assign(&mut memo.periods, &counted, id, is_new, now);
    if before.is_none() {
        // Whether the present period is paid for was not watched.
        memo.periods.retain(|period| period.order.is_some());
    }
    // Of one whose order is there, and not paid for, nothing is missing.
    let unpaid: Vec<_> = orders.iter().filter(|order| order.standing() != Standing::Paid && order.is_of(id)).collect();
    let is_unpaid = |period: &Period| unpaid.iter().any(|order| period.would_take(order, id));
    let wait = memo.periods.iter_mut().filter(|period| period.waits() && !subject.is_hinted);
    for period in wait.filter(|period| !is_unpaid(period)) {
        period.looks += 1;
        period.told = period.looks >= PATIENCE;
    }
    let of_told =
        |order: &Order| memo.periods.iter().any(|period| period.told && period.order.as_ref() == Some(&order.id));
    let bought = counted.iter().find(|order| order.is_bought()).or(counted.first()).map(|order| order.id.as_str());
    let own = counted.iter().filter(|order| !of_told(order)).filter_map(|order| {
        let is_bought = bought == Some(&order.id);
        Some(Listed {
            reference: Reference::of_order(&order.id)?,
            occasion: if is_bought { Occasion::Purchase } else { Occasion::Renewal },
            completed_at: order.created_at,
        })
    });
    let told = memo.periods.iter().filter(|period| period.told).map(Period::listed);
    let deliveries = own.chain(told).collect();
    memo.note_orders(&counted, now);
    memo.prune();
    deliveries
}

/// Notes the period that has begun.
fn begin(memo: &mut Memo, before: Option<&Memo>, subscription: &Subscription, moved: Move, now: Timestamp) {
    let Some(end) = subscription.end else { return };
    let from = match before {
        None => subscription.start.map(Timestamp::as_unix),
        Some(_) if matches!(moved, Move::None | Move::Back) => None,
        // By several at once: only that of the last is known.
        Some(memo) if moved == Move::Far => subscription.start.map(Timestamp::as_unix).or(memo.end),
        Some(memo) => memo.end,
    };
    // One that went back and came again is the same.
    if let Some(from) = from
        && !memo.periods.iter().any(|period| period.end == end.as_unix())
    {
        memo.periods.push(Period::begun(from, end, subscription.billed_ahead(), now));
    }
}

/// The label of the delivery that comes next.
fn coming(known: Option<i64>, deliveries: &[Listed]) -> i64 {
    let listed = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
    known.map_or(listed, |known| known.saturating_add(1).max(listed))
}

fn payment(subscription: &Subscription, memo: &mut Memo, generation: i64, now: Timestamp) -> Payment {
    let word = subscription.word.as_deref().unwrap_or_default();
    let (will_retry, reason) = match subscription.state {
        State::PendingInvoice => (Some(true), word),
        State::Unpaid => (Some(false), word),
        State::Active if is_overdue(subscription, now) => (None, "source_invalid"),
        State::Unknown => return Payment::Untold,
        _ => {
            memo.failing = None;
            return Payment::Fine;
        }
    };
    let invoiced_at = subscription.next_invoice_at.filter(|at| *at <= now);
    let since = subscription.opened_at.or(invoiced_at).or(subscription.failed_at).map(Timestamp::as_unix);
    let known = memo.failing.filter(|episode| episode.generation == generation);
    let episode = known.unwrap_or(Episode { generation, since });
    memo.failing = Some(episode);
    Payment::Failing(Box::new(Failing {
        generation,
        since: episode.since.map(Timestamp::from_unix),
        will_retry,
        reason: reason.to_owned(),
    }))
}

fn is_overdue(subscription: &Subscription, now: Timestamp) -> bool {
    subscription.next_invoice_at.is_some_and(|at| at + OVERDUE < now)
}

fn doubt(subscription: &Subscription, moved: Move, now: Timestamp) -> Option<&'static str> {
    match moved {
        Move::Back => Some("the end of the period went back; its orders decide"),
        Move::Far => Some("the end of the period moved on by more than one; its orders decide"),
        Move::None | Move::Forward => {
            let is_old = subscription.created_at.is_some_and(|at| at + DRAFT_FOR < now);
            (subscription.state == State::Draft && is_old)
                .then_some("it has been a draft for more than three days: the seller must activate it")
        }
    }
}

/// While it is paid for and billed later, nothing happens to it.
fn next_look(subscription: &Subscription, memo: &Memo, payment: &Payment, now: Timestamp) -> Option<Duration> {
    let may_rest = matches!(subscription.state, State::Active | State::ActiveFree) && !memo.waits();
    let at = subscription.next_invoice_at.filter(|_| may_rest && *payment == Payment::Fine)?;
    let rest = at.since(now).checked_sub(LEEWAY)?;
    (!rest.is_zero()).then_some(rest)
}
