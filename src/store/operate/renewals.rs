//! The renewals of one subscription, and asking for their order data again.

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::delivery::{Occasion, Warning};
use crate::renewal::news::{KnownDelivery, NewRenewal};
use crate::store::work::renewals::{RAISED_REVISION, insert};
use crate::store::{Result, Store, rows};

/// A renewal as `explain` shows it.
#[derive(Clone, Debug)]
pub struct RenewalRow {
    pub generation: i64,
    pub reference: String,
    pub occasion: Occasion,
    pub late: bool,
    pub state: String,
    pub revision: i64,
    pub detected_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub seconds_after_expiry: Option<i64>,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_outcome: Option<String>,
    pub last_detail: Option<String>,
    /// Of what was queued last.
    pub warnings: Vec<Warning>,
    pub look_again_at: Option<Timestamp>,
}

impl Store {
    /// The renewals of one subscription, by their labels.
    pub async fn renewals_of(&self, subscription: i64) -> Result<Vec<RenewalRow>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM renewals r WHERE r.subscription = :subscription ORDER BY r.generation, r.id",
                named_params! { ":subscription": subscription },
            )
        })
        .await
    }

    /// Asks for a delivery's order data again, or for the first time: a settled renewal is reopened with its revision raised, so
    /// that its message gets a new id; one that was never recorded is recorded, under this label. The subscription's generation is
    /// raised once the provider has given that order data, and not because somebody has named a number.
    pub async fn refetch(&self, subscription: i64, wanted: KnownDelivery, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            // Who fetches what it is at looks whether an answer that was odd has changed it.
            db.execute(
                "UPDATE subscriptions SET past_surprise = NULL, past_surprise_at = NULL
                 WHERE id = :subscription AND generation = :generation",
                named_params! { ":subscription": subscription, ":generation": wanted.generation },
            )?;
            let update = |change: &str, state: &str| {
                db.execute(
                    &format!(
                        "UPDATE renewals SET next_attempt_at = :now {change}
                         WHERE subscription = :subscription AND reference = :reference AND state {state}"
                    ),
                    named_params! { ":subscription": subscription, ":reference": wanted.reference, ":now": now },
                )
            };
            // As if it had never been asked for.
            let reopened = format!(
                ", revision = {RAISED_REVISION}, state = 'awaiting_order_data', settled_at = NULL, attempts = 0,
                 answered_at = NULL, unanswered = 0, refusals = 0, not_found_answers = 0, not_found_seconds = 0,
                 waiting_answers = 0, waiting_seconds = 0, empty_answers = 0, empty_seconds = 0, transient_answers = 0,
                 transient_seconds = 0, last_outcome = NULL, last_detail = NULL, look_again_at = NULL"
            );
            let brought_forward = update("", "= 'awaiting_order_data'")?;
            let recorded = brought_forward + update(&reopened, "<> 'awaiting_order_data'")?;
            if recorded == 0 {
                insert(db, subscription, &NewRenewal::counted(wanted.generation, wanted.reference.clone()), now)?;
            }
            Ok(())
        })
        .await
    }
}
