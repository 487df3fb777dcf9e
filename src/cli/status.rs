//! `renewald status`: how everything stands, from the store alone: nobody is asked.

mod renewals;
pub(crate) mod text;

use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::view::Status;

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Show how soon renewals were seen after the expiry, and how soon their order data could be read
    #[arg(long)]
    renewals: bool,
}

pub async fn run(args: StatusArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let store = context.store_to_list(&settings)?;
    let now = Timestamp::now();
    if args.renewals {
        let learnt = renewals::Learnt::read(&store).await?;
        store.close().await;
        match context.global.json {
            true => context.print_json(&learnt)?,
            false => context.print(&learnt.to_text())?,
        }
        return Ok(Exit::Done);
    }
    let mut status = Status::read(&settings, &store, now).await?;
    store.close().await;
    if !settings.store.path.exists() {
        status.database.bytes = 0;
    }
    match context.global.json {
        true => context.print_json(&status)?,
        false => context.print(&text::of(&status, &settings))?,
    }
    Ok(Exit::Done)
}
