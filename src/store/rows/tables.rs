//! The columns of the tables, by what is made of them.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use serde_json::value::RawValue;

use super::{Body, Columns, Id, next, rows};
use crate::choice::Lane;
use crate::renewal::Subscription;
use crate::renewal::again::Sent;
use crate::renewal::aside::{Episode, LastOffer};
use crate::renewal::news::KnownDelivery;
use crate::renewal::order::{Patience, Tally};
use crate::store::forms::Warnings;
use crate::store::operate::{
    DispatchRow, Exported, ForgottenRow, LastWarned, MessageRow, Metadata, RenewalRow, SubscriptionRow,
};
use crate::store::work::{DueRenewal, SinkState, StoppedTerritory, Taken};

// Of `subscriptions`, which has no other name in these statements.
rows! {
    Subscription {
        row = "id",
        territory = "territory",
        partner_order_number = "partner_order_number",
        subscription_id = "subscription_id",
        state = "state",
        generation = "generation",
        expires_at = "expires_at",
        expiry_reported = "expiry_reported",
        tracked_at = "tracked_at",
        known_before = "coalesce(known_before, tracked_at)",
        discovered = "tracked_by = 'discovery'",
        ended_at = "ended_at",
        lane = "lane" => Lane::from_rank,
        due_at = "due_at",
        pace = "pace",
        last_asked_at = "last_asked_at",
        last_answer_at = "last_answer_at",
        failures = "failures",
        refusals = "refusals",
        last_outcome = "last_outcome",
        last_detail = "last_detail",
        technical_status = "technical_status",
        life = "life",
        memo = "memo",
        hints = "hints",
        status_changes = "status_changes",
        terminal_since = "terminal_since",
        surprise = "surprise",
        surprises = "surprises",
        past_surprise = "past_surprise",
        past_surprise_at = "past_surprise_at",
        partner_reference = "partner_reference",
        failing: StandingEpisode,
        payment_failures = "payment_failures",
        offer: ToldOffer,
        renewal_due_term = "renewal_due_term",
        not_renewed_term = "not_renewed_term",
    }

    SubscriptionRow {
        subscription: Subscription,
        provider = "provider",
        metadata = "metadata" => Metadata::stored,
        tracked_by = "tracked_by",
        waiting = "(SELECT count(*) FROM renewals r WHERE r.subscription = subscriptions.id \
                    AND r.state = 'awaiting_order_data')",
        warned: LastWarned,
    }

    LastWarned {
        warnings = "(SELECT r.warnings FROM renewals r WHERE r.subscription = subscriptions.id \
                     AND r.warnings IS NOT NULL ORDER BY r.settled_at DESC, r.id DESC LIMIT 1)"
                   => |Warnings(warnings)| warnings,
        settled_at = "(SELECT max(r.settled_at) FROM renewals r WHERE r.subscription = subscriptions.id \
                       AND r.warnings IS NOT NULL)",
    }
}

type StandingEpisode = Option<Box<Episode>>;

impl Columns for StandingEpisode {
    const COLUMNS: &'static str = "failing_generation, failing_since, failing_seen_at, failing_reason";

    fn read_from(row: &Row<'_>, at: &mut usize) -> rusqlite::Result<Self> {
        let (generation, since): (Option<_>, _) = (next(row, at)?, next(row, at)?);
        let (seen_at, reason): (Option<_>, Option<_>) = (next(row, at)?, next(row, at)?);
        let whole = generation.zip(seen_at).zip(reason);
        Ok(whole.map(|((generation, seen_at), reason)| Box::new(Episode { generation, since, seen_at, reason })))
    }
}

type ToldOffer = Option<Box<LastOffer>>;

impl Columns for ToldOffer {
    const COLUMNS: &'static str = "offer_order_number, offer_state, offer_seen_at";

    fn read_from(row: &Row<'_>, at: &mut usize) -> rusqlite::Result<Self> {
        let (number, state, seen_at): (Option<_>, Option<_>, Option<_>) =
            (next(row, at)?, next(row, at)?, next(row, at)?);
        let whole = number.zip(state).zip(seen_at);
        Ok(whole.map(|((order_number, state), seen_at)| Box::new(LastOffer { order_number, state, seen_at })))
    }
}

// Of `renewals r JOIN subscriptions s`.
rows! {
    DueRenewal {
        row = "r.id",
        subscription = "r.subscription",
        territory = "s.territory",
        partner_order_number = "s.partner_order_number",
        subscription_id = "s.subscription_id",
        is_numbered = "s.is_numbered",
        partner_reference = "s.partner_reference",
        metadata = "s.metadata",
        memo = "s.memo",
        generation = "r.generation",
        revision = "r.revision",
        reference = "r.reference",
        occasion = "r.occasion",
        late = "r.late",
        detected_at = "r.detected_at",
        expires_at = "r.expires_at",
        due_at = "coalesce(r.next_attempt_at, r.look_again_at)",
        was_queued = "EXISTS (SELECT 1 FROM messages m WHERE m.subscription = r.subscription \
                      AND m.reference = r.reference AND m.type = 'renewal.ready')",
        patience: Patience,
        sent: SentBefore,
    }

    Patience {
        attempts = "r.attempts",
        answered_at = "r.answered_at",
        unanswered = "r.unanswered",
        refusals = "r.refusals",
        not_found = { Tally { answers = "r.not_found_answers", seconds = "r.not_found_seconds" } },
        waiting = { Tally { answers = "r.waiting_answers", seconds = "r.waiting_seconds" } },
        empty = { Tally { answers = "r.empty_answers", seconds = "r.empty_seconds" } },
        transient = { Tally { answers = "r.transient_answers", seconds = "r.transient_seconds" } },
    }

    KnownDelivery { generation = "r.generation", reference = "r.reference" }

    RenewalRow {
        generation = "r.generation",
        reference = "r.reference",
        occasion = "r.occasion",
        late = "r.late",
        state = "r.state",
        revision = "r.revision",
        detected_at = "r.detected_at",
        settled_at = "r.settled_at",
        expires_at = "r.expires_at",
        seconds_after_expiry = "r.seconds_after_expiry",
        next_attempt_at = "r.next_attempt_at",
        last_attempt_at = "r.last_attempt_at",
        attempts = "r.attempts",
        last_outcome = "r.last_outcome",
        last_detail = "r.last_detail",
        warnings = "r.warnings" => |Warnings(warnings)| warnings,
        look_again_at = "r.look_again_at",
    }
}

/// Of one that is looked at again.
type SentBefore = Option<Sent>;

impl Columns for SentBefore {
    const COLUMNS: &'static str = "r.look_again_at IS NOT NULL, r.warnings, r.settled_at,
        CASE WHEN r.look_again_at IS NOT NULL THEN (
            SELECT m.keys_hash FROM messages m
            WHERE m.subscription = r.subscription AND m.reference = r.reference AND m.type = 'renewal.ready'
            ORDER BY m.seq DESC LIMIT 1) END";

    fn read_from(row: &Row<'_>, at: &mut usize) -> rusqlite::Result<Self> {
        let (is_looked_at, Warnings(warnings)) = (next(row, at)?, next(row, at)?);
        let (settled_at, keys_hash): (Option<_>, Option<_>) = (next(row, at)?, next(row, at)?);
        let sent = settled_at.filter(|_| is_looked_at);
        Ok(sent.map(|settled_at| Sent { warnings, keys_hash: keys_hash.unwrap_or_default(), settled_at }))
    }
}

// Of `messages m JOIN subscriptions s`, and with `dispatches d`.
rows! {
    MessageRow {
        id = "m.id" => |Id(id)| id,
        seq = "m.seq",
        event = "m.type",
        provider = "s.provider",
        territory = "m.territory",
        partner_order_number = "s.partner_order_number",
        subscription_id = "s.subscription_id",
        generation = "m.generation",
        reference = "m.reference",
        queued_at = "m.queued_at",
        body_bytes = "m.body_bytes",
        keys_hash = "m.keys_hash",
        wiped_at = "m.wiped_at",
    }

    Body {
        key_id = "m.key_id" => |id: Option<String>| id.map(Into::into),
        checksum = "m.checksum",
        body = "m.body" => |body: Vec<u8>| body.into(),
    }

    Taken {
        dispatch = "d.id",
        subscription = "d.subscription",
        attempts = "d.attempts",
        failing_seconds = "d.failing_seconds",
        failed_at = "d.failed_at",
        previous_at = "d.last_attempt_at",
        id = "m.id" => |Id(id)| id,
        event = "m.type",
        queued_at = "m.queued_at",
        replays = "d.replays",
        partner_order_number = "s.partner_order_number",
        subscription_id = "s.subscription_id",
        reference = "m.reference",
        seq = "m.seq",
    }

    DispatchRow {
        id = "m.id" => |Id(id)| id,
        event = "m.type",
        sink = "d.sink",
        state = "d.state",
        provider = "s.provider",
        territory = "m.territory",
        partner_order_number = "s.partner_order_number",
        subscription_id = "s.subscription_id",
        generation = "m.generation",
        reference = "m.reference",
        queued_at = "m.queued_at",
        attempts = "d.attempts",
        next_attempt_at = "CASE WHEN d.state = 'pending' THEN d.next_attempt_at END",
        last_attempt_at = "d.last_attempt_at",
        last_error = "d.last_error",
        last_answer = "d.last_answer",
        leased_until = "d.leased_until",
        delivered_at = "d.delivered_at",
        dead_at = "d.dead_at",
        replays = "d.replays",
        replayed_at = "d.replayed_at",
        first_delivered_at = "d.first_delivered_at",
        wiped_at = "m.wiped_at",
        row = "d.id",
    }
}

// Of tables that stand alone.
rows! {
    ForgottenRow {
        event = "type",
        generation = "generation",
        queued_at = "queued_at",
        keys_hash = "keys_hash",
        sink = "sink",
        delivered_at = "delivered_at",
        forgotten_at = "forgotten_at",
    }

    StoppedTerritory {
        provider = "provider",
        territory = "territory",
        stopped_at = "stopped_at",
        reason = "reason",
    }

    SinkState {
        sink = "sink",
        failures = "failures",
        blocked_since = "blocked_since",
        blocked_until = "blocked_until",
        last_error = "last_error",
        last_success_at = "last_success_at",
    }
}

// Of `subscriptions s`.
rows! {
    Exported {
        row = "s.id",
        partner_order_number = "s.partner_order_number",
        subscription_id = "s.subscription_id",
        // The last one before any that is not through: below the purchase only where a trial may have been that.
        generation = "CASE WHEN s.generation IS NULL THEN NULL ELSE max(
            CASE WHEN s.is_numbered = 0 AND EXISTS (SELECT 1 FROM renewals r
                              WHERE r.subscription = s.id AND r.occasion = 'trial_conversion')
                 THEN -1 ELSE min(0, s.generation) END, min(s.generation,
            coalesce((SELECT min(r.generation) - 1 FROM renewals r
                      WHERE r.subscription = s.id AND r.state = 'awaiting_order_data'), s.generation),
            coalesce((SELECT min(m.generation) - 1 FROM dispatches d JOIN messages m ON m.seq = d.message
                      WHERE d.subscription = s.id AND d.state = 'pending' AND m.type = 'renewal.ready'),
                     s.generation))) END",
        provider = "s.provider",
        territory = "s.territory",
        expires_at = "s.expires_at",
        state = "s.state",
        // Where the number and the generation say nothing of what was delivered.
        known = "CASE s.is_numbered WHEN 0 THEN (
            SELECT json_group_array(json_object('reference', r.reference, 'generation', r.generation)) FROM renewals r
            WHERE r.subscription = s.id AND r.state IN ('known', 'queued', 'abandoned') AND NOT EXISTS (
                SELECT 1 FROM dispatches d JOIN messages m ON m.seq = d.message
                WHERE d.subscription = s.id AND d.state = 'pending' AND m.reference = r.reference
                  AND m.type = 'renewal.ready')) END" => |known: Option<Json>| known.map(|Json(json)| json),
        known_before = "CASE WHEN s.is_numbered = 0 AND s.generation IS NOT NULL THEN coalesce(s.known_before, s.tracked_at) END",
        metadata = "s.metadata" => |Json(json)| json,
    }
}

/// JSON as it was written.
struct Json(Box<RawValue>);

impl FromSql for Json {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?.to_owned();
        RawValue::from_string(text).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}
