//! `queue pull` and `queue ack`: a sink of kind `queue` as a script sees it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{parse_ids, queue_sink, unknown};
use crate::cli::numbers::whole;
use crate::cli::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::daemon;
use crate::settings::parse_duration;
use crate::store::{Leased, Store};
use crate::vault::Error::Damaged;

/// How often a waiting pull looks whether another process has written anything.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it asks all the same: a lease that ends is no change of the database.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A longer lease would outlast the day on which its consumer died.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// Sink of kind `queue` [default: the only one]
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
    /// Take at most so many messages
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u16>(1..=1000))]
    max: u16,
    /// For how long nobody else gets them, nor later renewals of their subscriptions; at most 24h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = lease)]
    lease: Duration,
    /// Wait so long for the first message
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    wait: Duration,
}

#[derive(Debug, clap::Args)]
pub struct AckArgs {
    /// Ids of the messages
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Sink of kind `queue` [default: the only one]
    #[arg(long, value_name = "SINK")]
    sink: Option<String>,
}

/// What `queue ack --json` prints.
#[derive(serde::Serialize)]
struct Acknowledged {
    acknowledged: usize,
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text).map_err(|error| error.to_string())?;
    if lease < Duration::from_secs(1) || lease > LONGEST_LEASE {
        return Err("a lease lasts from 1s to 24h".to_owned());
    }
    Ok(lease)
}

/// The leases are on disk before the first byte is printed: dying at any point loses no message.
pub async fn pull(args: PullArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let sink = queue_sink(&settings, args.sink.as_deref())?;
    let deadline = Instant::now() + args.wait;
    wait_for_file(&settings.store.path, deadline).await;
    let store = context.store_to_list(&settings)?.with_vault(daemon::vault(&settings.store));
    let leased = wait_for_messages(&store, &sink, &args, deadline).await?;
    let (locked, damaged) = (store.key_trouble().await?, store.damaged().await?);
    let printed = print_bodies(&mut std::io::stdout().lock(), &leased);
    if let Err((done, _)) = &printed {
        // Nobody would get them before the lease is over, nor what comes behind them.
        store.release(&sink, &leased[*done..]).await?;
    }
    store.close().await;
    printed.map_err(|(_, error)| error)?;
    for message in damaged {
        context.complain(&Damaged { message }.to_string());
    }
    match locked.is_empty() {
        true => Ok(Exit::Done),
        false => Err(Error::new(Exit::Settings, locked.join("; "))),
    }
}

/// A consumer may be started before the daemon that creates the database.
async fn wait_for_file(database: &Path, deadline: Instant) {
    while Instant::now() < deadline && !database.exists() {
        sleep(LOOK_EVERY.min(deadline - Instant::now())).await;
    }
}

async fn wait_for_messages(
    store: &Store,
    sink: &str,
    args: &PullArgs,
    deadline: Instant,
) -> Result<Vec<Leased>, Error> {
    loop {
        // Before asking, so that what is queued meanwhile is noticed.
        let seen = store.data_version().await?;
        let leased = store.lease(sink, args.max.into(), args.lease, Timestamp::now()).await?;
        if !leased.is_empty() || Instant::now() >= deadline {
            return Ok(leased);
        }
        let ask_again = deadline.min(Instant::now() + ASK_EVERY);
        while Instant::now() < ask_again && store.data_version().await? == seen {
            sleep(LOOK_EVERY.min(ask_again - Instant::now())).await;
        }
    }
}

/// One message a line, its bytes exactly as stored. The error comes with how many were printed whole.
fn print_bodies(out: &mut impl Write, leased: &[Leased]) -> Result<(), (usize, std::io::Error)> {
    for (done, Leased { message, .. }) in leased.iter().enumerate() {
        let printed = out.write_all(&message.body).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        printed.map_err(|error| (done, error))?;
    }
    Ok(())
}

pub async fn acknowledge(args: AckArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let sink = queue_sink(&settings, args.sink.as_deref())?;
    let ids = parse_ids(&args.ids)?;
    let store = context.store(&settings)?;
    let acknowledged = ids.len();
    let not_known = store.acknowledge(&sink, ids, Timestamp::now()).await?;
    store.close().await;
    if !not_known.is_empty() {
        return Err(unknown(&not_known));
    }
    if context.global.json {
        context.print_json(&Acknowledged { acknowledged })?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Message;

    #[test]
    fn a_lease_has_a_length_that_makes_sense() {
        assert_eq!(lease("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(lease("24h"), Ok(LONGEST_LEASE));
        for text in ["0s", "2d", "5", ""] {
            assert!(lease(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bodies_are_printed_as_they_are_stored() {
        let message = |body: &[u8]| Message {
            id: uuid::Uuid::nil(),
            event: "renewal.ready".to_owned(),
            queued_at: Timestamp::from_unix(0),
            body: body.to_vec(),
            replays: 0,
        };
        let until = Timestamp::from_unix(0);
        let leased = [
            Leased { message: message("{\"a\": \"\u{202e}\"}".as_bytes()), until },
            Leased { message: message(b"{}"), until },
        ];
        let mut out = Vec::new();
        print_bodies(&mut out, &leased).unwrap();
        assert_eq!(out, "{\"a\": \"\u{202e}\"}\n{}\n".as_bytes());
    }
}
