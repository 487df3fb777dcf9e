//! What an order and its line-item data hold for one subscription: whose rows are its own, whether they are ready, and what is
//! handed over (nexway-monetize.md, section 3).

use super::convention::is_same;
use super::order::{Line as OrderLine, Order, Standing};
use super::rows::{self, Owner, Processed, Row};
use crate::delivery::{Charge, Delivery, Line, Period, Warning};
use crate::provider::{Class, Keys, Part, Verdict};

/// An order with all that is known of its keys.
pub struct Answer {
    pub order: Order,
    /// This very order is wanted, so no other can come in its place.
    pub is_named: bool,
    pub rows: Vec<Row>,
    /// Where the platform shows licence files to people.
    pub file_link: Option<String>,
    /// Line items that were seen to be the subscription's.
    pub known_lines: Vec<String>,
}

/// What is to be done about an order's status.
pub enum Step {
    /// There may be keys.
    Keys,
    Over(Verdict),
}

/// By the status alone; `is_named` as in [`Answer`].
pub fn step(order: &Order, is_named: bool) -> Step {
    let over = |class| Step::Over(verdict(class, order));
    match order.standing() {
        Standing::Good | Standing::Partial => Step::Keys,
        // A further attempt may complete it, and what is under way may take weeks.
        Standing::Refused | Standing::Open => over(Class::Waiting),
        Standing::Dead if is_named => over(Class::Permanent),
        // The count has risen, so something was paid: another order of the generation may come, within the bound of what is
        // not found.
        Standing::Dead => over(Class::NotFound),
    }
}

fn verdict(class: Class, order: &Order) -> Verdict {
    let word = if order.state().is_empty() { "no status" } else { order.state() };
    Verdict { class, code: 0, message: format!("order {} is {word}", order.id) }
}

pub fn not_ours(why: &str) -> Verdict {
    Verdict { class: Class::NotFound, code: 0, message: why.to_owned() }
}

/// What the subscription with this id gets.
pub fn part(answer: &Answer, subscription_id: &str) -> Part {
    let Answer { order, rows, .. } = answer;
    if !order.is_of(subscription_id) {
        return Part::bare(not_ours("the order is another subscription's"));
    }
    if let Step::Over(verdict) = step(order, answer.is_named) {
        return Part::bare(verdict);
    }
    let ours: Vec<_> = rows.iter().filter(|row| is_ours(row, answer, subscription_id)).collect();
    let waits = |row: &&&Row| matches!(row.processed, Processed::Waits | Processed::PartlyCancelled);
    let verdict = if order.standing() != Standing::Good {
        verdict(Class::Waiting, order)
    } else if let Some(row) = ours.iter().find(waits) {
        let word = if row.word.is_empty() { "not told" } else { &row.word };
        Verdict { class: Class::Waiting, code: 0, message: format!("the processing of a key is {word}") }
    } else if ours.iter().any(|row| row.processed == Processed::Done && row.has_odd) {
        Verdict { class: Class::Transient, code: 0, message: "a key is neither text nor number".to_owned() }
    } else {
        Verdict::success()
    };
    let mut delivery = deliver(answer, &ours, subscription_id);
    if verdict.class != Class::Success {
        delivery.warn(Warning::Partial);
        let delivery = (!delivery.is_empty()).then_some(delivery);
        return Part { verdict, delivery, dropped: None, keys: Keys::Expected };
    }
    let keys = if lacks(answer, &ours, subscription_id) { Keys::Outstanding } else { Keys::Expected };
    Part { verdict, delivery: Some(delivery), dropped: None, keys }
}

/// Whether a key is still to come beside those that are there: a complete row without anything, or a line of ours without a row where
/// rows say of which line they are.
fn lacks(answer: &Answer, ours: &[&Row], subscription_id: &str) -> bool {
    let Answer { order, known_lines, .. } = answer;
    let mut done = ours.iter().filter(|row| row.processed == Processed::Done);
    let is_blank = done.clone().any(|row| row.is_blank()) && !done.all(|row| row.is_blank());
    let rows_tell = !ours.is_empty() && ours.iter().all(|row| row.line.is_some());
    let has_row = |id: &String| ours.iter().any(|row| row.line.as_ref().is_some_and(|line| is_same(line, id)));
    let mut lines = order.lines.iter().filter(|line| order.has_line(line, subscription_id, known_lines));
    is_blank || (rows_tell && lines.any(|line| line.id.as_ref().is_some_and(|id| !has_row(id))))
}

/// Whether a licence of the subscription's is a file.
pub fn has_file(answer: &Answer, subscription_id: &str) -> bool {
    answer.rows.iter().any(|row| row.is_file && is_ours(row, answer, subscription_id))
}

/// A row that names the subscription; or, where it names none, one of a line item that is known to be the subscription's.
fn is_ours(row: &Row, answer: &Answer, subscription_id: &str) -> bool {
    if !row.is_in(&answer.order.id) {
        return false;
    }
    match &row.owner {
        Owner::Subscription(id) => is_same(id, subscription_id),
        Owner::Unreadable => false,
        Owner::Nobody => line_of(row, &answer.order)
            .is_some_and(|line| answer.order.has_line(line, subscription_id, &answer.known_lines)),
    }
}

fn line_of<'a>(row: &Row, order: &'a Order) -> Option<&'a OrderLine> {
    let id = row.line.as_ref()?;
    order.lines.iter().find(|line| line.id.as_ref().is_some_and(|own| is_same(own, id)))
}

fn deliver(answer: &Answer, ours: &[&Row], subscription_id: &str) -> Delivery {
    let Answer { order, file_link, known_lines, .. } = answer;
    let mut warnings = Vec::new();
    let mut lines: Vec<(Option<&str>, Line)> = Vec::new();
    for row in ours.iter().filter(|row| matches!(row.processed, Processed::Done | Processed::PartlyCancelled)) {
        let line = match lines.iter_mut().position(|(id, _)| *id == row.line.as_deref()) {
            Some(at) => &mut lines[at].1,
            None => {
                let product = line_of(row, order).and_then(|line| line.product.clone()).or_else(|| row.product.clone());
                lines.push((row.line.as_deref(), empty_line(product)));
                let last = lines.len() - 1;
                &mut lines[last].1
            }
        };
        line.serials.extend(row.serials());
        line.files.extend(row.files());
        if row.is_file {
            line.files.extend(file_link.iter().map(|url| rows::file("licence", url.clone())));
            warnings.push(Warning::FileNotFetched);
        }
    }
    let own: Vec<_> = order.lines.iter().filter(|line| order.has_line(line, subscription_id, known_lines)).collect();
    let mut delivery = Delivery {
        order_number: Some(order.id.clone()),
        period: own.iter().find_map(|line| line.expires_at).map(|end| Period { start: None, end: Some(end) }),
        charge: Some(Box::new(charge(order, &own))),
        lines: lines.into_iter().map(|(_, line)| line).collect(),
        ..Delivery::default()
    };
    warnings.into_iter().for_each(|warning| delivery.warn(warning));
    delivery
}

fn empty_line(product_ref: Option<String>) -> Line {
    let (remark, digital_locker_link) = (String::new(), String::new());
    Line { product_ref, remark, digital_locker_link, download_until: None, serials: Vec::new(), files: Vec::new() }
}

/// Of the whole order where it is the subscription's alone, else of its only line.
fn charge(order: &Order, own: &[&OrderLine]) -> Charge {
    let amount = match own {
        all if all.len() == order.lines.len() => order.amount.clone(),
        [one] => one.amount.clone(),
        _ => None,
    };
    Charge {
        amount,
        currency: order.currency.clone(),
        state: order.payment_state().map(str::to_owned),
        attempts: i64::try_from(order.payments.len()).ok().filter(|count| *count > 0),
        reference: order.payments.last().and_then(|payment| payment.id.clone()),
    }
}

#[cfg(test)]
mod tests;
