//! `renewald queue`: looks at the outbox, sends again, moves and removes what is in it, and hands messages to scripts.
//!
//! `pull` and `ack` serve sinks of kind `queue`; the others look at every sink, also at one that is no longer configured.

mod backfill;
mod consume;
mod list;
mod probe;
mod purge;
mod relocate;
mod replay;
mod retry;
mod select;
mod show;

use uuid::Uuid;

pub use purge::undelivered;
pub use select::messages;

use super::{Context, Error, Exit};
use crate::settings::Settings;
use crate::text::visible;

#[derive(Debug, clap::Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, clap::Subcommand)]
enum QueueCommand {
    /// List messages and where they are, oldest first
    List(list::ListArgs),
    /// List what was given up, with the reason
    Dead(list::DeadArgs),
    /// Tell all of one message
    Show(show::ShowArgs),
    /// Send messages again that are dead, or waiting for their next attempt
    Retry(retry::RetryArgs),
    /// Send again what was delivered: the same body, the same id
    Replay(replay::ReplayArgs),
    /// Send a sink what was queued before it was there
    Backfill(backfill::BackfillArgs),
    /// Move what waits for a sink that is no longer in the settings to another
    Move(relocate::MoveArgs),
    /// Remove payloads, keys included, from the outbox and from the file
    Purge(purge::PurgeArgs),
    /// Send one message to a sink that says it is a test
    Test(probe::TestArgs),
    /// Take messages from a sink of kind `queue`: one CloudEvent a line
    Pull(consume::PullArgs),
    /// Say that messages arrived, so that they are not handed out again
    Ack(consume::AckArgs),
}

pub async fn run(args: QueueArgs, context: &Context) -> Result<Exit, Error> {
    match args.command {
        QueueCommand::List(args) => list::list(args, context).await,
        QueueCommand::Dead(args) => list::dead(args, context).await,
        QueueCommand::Show(args) => show::show(args, context).await,
        QueueCommand::Retry(args) => retry::run(args, context).await,
        QueueCommand::Replay(args) => replay::run(args, context).await,
        QueueCommand::Backfill(args) => backfill::run(args, context).await,
        QueueCommand::Move(args) => relocate::run(args, context).await,
        QueueCommand::Purge(args) => purge::run(args, context).await,
        QueueCommand::Test(args) => probe::run(args, context).await,
        QueueCommand::Pull(args) => consume::pull(args, context).await,
        QueueCommand::Ack(args) => consume::acknowledge(args, context).await,
    }
}

/// The sink of kind `queue` that is meant: the named one, or the only one.
fn queue_sink(settings: &Settings, named: Option<&str>) -> Result<String, Error> {
    settings.queue(named).map_err(Error::usage)
}

/// Reads message ids; all that are none are named at once.
fn parse_ids(texts: &[String]) -> Result<Vec<Uuid>, Error> {
    let (mut ids, mut bad) = (Vec::new(), Vec::new());
    for text in texts {
        match Uuid::parse_str(text) {
            Ok(id) => ids.push(id),
            Err(_) => bad.push(visible(text)),
        }
    }
    if bad.is_empty() { Ok(ids) } else { Err(unknown(&bad)) }
}

fn unknown(ids: &[impl ToString]) -> Error {
    let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::bad_input(format!("nothing done, there is no such message: {ids}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sinks: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.toml");
        let provider = "[providers.p]\nkind = 'nexway-connect'\napi_url = 'http://127.0.0.1:1'\n\
                        iam_url = 'http://127.0.0.1:1'\nrealm = 'r'\nclient_secret = 's'\n\
                        [providers.p.territories.eu]\nsecret = 's'\n";
        std::fs::write(&path, format!("{provider}{sinks}")).unwrap();
        Settings::load(Some(&path)).unwrap().settings
    }

    #[test]
    fn the_only_queue_needs_no_name() {
        let implied = settings("");
        assert_eq!(queue_sink(&implied, None).unwrap(), "queue");
        assert_eq!(queue_sink(&implied, Some("queue")).unwrap(), "queue");
        let error = queue_sink(&implied, Some("shop\x1b")).unwrap_err();
        assert_eq!((error.exit, error.text.contains('\x1b')), (Exit::Usage, false), "{error}");
    }

    #[test]
    fn what_is_no_queue_or_not_the_only_one_is_refused() {
        let mixed = settings("[sinks.q1]\nkind = 'queue'\n[sinks.q2]\nkind = 'queue'\n[sinks.out]\nkind = 'stdout'\n");
        assert!(queue_sink(&mixed, None).unwrap_err().text.contains("q1, q2"));
        assert!(queue_sink(&mixed, Some("out")).unwrap_err().text.contains("not of kind"));
        let none = settings("[sinks.out]\nkind = 'file'\npath = '/tmp/x'\n");
        assert!(queue_sink(&none, None).unwrap_err().text.contains("no sink of kind"));
    }

    #[test]
    fn what_is_no_id_is_bad_input() {
        let id = Uuid::from_u128(7);
        assert_eq!(parse_ids(&[id.to_string()]).unwrap(), [id]);
        let error = parse_ids(&["x".to_owned(), id.to_string(), "y\n".to_owned()]).unwrap_err();
        assert_eq!(error.exit, Exit::BadInput);
        assert!(error.text.ends_with("x, y\\n"), "{error}");
    }
}
