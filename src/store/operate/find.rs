//! One subscription, by whatever name a person has for it.

use rusqlite::{OptionalExtension, named_params};

use super::identity::{IS_IT, Identity};
use super::metadata::Metadata;
use super::warned::LastWarned;
use crate::convention::Convention;
use crate::renewal::Subscription;
use crate::store::{Result, Store, rows};

/// A subscription with all that is stored of it.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    pub provider: String,
    pub metadata: Metadata,
    pub tracked_by: String,
    /// Waiting renewals.
    pub waiting: u32,
    pub warned: LastWarned,
    pub subscription: Subscription,
}

/// How a person names subscriptions: an original number, a suffixed one, or a subscription id.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The numbers it may be.
    numbers: Vec<String>,
    /// The subscription ids it may be.
    ids: Vec<String>,
    /// Only these; none: any.
    pub subscription_ids: Vec<String>,
    pub provider: Option<String>,
    pub territory: Option<String>,
}

impl Named {
    /// A name as these kinds of providers would read it.
    pub fn new<'a>(name: &str, conventions: impl IntoIterator<Item = &'a Convention>) -> Self {
        let mut named = Self { numbers: vec![name.to_owned()], ids: vec![name.to_owned()], ..Self::default() };
        for convention in conventions {
            named.numbers.extend(convention.original_of(name).map(str::to_owned));
            named.ids.extend(convention.subscription_id(name).ok());
        }
        named
    }
}

impl Store {
    /// The subscriptions that a name may mean.
    pub async fn find(&self, named: Named) -> Result<Vec<SubscriptionRow>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM subscriptions
                 WHERE id IN (SELECT s.id FROM json_each(:ids) i JOIN subscriptions s ON s.subscription_id = i.value
                              UNION SELECT s.id FROM json_each(:numbers) n
                              JOIN subscriptions s ON s.partner_order_number = n.value)
                   AND (:provider IS NULL OR provider = :provider) AND (:territory IS NULL OR territory = :territory)
                   AND (:any_id OR subscription_id IN (SELECT value FROM json_each(:subscription_ids)))
                 ORDER BY id LIMIT 100",
                named_params! {
                    ":ids": serde_json::Value::from(named.ids).to_string(),
                    ":numbers": serde_json::Value::from(named.numbers).to_string(),
                    ":provider": named.provider, ":territory": named.territory,
                    ":any_id": named.subscription_ids.is_empty(),
                    ":subscription_ids": serde_json::Value::from(named.subscription_ids).to_string(),
                },
            )
        })
        .await
    }

    /// Those whose number or id begins like this, by number and id; no more than `limit`.
    pub async fn search(&self, beginning: &str, limit: usize) -> Result<Vec<SubscriptionRow>> {
        let (from, limit) = (beginning.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        // Behind all that begin so.
        let to = format!("{beginning}\u{10ffff}");
        self.read(move |db| {
            rows::all(
                db,
                "FROM subscriptions
                 WHERE id IN (SELECT id FROM (SELECT id FROM subscriptions
                                              WHERE partner_order_number >= :from AND partner_order_number < :to
                                              ORDER BY partner_order_number LIMIT :limit)
                              UNION
                              SELECT id FROM (SELECT id FROM subscriptions
                                              WHERE subscription_id >= :from AND subscription_id < :to
                                              ORDER BY subscription_id LIMIT :limit))
                 ORDER BY partner_order_number, subscription_id LIMIT :limit",
                named_params! { ":from": from, ":to": to, ":limit": limit },
            )
        })
        .await
    }

    /// Those of these that are tracked, in the same order.
    pub async fn subscriptions(&self, identities: Vec<Identity>) -> Result<Vec<Option<SubscriptionRow>>> {
        self.read(move |db| {
            let one = |identity: &Identity| {
                let Identity { provider, partner_order_number, subscription_id } = identity;
                let named = named_params! {
                    ":provider": provider, ":number": partner_order_number, ":subscription_id": subscription_id,
                };
                rows::first(db, &format!("FROM subscriptions WHERE {IS_IT}"), named)
            };
            identities.iter().map(one).collect()
        })
        .await
    }

    /// A subscription's metadata, as JSON; `None` when it was forgotten meanwhile.
    pub async fn metadata(&self, row: i64) -> Result<Option<String>> {
        self.read(move |db| {
            Ok(db
                .prepare_cached("SELECT metadata FROM subscriptions WHERE id = :id")?
                .query_row(named_params! { ":id": row }, |row| row.get(0))
                .optional()?)
        })
        .await
    }

    /// The watched subscription that was asked last, or one that never was; looks at all of them: not for a loop.
    pub async fn last_asked(&self, provider: &str, territories: Vec<String>) -> Result<Option<Subscription>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::first(
                db,
                "FROM subscriptions
                 WHERE provider = :provider AND due_at IS NOT NULL
                   AND territory IN (SELECT value FROM json_each(:territories))
                 ORDER BY last_asked_at DESC LIMIT 1",
                named_params! {
                    ":provider": provider, ":territories": serde_json::Value::from(territories).to_string(),
                },
            )
        })
        .await
    }
}
