//! What an answer with order data holds for one subscription: whose lines are its own, and which of the codes of three levels
//! counts (nexway-connect.md, sections 5.2 to 5.4).

#[cfg(test)]
mod tests;

use super::answers::{LineItem, OrderData, OrderLine};
use crate::delivery::{Delivery, Line, Serial, Warning};
use crate::provider::{Claim, Class, Fetched, Keys, Part, Verdict};

/// Reads the answer to a request for this order number.
pub fn fetched(asked: &str, order: OrderData) -> Fetched {
    let asked = asked.to_owned();
    Fetched::new(order.verdict.clone(), move |claim| part(&asked, claim, &order))
}

fn part(asked: &str, claim: Claim<'_>, order: &OrderData) -> Part {
    if order.partner_order_number.as_deref().is_some_and(|returned| returned != asked) {
        return not_ours("answered for another order number");
    }
    if matches!(order.verdict.class, Class::NotFound | Class::Configuration) {
        return bare(&order.verdict);
    }
    let Some(ours) = ours(claim, order) else {
        return match not_yet(order) {
            Some(verdict) => bare(verdict),
            None => not_ours("the answer holds another subscription's lines only"),
        };
    };
    // Only now: another's cancelled order ends nothing of ours.
    if order.verdict.class == Class::Permanent {
        return bare(&order.verdict);
    }
    let (verdict, dropped) = combine(&order.verdict, &ours);
    let delivery = match verdict.class {
        Class::Success => Some(deliver(&ours, order)),
        class => partial_delivery(class, &ours, order),
    };
    let keys = delivery.as_ref().map_or(Keys::Expected, keys);
    Part { verdict, delivery, dropped, keys }
}

fn bare(verdict: &Verdict) -> Part {
    Part::bare(verdict.clone())
}

/// As "not found": a number composed wrongly, or one that belongs to somebody else.
fn not_ours(why: &str) -> Part {
    bare(&Verdict { class: Class::NotFound, code: 1010, message: why.to_owned() })
}

/// Our part of an order.
struct Ours<'a> {
    lines: Vec<(&'a OrderLine, Vec<&'a LineItem>)>,
    /// No line named any subscription.
    unmatched: bool,
}

/// Picks the lines of one subscription; `None` when the order is not ours.
fn ours<'a>(claim: Claim<'_>, order: &'a OrderData) -> Option<Ours<'a>> {
    // Stored as the provider writes it; another spelling names nobody here.
    let own = claim.subscription_id.parse().ok();
    let mut ids = order.lines.iter().flat_map(|line| &line.items).filter_map(|item| item.subscription_id).peekable();
    if ids.peek().is_none() {
        // Nobody is named. Lines of a number that is another's original are another's lines.
        let lines = order.lines.iter().map(|line| (line, line.items.iter().collect())).collect();
        return (!claim.is_anothers).then_some(Ours { lines, unmatched: true });
    }
    let lines: Vec<(&OrderLine, Vec<&LineItem>)> = order
        .lines
        .iter()
        .map(|line| {
            (line, line.items.iter().filter(|i| i.subscription_id.is_some() && i.subscription_id == own).collect())
        })
        .filter(|(_, items): &(_, Vec<_>)| !items.is_empty())
        .collect();
    (!lines.is_empty()).then_some(Ours { lines, unmatched: false })
}

/// Why an order that names others only may come to name us: it says "not yet" itself, or of something that names nobody.
fn not_yet(order: &OrderData) -> Option<&Verdict> {
    let of_nobody = order.lines.iter().flat_map(|line| {
        let items: Vec<_> = line.items.iter().filter(|item| item.subscription_id.is_none()).collect();
        let line_names_nobody = line.items.is_empty() || !items.is_empty();
        line_names_nobody.then_some(&line.verdict).into_iter().chain(items.into_iter().map(|item| &item.verdict))
    });
    let passing = |verdict: &&Verdict| matches!(verdict.class, Class::Waiting | Class::Transient);
    std::iter::once(&order.verdict).chain(of_nobody).filter(passing).reduce(worse)
}

/// The class that counts, over the order level and our lines and items; and the permanent code of what was left out, if other
/// parts are ready without it. A permanent code speaks for its own line or item only.
fn combine(order: &Verdict, ours: &Ours<'_>) -> (Verdict, Option<Verdict>) {
    let mut worst = order.clone();
    let mut dropped = None;
    let mut ready = 0;
    for (line, items) in &ours.lines {
        // A line's own code concerns all of its items.
        let parts = match (line.verdict.class, items.is_empty()) {
            (Class::Permanent, _) | (_, true) => vec![&line.verdict],
            _ => items.iter().map(|item| worse(&line.verdict, &item.verdict)).collect(),
        };
        for part in parts {
            match part.class {
                Class::Permanent => dropped = Some(part.clone()),
                Class::Success => ready += 1,
                _ => worst = worse(&worst, part).clone(),
            }
        }
    }
    match dropped {
        Some(permanent) if ready == 0 && worst.class == Class::Success => (permanent, None),
        other => (worst, other),
    }
}

/// The worse of two; the first where they are alike.
fn worse<'a>(one: &'a Verdict, other: &'a Verdict) -> &'a Verdict {
    if severity(other.class) > severity(one.class) { other } else { one }
}

/// Among those that pass by themselves the most patient wins: the others are given up sooner.
fn severity(class: Class) -> u8 {
    match class {
        Class::Success => 0,
        Class::NotFound => 1,
        Class::Transient => 2,
        Class::Waiting => 3,
        Class::Configuration => 4,
        Class::Permanent => 5,
    }
}

fn deliver(ours: &Ours<'_>, order: &OrderData) -> Delivery {
    let ready = |verdict: &Verdict| verdict.class == Class::Success;
    let lines: Vec<Line> = ours
        .lines
        .iter()
        .filter(|(line, _)| ready(&line.verdict))
        .filter(|(_, items)| items.is_empty() || items.iter().any(|item| ready(&item.verdict)))
        .map(|(line, items)| to_line(line, items.iter().copied().filter(|item| ready(&item.verdict))))
        .collect();
    let items = ours
        .lines
        .iter()
        .flat_map(|(line, items)| std::iter::once(&line.verdict).chain(items.iter().map(|i| &i.verdict)));
    let mut warnings = Vec::new();
    if items.into_iter().any(|verdict| !ready(verdict)) || !ready(&order.verdict) {
        warnings.push(Warning::Partial);
    }
    if lines.iter().flat_map(|line| &line.serials).any(|serial| !known_encoding(serial)) {
        warnings.push(Warning::UnknownEncoding);
    }
    if ours.unmatched {
        warnings.push(Warning::LinesUnmatched);
    }
    Delivery {
        order_number: order.order_number.map(|number| number.to_string()),
        lines,
        download_manager: order.download_manager.clone(),
        warnings,
        ..Delivery::default()
    }
}

/// What could be handed over at the end of patience: something with content, or nothing.
fn partial_delivery(class: Class, ours: &Ours<'_>, order: &OrderData) -> Option<Delivery> {
    // What waits as a whole may be unpaid, whatever lies in it.
    if order.verdict.class == Class::Waiting {
        return None;
    }
    let mut delivery = deliver(ours, order);
    if class == Class::Transient && delivery.is_empty() {
        // Trouble beside the keys, such as 1040 (download link), leaves them usable. Not so an unpaid line.
        let every = ours.lines.iter().map(|(line, items)| to_line(line, items.iter().copied()));
        delivery.lines = every.filter(|line| !line.serials.iter().all(|serial| serial.data.is_blank())).collect();
    }
    (!delivery.is_empty()).then_some(delivery)
}

/// A key that is announced and blank is still to come. No key at all is right for some products.
fn keys(delivery: &Delivery) -> Keys {
    let is_announced = delivery.serials().any(|serial| serial.data.is_blank());
    if is_announced { Keys::Outstanding } else { Keys::Expected }
}

fn to_line<'a>(line: &OrderLine, items: impl Iterator<Item = &'a LineItem>) -> Line {
    Line {
        product_ref: line.product_ref.map(|product| product.to_string()),
        remark: line.remark.clone(),
        digital_locker_link: line.digital_locker_link.clone(),
        download_until: line.download_until.clone(),
        serials: items.flat_map(|item| item.serials.iter().cloned()).collect(),
        files: line.files.clone(),
    }
}

fn known_encoding(serial: &Serial) -> bool {
    let encoding = serial.encoding.as_str();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("text") || encoding.eq_ignore_ascii_case("base64")
}
