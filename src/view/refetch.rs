//! What asking for a delivery's order data again is going to do, said before it is done.

use crate::store::RenewalRow;

/// What is going to happen.
#[derive(Debug, PartialEq, Eq)]
pub struct Refetch {
    /// `reopened`, `brought_forward` or `recorded`.
    pub outcome: &'static str,
    /// The subscription's generation is raised to this one once its order data is there.
    pub raised: bool,
    /// For a person.
    pub text: String,
}

impl Refetch {
    pub fn plan(wanted: i64, current: Option<i64>, known: Option<&RenewalRow>) -> Self {
        let (outcome, mut text) = match known {
            Some(renewal) if renewal.state == "awaiting_order_data" => (
                "brought_forward",
                format!("generation {wanted} is awaited since {}: nothing but the time changes", renewal.detected_at),
            ),
            Some(renewal) => (
                "reopened",
                format!(
                    "generation {wanted} was {} {}: it is fetched again and, if it was announced before, under a new message id",
                    renewal.state,
                    renewal.settled_at.unwrap_or(renewal.detected_at)
                ),
            ),
            None => ("recorded", format!("generation {wanted} was never fetched: it will be delivered like a renewal")),
        };
        let raised = current.is_some_and(|current| wanted > current);
        match current {
            Some(current) if raised => {
                text.push_str(&format!(
                "\nthe subscription is at generation {current}, and at {wanted} for good once the provider has given this one"
            ));
                match (current + 1, wanted - 1) {
                    (first, last) if first > last => {}
                    (first, last) if first == last => text.push_str(&format!("; {first} is not fetched by this")),
                    (first, last) => text.push_str(&format!("; {first} to {last} are not fetched by this")),
                }
            }
            None => {
                text.push_str("\nthe subscription was adopted and not asked yet: its first poll notes its generation")
            }
            Some(_) => {}
        }
        Self { outcome, raised, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_says_what_it_leaves_out() {
        let plan = Refetch::plan(5, Some(1), None);
        assert_eq!((plan.outcome, plan.raised), ("recorded", true));
        let end = "is at generation 1, and at 5 for good once the provider has given this one; 2 to 4 are not fetched by this";
        assert!(plan.text.ends_with(end), "{}", plan.text);
    }

    #[test]
    fn the_next_and_an_old_generation_leave_nothing_out() {
        assert!(Refetch::plan(2, Some(1), None).text.ends_with("once the provider has given this one"));
        assert!(!Refetch::plan(1, Some(1), None).raised && !Refetch::plan(0, None, None).raised);
    }
}
