//! A subscription as the API tells it, alone or as a row of the list (smartpay.md, section 2).

use super::dates::{Day, Zone};
use super::fields::Fields;
use crate::clock::Timestamp;
use crate::life::Life;
use crate::provider::lenient::Scalar;
use crate::provider::{Error, body};

/// Characters. Names of a status have a dozen; what is longer is none, and would be stored for each subscription.
const LONGEST_STATUS: usize = 60;
/// Bytes. A name that was cut would be another one.
const LONGEST_NAME: usize = 255;

/// By the vendor's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Created,
    Pending,
    Trial,
    Active,
    Overdue,
    Paused,
    Cancelled,
    Expired,
    Unknown,
}

/// Each value may be missing or of another type; then it is not told.
#[derive(Debug)]
pub struct Subscription {
    /// As it is spelled there.
    pub id: String,
    pub state: State,
    /// Its own word.
    pub status: Option<String>,
    pub is_deleted: bool,
    pub created_at: Option<Timestamp>,
    /// As it was written, to be compared for being the same.
    pub updated: Option<String>,
    pub updated_at: Option<Timestamp>,
    pub next_billing: Option<Day>,
    pub cycles_remaining: Option<i64>,
    pub has_trial: bool,
    pub zone: Zone,
    pub merchant_id: Option<String>,
    account_id: Option<String>,
}

/// What the body of an answer that came at `now` says.
pub fn read(bytes: &[u8], now: Timestamp) -> Result<Subscription, Error> {
    Subscription::of(&body::parse(bytes)?, now).ok_or_else(|| body::unreadable("a subscription without id"))
}

impl Subscription {
    /// `None`: it has no id.
    pub fn of(fields: &Fields<'_>, now: Timestamp) -> Option<Self> {
        let short = |key: &str| fields.text(key).map(|text| text.chars().take(LONGEST_STATUS).collect::<String>());
        let is_told = |key: &str| !matches!(fields.scalar(key), Scalar::Absent | Scalar::Flag(false));
        let status = short("status");
        Some(Self {
            id: fields.name("id", LONGEST_NAME)?,
            state: status.as_deref().map_or(State::Unknown, state),
            status,
            is_deleted: is_told("deletedat"),
            created_at: fields.instant("createdat", now),
            updated: short("updatedat"),
            updated_at: fields.instant("updatedat", now),
            next_billing: fields.text("nextbillingdate").and_then(|text| Day::read(&text)),
            cycles_remaining: fields.scalar("billingcyclesremaining").integer(),
            has_trial: fields.text("trialenddate").is_some(),
            zone: Zone::read(fields.text("timezone").as_deref()),
            merchant_id: fields.name("externalmerchantid", LONGEST_NAME),
            account_id: fields.name("customeraccountid", LONGEST_NAME),
        })
    }

    pub fn partner_reference(&self) -> Option<&str> {
        self.merchant_id.as_deref().or(self.account_id.as_deref())
    }

    pub fn life(&self) -> Option<Life> {
        match self.state {
            State::Cancelled => Some(Life::Cancelled),
            State::Expired => Some(Life::Expired),
            _ if self.is_deleted => Some(Life::Cancelled),
            State::Created | State::Paused => Some(Life::Paused),
            State::Pending | State::Trial | State::Active | State::Overdue => Some(Life::Running),
            State::Unknown => None,
        }
    }

    /// Whether nothing is charged before its next billing date, if nothing is left unpaid.
    pub fn is_at_rest(&self) -> bool {
        !self.is_deleted && matches!(self.state, State::Pending | State::Trial | State::Active)
    }

    /// Whether what was paid can change while it stays as it is: it is being charged, is over, or nobody knows what it is.
    pub fn is_on_the_move(&self) -> bool {
        !self.is_at_rest() && !matches!(self.life(), Some(Life::Paused))
    }

    /// Whether the day of the next charge may have come.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let begins = self.next_billing.and_then(|day| day.begins_not_before(&self.zone));
        begins.is_some_and(|begins| begins <= now)
    }

    pub fn expires_at(&self, now: Timestamp) -> Option<Timestamp> {
        let is_running = self.life() == Some(Life::Running);
        self.next_billing.filter(|_| is_running).and_then(|day| day.begins(&self.zone, now))
    }

    pub fn words(&self) -> Option<String> {
        match (&self.status, self.is_deleted) {
            (Some(status), true) => Some(format!("{status}, deleted")),
            (None, true) => Some("deleted".to_owned()),
            (status, false) => status.clone(),
        }
    }
}

fn state(word: &str) -> State {
    match word.to_ascii_lowercase().as_str() {
        "created" => State::Created,
        "pending" => State::Pending,
        "trial" => State::Trial,
        "active" => State::Active,
        "overdue" => State::Overdue,
        "paused" => State::Paused,
        "canceled" | "cancelled" => State::Cancelled,
        "expired" => State::Expired,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000); // 2026-05-28T20:26:40Z

    fn read(json: &str) -> Subscription {
        super::read(json.as_bytes(), NOW).unwrap()
    }

    #[test]
    fn each_status_is_kept_and_the_known_ones_mean_something() {
        for (status, life, is_at_rest) in [
            ("created", Some(Life::Paused), false),
            ("pending", Some(Life::Running), true),
            ("Trial", Some(Life::Running), true),
            ("ACTIVE", Some(Life::Running), true),
            ("overdue", Some(Life::Running), false),
            ("paused", Some(Life::Paused), false),
            ("canceled", Some(Life::Cancelled), false),
            ("Cancelled", Some(Life::Cancelled), false),
            ("expired", Some(Life::Expired), false),
            ("frozen", None, false),
        ] {
            let told = read(&format!(r#"{{"id": "a", "status": "{status}"}}"#));
            assert_eq!((told.life(), told.is_at_rest()), (life, is_at_rest), "{status}");
            assert_eq!(told.words().as_deref(), Some(status));
        }
        let deleted = read(r#"{"id": "a", "status": "active", "deletedAt": "2026-05-01T10:00:00.00Z"}"#);
        assert_eq!((deleted.life(), deleted.words().as_deref()), (Some(Life::Cancelled), Some("active, deleted")));
    }

    #[test]
    fn the_next_charge_is_due_when_its_day_may_have_come() {
        let told =
            |zone: &str| read(&format!(r#"{{"id": "a", "status": "active", "nextBillingDate": "2026-05-29"{zone}}}"#));
        assert!(told("").is_due(NOW), "somewhere it is that day");
        assert!(!told(r#", "timezone": "Europe/Berlin""#).is_due(NOW));
        assert!(told(r#", "timezone": "Pacific/Auckland""#).is_due(NOW));
        assert_eq!(told("").expires_at(NOW).unwrap().to_string(), "2026-05-29T00:00:00Z");
        assert_eq!(read(r#"{"id": "a", "status": "paused", "nextBillingDate": "2026-05-29"}"#).expires_at(NOW), None);
    }

    #[test]
    fn all_but_the_id_may_be_missing_or_odd() {
        let bare = read(r#"{"id": "a"}"#);
        assert_eq!((bare.words(), bare.life(), bare.expires_at(NOW), bare.is_due(NOW)), (None, None, None, false));
        let odd = r#"{"id": 7, "status": {}, "updatedAt": [], "deletedAt": false, "nextBillingDate": 20260529, "timezone": 5,
                      "billingCyclesRemaining": "12", "externalMerchantId": {"a": 1}, "customerAccountId": "c"}"#;
        let odd = read(odd);
        assert_eq!((odd.id.as_str(), odd.cycles_remaining, odd.partner_reference()), ("7", Some(12), Some("c")));
        assert!(!odd.is_deleted && odd.updated.is_none());
        for json in ["{}", r#"{"id": ""}"#, r#"{"id": {}}"#, "[]", "", "null", r#"{"id": "a""#] {
            assert!(super::read(json.as_bytes(), NOW).is_err(), "{json}");
        }
    }
}
