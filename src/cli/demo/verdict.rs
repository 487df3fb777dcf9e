//! What came of it: every renewal in the provider's books held against what the shop received.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::stage::{Actor, Outcome, Paid, Stage};
use super::witness::{Witness, event, keys, locker_link};

/// What `demo --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Every generation was handed over exactly once, with the provider's own keys.
    pub(super) ok: bool,
    pub(super) simulated_days: u32,
    pub(super) real_seconds: f64,
    pub(super) polls: u64,
    /// Requests that the fake provider answered, tokens and order data included.
    pub(super) requests: u64,
    /// Generations in the provider's books.
    pub(super) renewals: usize,
    /// Of these, handed over with the provider's keys (or its locker link).
    pub(super) delivered: usize,
    /// Of these, refused by the provider for ever, and the shop told so.
    pub(super) refused: usize,
    /// All messages in the file `deliveries`.
    pub(super) messages: usize,
    pub(super) directory: PathBuf,
    pub(super) settings: PathBuf,
    pub(super) database: PathBuf,
    pub(super) deliveries: PathBuf,
    pub(super) subscriptions: Vec<Row>,
}

/// One subscription of [`Summary`].
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) label: String,
    #[serde(skip)]
    pub(super) outcome: Outcome,
    pub(super) partner_order_number: String,
    pub(super) subscription_id: String,
    pub(super) case: &'static str,
    /// Generations in the provider's books.
    pub(super) renewals: usize,
    pub(super) delivered: usize,
    pub(super) refused: usize,
    /// Serials that the provider's order data holds, and those that arrived.
    pub(super) keys_expected: usize,
    pub(super) keys_received: usize,
    /// Every generation arrived exactly once, all keys are the provider's and in its order, and nothing arrived beside them.
    pub(super) ok: bool,
}

/// Judges each subscription. A message about nobody we know makes everything wrong, which the returned flag says.
pub(super) fn judge(witness: &Witness, stage: &dyn Stage) -> (Vec<Row>, bool) {
    let (books, keys) = (stage.renewals(), |paid: &Paid| stage.keys(paid));
    let rows: Vec<Row> = witness.actors().iter().map(|actor| row(actor, &books, witness.received(), keys)).collect();
    let known = |message: &Value| witness.actors().iter().any(|actor| is_about(message, actor));
    let ok = rows.iter().all(|row| row.ok) && witness.received().iter().all(known);
    (rows, ok)
}

fn row(actor: &Actor, books: &[Paid], received: &[Value], keys_of: impl Fn(&Paid) -> Vec<String>) -> Row {
    let paid = books.iter().filter(|r| r.number == actor.number && r.subscription_id == actor.subscription_id);
    let about: Vec<&Value> = received.iter().filter(|message| is_about(message, actor)).collect();
    let mut row = Row {
        label: actor.label.clone(),
        outcome: actor.outcome,
        partner_order_number: actor.number.clone(),
        subscription_id: actor.subscription_id.clone(),
        case: actor.case,
        renewals: 0,
        delivered: 0,
        refused: 0,
        keys_expected: 0,
        keys_received: about.iter().filter(|m| event(m) == "renewal.ready").map(|m| keys(&m["data"]).len()).sum(),
        ok: true,
    };
    for renewal in paid {
        row.renewals += 1;
        let arrived = |name| distinct(&about, name, renewal.generation);
        let (ready, failed) = (arrived("renewal.ready"), arrived("renewal.failed"));
        let expected = keys_of(renewal);
        let right = match (actor.outcome, ready.as_slice(), failed.as_slice()) {
            (Outcome::Keys, [one], []) => !expected.is_empty() && keys(&one["data"]) == expected,
            (Outcome::Charge, [one], []) => {
                let data = &one["data"];
                // A term without a charge says that something is missing.
                let is_charged = data["charge"].is_object() || data["warnings"] != serde_json::json!([]);
                keys(data).is_empty() && data["reference"] == renewal.reference && is_charged
            }
            (Outcome::Locker, [one], []) => keys(&one["data"]).is_empty() && locker_link(&one["data"]).is_some(),
            (Outcome::Refused, [], [_]) => true,
            _ => false,
        };
        row.ok &= right;
        row.delivered += usize::from(right && !ready.is_empty());
        row.refused += usize::from(right && ready.is_empty());
        row.keys_expected += if actor.outcome == Outcome::Keys { expected.len() } else { 0 };
    }
    row.ok &= row.keys_received == row.keys_expected;
    row
}

fn is_about(message: &Value, actor: &Actor) -> bool {
    let about = &message["data"]["subscription"];
    about["partner_order_number"] == actor.number.as_str() && about["subscription_id"] == actor.subscription_id
}

/// The messages of one event and generation; the same id twice is the same message.
fn distinct<'a>(about: &[&'a Value], name: &str, generation: i64) -> Vec<&'a Value> {
    let mut ids = BTreeSet::new();
    let of_it = about.iter().filter(|m| event(m) == name && m["data"]["generation"] == generation);
    of_it.filter(|m| ids.insert(m["id"].to_string())).copied().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;

    fn ready(id: &str, subscription_id: &str, keys: &[String]) -> Value {
        let serials: Vec<Value> = keys.iter().map(|key| json!({"data": key, "file_name": ""})).collect();
        let about = json!({"partner_order_number": "A", "subscription_id": subscription_id});
        let data = json!({"subscription": about, "generation": 1, "lines": [{"serials": serials}]});
        json!({"id": id, "type": "renewald.renewal.ready.v1", "data": data})
    }

    #[test]
    fn only_the_right_key_exactly_once_is_right() {
        let actor = Actor {
            number: "A".into(),
            subscription_id: "1".into(),
            label: "A".into(),
            case: "",
            outcome: Outcome::Keys,
        };
        let renewed_at = Timestamp::from_unix(0);
        let paid = Paid {
            number: "A".into(),
            subscription_id: "1".into(),
            generation: 1,
            reference: "A-1".into(),
            renewed_at,
        };
        let keys = vec!["K".to_owned()];
        let right = ready("1", "1", &keys);
        let wrong = ready("1", "1", &["L".to_owned()]);
        let again = json!({"id": "2", "type": right["type"], "data": right["data"]});
        let is_right = |received: &[Value]| row(&actor, std::slice::from_ref(&paid), received, |_| keys.clone()).ok;
        assert!(is_right(std::slice::from_ref(&right)));
        assert!(!is_right(&[]), "missing");
        assert!(!is_right(&[wrong]), "another key");
        assert!(!is_right(&[right.clone(), again]), "two messages of one generation");
    }
}
