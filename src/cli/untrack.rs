//! `renewald untrack`: stops watching a subscription, and forgets it where asked to.

use std::io::IsTerminal;

use serde::Serialize;

use super::naming::{self, Narrow};
use super::{Context, Error, Exit, audit, erasing, queue};
use crate::clock::Timestamp;
use crate::renewal::State;
use crate::store::{Store, SubscriptionRow};
use crate::text::number_of;
use crate::view;

#[derive(Clone, Debug, clap::Args)]
pub struct UntrackArgs {
    /// Original or suffixed partner order number, or subscription id
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Remove all that is stored of it too, messages that were not delivered yet included; the ledger keeps times and hashes
    #[arg(long)]
    pub forget: bool,
    /// Do not ask, where --forget takes what somebody has not received yet
    #[arg(long, requires = "forget")]
    pub yes: bool,
}

/// What `untrack --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    provider: &'a str,
    territory: &'a str,
    partner_order_number: &'a str,
    subscription_id: String,
    /// `untracked`, `already_untracked` or `forgotten`.
    outcome: &'static str,
    /// Renewals whose order data was awaited, and is not asked for any more.
    dropped_renewals: u32,
    #[serde(flatten)]
    erased: erasing::Outcome,
}

pub async fn run(args: UntrackArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let row = naming::resolve(&settings, &store, &args.name, &args.narrow).await?;
    let key = row.subscription.row;
    let loss = if args.forget { loss(&store, &row).await? } else { None };
    // A script says with --forget what it wants, and has nobody to ask.
    let asks = !args.yes && std::io::stdin().is_terminal();
    if let Some(loss) = loss.as_deref().filter(|_| asks)
        && !erasing::ask(&format!("{}: forget it, and with it {loss}, for good?", view::label(&row)))?
    {
        return Err(Error::new(Exit::Failed, "nothing was removed"));
    }
    // First: a daemon that is at it right now then drops what it learns.
    store.untrack(key, Timestamp::now()).await?;
    let mut erased = erasing::Outcome::default();
    if args.forget {
        store.forget(key, Timestamp::now()).await?;
        audit::record(context, &settings, "forgot a subscription with all its messages")?;
        erased = erasing::erase(&store).await?;
    }
    store.close().await;
    let (outcome, text) = match row.subscription.state {
        _ if args.forget => ("forgotten", "forgotten"),
        State::Untracked => ("already_untracked", "was untracked already"),
        _ => ("untracked", "untracked; what is queued is still delivered, `track` revives it"),
    };
    if context.global.json {
        context.print_json(&Answer {
            provider: &row.provider,
            territory: &row.subscription.territory,
            partner_order_number: &row.subscription.partner_order_number,
            subscription_id: row.subscription.subscription_id,
            outcome,
            dropped_renewals: row.waiting,
            erased: erased.clone(),
        })?;
    } else {
        context.print(&format!("{}: {text}", view::label(&row)))?;
        if row.waiting > 0 {
            context.print(&format!("{} waiting for order data dropped", number_of(row.waiting, "renewal")))?;
        }
        if !erased.to_text().is_empty() {
            context.print(erased.to_text())?;
        }
    }
    if let Some(loss) = loss.filter(|_| !asks) {
        context.complain(&format!("forgotten with it: {loss}"));
    }
    erased.complain(context);
    Ok(erased.exit())
}

/// What nobody will get any more once it is forgotten.
async fn loss(store: &Store, row: &SubscriptionRow) -> Result<Option<String>, Error> {
    let undelivered = match queue::undelivered(store, row.subscription.row).await? {
        0 => None,
        count => Some(format!("{} that somebody has not received yet", queue::messages(count))),
    };
    let awaited =
        (row.waiting > 0).then(|| format!("{} whose order data is awaited", number_of(row.waiting, "renewal")));
    let both: Vec<_> = undelivered.into_iter().chain(awaited).collect();
    Ok((!both.is_empty()).then(|| both.join(" and ")))
}
