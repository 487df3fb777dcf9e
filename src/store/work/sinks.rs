//! A sink's own trouble, which is not its messages'.

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::store::{Result, Store, rows};

/// How often in a row a sink has failed, and until when it is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkState {
    pub sink: String,
    pub failures: u32,
    pub blocked_since: Option<Timestamp>,
    pub blocked_until: Option<Timestamp>,
    pub last_error: Option<String>,
    pub last_success_at: Option<Timestamp>,
}

impl Store {
    pub async fn sink_state(&self, sink: &str) -> Result<SinkState> {
        let sink = sink.to_owned();
        self.read(move |db| {
            let found = rows::first(db, "FROM sinks WHERE sink = :sink", named_params! { ":sink": sink })?;
            Ok(found.unwrap_or(SinkState { sink, ..SinkState::default() }))
        })
        .await
    }

    /// Every sink that was ever in use.
    pub async fn sink_states(&self) -> Result<Vec<SinkState>> {
        self.read(|db| rows::all(db, "FROM sinks ORDER BY sink", &[])).await
    }

    pub async fn record_sink_state(&self, state: SinkState) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "INSERT INTO sinks (sink, failures, blocked_since, blocked_until, last_error, last_success_at)
                 VALUES (:sink, :failures, :since, :until, :error, :success)
                 ON CONFLICT (sink) DO UPDATE SET failures = :failures, blocked_since = :since, blocked_until = :until,
                                                  last_error = :error, last_success_at = :success",
            )?
            .execute(named_params! {
                ":sink": state.sink, ":failures": state.failures, ":since": state.blocked_since,
                ":until": state.blocked_until, ":error": state.last_error, ":success": state.last_success_at,
            })?;
            Ok(())
        })
        .await
    }
}
