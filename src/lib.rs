//! Watches software subscriptions that a reseller sold for renewals, and hands every new licence key over.
//!
//! The provider renews subscriptions by itself and tells nobody. renewald asks about each of them every few hours, notices that
//! the partner order number went from `PARTNER689` to `PARTNER689-1`, fetches that order's data and delivers it to the reseller's
//! sinks: at least once, under one message id for ever. All state is one SQLite file, so being killed at any moment loses
//! nothing. README.md and docs/ are for those who run it, and docs/design.md says what is promised; here is how it is built.
//!
//! # The map
//!
//! Arrows point one way: `cli → daemon, admin, hooks → shop → sweep, relay, view → provider, sink, store → choice, renewal, delivery, retry, clock`.
//! [`admin`] and [`hooks`] work from store and settings alone: they see neither sweep nor relay.
//! A provider never meets the store: only [`sweep`] holds both. Only [`relay`] holds sink and store. `tests/it/structure.rs`
//! holds the sources to all this.
//!
//! | Module | Owns |
//! |---|---|
//! | [`cli`] | the command line, one thin file per command |
//! | [`settings`] | settings, read once and checked whole, from file and environment; what only one kind has is read in its folder |
//! | [`environment`] | whether the journal or systemd listens, and colour is wanted |
//! | [`rules`] | from settings to the rules of decisions |
//! | [`logging`] | log lines to stderr |
//! | `flood` | how many of a kind are written one by one |
//! | [`daemon`] | `run` and `once`: the same passes |
//! | [`admin`] | health, metrics and the JSON API, over HTTP |
//! | [`hooks`] | providers' notifications, over HTTP: each a hint, and none believed |
//! | [`listen`] | doors and connections of both, and errors as they answer them |
//! | [`schedule`] | rings a bell every 30 s; what is due stands in the store |
//! | [`heartbeat`] | the dead-man's switch |
//! | [`signals`] | drain, exit at once, reload, poll now |
//! | [`notify`] | tells systemd: ready, status, watchdog |
//! | [`shop`] | a shop's calls, made in the same budget; orders whose end is found out |
//! | [`sweep`] | asks a provider what is due, records what it learns |
//! | [`choice`] | which request is next; no I/O |
//! | [`forecast`] | how much of the budget is needed, and what follows; no I/O |
//! | [`budget`] | evenly spaced requests, slow-down on 429, circuit breaker |
//! | [`relay`] | publishes what is due for one sink |
//! | [`provider`] | the trait, and a folder for each kind |
//! | [`sink`] | the trait, and webhook, amqp, nats, redis, smtp, exec, file, stdout |
//! | [`store`] | what must survive a restart; every SQL statement, in three rooms |
//! | [`vault`] | payloads at rest: sealing and opening them |
//! | [`convention`], [`life`] | how a kind of provider names subscriptions and deliveries; what their states mean |
//! | [`call`] | what a shop may ask a provider for |
//! | [`renewal`] | decisions on the provider's answers; no I/O, no clock |
//! | [`delivery`] | what the customer gets, the message and its id |
//! | [`retry`] | when to try again |
//! | [`clock`] | time; the only look at the system's clock |
//! | [`metrics`], [`pulse`] | what the loops count, and whether they still turn |
//! | `wait` | what the loops wait for beside their work |
//! | [`view`] | the objects that `--json` and the API show |
//! | [`tls`], [`text`], [`json`] | HTTP clients; making foreign text safe to show; JSON as it was written |
//! | [`sandbox`] | fake providers, a folder for each kind, on one floor: clock, faults, log, control calls |
//!
//! # The path of one renewal
//!
//! 1. The schedule ticks and rings the bell of the sweep.
//! 2. The sweep takes the subscriptions that are due from the store, a page at a time, and polls as fast as the budget lets it.
//! 3. The provider reports order number `PARTNER689-3`; `PARTNER689-1` was recorded.
//! 4. Generations 2 and 3 were missed. Both were paid for and each has its own keys, so neither is skipped.
//! 5. Both are recorded as renewals awaiting order data: on disk before anything else is asked.
//! 6. Order data is asked for, oldest first. "Not ready" sets when to ask again, by the class of its code.
//! 7. One transaction adds the message and its dispatches, one for each sink, and marks the renewal as queued.
//! 8. The bell of each sink rings; its relay takes the due dispatches, commits the attempt and publishes the message.
//! 9. The dispatch is delivered, or gets its next time; after the last attempt it is dead and a person must look.
//!
//! `once` takes the same path exactly once, from step 2.

pub mod admin;
pub mod budget;
pub mod call;
pub mod choice;
pub mod cli;
pub mod clock;
pub mod convention;
pub mod daemon;
pub mod delivery;
pub mod environment;
pub(crate) mod flood;
pub mod forecast;
#[doc(hidden)]
pub mod fuzzing;
pub mod heartbeat;
pub mod hooks;
pub mod json;
pub mod life;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod provider;
pub mod pulse;
pub mod relay;
pub mod renewal;
pub mod retry;
pub mod rules;
pub mod sandbox;
pub mod schedule;
pub mod settings;
pub mod shop;
pub mod signals;
pub mod sink;
pub mod store;
pub mod sweep;
pub mod text;
pub mod tls;
pub mod vault;
pub mod view;
pub(crate) mod wait;

/// An error with its causes, for one line of a log or a message: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let (mut last, mut source) = (text.clone(), error.source());
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own text, and some causes the error with more before it.
        if !last.is_empty() && cause_text.ends_with(&last) {
            text.truncate(text.len() - last.len());
            text.push_str(&cause_text);
        } else if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        (last, source) = (cause_text, cause.source());
    }
    text::visible(&text)
}

#[cfg(test)]
mod tests {
    use crate::store::Error;

    #[test]
    fn what_the_cause_repeats_is_said_once() {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY_DIRECTORY);
        let cause = rusqlite::Error::SqliteFailure(code, Some("attempt to write a readonly database".to_owned()));
        let told = super::chain(&Error::Sqlite(cause));
        assert_eq!(told, "the database refused: Error code 1544: attempt to write a readonly database");
    }
}
