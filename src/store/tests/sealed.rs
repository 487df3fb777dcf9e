//! Encrypted messages: what cannot be opened waits untouched, and what is behind it goes on or not.

use super::*;
use crate::vault::{Key, Vault};

fn vault(current: u8, previous: Option<u8>) -> Vault {
    let key = |byte| Key::new(&[byte; 32]);
    Vault::new(key(current), previous.map(key))
}

impl Fixture {
    fn with(self, vault: Vault) -> Self {
        Self { store: self.store.with_vault(vault), ..self }
    }

    async fn cut_tag(&self, message: Uuid) {
        let cut = move |db: &Connection| {
            let cut = "UPDATE messages SET body = CAST(substr(body, 1, length(body) - 1) AS BLOB) WHERE id = :id";
            Ok(db.execute(cut, named_params! { ":id": message.to_string() })?)
        };
        assert_eq!(self.store.write(cut).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_damaged_message_waits_and_holds_up_nobody() {
    let queue = Fixture::new().await.with(vault(1, None));
    let damaged = queue.queue("A", "renewal.ready", &["queue", "shop"]).await;
    let second = queue.queue("A", "renewal.ready", &["queue", "shop"]).await;
    let other = queue.queue("B", "renewal.ready", &["queue", "shop"]).await;
    queue.cut_tag(damaged).await;
    // Nothing but the damaged one is found at first, and that is not the end.
    assert_eq!(queue.lease(1, T0).await, [second]);
    assert_eq!(queue.lease(1, T0).await, [other]);
    assert_eq!(queue.take_ids(T0).await, [second, other]);
    assert_eq!(queue.store.damaged().await.unwrap(), [damaged]);
    let waiting = queue.dispatch(damaged).await;
    assert_eq!((waiting.state.as_str(), waiting.attempts, waiting.last_error), ("pending", 0, None));
    // Looked at again when a person asks for that; it is still what it was.
    queue.store.retry_message(damaged, None, T0).await.unwrap();
    assert!(queue.store.damaged().await.unwrap().is_empty());
    assert!(!queue.take_ids(T0 + HOUR).await.contains(&damaged));
    assert_eq!(queue.store.damaged().await.unwrap(), [damaged]);
}

#[tokio::test]
async fn a_plain_message_that_is_damaged_is_not_sealed_as_if_it_were_whole() {
    let queue = Fixture::new().await;
    let damaged = queue.queue("A", "renewal.ready", &["shop"]).await;
    let whole = queue.queue("B", "renewal.ready", &["shop"]).await;
    queue.cut_tag(damaged).await;
    let queue = queue.with(vault(1, None));
    let resealed = queue.store.reseal(0, T0).await.unwrap();
    assert_eq!((resealed.messages, resealed.damaged), (1, vec![damaged]));
    assert_eq!(queue.take_ids(T0).await, [whole]);
    queue.store.retry_message(damaged, None, T0).await.unwrap();
    assert!(queue.take_ids(T0).await.is_empty(), "found damaged once more");
}

#[tokio::test]
async fn what_needs_another_key_waits_with_all_behind_it() {
    let queue = Fixture::new().await.with(vault(1, None));
    let first = queue.queue("A", "renewal.ready", &["shop"]).await;
    let queue = queue.with(vault(2, None));
    let second = queue.queue("A", "renewal.ready", &["shop"]).await;
    assert!(queue.take_ids(T0).await.is_empty());
    assert_eq!(queue.store.next_dispatch_due("shop").await.unwrap(), None, "nobody looks again and again");
    assert_eq!(queue.store.key_trouble().await.unwrap().len(), 1);
    let queue = queue.with(vault(2, Some(1)));
    assert!(queue.store.key_trouble().await.unwrap().is_empty());
    assert_eq!(queue.take_ids(T0).await, [first]);
    queue.store.mark(vec![Mark::delivered(queue.dispatch(first).await.row, T0)]).await.unwrap();
    assert_eq!(queue.take_ids(T0).await, [second]);
    // Delivered messages need no key.
    let queue = queue.with(vault(2, None));
    assert!(queue.store.key_trouble().await.unwrap().is_empty());
}
