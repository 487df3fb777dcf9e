-- What a new database gets. Older files are brought here by the numbered steps in src/store/migrations.rs, and a test
-- compares the two. All times are Unix seconds, UTC; the words are those of the README.

-- One subscription that somebody asked us to watch. Rows are never deleted by the daemon. Its checks say OR where IN would read
-- better: SQLite builds a temporary index for each row that it holds against a list of three or more.
CREATE TABLE subscriptions (
    id                    INTEGER PRIMARY KEY,
    provider              TEXT    NOT NULL,
    partner_order_number  TEXT    NOT NULL CHECK (length(CAST(partner_order_number AS BLOB)) BETWEEN 1 AND 255),
    subscription_id       INTEGER NOT NULL CHECK (subscription_id > 0),
    territory             TEXT    NOT NULL,
    state                 TEXT    NOT NULL DEFAULT 'watching'
                          CHECK (state = 'watching' OR state = 'paused' OR state = 'ended' OR state = 'untracked'),
    generation            INTEGER CHECK (generation >= 0),       -- NULL: adopted, the first poll notes it
    expires_at            INTEGER,
    expiry_reported       INTEGER NOT NULL DEFAULT 0 CHECK (expiry_reported IN (0, 1)), -- 1: by the provider
    metadata              TEXT    NOT NULL DEFAULT '{}' CHECK (json_type(metadata) = 'object'),
    tracked_at            INTEGER NOT NULL,
    tracked_by            TEXT    NOT NULL CHECK (tracked_by IN ('track', 'order', 'import')),
    ended_at              INTEGER,

    -- When it is asked, and with what rank.
    lane                  INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 2), -- 0 asked for, 1 urgent, 2 other
    due_at                INTEGER,                               -- NULL: not asked
    pace                  TEXT    NOT NULL DEFAULT 'regular'
                          CHECK (pace = 'regular' OR pace = 'daily' OR pace = 'monthly'),

    -- What the last polls said.
    last_asked_at         INTEGER,
    last_answer_at        INTEGER,                               -- the last usable answer
    failures              INTEGER NOT NULL DEFAULT 0,            -- polls in a row without a usable answer
    refusals              INTEGER NOT NULL DEFAULT 0,            -- of these, refused in a row (70, 71, 403)
    last_outcome          TEXT,
    last_detail           TEXT,
    technical_status      TEXT,
    status_changes        INTEGER NOT NULL DEFAULT 0,
    terminal_since        INTEGER,                               -- first of the answers in a row that said so
    surprise              TEXT,                                  -- the one that stands; NULL: none
    surprises             INTEGER NOT NULL DEFAULT 0,
    not_renewed_term      INTEGER,                               -- the expiry that was reported as not renewed

    UNIQUE (partner_order_number, subscription_id, provider),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (due_at IS NULL OR state IN ('watching', 'ended'))
) STRICT;

-- Every choice of the next poll is a range of this index.
CREATE INDEX subscriptions_due ON subscriptions (provider, territory, lane, due_at) WHERE due_at IS NOT NULL;
-- Finds those whose window has opened while they wait among the others.
CREATE INDEX subscriptions_window ON subscriptions (provider, expires_at) WHERE lane = 2 AND pace = 'regular';
CREATE INDEX subscriptions_by_id ON subscriptions (subscription_id);
-- Finds whoever is asked and not answered for. Costs nothing while all are.
CREATE INDEX subscriptions_failing ON subscriptions (provider, coalesce(last_answer_at, tracked_at)) WHERE failures > 0;

-- One generation newly seen. Written before its order data is asked for.
CREATE TABLE renewals (
    id                    INTEGER PRIMARY KEY,
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    provider              TEXT    NOT NULL,
    generation            INTEGER NOT NULL CHECK (generation >= 0), -- 0 only by refetch
    order_number          TEXT    NOT NULL,                      -- what Get order data is asked with
    state                 TEXT    NOT NULL DEFAULT 'awaiting_order_data'
                          CHECK (state IN ('awaiting_order_data', 'queued', 'abandoned', 'dropped')),
    revision              INTEGER NOT NULL DEFAULT 0,            -- raised by refetch
    detected_at           INTEGER NOT NULL,
    expires_at            INTEGER,                               -- only on the newest of a jump
    seconds_after_expiry  INTEGER,                               -- seen minus expiry then known; negative: before it
    settled_at            INTEGER,                               -- queued, abandoned or dropped

    next_attempt_at       INTEGER,
    attempts              INTEGER NOT NULL DEFAULT 0,
    last_attempt_at       INTEGER,
    last_outcome          TEXT,
    last_detail           TEXT,
    refusals              INTEGER NOT NULL DEFAULT 0,
    empty_answers         INTEGER NOT NULL DEFAULT 0,
    -- Patience is counted per class of answer, in answers and in the seconds between two answers in a row, so that neither
    -- an outage nor a clock that jumps brings the end nearer.
    answered_at           INTEGER,                               -- last attempt, if it brought an answer
    not_found_answers     INTEGER NOT NULL DEFAULT 0,
    not_found_seconds     INTEGER NOT NULL DEFAULT 0,
    waiting_answers       INTEGER NOT NULL DEFAULT 0,
    waiting_seconds       INTEGER NOT NULL DEFAULT 0,
    transient_answers     INTEGER NOT NULL DEFAULT 0,
    transient_seconds     INTEGER NOT NULL DEFAULT 0,

    UNIQUE (subscription, generation),                           -- recording twice is harmless
    CHECK ((state = 'awaiting_order_data') = (next_attempt_at IS NOT NULL)),
    CHECK ((state = 'awaiting_order_data') = (settled_at IS NULL))
) STRICT;

CREATE INDEX renewals_due ON renewals (provider, next_attempt_at) WHERE state = 'awaiting_order_data';
CREATE INDEX renewals_waiting ON renewals (order_number) WHERE state = 'awaiting_order_data';

-- The outbox. The body is serialised once and sent byte-identical on every attempt; row and hash outlive it.
CREATE TABLE messages (
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,     -- the order of queueing, never used again
    id                    TEXT    NOT NULL UNIQUE,               -- UUIDv5, see src/delivery.rs
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    type                  TEXT    NOT NULL,                      -- 'renewal.ready', ...
    territory             TEXT    NOT NULL,
    generation            INTEGER NOT NULL,
    queued_at             INTEGER NOT NULL,
    body                  BLOB,                                  -- NULL: wiped
    body_bytes            INTEGER NOT NULL,
    keys_hash             TEXT    NOT NULL,                      -- SHA-256 over the licence keys
    wiped_at              INTEGER,
    CHECK ((body IS NULL) = (wiped_at IS NOT NULL))
) STRICT;

CREATE INDEX messages_of ON messages (subscription);
CREATE INDEX messages_kept ON messages (queued_at) WHERE body IS NOT NULL;

-- One message for one sink.
CREATE TABLE dispatches (
    id                    INTEGER PRIMARY KEY,
    message               INTEGER NOT NULL REFERENCES messages (seq) ON DELETE CASCADE,
    sink                  TEXT    NOT NULL,
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    ordered               INTEGER NOT NULL CHECK (ordered IN (0, 1)), -- 1: renewal.*, one after the other
    state                 TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts              INTEGER NOT NULL DEFAULT 0,            -- those that count against the message
    next_attempt_at       INTEGER NOT NULL,
    last_attempt_at       INTEGER,
    last_error            TEXT,
    -- Time in retries, counted like a renewal's patience.
    failing_seconds       INTEGER NOT NULL DEFAULT 0,
    failed_at             INTEGER,                               -- the last attempt that counted
    leased_until          INTEGER,                               -- built-in queue only
    replays               INTEGER NOT NULL DEFAULT 0,            -- sent again on purpose, so many times
    delivered_at          INTEGER,
    dead_at               INTEGER,
    UNIQUE (message, sink),                                      -- queueing twice is harmless
    CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK ((state = 'dead') = (dead_at IS NOT NULL))
) STRICT;

CREATE INDEX dispatches_due ON dispatches (sink, next_attempt_at) WHERE state = 'pending';
CREATE INDEX dispatches_order ON dispatches (sink, subscription, message) WHERE state = 'pending' AND ordered = 1;
CREATE INDEX dispatches_of ON dispatches (subscription);
CREATE INDEX dispatches_dead ON dispatches (sink, dead_at) WHERE state = 'dead';

-- What stops asking or publishing as a whole, so that a restart and another process know of it.
CREATE TABLE territories (
    provider              TEXT    NOT NULL,
    territory             TEXT    NOT NULL,
    stopped_at            INTEGER NOT NULL,
    reason                TEXT    NOT NULL,
    PRIMARY KEY (provider, territory)
) STRICT, WITHOUT ROWID;

CREATE TABLE sinks (
    sink                  TEXT    PRIMARY KEY,
    failures              INTEGER NOT NULL DEFAULT 0,            -- in a row
    blocked_since         INTEGER,
    blocked_until         INTEGER,
    last_error            TEXT,
    last_success_at       INTEGER,
    CHECK ((blocked_since IS NULL) = (failures = 0)),
    CHECK ((blocked_since IS NULL) = (blocked_until IS NULL))
) STRICT, WITHOUT ROWID;

-- When renewald last looked at the clock: a time far from it is not believed where something would be lost by it.
CREATE TABLE clock (
    only                  INTEGER PRIMARY KEY CHECK (only = 1),
    seen_at               INTEGER NOT NULL
) STRICT;

-- What a person was told and is not over yet.
CREATE TABLE alerts (
    kind                  TEXT    NOT NULL,
    subject               TEXT    NOT NULL,
    text                  TEXT    NOT NULL,
    raised_at             INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- When the dead-man's switch was last told that all is well.
CREATE TABLE heartbeat (
    only                  INTEGER PRIMARY KEY CHECK (only = 1),
    sent_at               INTEGER NOT NULL
) STRICT;
