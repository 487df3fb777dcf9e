//! `renewald pause` and `resume`: polls stop and go on; deliveries are not touched.

use serde::Serialize;

use super::naming::{self, Narrow};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::renewal::State;
use crate::store::{Paused, SubscriptionRow};
use crate::view;

#[derive(Clone, Debug, clap::Args)]
pub struct PauseArgs {
    /// Original or suffixed partner order numbers, or subscription ids
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// What `pause --json` and `resume --json` print.
#[derive(Serialize)]
struct Answer {
    subscriptions: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    provider: String,
    territory: String,
    partner_order_number: String,
    subscription_id: String,
    /// `paused`, `already_paused`, `resumed` or `not_paused`.
    outcome: &'static str,
}

pub async fn pause(args: PauseArgs, context: &Context) -> Result<Exit, Error> {
    change(args, context, true).await
}

pub async fn resume(args: PauseArgs, context: &Context) -> Result<Exit, Error> {
    change(args, context, false).await
}

/// All names are looked up, and whether each may change, before anything is changed.
async fn change(args: PauseArgs, context: &Context, pauses: bool) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let mut rows = Vec::new();
    for name in &args.names {
        let row = naming::resolve(&settings, &store, name, &args.narrow).await?;
        if matches!(row.subscription.state, State::Ended | State::Untracked) {
            outcome(Paused::Not(row.subscription.state), pauses, &row)?;
        }
        rows.push(row);
    }
    let mut subscriptions = Vec::new();
    for row in rows {
        let key = row.subscription.row;
        let changed = if pauses { store.pause(key).await? } else { store.resume(key, Timestamp::now()).await? };
        let (outcome, text) = outcome(changed, pauses, &row)?;
        if !context.global.json {
            context.print(&format!("{}: {text}", view::label(&row)))?;
        }
        subscriptions.push(Item {
            provider: row.provider,
            territory: row.subscription.territory,
            partner_order_number: row.subscription.partner_order_number,
            subscription_id: row.subscription.subscription_id,
            outcome,
        });
    }
    if context.global.json {
        context.print_json(&Answer { subscriptions })?;
    }
    store.close().await;
    Ok(Exit::Done)
}

fn outcome(changed: Paused, pauses: bool, row: &SubscriptionRow) -> Result<(&'static str, &'static str), Error> {
    let label = || view::label(row);
    match (changed, pauses) {
        (Paused::Done, true) => {
            Ok(("paused", "paused; it is not asked until it is resumed, what is queued is delivered"))
        }
        (Paused::Done, false) => Ok(("resumed", "resumed; it is due now")),
        (Paused::Already, true) => Ok(("already_paused", "was paused already")),
        (Paused::Already, false) => Ok(("not_paused", "was not paused")),
        (Paused::Not(state), true) => {
            Err(Error::bad_input(format!("{} is {state}: there is nothing to pause", label())))
        }
        (Paused::Not(state), false) => Err(Error::bad_input(format!("{} is {state}, not paused", label()))),
        (Paused::Gone, _) => Err(Error::bad_input(format!("{} was forgotten meanwhile", label()))),
    }
}
