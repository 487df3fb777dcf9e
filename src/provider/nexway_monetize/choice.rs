//! Which of a subscription's orders is the one of a generation, since several may name it: upgrades, attempts that were aborted, and
//! the one that counts.

use super::order::{Order, Source, Standing};

/// The order of this generation among those of the subscription; a good one before any other, then the newest.
pub fn of_generation(orders: Vec<Order>, generation: i64) -> Option<Order> {
    orders.into_iter().filter(|order| fits(order, generation)).max_by(|one, other| rank(one).cmp(&rank(other)))
}

/// The same of an order that was asked for by the generation: one that renews need not say which.
pub fn asked_for(order: Order, generation: i64) -> Option<Order> {
    let is_silent = order.generation.is_none() && matches!(order.source(), Source::Renewal | Source::Offer);
    (is_silent || fits(&order, generation)).then_some(order)
}

fn fits(order: &Order, generation: i64) -> bool {
    let may_be_source = match order.source() {
        Source::Upgrade => false,
        // The first term, or a trial; what renews cannot be one.
        Source::Purchase => generation <= 0,
        Source::Renewal | Source::Offer | Source::Unknown => generation >= 0,
    };
    may_be_source && order.generation == Some(generation)
}

/// A source that nobody knows, or a purchase where the trial was converted, only where no other order may still bring the term.
fn rank(order: &Order) -> (bool, Standing, bool, (Option<crate::clock::Timestamp>, &str)) {
    let renews = matches!(order.source(), Source::Renewal | Source::Offer);
    (renews && order.standing() >= Standing::Open, order.standing(), renews, order.age())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::nexway_monetize::order;

    fn chosen(generation: i64, orders: &[(&str, &str, &str, &str)]) -> Option<String> {
        let read = |(at, (id, source, status, own)): (usize, &(&str, &str, &str, &str))| {
            let json = serde_json::json!({"id": id, "source": source, "status": status, "generationId": own,
                                          "createDate": 1_770_000_000_000_i64 + 1000 * at as i64});
            order::read(json.to_string().as_bytes(), Timestamp::from_unix(1_780_000_000)).unwrap()
        };
        of_generation(orders.iter().enumerate().map(read).collect(), generation).map(|order| order.id)
    }

    #[test]
    fn what_is_good_goes_before_what_is_new() {
        let refused = ("R", "SUBSCRIPTION", "PAYMENT_REFUSED", "1");
        let good = ("G", "MANUAL_RENEWAL", "COMPLETED", "1");
        let aborted = ("A", "OFFER", "ABORTED", "1");
        let upgrade = ("U", "MID_TERM_UPGRADE", "COMPLETED", "1");
        let later = ("L", "SUBSCRIPTION", "CREATED", "2");
        assert_eq!(chosen(1, &[refused, good, aborted, upgrade, later]).as_deref(), Some("G"));
        assert_eq!(chosen(1, &[aborted, refused, upgrade, later]).as_deref(), Some("R"));
        assert_eq!(chosen(1, &[aborted, upgrade, later]).as_deref(), Some("A"));
        assert_eq!(chosen(1, &[upgrade, later]), None);
        assert_eq!(chosen(1, &[good, ("N", "SUBSCRIPTION", "COMPLETED", "1")]).as_deref(), Some("N"));
    }

    #[test]
    fn the_first_term_is_bought_or_converted_from_a_trial() {
        let bought = ("P", "PURCHASE", "COMPLETED", "0");
        let converted = ("C", "SUBSCRIPTION", "COMPLETED", "0");
        assert_eq!(chosen(0, &[bought]).as_deref(), Some("P"));
        assert_eq!(chosen(0, &[converted, bought]).as_deref(), Some("C"));
        let trial = ("P", "PURCHASE", "COMPLETED", "0");
        assert_eq!(chosen(0, &[("C", "SUBSCRIPTION", "PAYMENT_PENDING", "0"), trial]).as_deref(), Some("C"));
        assert_eq!(chosen(-1, &[("T", "PURCHASE", "COMPLETED", "-1"), converted]).as_deref(), Some("T"));
        assert_eq!(chosen(1, &[("P", "PURCHASE", "COMPLETED", "1")]), None);
    }

    #[test]
    fn a_source_that_nobody_knows_is_better_than_nothing() {
        let odd = ("X", "LOYALTY", "COMPLETED", "1");
        assert_eq!(chosen(1, &[odd]).as_deref(), Some("X"));
        assert_eq!(chosen(1, &[("G", "SUBSCRIPTION", "COMPLETED", "1"), odd]).as_deref(), Some("G"));
        for pending in ["CREATED", "PAYMENT_PENDING", "PARTIAL_COMPLETED"] {
            assert_eq!(chosen(1, &[("W", "SUBSCRIPTION", pending, "1"), odd]).as_deref(), Some("W"), "{pending}");
        }
        assert_eq!(chosen(1, &[("R", "SUBSCRIPTION", "PAYMENT_REFUSED", "1"), odd]).as_deref(), Some("X"));
        assert_eq!(chosen(1, &[("N", "SUBSCRIPTION", "COMPLETED", "")]), None);
    }
}
