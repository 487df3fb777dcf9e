//! Hints: who is asked about of those that somebody names is due, and looked at soon. What a hint changes is decided in
//! [`crate::renewal::hint`].

use std::collections::BTreeSet;

use rusqlite::{Connection, named_params};

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::hint::{Effect, Hinted, effect};
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// What came of the hints for some subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Due now, or a minute after a hint had them looked at last.
    pub raised: usize,
    /// Those that are looked at soon anyway.
    pub soon: usize,
    /// Paused, not tracked any more, or ended long ago: left alone.
    pub at_rest: usize,
    /// Ids that nobody has ever tracked.
    pub unknown: Vec<String>,
}

struct Row {
    row: i64,
    subscription_id: String,
    hinted: Hinted,
}

rows! {
    Row { row = "s.id", subscription_id = "s.subscription_id", hinted: Hinted }
    Hinted {
        state = "s.state",
        lane = "s.lane" => Lane::from_rank,
        due_at = "s.due_at",
        hinted_at = "s.hinted_at",
    }
}

impl Store {
    /// Raises those of these subscriptions that are asked about to the hinted lane; each id once, as it is stored. On disk when this
    /// returns. Where nobody is to be raised nothing is written.
    pub async fn hint(&self, provider: &str, ids: Vec<String>, now: Timestamp) -> Result<Heard> {
        let found = self.read({
            let (provider, ids) = (provider.to_owned(), ids.clone());
            move |db| find(db, &provider, &ids)
        });
        let effects: Vec<_> =
            found.await?.iter().map(|row| (row.subscription_id.clone(), effect(row.hinted, now))).collect();
        let changes = |effect: Effect| matches!(effect, Effect::Raised(_) | Effect::Again);
        if !effects.iter().any(|(_, effect)| changes(*effect)) {
            return Ok(Heard::of(&ids, effects));
        }
        let provider = provider.to_owned();
        // Somebody may have been asked or paused meanwhile.
        self.write(move |db| Ok(Heard::of(&ids, take(db, find(db, &provider, &ids)?, now)?))).await
    }
}

/// The same for these rows, with whatever else is written.
pub(in crate::store) fn hint_rows(db: &Connection, rows: &[i64], now: Timestamp) -> Result<()> {
    let found = rows::all(
        db,
        "FROM json_each(:rows) i JOIN subscriptions s ON s.id = i.value",
        named_params! { ":rows": serde_json::Value::from(rows).to_string() },
    )?;
    take(db, found, now).map(drop)
}

fn take(db: &Connection, found: Vec<Row>, now: Timestamp) -> Result<Vec<(String, Effect)>> {
    let mut effects = Vec::new();
    for Row { row, subscription_id, hinted } in found {
        let effect = effect(hinted, now);
        match effect {
            Effect::Raised(due) => raise(db, row, due)?,
            Effect::Again => count(db, row)?,
            Effect::Soon | Effect::AtRest => {}
        }
        effects.push((subscription_id, effect));
    }
    Ok(effects)
}

fn find(db: &Connection, provider: &str, ids: &[String]) -> Result<Vec<Row>> {
    rows::all(
        db,
        "FROM json_each(:ids) i JOIN subscriptions s ON s.subscription_id = i.value AND s.provider = :provider",
        named_params! { ":ids": serde_json::Value::from(ids).to_string(), ":provider": provider },
    )
}

fn raise(db: &Connection, row: i64, due: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE subscriptions SET lane = 1, due_at = :due WHERE id = :id")?
        .execute(named_params! { ":id": row, ":due": due })?;
    Ok(())
}

/// Whoever records a look sees by this that it is not the last.
fn count(db: &Connection, row: i64) -> Result<()> {
    db.prepare_cached("UPDATE subscriptions SET hints = hints + 1 WHERE id = :id")?
        .execute(named_params! { ":id": row })?;
    Ok(())
}

impl Heard {
    fn of(ids: &[String], effects: Vec<(String, Effect)>) -> Self {
        let mut raised = Self::default();
        let known: BTreeSet<_> = effects.iter().map(|(id, _)| id.as_str()).collect();
        raised.unknown = ids.iter().filter(|id| !known.contains(id.as_str())).cloned().collect();
        for (_, effect) in &effects {
            let count = match effect {
                Effect::Raised(_) => &mut raised.raised,
                Effect::Again | Effect::Soon => &mut raised.soon,
                Effect::AtRest => &mut raised.at_rest,
            };
            *count += 1;
        }
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::{HOUR, State, Subscription};
    use crate::store::{DuePage, PollRecord, Recorded, fixtures};

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW.as_unix() + seconds)
    }

    async fn due(store: &Store, lane: Lane, until: Timestamp) -> Vec<Subscription> {
        let (provider, territory) = ("nexway".to_owned(), "eu".to_owned());
        let page = DuePage { provider, territory, lane, until, after: (i64::MIN, i64::MIN), limit: 10 };
        store.due_subscriptions(page).await.unwrap()
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// `1`, asked an hour ago and due in three; `2`, paused.
    async fn store() -> (Store, tempfile::TempDir) {
        let (store, dir) = fixtures::opened();
        let new = [1, 2].map(|id| fixtures::subscription(&format!("P{id}"), id));
        store.track(new.to_vec(), false, NOW - HOUR).await.unwrap();
        let before = due(&store, Lane::Other, NOW).await.remove(0);
        record(&store, before, NOW - HOUR).await;
        store.pause(2).await.unwrap();
        (store, dir)
    }

    async fn record(store: &Store, before: Subscription, at: Timestamp) -> Recorded {
        let lane = Lane::Other;
        let after = Subscription { lane, due_at: Some(at + 4 * HOUR), last_asked_at: Some(at), ..before.clone() };
        let record = PollRecord { before, after, renewals: vec![], had: vec![], messages: vec![] };
        store.record_polls(vec![record], at).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn who_is_watched_is_due_and_nobody_else_is_disturbed() {
        let (store, _dir) = store().await;
        let raised = store.hint("nexway", ids(&["1", "2", "3"]), NOW).await.unwrap();
        assert_eq!(raised, Heard { raised: 1, soon: 0, at_rest: 1, unknown: ids(&["3"]) });
        let hinted = due(&store, Lane::Hinted, NOW).await;
        assert_eq!(hinted.iter().map(|one| one.subscription_id.as_str()).collect::<Vec<_>>(), ["1"]);
        let of_another = store.hint("other", ids(&["1"]), NOW).await.unwrap();
        assert_eq!(of_another.unknown, ids(&["1"]), "an id is one provider's");
        store.untrack(1, NOW).await.unwrap();
        assert_eq!(store.hint("nexway", ids(&["1"]), NOW).await.unwrap().at_rest, 1);
        assert!(due(&store, Lane::Hinted, after(9999)).await.is_empty());
    }

    #[tokio::test]
    async fn a_hint_during_a_look_brings_another_a_minute_later_and_loses_no_answer() {
        let (store, _dir) = store().await;
        store.hint("nexway", ids(&["1"]), NOW).await.unwrap();
        let in_flight = due(&store, Lane::Hinted, NOW).await.remove(0);
        // In the same second, and after the provider made its answer.
        assert_eq!(store.hint("nexway", ids(&["1"]), NOW).await.unwrap().soon, 1);
        assert_eq!(record(&store, in_flight, NOW).await, Recorded::Done);
        assert!(due(&store, Lane::Hinted, after(59)).await.is_empty());
        let again = due(&store, Lane::Hinted, after(60)).await.remove(0);
        assert_eq!((again.due_at, again.last_asked_at), (Some(after(60)), Some(NOW)));
        // Nobody hints any more.
        assert_eq!(store.hint("nexway", ids(&["1"]), after(30)).await.unwrap().soon, 1);
        assert_eq!(record(&store, again, after(60)).await, Recorded::Done);
        assert_eq!(due(&store, Lane::Other, NOW + 5 * HOUR).await.remove(0).due_at, Some(after(60) + 4 * HOUR));
    }

    /// It may have begun again after the provider made its answer.
    #[tokio::test]
    async fn a_hint_during_the_look_at_one_that_has_ended_is_not_lost() {
        let (store, _dir) = store().await;
        let row = due(&store, Lane::Other, NOW + 4 * HOUR).await.remove(0);
        let ended = |before: Subscription, at: Timestamp| {
            let (state, ended_at, lane) = (State::Ended, Some(NOW), Lane::Other);
            let (due_at, last_asked_at) = (Some(at + 720 * HOUR), Some(at));
            let after = Subscription { state, ended_at, lane, due_at, last_asked_at, ..before.clone() };
            PollRecord { before, after, renewals: vec![], had: vec![], messages: vec![] }
        };
        store.record_polls(vec![ended(row, NOW)], NOW).await.unwrap();
        assert_eq!(store.hint("nexway", ids(&["1"]), after(100)).await.unwrap().raised, 1);
        let in_flight = due(&store, Lane::Hinted, after(100)).await.remove(0);
        assert_eq!(store.hint("nexway", ids(&["1"]), after(100)).await.unwrap().soon, 1);
        store.record_polls(vec![ended(in_flight, after(100))], after(100)).await.unwrap();
        assert_eq!(due(&store, Lane::Hinted, after(160)).await.len(), 1);
    }

    #[tokio::test]
    async fn a_hint_during_a_look_that_nobody_hinted_at_has_it_looked_at_anew() {
        let (store, _dir) = store().await;
        let later = NOW + 4 * HOUR;
        let in_flight = due(&store, Lane::Other, later).await.remove(0);
        assert_eq!(store.hint("nexway", ids(&["1"]), later).await.unwrap().raised, 1);
        assert_eq!(record(&store, in_flight, later).await, Recorded::Overtaken);
        assert_eq!(due(&store, Lane::Hinted, later).await.len(), 1);
    }
}
