//! Cancel, suspend, reactivate.

use super::found::Found;
use super::{Attempt, done};
use crate::budget::Slot;
use crate::call::{Call, Name, OfSubscription};
use crate::provider::Error;
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::subscription::Subscription;
use crate::provider::shop::{Outcome, Reply};

impl Client {
    pub(super) async fn change(&self, call: &Call, of: &OfSubscription, slot: Slot) -> Result<Attempt, Error> {
        let found = match self.found(&of.subscription_id, slot).await? {
            Ok(found) => found,
            Err(reply) => return Ok(Attempt::Told(reply)),
        };
        if let Some(reply) = needless(call.name(), &found.subscription) {
            return Ok(Attempt::Told(reply));
        }
        // The last part of the path is what the call is called.
        let path = format!("{}/{}", self.subscription_path(&of.subscription_id), call.name());
        Ok(match self.post(call, &path, None, self.further().await?).await? {
            Ok(answer) => Attempt::Told(done(&answer, serde_json::from_slice(&answer.body).ok(), Vec::new())),
            Err(Attempt::Told(reply)) => Attempt::Told(by_its_rules(reply, &found)),
            Err(stale) => stale,
        })
    }
}

/// It may not, as it stands: a rule of the platform.
fn by_its_rules(reply: Reply, found: &Found) -> Reply {
    if !matches!(reply.code, 400 | 405 | 422) {
        return reply;
    }
    let told = if reply.message.is_empty() { String::new() } else { format!(": {}", reply.message) };
    Reply { message: format!("as it stands ({}) it may not{told}", found.word()), ..reply }
}

/// What is so already, and what cannot become so any more. Whether a cancelled one can be reactivated the sources tell differently: it
/// is asked for.
fn needless(call: Name, found: &Subscription) -> Option<Reply> {
    let is_over = found.is("canceled") || found.is("expired");
    let outcome = match call {
        Name::Cancel if is_over => Outcome::Already,
        Name::Suspend if found.is("suspended") => Outcome::Already,
        Name::Suspend if is_over => Outcome::Refused,
        Name::Reactivate if found.is("active") => Outcome::Already,
        Name::Reactivate if found.is("expired") => Outcome::Refused,
        _ => return None,
    };
    Some(Reply::bare(outcome, 0, format!("it is {}", found.status.as_deref().unwrap_or("over"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::nexway_monetize::subscription;

    fn outcome(call: Name, status: &str) -> Option<Outcome> {
        let body = serde_json::json!({ "id": "x", "lifecycle": { "status": status, "generation": 0 } }).to_string();
        let found = subscription::read(body.as_bytes(), Timestamp::constant(1_780_000_000)).unwrap();
        needless(call, &found).map(|reply| reply.outcome)
    }

    #[test]
    fn what_is_so_already_is_not_asked_for() {
        use Outcome::{Already, Refused};
        let of = |status| [Name::Cancel, Name::Suspend, Name::Reactivate].map(|call| outcome(call, status));
        assert_eq!(of("Active"), [None, None, Some(Already)]);
        assert_eq!(of("SUSPENDED"), [None, Some(Already), None]);
        assert_eq!(of("Canceled"), [Some(Already), Some(Refused), None]);
        assert_eq!(of("Expired"), [Some(Already), Some(Refused), Some(Refused)]);
        assert_eq!(of("Renewing"), [None; 3]);
    }
}
