//! Makes a new database look as after years: everybody was asked in turn as fast as the budget allows, renewed once, and that
//! was delivered.

use std::path::Path;

use renewald::clock::Timestamp;
use rusqlite::{Connection, named_params};

/// Everybody's last answer lies as far back as the budget of five requests a second makes it.
pub fn years(database: &Path) {
    let db = Connection::open(database).expect("the database");
    let now = Timestamp::now().as_unix();
    db.execute(
        "UPDATE subscriptions SET generation = 1, technical_status = 'ACTIVE', life = 'running', last_outcome = 'ok',
             expiry_reported = 1,
             expires_at = :now + id * 7919 % 365 * 86400, lane = CASE WHEN id * 7919 % 365 < 3 THEN 2 ELSE 3 END,
             due_at = :now - id / 5 + 14400, last_asked_at = :now - id / 5, last_answer_at = :now - id / 5",
        named_params! { ":now": now },
    )
    .expect("asked");
    db.execute(
        "INSERT INTO renewals (subscription, provider, generation, reference, state, detected_at, settled_at)
         SELECT id, provider, 1, partner_order_number || '-1', 'queued', :now, :now FROM subscriptions",
        named_params! { ":now": now },
    )
    .expect("renewed");
    db.execute(
        "INSERT INTO messages (id, subscription, type, territory, generation, reference, queued_at, body_bytes,
                               keys_hash, wiped_at)
         SELECT printf('00000000-0000-5000-8000-%012d', id), id, 'renewal.ready', 'eu', 1,
                partner_order_number || '-1', :now, 900, '', :now
         FROM subscriptions",
        named_params! { ":now": now },
    )
    .expect("queued");
    db.execute(
        "INSERT INTO dispatches (message, sink, subscription, ordered, state, attempts, next_attempt_at, delivered_at)
         SELECT seq, 'shop', subscription, 1, 'delivered', 1, queued_at, queued_at FROM messages",
        [],
    )
    .expect("delivered");
}

/// Nobody was asked for a year.
pub fn absence(database: &Path) {
    let db = Connection::open(database).expect("the database");
    let earlier = "UPDATE subscriptions SET due_at = due_at - 31536000, last_asked_at = last_asked_at - 31536000,
                       last_answer_at = last_answer_at - 31536000, tracked_at = tracked_at - 31536000";
    db.execute(earlier, []).expect("changed");
}
