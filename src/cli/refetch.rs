//! `renewald refetch`: asks for one generation's order data again, or for the first time; how a person accepts a jump. A number that
//! was mistyped is given up in time, and changes nothing.

use serde::Serialize;

use super::naming::{self, Narrow};
use super::{Context, Error, Exit, numbers};
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::renewal::news::KnownDelivery;
use crate::renewal::{State, Subscription};
use crate::store::RenewalRow;
use crate::text::visible;
use crate::view::{self, Refetch};

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("delivery").required(true).args(["generation", "reference"]))]
pub struct RefetchArgs {
    /// Original or suffixed partner order number, or subscription id
    #[arg(value_name = "NAME")]
    pub name: String,
    /// 0 for the first purchase, N for the N-th renewal
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::any)]
    pub generation: Option<i64>,
    /// The provider's own name of a delivery that is known, as `explain` shows it
    #[arg(long, value_name = "REFERENCE")]
    pub reference: Option<String>,
    #[command(flatten)]
    pub narrow: Narrow,
}

/// What `refetch --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    provider: &'a str,
    territory: &'a str,
    partner_order_number: &'a str,
    subscription_id: &'a str,
    generation: i64,
    /// The provider's name of the delivery, which it is fetched by.
    reference: &'a str,
    /// `reopened`, `brought_forward` (it was awaited already) or `recorded` (it had not been seen).
    outcome: &'static str,
    /// Whether the subscription's generation is raised to this one once its order data is there.
    raised: bool,
    /// The subscription's generation before; `null` when it was adopted and not asked yet.
    previous_generation: Option<i64>,
}

pub async fn run(args: RefetchArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let row = naming::resolve(&settings, &store, &args.name, &args.narrow).await?;
    let subscription = &row.subscription;
    if subscription.state == State::Untracked {
        let text = format!("{} is untracked: `track` it first", view::label(&row));
        return Err(Error::bad_input(text));
    }
    let renewals = store.renewals_of(subscription.row).await?;
    let convention = settings.providers.get(&row.provider).map(|provider| provider.kind.convention());
    let wanted = wanted(&args, subscription, &renewals, convention).map_err(Error::bad_input)?;
    let KnownDelivery { generation, reference } = wanted.clone();
    let known = renewals.iter().find(|renewal| renewal.reference == reference);
    let plan = Refetch::plan(generation, subscription.generation, known);
    store.refetch(subscription.row, wanted, Timestamp::now()).await?;
    if context.global.json {
        context.print_json(&Answer {
            provider: &row.provider,
            territory: &subscription.territory,
            partner_order_number: &subscription.partner_order_number,
            subscription_id: &subscription.subscription_id,
            generation,
            reference: &reference,
            outcome: plan.outcome,
            raised: plan.raised,
            previous_generation: subscription.generation,
        })?;
    } else {
        let shown = visible(&reference);
        context.print(&format!("{}\n{}\nasked for now: order data of {shown}", view::label(&row), plan.text))?;
    }
    store.close().await;
    Ok(Exit::Done)
}

/// Which delivery is meant. One that the provider names itself must be recorded: nobody can guess its name.
fn wanted(
    args: &RefetchArgs,
    subscription: &Subscription,
    renewals: &[RenewalRow],
    convention: Option<&Convention>,
) -> Result<KnownDelivery, String> {
    let of = |row: &RenewalRow| KnownDelivery { generation: row.generation, reference: row.reference.clone() };
    let Some(generation) = args.generation else {
        let reference = args.reference.as_deref().unwrap_or_default();
        let known = renewals.iter().find(|row| row.reference == reference).map(of);
        return known.ok_or_else(|| format!("no delivery {:?} is known; `explain` lists them", visible(reference)));
    };
    let lowest = convention.map_or(0, |convention| convention.lowest_generation);
    if generation < lowest {
        return Err(match lowest {
            0 => "generation must be 0 (the first purchase) or more".to_owned(),
            lowest => format!("generation must be {lowest} or more"),
        });
    }
    if let Some(reference) = convention.and_then(|convention| convention.reference) {
        return Ok(KnownDelivery { generation, reference: reference(&subscription.partner_order_number, generation) });
    }
    let mut labelled = renewals.iter().filter(|row| row.generation == generation);
    match (labelled.next(), labelled.next()) {
        (Some(only), None) => Ok(of(only)),
        (None, _) => Err(format!("no delivery with the label {generation} is known; `explain` lists them")),
        (Some(_), Some(_)) => Err(format!(
            "several deliveries have the label {generation}: choose one by --reference, as `explain` shows it"
        )),
    }
}
