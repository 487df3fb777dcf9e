//! `renewald poll`: puts subscriptions at the head of the queue.

use serde::Serialize;

use super::naming::{self, Narrow};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::view;

#[derive(Clone, Debug, clap::Args)]
pub struct PollArgs {
    /// Original or suffixed partner order numbers, or subscription ids
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// What `poll --json` prints.
#[derive(Serialize)]
struct Answer {
    /// Due now; a running daemon asks within seconds.
    due: Vec<Due>,
}

#[derive(Serialize)]
struct Due {
    provider: String,
    territory: String,
    partner_order_number: String,
    subscription_id: String,
}

/// Makes all of them due, or, when one of them cannot be, none.
pub async fn run(args: PollArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let mut rows = Vec::new();
    for name in &args.names {
        let row = naming::resolve(&settings, &store, name, &args.narrow).await?;
        let state = row.subscription.state;
        if !is_asked(state) {
            return Err(Error::bad_input(format!("{} is {state}: it is not asked", view::label(&row))));
        }
        rows.push(row);
    }
    let mut due = Vec::new();
    for row in rows {
        if !store.ask_now(row.subscription.row, Timestamp::now()).await? {
            return Err(Error::bad_input(format!("{} was paused or untracked meanwhile", view::label(&row))));
        }
        if !context.global.json {
            let label = view::label(&row);
            context
                .print(&format!("{label}: due now; a running daemon asks within seconds, otherwise the next run"))?;
        }
        due.push(Due {
            provider: row.provider,
            territory: row.subscription.territory,
            partner_order_number: row.subscription.partner_order_number,
            subscription_id: row.subscription.subscription_id,
        });
    }
    if context.global.json {
        context.print_json(&Answer { due })?;
    }
    store.close().await;
    Ok(Exit::Done)
}

fn is_asked(state: crate::renewal::State) -> bool {
    use crate::renewal::State;
    matches!(state, State::Watching | State::Ended)
}
