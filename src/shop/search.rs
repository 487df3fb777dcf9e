//! Looks for orders whose end is not known: by itself, also after a kill, and without anybody asking again.

use std::time::Duration;

use super::Desk;
use super::order::Found;
use crate::clock::Timestamp;
use crate::store;
use crate::wait::until_due;

/// After the database has failed.
const LATER: Duration = Duration::from_secs(10);

/// Goes on until it is dropped.
pub async fn look_for_orders(desk: Desk) {
    loop {
        let rest = match desk.look_for_due().await {
            Ok(next) => until_due(next, Timestamp::now()),
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "orders are looked for later");
                LATER
            }
        };
        tokio::select! {
            () = desk.search_bell.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

impl Desk {
    /// Looks once for each that is due, and says when the next one is.
    pub async fn look_for_due(&self) -> Result<Option<Timestamp>, store::Error> {
        let live = self.live();
        let mut next = None;
        for (name, account) in &live.accounts {
            loop {
                let (due, later) = self.store.unclear_order(name, Timestamp::now()).await?;
                let Some(order) = due else {
                    next = next.into_iter().chain(later).min();
                    break;
                };
                let number = crate::text::visible(&order.number);
                match self.look(account, &order).await {
                    Ok(Found::There(reply)) => match self.record(account, &order, reply, false).await {
                        Err(super::Failure::Store(error)) => return Err(error),
                        _ => {
                            tracing::info!(provider = %name, %number, "an order whose end was unclear has been placed")
                        }
                    },
                    Ok(Found::Missing(true)) => {
                        tracing::info!(provider = %name, %number, "an order whose end was unclear was not placed");
                    }
                    Ok(Found::Missing(false) | Found::Untold(_)) => {}
                    Err(super::Failure::Store(error)) => return Err(error),
                    // Nothing was sent: its turn did not come.
                    Err(_) => break,
                }
            }
        }
        Ok(next)
    }
}
