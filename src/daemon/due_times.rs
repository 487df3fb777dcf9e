//! Due times that were set by another interval: moved when the settings change, and at the start, where they may have changed
//! meanwhile. A short transaction at a time, beside the work.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::renewal::Rules;
use crate::store::{self, Store};

/// After a failed write the rest is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Moves what `before` has scheduled to where `rules` want it. Without `before` only what lies too far ahead is moved. Harmless
/// when it is cut off, or done twice.
pub(super) async fn adapt(store: &Store, provider: &str, before: Option<&Rules>, rules: &Rules) {
    if before.is_some_and(|before| before.every == rules.every && before.retry_max == rules.retry_max) {
        return;
    }
    loop {
        match all(store, provider, before, rules).await {
            Ok(0) => return,
            Ok(moved) => return tracing::info!(provider, moved, "due times follow the new settings"),
            Err(error) if error.is_transient() => {
                tracing::warn!(provider, error = %crate::chain(&error), "could not move due times; tried again");
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => {
                return tracing::error!(provider, error = %crate::chain(&error), "could not move due times");
            }
        }
    }
}

async fn all(store: &Store, provider: &str, before: Option<&Rules>, rules: &Rules) -> Result<usize, store::Error> {
    let mut moved = store.bring_order_data_forward(provider, rules.retry_max, Timestamp::now()).await?;
    let is_needed = match before {
        Some(before) => before.every != rules.every,
        None => store.is_anyone_due_after(provider, Timestamp::now() + rules.every).await?,
    };
    if !is_needed {
        return Ok(moved);
    }
    let mut after = 0;
    while let Some(batch) = store.move_due_times(provider, before, rules, after, Timestamp::now()).await? {
        moved += batch.moved;
        after = batch.last;
    }
    Ok(moved)
}
