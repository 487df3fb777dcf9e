//! `renewald shop`: a shop's calls from the command line. Whoever holds the instance lock makes them, in the account's budget; where
//! nobody does, the command itself.

mod ask;
mod print;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;

use super::import::source::Source;
use super::naming::{self, Narrow};
use super::{Context, Error, Exit, erasing};
use crate::call::{
    CancelOrder, Categories, CrossSell, ExtendDownload, Name, OfOrder, OfSubscription, Offer, OfferAccept, Quantity,
    Reason, Stock, Upgrade,
};
use crate::settings::Settings;
use crate::shop::Request;
use crate::store;
use crate::text::visible;

#[derive(Debug, clap::Args)]
pub struct ShopArgs {
    #[command(subcommand)]
    call: CallArgs,
    /// The provider; may be left out where the settings have only one, or what it is about is tracked
    #[arg(long, global = true, value_name = "PROVIDER")]
    provider: Option<String>,
    /// The territory; may be left out where the provider has only one, or what it is about is tracked
    #[arg(long, global = true, value_name = "TERRITORY")]
    territory: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum CallArgs {
    /// How much of some products there is
    Stock {
        #[arg(value_name = "PRODUCT", required = true)]
        products: Vec<String>,
    },
    /// What else could be sold to whoever buys these
    CrossSell {
        /// PRODUCT, or PRODUCT=QUANTITY
        #[arg(value_name = "PRODUCT", required = true, value_parser = quantity)]
        products: Vec<(String, u32)>,
        #[arg(long, value_name = "LANGUAGE", default_value = "EN")]
        language: String,
    },
    /// The catalogue's categories
    Categories {
        #[arg(long, value_name = "LANGUAGE", default_value = "EN")]
        language: String,
    },
    /// The operating systems that products are made for
    Systems,
    /// Place an order, and track what it brings; sent again, the same order is placed once
    Order {
        /// The provider's own JSON: a file, or - for stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A JSON object of your own, passed on with every message
        #[arg(long, value_name = "JSON")]
        metadata: Option<String>,
        /// Deliver what it brings to the sinks, as a renewal is
        #[arg(long)]
        deliver: bool,
    },
    /// What an order brought, licence keys included
    OrderData(OrderArgs),
    /// Where the files of an order are to be had, and how often they were
    DownloadInfo(OrderArgs),
    /// Let the files of an order be had until a date
    ExtendDownload {
        #[command(flatten)]
        order: OrderArgs,
        /// The last day, such as 2026-12-24
        #[arg(long, value_name = "DATE")]
        until: String,
    },
    /// Let a subscription end with its term: no renewal follows, the licence stays until then
    Cancel(ChangeArgs),
    /// End an order's licence now; the refund is the shop's
    CancelOrder {
        #[command(flatten)]
        order: OrderArgs,
        #[arg(long, value_name = "REASON")]
        reason: Reason,
        /// For the provider; nothing about a person
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Switch a subscription's renewal off
    Suspend(ChangeArgs),
    /// Switch it on again
    Reactivate(ChangeArgs),
    /// Pause a subscription at the provider
    Pause(ChangeArgs),
    /// Go on with one that is paused there
    Resume(ChangeArgs),
    /// Renew a subscription now, which the provider otherwise does by itself
    Renew(ChangeArgs),
    /// What somebody who wants to leave would be offered
    Offer {
        #[command(flatten)]
        subscription: SubscriptionArgs,
        /// One of yours; left out: the one that the provider has for this
        #[arg(long, value_name = "CODE")]
        discount_code: Option<String>,
    },
    /// Take an offer for the next renewal
    OfferAccept {
        #[command(flatten)]
        subscription: SubscriptionArgs,
        /// As `offer` told it
        #[arg(long, value_name = "ID")]
        cart: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// What a change to another product costs, and where it is paid
    Upgrade {
        #[command(flatten)]
        subscription: SubscriptionArgs,
        /// The provider's id of the product
        #[arg(long, value_name = "ID")]
        product: String,
        /// A plan of discounts to be kept, or added
        #[arg(long, value_name = "TAG")]
        discount_tag: Option<String>,
        /// Where in the plan it begins
        #[arg(long, value_name = "N", requires = "discount_tag")]
        discount_step: Option<u32>,
    },
    /// Make a subscription of a boxed product: a cart, and where it is paid
    Retail {
        /// The provider's own JSON: a file, or - for stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct OrderArgs {
    /// The number it was created with, or a renewal's
    #[arg(value_name = "NUMBER")]
    number: String,
}

#[derive(Debug, clap::Args)]
struct SubscriptionArgs {
    /// Original or suffixed partner order number, or subscription id
    #[arg(value_name = "NAME")]
    name: String,
    /// The subscription with this id; together with its number also one that is not tracked
    #[arg(long, value_name = "ID")]
    subscription_id: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    #[command(flatten)]
    subscription: SubscriptionArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// A call on its way: what is sent, and to which provider.
struct Asked {
    provider: String,
    territory: Option<String>,
    name: Name,
    body: Vec<u8>,
}

pub async fn run(args: ShopArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let Some(asked) = prepare(args, context, &settings).await? else {
        context.remark("nothing was sent");
        return Ok(Exit::Failed);
    };
    let answer = ask::ask(context, settings, &asked).await?;
    print::print(context, asked.name, &answer)?;
    Ok(Exit::Done)
}

/// `None`: whoever was asked said no.
async fn prepare(args: ShopArgs, context: &Context, settings: &Settings) -> Result<Option<Asked>, Error> {
    let ShopArgs { call, provider, territory } = args;
    let narrow = Narrow { subscription_id: None, provider, territory };
    let make = |name, body: Vec<u8>| Ok(Some(Asked { name, body, ..place(settings, &narrow)? }));
    match call {
        CallArgs::Stock { products } => make(Name::Stock, json(&Stock { products })?),
        CallArgs::CrossSell { products, language } => {
            let products = products.into_iter().map(|(product, quantity)| Quantity { product, quantity }).collect();
            make(Name::CrossSell, json(&CrossSell { language, products })?)
        }
        CallArgs::Categories { language } => make(Name::Categories, json(&Categories { language })?),
        CallArgs::Systems => make(Name::Systems, b"{}".to_vec()),
        CallArgs::Order { file, metadata, deliver } => {
            let order = document(&file)?;
            let metadata = metadata.map(|text| store::Metadata::parse(&text)).transpose().map_err(Error::bad_input)?;
            let metadata = metadata.map(|metadata| raw(metadata.as_json())).transpose()?;
            make(Name::Order, json(&Request { order, metadata, deliver })?)
        }
        CallArgs::OrderData(order) => make(Name::OrderData, json(&OfOrder { number: order.number })?),
        CallArgs::DownloadInfo(order) => make(Name::DownloadInfo, json(&OfOrder { number: order.number })?),
        CallArgs::ExtendDownload { order, until } => {
            make(Name::ExtendDownload, json(&ExtendDownload { number: order.number, until })?)
        }
        CallArgs::CancelOrder { order, reason, comment, yes } => {
            let what = format!("end the licence of order {} NOW; the refund is the shop's", visible(&order.number));
            if !confirmed(yes, &what)? {
                return Ok(None);
            }
            make(Name::CancelOrder, json(&CancelOrder { number: order.number, reason, comment })?)
        }
        CallArgs::Cancel(change) => changed(Name::Cancel, change, narrow, context, settings).await,
        CallArgs::Suspend(change) => changed(Name::Suspend, change, narrow, context, settings).await,
        CallArgs::Reactivate(change) => changed(Name::Reactivate, change, narrow, context, settings).await,
        CallArgs::Pause(change) => changed(Name::Pause, change, narrow, context, settings).await,
        CallArgs::Resume(change) => changed(Name::Resume, change, narrow, context, settings).await,
        CallArgs::Renew(change) => changed(Name::Renew, change, narrow, context, settings).await,
        CallArgs::Offer { subscription, discount_code } => {
            let (asked, of) = named(subscription, narrow, context, settings).await?;
            let OfSubscription { partner_order_number, subscription_id } = of;
            let body = json(&Offer { partner_order_number, subscription_id, discount_code })?;
            Ok(Some(Asked { name: Name::Offer, body, ..asked }))
        }
        CallArgs::OfferAccept { subscription, cart, yes } => {
            let (asked, of) = named(subscription, narrow, context, settings).await?;
            let what = format!(
                "take the offer of cart {} for {}: the next renewal is charged by it",
                visible(&cart),
                whom(&of)
            );
            if !confirmed(yes, &what)? {
                return Ok(None);
            }
            let OfSubscription { partner_order_number, subscription_id } = of;
            let body = json(&OfferAccept { partner_order_number, subscription_id, cart })?;
            Ok(Some(Asked { name: Name::OfferAccept, body, ..asked }))
        }
        CallArgs::Upgrade { subscription, product, discount_tag, discount_step } => {
            let (asked, of) = named(subscription, narrow, context, settings).await?;
            let OfSubscription { partner_order_number, subscription_id } = of;
            let body = json(&Upgrade { partner_order_number, subscription_id, product, discount_tag, discount_step })?;
            Ok(Some(Asked { name: Name::Upgrade, body, ..asked }))
        }
        CallArgs::Retail { file } => make(Name::Retail, document(&file)?.get().as_bytes().to_vec()),
    }
}

/// Where a call goes that is about nothing tracked.
fn place(settings: &Settings, narrow: &Narrow) -> Result<Asked, Error> {
    let provider = settings.provider_meant(narrow.provider.as_deref()).map_err(Error::bad_input)?;
    Ok(Asked { provider, territory: narrow.territory.clone(), name: Name::Systems, body: Vec::new() })
}

/// A change of one subscription: what it means is said before it is made.
async fn changed(
    name: Name,
    change: ChangeArgs,
    narrow: Narrow,
    context: &Context,
    settings: &Settings,
) -> Result<Option<Asked>, Error> {
    let (asked, of) = named(change.subscription, narrow, context, settings).await?;
    let whom = whom(&of);
    let what = match name {
        Name::Cancel => format!("cancel {whom}: no renewal follows, the licence stays until its expiry"),
        Name::Renew => format!("renew {whom} now: it is charged"),
        name => format!("{name} {whom} at the provider"),
    };
    if !confirmed(change.yes, &what)? {
        return Ok(None);
    }
    Ok(Some(Asked { name, body: json(&of)?, ..asked }))
}

fn whom(of: &OfSubscription) -> String {
    format!("{}, subscription {}", visible(&of.partner_order_number), visible(&of.subscription_id))
}

/// The tracked subscription that is meant, or the one whose number and id are both given.
async fn named(
    args: SubscriptionArgs,
    narrow: Narrow,
    context: &Context,
    settings: &Settings,
) -> Result<(Asked, OfSubscription), Error> {
    let SubscriptionArgs { name, subscription_id } = args;
    let narrow = Narrow { subscription_id, ..narrow };
    let store = context.store_to_list(settings)?;
    let found = naming::resolve(settings, &store, &name, &narrow).await;
    store.close().await;
    match (found, narrow.subscription_id.clone()) {
        (Ok(row), _) => {
            let of = OfSubscription {
                partner_order_number: row.subscription.partner_order_number,
                subscription_id: row.subscription.subscription_id,
            };
            let (provider, territory) = (row.provider, Some(row.subscription.territory));
            Ok((Asked { provider, territory, name: Name::Systems, body: Vec::new() }, of))
        }
        (Err(_), Some(subscription_id)) => {
            Ok((place(settings, &narrow)?, OfSubscription { partner_order_number: name, subscription_id }))
        }
        (Err(error), None) => Err(error),
    }
}

/// Asks on a terminal; elsewhere `--yes` is the only way to say so.
fn confirmed(yes: bool, what: &str) -> Result<bool, Error> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(format!("nothing was sent: --yes says that this is meant: {what}")));
    }
    Ok(erasing::ask(&format!("{what}?"))?)
}

/// JSON of a file: never of an argument, where every user of the machine could read it.
fn document(file: &std::path::Path) -> Result<Box<RawValue>, Error> {
    let source = Source::open(file)?;
    let mut text = String::new();
    let unreadable = |error| Error::bad_input(format!("cannot read {}: {error}", source.name()));
    source.rewind()?.read_to_string(&mut text).map_err(unreadable)?;
    raw(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Error::bad_input(format!("{}: {}", source.name(), error.text)))
}

/// The error's own text may quote a person.
fn raw(text: &str) -> Result<Box<RawValue>, Error> {
    serde_json::from_str(text)
        .map_err(|e| Error::bad_input(format!("not JSON (line {}, column {})", e.line(), e.column())))
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::new(Exit::Internal, error.to_string()))
}

fn quantity(text: &str) -> Result<(String, u32), String> {
    let Some((product, quantity)) = text.split_once('=') else { return Ok((text.to_owned(), 1)) };
    match quantity.parse() {
        Ok(quantity @ 1..) => Ok((product.to_owned(), quantity)),
        _ => Err("a quantity is a whole number from 1".to_owned()),
    }
}
