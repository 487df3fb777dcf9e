//! Renewals: recorded, and waiting for their order data.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::renewal::again::Sent;
use crate::renewal::news::{KnownDelivery, NewRenewal};
use crate::renewal::order::Patience;
use crate::store::{Result, Store, rows};

/// A renewal whose order data is due: awaited, or looked at again.
#[derive(Clone, Debug)]
pub struct DueRenewal {
    pub row: i64,
    /// Row of its subscription.
    pub subscription: i64,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    /// One order, and one answer, may be for several subscriptions.
    pub is_numbered: bool,
    pub partner_reference: Option<String>,
    pub metadata: String,
    pub memo: Option<String>,
    pub generation: i64,
    pub revision: i64,
    pub reference: String,
    pub occasion: Occasion,
    pub late: bool,
    pub detected_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub due_at: Timestamp,
    /// It was fetched before, and a message with it is in the outbox, whatever became of that.
    pub was_queued: bool,
    pub patience: Patience,
    /// `None`: it is awaited, and nothing has been sent of this revision.
    pub sent: Option<Sent>,
}

impl DueRenewal {
    /// Who waits for the same order data has the same.
    pub fn order(&self) -> Order {
        Order(self.alone(), self.reference.clone())
    }

    /// Who belongs to the same original order has the same.
    pub fn original(&self) -> Order {
        Order(self.alone(), self.partner_order_number.clone())
    }

    fn alone(&self) -> Option<i64> {
        (!self.is_numbered).then_some(self.subscription)
    }
}

/// An order that subscriptions share, or what one has alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order(Option<i64>, String);

/// The two reasons to ask for order data: the column of its time, and which rows have one.
const DUE: [(&str, &str); 2] =
    [("next_attempt_at", "state = 'awaiting_order_data'"), ("look_again_at", "look_again_at IS NOT NULL")];

impl Store {
    /// Renewals of these territories whose order data is due, the longest due first, from behind `after` (due, row).
    pub async fn due_renewals(
        &self,
        provider: &str,
        territories: &[String],
        until: Timestamp,
        after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<DueRenewal>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            // Each index leads to no more rows than the page holds: whatever else is due is not sorted.
            let [awaited, looked_at] = DUE.map(|(time, condition)| {
                format!(
                    "SELECT * FROM (
                         SELECT r.id, r.{time} AS due_at FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                         WHERE r.provider = :provider AND r.{condition}
                           AND s.territory IN (SELECT value FROM json_each(:territories))
                           AND r.{time} <= :until AND (r.{time}, r.id) > (:after_at, :after_id)
                         ORDER BY r.{time}, r.id LIMIT :limit)"
                )
            });
            rows::all(
                db,
                &format!(
                    "FROM ({awaited} UNION ALL {looked_at}) due
                     CROSS JOIN renewals r ON r.id = due.id JOIN subscriptions s ON s.id = r.subscription
                     ORDER BY due.due_at, due.id LIMIT :limit"
                ),
                named_params! {
                    ":provider": provider, ":territories": territories, ":until": until, ":after_at": after.0,
                    ":after_id": after.1, ":limit": limit as i64,
                },
            )
        })
        .await
    }

    /// When the next renewal of these territories is due.
    pub async fn next_renewal_due(&self, provider: &str, territories: &[String]) -> Result<Option<Timestamp>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            let [awaited, looked_at] = DUE.map(|(time, condition)| {
                format!(
                    "SELECT r.{time} AS due_at FROM renewals r
                     WHERE r.provider = :provider AND r.{condition}
                       AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = r.subscription
                                   AND s.territory IN (SELECT value FROM json_each(:territories)))
                     ORDER BY r.{time} LIMIT 1"
                )
            });
            rows::value(
                db,
                &format!("SELECT min(due_at) FROM (SELECT * FROM ({awaited}) UNION ALL SELECT * FROM ({looked_at}))"),
                named_params! { ":provider": provider, ":territories": territories },
            )
        })
        .await
    }

    /// Who waits for the same order data as this one, or looks for what it lacked: where an order may hold several
    /// subscriptions, all of that order in one territory, as one answer serves them all.
    pub async fn waiting_with(&self, provider: &str, one: &DueRenewal) -> Result<Vec<DueRenewal>> {
        let (provider, territory) = (provider.to_owned(), one.territory.clone());
        let (row, reference) = (one.row, one.reference.clone());
        self.read(move |db| {
            rows::all(
                db,
                "FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                 WHERE r.id IN (SELECT id FROM renewals WHERE reference = :reference AND state = 'awaiting_order_data'
                                UNION ALL
                                SELECT id FROM renewals WHERE reference = :reference AND look_again_at IS NOT NULL)
                   AND r.provider = :provider AND s.territory = :territory AND (s.is_numbered = 1 OR r.id = :row)
                 ORDER BY r.id",
                named_params! {
                    ":reference": reference, ":provider": provider, ":territory": territory, ":row": row,
                },
            )
        })
        .await
    }

    /// The deliveries of a subscription that are recorded, whatever became of them.
    pub async fn recorded(&self, subscription: i64) -> Result<Vec<KnownDelivery>> {
        self.read(move |db| {
            let named = named_params! { ":subscription": subscription };
            rows::all(db, "FROM renewals r WHERE r.subscription = :subscription", named)
        })
        .await
    }

    /// Whether `number` is the original number of a subscription other than `row` that is, or was, tracked.
    pub async fn is_original_of_another(&self, provider: &str, number: &str, row: i64) -> Result<bool> {
        let (provider, number) = (provider.to_owned(), number.to_owned());
        self.read(move |db| {
            rows::exists(
                db,
                "SELECT 1 FROM subscriptions
                 WHERE provider = :provider AND partner_order_number = :number AND id <> :row AND is_numbered = 1",
                named_params! { ":provider": provider, ":number": number, ":row": row },
            )
        })
        .await
    }
}

/// Counts the message that was queued for a renewal before: the next one gets another id.
pub(in crate::store) const RAISED_REVISION: &str = "revision + (SELECT count(*) > 0 FROM messages m
     WHERE m.subscription = renewals.subscription AND m.reference = renewals.reference)";

/// Records one renewal, or leaves alone one that is recorded already. One that was given up or dropped before any poll saw its
/// generation, because a person had named it too early, begins anew, behind those recorded before this one. So does one that was
/// told as never paid for.
pub(in crate::store) fn insert(db: &Connection, subscription: i64, renewal: &NewRenewal, now: Timestamp) -> Result<()> {
    let revision: Option<i64> = db
        .prepare_cached(&format!(
            "DELETE FROM renewals WHERE subscription = :subscription AND reference = :reference
             AND state IN ('abandoned', 'dropped') RETURNING {RAISED_REVISION}"
        ))?
        .query_row(named_params! { ":subscription": subscription, ":reference": renewal.reference }, |row| row.get(0))
        .optional()?;
    db.prepare_cached(
        "INSERT INTO renewals (subscription, provider, generation, reference, occasion, late, revision, detected_at, expires_at,
                               seconds_after_expiry, next_attempt_at)
         SELECT id, provider, :generation, :reference, :occasion, :late,
                coalesce(:revision, (SELECT count(*) > 0 FROM messages m
                                     WHERE m.subscription = :subscription AND m.reference = :reference)),
                :now, :expires_at,
                :seconds_after_expiry, :now
         FROM subscriptions WHERE id = :subscription
         ON CONFLICT (subscription, reference) DO NOTHING",
    )?
    .execute(named_params! {
        ":subscription": subscription, ":generation": renewal.generation, ":revision": revision,
        ":reference": renewal.reference, ":occasion": renewal.occasion, ":late": renewal.late, ":now": now,
        ":expires_at": renewal.expires_at,
        ":seconds_after_expiry": renewal.seconds_after_expiry,
    })?;
    Ok(())
}

/// Records a delivery that the customer has had, or leaves alone what is recorded already.
pub(in crate::store) fn insert_known(
    db: &Connection,
    subscription: i64,
    known: &KnownDelivery,
    now: Timestamp,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO renewals (subscription, provider, generation, reference, state, detected_at, settled_at)
         SELECT id, provider, :generation, :reference, 'known', :now, :now FROM subscriptions WHERE id = :subscription
         ON CONFLICT (subscription, reference) DO NOTHING",
    )?
    .execute(named_params! {
        ":subscription": subscription, ":generation": known.generation, ":reference": known.reference, ":now": now,
    })?;
    Ok(())
}
