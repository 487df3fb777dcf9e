//! Orders that a shop places through us, each written down before it is sent, and what else it had changed at the provider.
//!
//! What is sent is not kept: of an order its hash, so that the same body is known again.

use rusqlite::{Connection, named_params};

use super::metadata::Metadata;
use super::track::{NewSubscription, Tracked, track};
use crate::call;
use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::renewal::State;
use crate::renewal::news::NewRenewal;
use crate::store::rows::{self, rows};
use crate::store::work::renewals;
use crate::store::{Result, Store};
use crate::text::forms::text_forms;

/// What is known of an order that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// It may be at the provider, or not.
    Unclear,
    /// It is there, and not yet all that it brings.
    Waiting,
    /// It is there, and all that it brought is tracked.
    Placed,
    /// The provider has gone on saying that there is no such order.
    Absent,
}

text_forms!(OrderState { Unclear = "unclear", Waiting = "waiting", Placed = "placed", Absent = "absent" });

/// An order as a shop wants it placed.
#[derive(Clone, Debug)]
pub struct NewOrder {
    pub provider: String,
    pub number: String,
    pub territory: String,
    /// Of the body, whatever its layout.
    pub hash: [u8; 32],
    pub metadata: Option<Metadata>,
    /// Its order data is delivered to the sinks, as a renewal's is.
    pub deliver: bool,
    pub asked_by: String,
}

/// An order that is written down.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedOrder {
    pub provider: String,
    pub number: String,
    pub territory: String,
    pub metadata: Metadata,
    pub deliver: bool,
    pub state: OrderState,
    /// How often it was sent.
    pub sends: i64,
    pub sent_at: Timestamp,
    /// How often in a row the provider did not know it.
    pub missed: i64,
}

rows! {
    PlacedOrder {
        provider = "provider",
        number = "partner_order_number",
        territory = "territory",
        metadata = "metadata" => Metadata::stored,
        deliver = "deliver",
        state = "state",
        sends = "sends",
        sent_at = "sent_at",
        missed = "missed",
    }
}

/// A provider's orders that are not placed yet, as far as anybody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOrders {
    /// The provider may have them, or not.
    pub unclear: i64,
    /// It has them, and has not named all that they bring.
    pub waiting: i64,
}

rows! {
    OpenOrders {
        unclear = "count(*) FILTER (WHERE state = 'unclear')",
        waiting = "count(*) FILTER (WHERE state = 'waiting')",
    }
}

/// What is to be done about an order that a shop wants placed.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// It is written down, and may be sent.
    Send(PlacedOrder),
    /// The same was sent before: it is only asked for.
    Known(PlacedOrder),
    /// Another body was sent under this number.
    Other,
    /// A subscription is tracked that was ordered under this number, and not by us.
    Tracked,
}

/// A change at the provider that somebody had made: a line of a subscription's story.
#[derive(Clone, Debug, PartialEq)]
pub struct ShopCall {
    pub call: call::Name,
    pub asked_at: Timestamp,
    pub asked_by: String,
    pub outcome: String,
    pub code: i64,
}

rows! {
    ShopCall {
        call = "call",
        asked_at = "asked_at",
        asked_by = "asked_by",
        outcome = "outcome",
        code = "code",
    }
}

const IS_IT: &str = "provider = :provider AND partner_order_number = :number";

impl Store {
    /// Writes an order down before it is sent: from now on its end is unclear, and `look_at` is when somebody finds it out if whoever
    /// sends it does not.
    pub async fn begin_order(&self, new: NewOrder, now: Timestamp, look_at: Timestamp) -> Result<Begun> {
        self.write(move |db| begin(db, &new, now, look_at)).await
    }

    /// The provider has not made it, and will not: what was written down goes. `was_sent`: this time; otherwise it is as before.
    pub async fn withdraw_order(&self, order: &PlacedOrder, was_sent: bool) -> Result<()> {
        let (provider, number, sends) = (order.provider.clone(), order.number.clone(), order.sends);
        self.write(move |db| {
            let named = named_params! { ":provider": provider, ":number": number };
            if was_sent || sends <= 1 {
                db.execute(&format!("DELETE FROM shop_orders WHERE {IS_IT} AND state <> 'placed'"), named)?;
            } else {
                db.execute(
                    &format!(
                        "UPDATE shop_orders SET state = 'absent', sends = sends - 1, next_look_at = NULL
                         WHERE {IS_IT} AND state = 'unclear'"
                    ),
                    named,
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Somebody has looked whether it is there. One that was found to be placed meanwhile stays so.
    pub async fn note_order(
        &self,
        order: &PlacedOrder,
        state: OrderState,
        missed: i64,
        next_look_at: Option<Timestamp>,
    ) -> Result<()> {
        let (provider, number) = (order.provider.clone(), order.number.clone());
        self.write(move |db| {
            db.execute(
                &format!(
                    "UPDATE shop_orders SET state = :state, missed = :missed, next_look_at = :next
                     WHERE {IS_IT} AND state <> 'placed'"
                ),
                named_params! {
                    ":provider": provider, ":number": number, ":state": state, ":missed": missed, ":next": next_look_at,
                },
            )?;
            Ok(())
        })
        .await
    }

    /// It is there, `Waiting` or `Placed`: what it has brought is tracked in the same transaction, and where that is wanted delivered
    /// as `purchase`. Doing so twice changes nothing.
    pub async fn place_order(
        &self,
        order: &PlacedOrder,
        brought: Vec<NewSubscription>,
        state: OrderState,
        next_look_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Tracked>> {
        let order = order.clone();
        self.write(move |db| {
            db.execute(
                &format!(
                    "UPDATE shop_orders SET state = :state, missed = 0, next_look_at = :next
                     WHERE {IS_IT} AND state <> 'placed'"
                ),
                named_params! {
                    ":provider": order.provider, ":number": order.number, ":state": state, ":next": next_look_at,
                },
            )?;
            brought.iter().map(|new| bring(db, &order, new, now)).collect()
        })
        .await
    }

    /// `None`: none was placed under this number, or its refusal is known.
    pub async fn placed_order(&self, provider: &str, number: &str) -> Result<Option<PlacedOrder>> {
        let (provider, number) = (provider.to_owned(), number.to_owned());
        self.read(move |db| find(db, &provider, &number)).await
    }

    /// Whose they are, as their numbers have it; `None`: nothing is tracked that was ordered under this number, which may be a
    /// renewal's of `original`.
    pub async fn territory_of_order(
        &self,
        provider: &str,
        number: &str,
        original: Option<&str>,
    ) -> Result<Option<String>> {
        let (provider, number, original) = (provider.to_owned(), number.to_owned(), original.map(str::to_owned));
        self.read(move |db| {
            rows::value(
                db,
                "SELECT (SELECT territory FROM subscriptions
                         WHERE provider = :provider AND partner_order_number IN (:number, :original)
                         ORDER BY partner_order_number <> :number LIMIT 1)",
                named_params! { ":provider": provider, ":number": number, ":original": original },
            )
        })
        .await
    }

    /// Of those that were sent before: unclear ones before `unclear_since`, waiting ones before `waiting_since`.
    pub async fn count_open_orders(
        &self,
        provider: &str,
        unclear_since: Timestamp,
        waiting_since: Timestamp,
    ) -> Result<OpenOrders> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::only(
                db,
                "FROM shop_orders
                 WHERE provider = :provider AND state IN ('unclear', 'waiting')
                   AND sent_at <= CASE state WHEN 'unclear' THEN :unclear_since ELSE :waiting_since END",
                named_params! {
                    ":provider": provider, ":unclear_since": unclear_since, ":waiting_since": waiting_since,
                },
            )
        })
        .await
    }

    /// Of this provider the one that somebody has to look for, longest due first, and when the next one is due.
    pub async fn unclear_order(
        &self,
        provider: &str,
        now: Timestamp,
    ) -> Result<(Option<PlacedOrder>, Option<Timestamp>)> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let due = rows::first(
                db,
                "FROM shop_orders WHERE provider = :provider AND next_look_at <= :now ORDER BY next_look_at LIMIT 1",
                named_params! { ":provider": provider, ":now": now },
            )?;
            let next = rows::value(
                db,
                "SELECT min(next_look_at) FROM shop_orders WHERE provider = :provider AND next_look_at > :now",
                named_params! { ":provider": provider, ":now": now },
            )?;
            Ok((due, next))
        })
        .await
    }

    /// Keeps who had something changed, and how that ended; about an order for all that is tracked of it. Returns their rows.
    pub async fn note_shop_call(
        &self,
        provider: &str,
        number: &str,
        subscription_id: Option<&str>,
        call: ShopCall,
    ) -> Result<Vec<i64>> {
        let (provider, number) = (provider.to_owned(), number.to_owned());
        let subscription_id = subscription_id.map(str::to_owned);
        self.write(move |db| {
            let mut noted = db.prepare_cached(
                "INSERT INTO shop_calls (subscription, call, asked_at, asked_by, outcome, code)
                 SELECT id, :call, :asked_at, :asked_by, :outcome, :code FROM subscriptions
                 WHERE provider = :provider
                   AND CASE WHEN :subscription_id IS NULL THEN partner_order_number = :number
                            ELSE subscription_id = :subscription_id
                                 AND (is_numbered = 0 OR partner_order_number = :number) END
                 RETURNING subscription",
            )?;
            let rows = noted.query_map(
                named_params! {
                    ":call": call.call, ":asked_at": call.asked_at, ":asked_by": call.asked_by, ":outcome": call.outcome,
                    ":code": call.code, ":provider": provider, ":number": number, ":subscription_id": subscription_id,
                },
                |row| row.get(0),
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What was changed about a subscription, latest last.
    pub async fn shop_calls(&self, subscription: i64) -> Result<Vec<ShopCall>> {
        self.read(move |db| {
            let named = named_params! { ":subscription": subscription };
            rows::all(db, "FROM shop_calls WHERE subscription = :subscription ORDER BY id", named)
        })
        .await
    }
}

fn find(db: &Connection, provider: &str, number: &str) -> Result<Option<PlacedOrder>> {
    let named = named_params! { ":provider": provider, ":number": number };
    rows::first(db, &format!("FROM shop_orders WHERE {IS_IT}"), named)
}

fn begin(db: &Connection, new: &NewOrder, now: Timestamp, look_at: Timestamp) -> Result<Begun> {
    let named = named_params! { ":provider": new.provider, ":number": new.number };
    if let Some(known) = find(db, &new.provider, &new.number)? {
        let is_same =
            rows::value::<[u8; 32]>(db, &format!("SELECT hash FROM shop_orders WHERE {IS_IT}"), named)? == new.hash;
        if !is_same {
            return Ok(Begun::Other);
        }
        if known.state != OrderState::Absent {
            return Ok(Begun::Known(known));
        }
    } else if rows::exists(db, &format!("SELECT 1 FROM subscriptions WHERE {IS_IT} AND is_numbered = 1"), named)? {
        return Ok(Begun::Tracked);
    }
    db.execute(
        "INSERT INTO shop_orders (provider, partner_order_number, territory, hash, metadata, deliver, asked_by, state, sends,
                                  sent_at, next_look_at)
         VALUES (:provider, :number, :territory, :hash, coalesce(:metadata, '{}'), :deliver, :asked_by, 'unclear', 1, :now, :look_at)
         ON CONFLICT DO UPDATE SET territory = excluded.territory, metadata = excluded.metadata, deliver = excluded.deliver,
             asked_by = excluded.asked_by, state = 'unclear', sends = sends + 1, sent_at = :now, missed = 0,
             next_look_at = :look_at",
        named_params! {
            ":provider": new.provider, ":number": new.number, ":territory": new.territory, ":hash": new.hash,
            ":metadata": new.metadata.as_ref().map(Metadata::as_json), ":deliver": new.deliver,
            ":asked_by": new.asked_by, ":now": now, ":look_at": look_at,
        },
    )?;
    let written = rows::only(db, &format!("FROM shop_orders WHERE {IS_IT}"), named)?;
    Ok(Begun::Send(written))
}

fn bring(db: &Connection, order: &PlacedOrder, new: &NewSubscription, now: Timestamp) -> Result<Tracked> {
    let tracked = track(db, new, State::Watching, false, now)?;
    if order.deliver && tracked == Tracked::Added {
        let row = rows::value(
            db,
            "SELECT id FROM subscriptions
             WHERE provider = :provider AND subscription_id = :subscription_id AND partner_order_number = :number",
            named_params! {
                ":provider": new.provider, ":subscription_id": new.subscription_id, ":number": new.partner_order_number,
            },
        )?;
        // The order itself: what the kind would call the delivery after no renewal.
        let purchase = NewRenewal { occasion: Occasion::Purchase, ..NewRenewal::counted(0, order.number.clone()) };
        renewals::insert(db, row, &purchase, now)?;
    }
    Ok(tracked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures;

    const NOW: Timestamp = Timestamp::from_unix(1_795_291_200);

    fn order(hash: u8) -> NewOrder {
        NewOrder {
            provider: "nexway".to_owned(),
            number: "P-1".to_owned(),
            territory: "eu".to_owned(),
            hash: [hash; 32],
            metadata: Some(Metadata::parse("{\"shop\":7}").unwrap()),
            deliver: true,
            asked_by: "root".to_owned(),
        }
    }

    async fn begun(store: &Store, hash: u8) -> Begun {
        store.begin_order(order(hash), NOW, NOW + std::time::Duration::from_secs(10)).await.unwrap()
    }

    #[tokio::test]
    async fn a_number_is_sent_once_and_again_only_when_it_is_known_to_be_absent() {
        let (store, _dir) = fixtures::opened();
        let Begun::Send(first) = begun(&store, 1).await else { panic!("nothing was sent") };
        assert_eq!((first.sends, first.state, first.metadata.as_json()), (1, OrderState::Unclear, "{\"shop\":7}"));
        assert_eq!(begun(&store, 1).await, Begun::Known(first.clone()));
        assert_eq!(begun(&store, 2).await, Begun::Other);
        store.note_order(&first, OrderState::Absent, 3, None).await.unwrap();
        assert_eq!(begun(&store, 2).await, Begun::Other, "its number is another's");
        let Begun::Send(second) = begun(&store, 1).await else { panic!("not sent again") };
        assert_eq!((second.sends, second.missed), (2, 0));
        // Not sent after all, and then refused.
        store.withdraw_order(&second, false).await.unwrap();
        assert_eq!(store.placed_order("nexway", "P-1").await.unwrap().unwrap().sends, 1);
        store.withdraw_order(&second, true).await.unwrap();
        assert!(matches!(begun(&store, 2).await, Begun::Send(PlacedOrder { sends: 1, .. })));
    }

    #[tokio::test]
    async fn what_it_brought_is_tracked_once_and_waits_for_its_order_data() {
        let (store, _dir) = fixtures::opened();
        let Begun::Send(order) = begun(&store, 1).await else { panic!("nothing was sent") };
        let first = vec![fixtures::subscription("P-1", 7)];
        let tracked = store.place_order(&order, first, OrderState::Waiting, Some(NOW), NOW).await.unwrap();
        assert_eq!(tracked, [Tracked::Added]);
        let (due, _) = store.unclear_order("nexway", NOW).await.unwrap();
        assert_eq!(due.map(|order| order.state), Some(OrderState::Waiting), "the rest is still looked for");
        let all = || vec![fixtures::subscription("P-1", 7), fixtures::subscription("P-1", 8)];
        let tracked = store.place_order(&order, all(), OrderState::Placed, None, NOW).await.unwrap();
        assert_eq!(tracked, [Tracked::Already, Tracked::Added]);
        let again = store.place_order(&order, all(), OrderState::Placed, None, NOW).await.unwrap();
        assert_eq!(again, [Tracked::Already, Tracked::Already]);
        let due = store.due_renewals("nexway", &["eu".to_owned()], NOW, (0, 0), 9).await.unwrap();
        let due: Vec<_> = due.iter().map(|one| (one.reference.as_str(), one.occasion, one.generation)).collect();
        assert_eq!(due, [("P-1", Occasion::Purchase, 0); 2]);
        assert!(matches!(begun(&store, 1).await, Begun::Known(PlacedOrder { state: OrderState::Placed, .. })));
        assert_eq!(
            store.unclear_order("nexway", NOW + std::time::Duration::from_secs(99)).await.unwrap(),
            (None, None)
        );
    }

    #[tokio::test]
    async fn a_number_that_is_tracked_already_is_not_sent() {
        let (store, _dir) = fixtures::opened();
        store.track(vec![fixtures::subscription("P-1", 7)], false, NOW).await.unwrap();
        assert_eq!(begun(&store, 1).await, Begun::Tracked);
    }

    #[tokio::test]
    async fn who_had_it_cancelled_stands_with_the_subscription() {
        let (store, _dir) = fixtures::opened();
        store.track(vec![fixtures::subscription("P", 7), fixtures::subscription("P", 8)], false, NOW).await.unwrap();
        let call = |call| ShopCall { call, asked_at: NOW, asked_by: "root".into(), outcome: "done".into(), code: 0 };
        store.note_shop_call("nexway", "P", Some("7"), call(call::Name::Cancel)).await.unwrap();
        store.note_shop_call("nexway", "P", None, call(call::Name::CancelOrder)).await.unwrap();
        let of = async |row| store.shop_calls(row).await.unwrap().into_iter().map(|one| one.call).collect::<Vec<_>>();
        assert_eq!(of(1).await, [call::Name::Cancel, call::Name::CancelOrder]);
        assert_eq!(of(2).await, [call::Name::CancelOrder]);
    }
}
