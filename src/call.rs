//! What a shop may ask a provider for, beside the polls: the calls with what each takes, whatever the provider makes of them.
//!
//! Which of them a kind of provider offers stands in its [`crate::convention`]; what an answer means in [`crate::provider::shop`].
//! What a body holds of customers is sent, and never stored, logged or shown.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::text::forms::text_forms;

/// A call by its name: that of the command and the last part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    Stock,
    CrossSell,
    Categories,
    Systems,
    Order,
    OrderData,
    DownloadInfo,
    ExtendDownload,
    CancelOrder,
    Cancel,
    Suspend,
    Reactivate,
    Pause,
    Resume,
    Renew,
    Offer,
    OfferAccept,
    Upgrade,
    Retail,
}

text_forms!(Name {
    Stock = "stock",
    CrossSell = "cross-sell",
    Categories = "categories",
    Systems = "systems",
    Order = "order",
    OrderData = "order-data",
    DownloadInfo = "download-info",
    ExtendDownload = "extend-download",
    CancelOrder = "cancel-order",
    Cancel = "cancel",
    Suspend = "suspend",
    Reactivate = "reactivate",
    Pause = "pause",
    Resume = "resume",
    Renew = "renew",
    Offer = "offer",
    OfferAccept = "offer-accept",
    Upgrade = "upgrade",
    Retail = "retail",
});

/// What is asked for.
#[derive(Debug)]
pub enum Call {
    Stock(Stock),
    CrossSell(CrossSell),
    Categories(Categories),
    Systems,
    Order(Box<RawValue>),
    OrderData(OfOrder),
    DownloadInfo(OfOrder),
    ExtendDownload(ExtendDownload),
    CancelOrder(CancelOrder),
    Cancel(OfSubscription),
    Suspend(OfSubscription),
    Reactivate(OfSubscription),
    Pause(OfSubscription),
    Resume(OfSubscription),
    Renew(OfSubscription),
    Offer(Offer),
    OfferAccept(OfferAccept),
    Upgrade(Upgrade),
    /// The provider's own JSON.
    Retail(Box<RawValue>),
}

impl Call {
    pub fn name(&self) -> Name {
        match self {
            Self::Stock(_) => Name::Stock,
            Self::CrossSell(_) => Name::CrossSell,
            Self::Categories(_) => Name::Categories,
            Self::Systems => Name::Systems,
            Self::Order(_) => Name::Order,
            Self::OrderData(_) => Name::OrderData,
            Self::DownloadInfo(_) => Name::DownloadInfo,
            Self::ExtendDownload(_) => Name::ExtendDownload,
            Self::CancelOrder(_) => Name::CancelOrder,
            Self::Cancel(_) => Name::Cancel,
            Self::Suspend(_) => Name::Suspend,
            Self::Reactivate(_) => Name::Reactivate,
            Self::Pause(_) => Name::Pause,
            Self::Resume(_) => Name::Resume,
            Self::Renew(_) => Name::Renew,
            Self::Offer(_) => Name::Offer,
            Self::OfferAccept(_) => Name::OfferAccept,
            Self::Upgrade(_) => Name::Upgrade,
            Self::Retail(_) => Name::Retail,
        }
    }
}

/// How much of some products there is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// The provider's references.
    #[schema(min_items = 1)]
    pub products: Vec<String>,
}

/// What else could be sold to whoever buys these.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossSell {
    /// `EN`, or several with commas between.
    pub language: String,
    #[schema(min_items = 1)]
    pub products: Vec<Quantity>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    pub product: String,
    #[schema(minimum = 1)]
    pub quantity: u32,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Categories {
    /// `EN`
    pub language: String,
}

/// An order by the number it was created with, or a renewal's.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfOrder {
    #[schema(min_length = 1, max_length = 255)]
    pub number: String,
}

/// Until when files of an order may be downloaded. A date and no duration, so that twice is once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendDownload {
    #[schema(min_length = 1, max_length = 255)]
    pub number: String,
    /// `2026-12-24`
    #[schema(format = Date)]
    pub until: String,
}

/// The licence ends now, and nothing renews. The refund is the shop's.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    #[schema(min_length = 1, max_length = 255)]
    pub number: String,
    pub reason: Reason,
    /// For the provider; nothing about a person.
    #[serde(default)]
    pub comment: String,
}

/// Why an order is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Cancelled,
    Unsatisfied,
    DoubleOrder,
    WrongProduct,
    IncompatibleProduct,
    Fraud,
}

/// A subscription, tracked or not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfSubscription {
    /// The number it was ordered with; left out where the kind has no such.
    #[schema(max_length = 255)]
    #[serde(default)]
    pub partner_order_number: String,
    #[schema(min_length = 1, max_length = 255)]
    pub subscription_id: String,
}

/// What somebody who wants to leave would be offered for the next renewal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    #[schema(max_length = 255)]
    #[serde(default)]
    pub partner_order_number: String,
    #[schema(min_length = 1, max_length = 255)]
    pub subscription_id: String,
    /// Left out: the one that the provider has for this.
    #[serde(default)]
    pub discount_code: Option<String>,
}

/// Takes an offer: the next renewal is charged by it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferAccept {
    #[schema(max_length = 255)]
    #[serde(default)]
    pub partner_order_number: String,
    #[schema(min_length = 1, max_length = 255)]
    pub subscription_id: String,
    /// As the offer told it.
    #[schema(min_length = 1, max_length = 255)]
    pub cart: String,
}

/// Another product in the middle of the term.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    #[schema(max_length = 255)]
    #[serde(default)]
    pub partner_order_number: String,
    #[schema(min_length = 1, max_length = 255)]
    pub subscription_id: String,
    #[schema(min_length = 1, max_length = 255)]
    pub product: String,
    /// To keep or to add a plan of discounts.
    #[serde(default)]
    pub discount_tag: Option<String>,
    /// Where in the plan it begins; 0 without it.
    #[serde(default)]
    pub discount_step: Option<u32>,
}
