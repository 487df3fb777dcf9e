-- What a new database gets. Older files are brought here by the numbered steps in src/store/sqlite/migrations.rs, and a test
-- compares the two. All times are Unix seconds, UTC; the words are those of docs/design.md.
-- AUTOINCREMENT where a row can be forgotten: whoever still has it in hand must never meet another one under its number.
-- OR in the checks of busy tables, where IN would read better: SQLite builds a temporary index for each row that it holds against
-- a list of three or more.

-- One subscription that somebody asked us to watch. Rows are never deleted by the daemon.
CREATE TABLE subscriptions (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    provider              TEXT    NOT NULL,
    partner_order_number  TEXT    NOT NULL CHECK (octet_length(partner_order_number) BETWEEN 1 AND 255),
    subscription_id       TEXT    NOT NULL CHECK (octet_length(subscription_id) BETWEEN 1 AND 255),
    is_numbered           INTEGER NOT NULL CHECK (is_numbered IN (0, 1)), -- 1: the number belongs to the identity
    territory             TEXT    NOT NULL,
    state                 TEXT    NOT NULL DEFAULT 'watching'
                          CHECK (state = 'watching' OR state = 'paused' OR state = 'ended' OR state = 'untracked'),
    generation            INTEGER CHECK (generation >= -1),      -- NULL: adopted, the first poll notes it
    expires_at            INTEGER,
    expiry_reported       INTEGER NOT NULL DEFAULT 0 CHECK (expiry_reported IN (0, 1)), -- 1: by the provider
    metadata              TEXT    NOT NULL DEFAULT '{}' CHECK (json_type(metadata) = 'object'),
    tracked_at            INTEGER NOT NULL,
    tracked_by            TEXT    NOT NULL CHECK (tracked_by = 'track' OR tracked_by = 'order' OR tracked_by = 'import' OR tracked_by = 'discovery'),
    ended_at              INTEGER,
    known_before          INTEGER,                               -- what came beside the count until then was had; NULL: tracked_at

    -- When it is asked, and with what rank.
    lane                  INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 3), -- 0 asked for, 1 hinted at, 2 urgent, 3 other
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
    life                  TEXT    CHECK (life = 'running' OR life = 'paused' OR life = 'cancelled' OR life = 'expired'), -- what that means to us
    memo                  TEXT,                                  -- the provider's implementation keeps it from look to look
    hints                 INTEGER NOT NULL DEFAULT 0,            -- rises with each that comes while it is due, and may be being asked
    hinted_at             INTEGER,                               -- when it was asked last because of one
    status_changes        INTEGER NOT NULL DEFAULT 0,
    terminal_since        INTEGER,                               -- first of the answers in a row that said so
    surprise              TEXT,                                  -- the one that stands; NULL: none
    surprises             INTEGER NOT NULL DEFAULT 0,
    past_surprise         TEXT,                                  -- the last that is over, until a renewal or refetch
    past_surprise_at      INTEGER,                               -- when it was answered last
    partner_reference     TEXT,                                  -- what the reseller calls it at the provider
    failing_generation    INTEGER,                               -- whose payment fails; NULL: none does
    failing_since         INTEGER,                               -- where the provider tells
    failing_seen_at       INTEGER,
    failing_reason        TEXT,
    payment_failures      INTEGER NOT NULL DEFAULT 0,            -- how often one began to fail
    offer_order_number    TEXT,                                  -- what became of an offer last
    offer_state           TEXT    CHECK (offer_state = 'accepted' OR offer_state = 'aborted' OR offer_state = 'used'),
    offer_seen_at         INTEGER,
    renewal_due_term      INTEGER,                               -- the expiry that was told as due, or needs no telling
    not_renewed_term      INTEGER,                               -- the expiry that was reported as not renewed

    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((past_surprise IS NULL) = (past_surprise_at IS NULL)),
    CHECK ((failing_generation IS NULL) = (failing_seen_at IS NULL)),
    CHECK ((failing_generation IS NULL) = (failing_reason IS NULL)),
    CHECK ((offer_state IS NULL) = (offer_order_number IS NULL)),
    CHECK ((offer_state IS NULL) = (offer_seen_at IS NULL)),
    CHECK (due_at IS NULL OR state IN ('watching', 'ended'))
) STRICT;

-- What makes a subscription this one. Where the number is no part of that, it is an attribute like others.
CREATE UNIQUE INDEX subscriptions_identity
    ON subscriptions (subscription_id, provider, (CASE is_numbered WHEN 1 THEN partner_order_number ELSE '' END));
CREATE INDEX subscriptions_by_number ON subscriptions (partner_order_number);
-- Every choice of the next poll is a range of this index.
CREATE INDEX subscriptions_due ON subscriptions (provider, territory, lane, due_at) WHERE due_at IS NOT NULL;
-- Finds those whose window has opened while they wait among the others.
CREATE INDEX subscriptions_window ON subscriptions (provider, expires_at) WHERE lane = 3 AND pace = 'regular';
-- Who needs a look: few rows, so that finding them costs little and healthy ones cost nothing.
CREATE INDEX subscriptions_failing ON subscriptions (provider, coalesce(last_answer_at, tracked_at)) WHERE failures > 0;
CREATE INDEX subscriptions_odd ON subscriptions (provider) WHERE (last_outcome = 'not_found' OR surprise IS NOT NULL);
CREATE INDEX subscriptions_slow ON subscriptions (provider, due_at) WHERE pace <> 'regular';

-- How many subscriptions are alike: counting a million of them anew takes too long for `status` and metrics. An uneventful poll
-- sets none of the columns that the trigger is for, and so costs nothing more; who sets due_at to NULL, or back, sets state with it.
CREATE TABLE subscription_counts (
    provider              TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    pace                  TEXT    NOT NULL,
    lane                  INTEGER NOT NULL,
    is_asked              INTEGER NOT NULL,                      -- 0: due_at is NULL
    count                 INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (provider, state, pace, lane, is_asked)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER subscriptions_added AFTER INSERT ON subscriptions BEGIN
    INSERT INTO subscription_counts VALUES (new.provider, new.state, new.pace, new.lane, new.due_at IS NOT NULL, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER subscriptions_removed AFTER DELETE ON subscriptions BEGIN
    UPDATE subscription_counts SET count = count - 1
    WHERE provider = old.provider AND state = old.state AND pace = old.pace AND lane = old.lane
      AND is_asked = (old.due_at IS NOT NULL);
END;

CREATE TRIGGER subscriptions_changed AFTER UPDATE OF provider, state, pace, lane ON subscriptions
WHEN new.state <> old.state OR new.pace <> old.pace OR new.lane <> old.lane OR new.provider <> old.provider
  OR (new.due_at IS NULL) <> (old.due_at IS NULL)
BEGIN
    UPDATE subscription_counts SET count = count - 1
    WHERE provider = old.provider AND state = old.state AND pace = old.pace AND lane = old.lane
      AND is_asked = (old.due_at IS NOT NULL);
    INSERT INTO subscription_counts VALUES (new.provider, new.state, new.pace, new.lane, new.due_at IS NOT NULL, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
END;

-- One delivery newly seen. Written before its order data is asked for.
CREATE TABLE renewals (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    provider              TEXT    NOT NULL,
    generation            INTEGER NOT NULL CHECK (generation >= -1), -- a label for people
    reference             TEXT    NOT NULL,                      -- the provider's name for it, which it is fetched by
    occasion              TEXT    NOT NULL DEFAULT 'renewal'
                          CHECK (occasion IN ('renewal', 'upgrade', 'trial_conversion', 'purchase')),
    late                  INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1)), -- 1: older than one recorded before it
    -- known: the customer had it before it was seen here
    state                 TEXT    NOT NULL DEFAULT 'awaiting_order_data'
                          CHECK (state IN ('awaiting_order_data', 'queued', 'abandoned', 'dropped', 'known')),
    revision              INTEGER NOT NULL DEFAULT 0,            -- raised by refetch, and by what came after it was queued
    detected_at           INTEGER NOT NULL,
    expires_at            INTEGER,                               -- only on the newest of a jump
    seconds_after_expiry  INTEGER,                               -- seen minus expiry then known; negative: before it
    settled_at            INTEGER,                               -- queued, abandoned, dropped or known

    next_attempt_at       INTEGER,
    attempts              INTEGER NOT NULL DEFAULT 0,
    last_attempt_at       INTEGER,
    last_outcome          TEXT,
    last_detail           TEXT,
    unanswered            INTEGER NOT NULL DEFAULT 0,            -- attempts in a row that brought no answer
    refusals              INTEGER NOT NULL DEFAULT 0,
    -- Patience is counted per class of answer, in answers and in the seconds between two answers in a row, so that neither
    -- an outage nor a clock that jumps brings the end nearer.
    answered_at           INTEGER,                               -- last attempt, if it brought an answer
    not_found_answers     INTEGER NOT NULL DEFAULT 0,
    not_found_seconds     INTEGER NOT NULL DEFAULT 0,
    waiting_answers       INTEGER NOT NULL DEFAULT 0,
    waiting_seconds       INTEGER NOT NULL DEFAULT 0,
    empty_answers         INTEGER NOT NULL DEFAULT 0,
    empty_seconds         INTEGER NOT NULL DEFAULT 0,
    transient_answers     INTEGER NOT NULL DEFAULT 0,
    transient_seconds     INTEGER NOT NULL DEFAULT 0,

    -- What was queued last.
    warnings              TEXT    CHECK (json_type(warnings) = 'array'), -- NULL: none
    look_again_at         INTEGER,                               -- for what it lacks; NULL: it lacks nothing, or it is past hope

    UNIQUE (subscription, reference),                            -- recording twice is harmless
    CHECK ((state = 'awaiting_order_data') = (next_attempt_at IS NOT NULL)),
    CHECK ((state = 'awaiting_order_data') = (settled_at IS NULL)),
    CHECK (look_again_at IS NULL OR (state = 'queued' AND warnings IS NOT NULL))
) STRICT;

CREATE INDEX renewals_due ON renewals (provider, next_attempt_at) WHERE state = 'awaiting_order_data';
CREATE INDEX renewals_waiting ON renewals (reference) WHERE state = 'awaiting_order_data';
CREATE INDEX renewals_again ON renewals (provider, look_again_at) WHERE look_again_at IS NOT NULL;
CREATE INDEX renewals_lacking ON renewals (reference) WHERE look_again_at IS NOT NULL;
CREATE INDEX renewals_warned ON renewals (provider, settled_at) WHERE warnings IS NOT NULL;

-- The outbox. The body is serialised once and sent byte-identical on every attempt; row and hash outlive it.
CREATE TABLE messages (
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,     -- the order of queueing, never used again
    id                    TEXT    NOT NULL UNIQUE,               -- UUIDv5, see src/delivery.rs
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    type                  TEXT    NOT NULL,                      -- 'renewal.ready', ...
    territory             TEXT    NOT NULL,
    generation            INTEGER NOT NULL,
    reference             TEXT    NOT NULL,                      -- of the delivery; '' for what is about none
    queued_at             INTEGER NOT NULL,
    -- Before the body: what lies behind a long one is slow to read.
    key_id                TEXT    CHECK (length(key_id) = 8),    -- what the body is encrypted with, see src/vault.rs; NULL: plain
    checksum              BLOB,                                  -- of a plain body and its id; an encrypted one has its own inside
    damaged_at            INTEGER,                               -- the body was found changed or exchanged: it waits, and holds up nobody
    body                  BLOB,                                  -- NULL: wiped
    body_bytes            INTEGER NOT NULL,                      -- before encryption
    keys_hash             TEXT    NOT NULL,                      -- SHA-256 over the licence keys
    wiped_at              INTEGER,
    CHECK ((body IS NULL) = (wiped_at IS NOT NULL)),
    CHECK (body IS NULL OR (key_id IS NULL) = (checksum IS NOT NULL))
) STRICT;

CREATE INDEX messages_of ON messages (subscription);
CREATE INDEX messages_kept ON messages (queued_at) WHERE body IS NOT NULL;
CREATE INDEX messages_sealed ON messages (key_id) WHERE key_id IS NOT NULL AND body IS NOT NULL;
CREATE INDEX messages_damaged ON messages (damaged_at) WHERE damaged_at IS NOT NULL AND body IS NOT NULL;

-- One message for one sink.
CREATE TABLE dispatches (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    message               INTEGER NOT NULL REFERENCES messages (seq) ON DELETE CASCADE,
    sink                  TEXT    NOT NULL,
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    ordered               INTEGER NOT NULL CHECK (ordered IN (0, 1)), -- 1: about a delivery, one after the other
    state                 TEXT    NOT NULL DEFAULT 'pending'
                          CHECK (state = 'pending' OR state = 'delivered' OR state = 'dead'),
    attempts              INTEGER NOT NULL DEFAULT 0,            -- those that count against the message
    next_attempt_at       INTEGER NOT NULL,
    last_attempt_at       INTEGER,
    last_error            TEXT,
    last_answer           TEXT,                                  -- what the receiver said to it, without keys; goes with the body
    -- Time in retries, counted like a renewal's patience.
    failing_seconds       INTEGER NOT NULL DEFAULT 0,
    failed_at             INTEGER,                               -- the last attempt that counted
    leased_until          INTEGER,                               -- built-in queue only
    replays               INTEGER NOT NULL DEFAULT 0,            -- sent again on purpose, so many times
    replayed_at           INTEGER,                               -- when a person last asked for that
    first_delivered_at    INTEGER,                               -- of one that was sent again
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

CREATE TRIGGER messages_wiped AFTER UPDATE OF body ON messages WHEN new.body IS NULL BEGIN
    UPDATE dispatches SET last_answer = NULL WHERE message = new.seq AND last_answer IS NOT NULL;
END;

-- How many dispatches of a sink are in each state: the delivered ones are never deleted, and too many to count for each scrape.
CREATE TABLE dispatch_counts (
    sink                  TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    count                 INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (sink, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER dispatches_added AFTER INSERT ON dispatches BEGIN
    INSERT INTO dispatch_counts VALUES (new.sink, new.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER dispatches_removed AFTER DELETE ON dispatches BEGIN
    UPDATE dispatch_counts SET count = count - 1 WHERE sink = old.sink AND state = old.state;
END;

CREATE TRIGGER dispatches_changed AFTER UPDATE OF sink, state ON dispatches
WHEN new.sink <> old.sink OR new.state <> old.state
BEGIN
    UPDATE dispatch_counts SET count = count - 1 WHERE sink = old.sink AND state = old.state;
    INSERT INTO dispatch_counts VALUES (new.sink, new.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;

-- How many renewals were seen on each day, and how soon these were delivered for the first time: a row a day for ever, for the page.
CREATE TABLE renewal_days (
    provider              TEXT    NOT NULL,
    day                   INTEGER NOT NULL,                      -- since 1970-01-01, on which it was seen
    seen                  INTEGER NOT NULL DEFAULT 0,
    delivered             INTEGER NOT NULL DEFAULT 0,            -- of these, to whichever sink was first
    within_minute         INTEGER NOT NULL DEFAULT 0,
    within_hour           INTEGER NOT NULL DEFAULT 0,
    within_day            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER renewals_seen AFTER INSERT ON renewals WHEN new.state <> 'known' BEGIN
    INSERT INTO renewal_days (provider, day, seen) VALUES (new.provider, new.detected_at / 86400, 1)
    ON CONFLICT DO UPDATE SET seen = seen + 1;
END;

CREATE TRIGGER renewals_delivered AFTER UPDATE OF state ON dispatches
WHEN new.state = 'delivered' AND old.state <> 'delivered' AND new.ordered = 1 AND new.replays = 0
BEGIN
    INSERT INTO renewal_days (provider, day, delivered, within_minute, within_hour, within_day)
    SELECT r.provider, r.detected_at / 86400, 1, new.delivered_at - r.detected_at <= 60,
           new.delivered_at - r.detected_at <= 3600, new.delivered_at - r.detected_at <= 86400
    FROM messages m JOIN renewals r ON r.subscription = m.subscription AND r.reference = m.reference
    WHERE m.seq = new.message AND m.type = 'renewal.ready' AND r.revision = 0
      AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = new.message AND d.id <> new.id
                      AND coalesce(d.first_delivered_at, d.delivered_at) IS NOT NULL)
    ON CONFLICT DO UPDATE SET delivered = delivered + 1, within_minute = within_minute + excluded.within_minute,
        within_hour = within_hour + excluded.within_hour, within_day = within_day + excluded.within_day;
END;

-- What is left of the dispatches of a forgotten subscription: the ledger, without a word about the customer. Only who knows the
-- subscription's numbers can tell a message's id.
CREATE TABLE forgotten (
    message_id            TEXT    NOT NULL,
    type                  TEXT    NOT NULL,
    generation            INTEGER NOT NULL,
    queued_at             INTEGER NOT NULL,
    keys_hash             TEXT    NOT NULL,
    sink                  TEXT,                                  -- NULL: it was meant for none
    delivered_at          INTEGER,                               -- for the first time; NULL: never
    forgotten_at          INTEGER NOT NULL
) STRICT;

CREATE INDEX forgotten_messages ON forgotten (message_id);

-- What stops asking or publishing as a whole, so that a restart and another process know of it.
CREATE TABLE territories (
    provider              TEXT    NOT NULL,
    territory             TEXT    NOT NULL,
    stopped_at            INTEGER NOT NULL,
    reason                TEXT    NOT NULL,
    PRIMARY KEY (provider, territory)
) STRICT, WITHOUT ROWID;

-- A row only while a provider does not answer, or is asked more slowly after a 429. Who begins to ask it begins without one, unless
-- the provider may have closed for good.
CREATE TABLE providers (
    provider              TEXT    PRIMARY KEY,
    breaker_open_since    INTEGER,
    breaker_probe_at      INTEGER,                               -- the next single request
    breaker_reason        TEXT,
    slowed_rate           REAL,                                  -- requests a second, when this was written
    slowed_until          INTEGER,
    paused_until          INTEGER,                               -- nothing is asked before: Retry-After
    failures              INTEGER NOT NULL DEFAULT 0,            -- in a row, of one that may have closed for good
    CHECK (breaker_open_since IS NOT NULL OR slowed_until IS NOT NULL OR paused_until IS NOT NULL OR failures > 0),
    CHECK ((breaker_open_since IS NULL) = (breaker_probe_at IS NULL)),
    CHECK ((breaker_open_since IS NULL) = (breaker_reason IS NULL)),
    CHECK ((slowed_until IS NULL) = (slowed_rate IS NULL))
) STRICT, WITHOUT ROWID;

-- How far the provider's own lists have been read: for each account a row for what has changed, and one for all there is. The walk is
-- the one under way, or the last one that ended.
CREATE TABLE feeds (
    provider              TEXT    NOT NULL,
    walk                  TEXT    NOT NULL CHECK (walk IN ('changes', 'everything')),
    watermark             INTEGER,                               -- the latest of the provider's times that a whole walk saw
    whole_at              INTEGER,                               -- when all of it was seen last
    whole_pages           INTEGER,
    whole_untracked       INTEGER,
    sampled_at            INTEGER,                               -- when its rows were last held against single looks
    way                   TEXT    NOT NULL,
    begun_at              INTEGER NOT NULL,
    since                 INTEGER,
    until                 INTEGER NOT NULL,
    next                  TEXT,                                  -- where it goes on; NULL: at its beginning
    pages                 INTEGER NOT NULL,
    pages_told            INTEGER,
    newest                INTEGER,
    newest_before         INTEGER,
    stale                 INTEGER NOT NULL,
    untracked             INTEGER NOT NULL,
    ended                 TEXT,                                  -- how; NULL: it is under way
    PRIMARY KEY (provider, walk)
) STRICT, WITHOUT ROWID;

-- Ways of listing that did not do what they should.
CREATE TABLE feed_ways (
    provider              TEXT    NOT NULL,
    way                   TEXT    NOT NULL,
    trust                 TEXT    NOT NULL CHECK (trust IN ('hints_only', 'off')),
    why                   TEXT    NOT NULL,
    since                 INTEGER NOT NULL,
    seen_at               INTEGER NOT NULL,
    PRIMARY KEY (provider, way)
) STRICT, WITHOUT ROWID;

-- Accounts where subscriptions that nobody tracks were to be tracked, and since when: kept when that ends.
CREATE TABLE discoveries (
    provider              TEXT    PRIMARY KEY,
    began_at              INTEGER NOT NULL,
    hinted_at             INTEGER                                -- a notification last named one that nobody tracks
) STRICT, WITHOUT ROWID;

-- Subscriptions of the lists that nobody tracks, as many as a person may want to see.
CREATE TABLE discovered (
    provider              TEXT    NOT NULL,
    subscription_id       TEXT    NOT NULL,
    number                TEXT,                                  -- the reseller's own for it
    created_at            INTEGER,                               -- at the provider
    first_seen_at         INTEGER NOT NULL,
    PRIMARY KEY (provider, subscription_id)
) STRICT, WITHOUT ROWID;

-- Orders that a shop placed through us, each written before it is sent. Of the body only the hash is kept.
CREATE TABLE shop_orders (
    provider              TEXT    NOT NULL,
    partner_order_number  TEXT    NOT NULL CHECK (octet_length(partner_order_number) BETWEEN 1 AND 255),
    territory             TEXT    NOT NULL,
    hash                  BLOB    NOT NULL CHECK (octet_length(hash) = 32), -- SHA-256
    metadata              TEXT    NOT NULL CHECK (json_type(metadata) = 'object'),
    deliver               INTEGER NOT NULL CHECK (deliver IN (0, 1)),
    asked_by              TEXT    NOT NULL,
    state                 TEXT    NOT NULL CHECK (state IN ('unclear', 'waiting', 'placed', 'absent')),
    sends                 INTEGER NOT NULL,
    sent_at               INTEGER NOT NULL,                      -- the last time
    missed                INTEGER NOT NULL DEFAULT 0,            -- answers in a row that did not know it
    next_look_at          INTEGER,                               -- NULL: nobody looks for it
    PRIMARY KEY (provider, partner_order_number),
    CHECK (next_look_at IS NULL OR state IN ('unclear', 'waiting'))
) STRICT, WITHOUT ROWID;

CREATE INDEX shop_orders_due ON shop_orders (provider, next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX shop_orders_open ON shop_orders (provider, state, sent_at) WHERE state IN ('unclear', 'waiting');

-- What a shop has changed at the provider through us, for the subscription's story.
CREATE TABLE shop_calls (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription          INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    call                  TEXT    NOT NULL,
    asked_at              INTEGER NOT NULL,
    asked_by              TEXT    NOT NULL,                      -- a user of this machine, or a token
    outcome               TEXT    NOT NULL,
    code                  INTEGER NOT NULL                       -- the provider's
) STRICT;

CREATE INDEX shop_calls_of ON shop_calls (subscription);

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
