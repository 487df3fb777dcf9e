//! The switches: how the sandbox behaves where the reference leaves it open, and the sins of common servers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::clock::duration;
use crate::sandbox::nexway::tokens::Lives;
use crate::sandbox::notifications::Notifications;

/// Every open question of the reference, answered one way. The default is what the reference thinks most likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Which of the paths and defaults of the two revisions there are.
    pub revision: Revision,

    /// Whether lists are sorted as asked; else by id.
    pub sort_honoured: bool,
    /// What a range of `updateDate` does to the subscription list, where no filter is documented.
    pub update_filter: UpdateFilter,
    /// Whether the filters of orders and line-item data work; else everybody's come.
    pub filters_honoured: bool,
    /// The most that a page may hold; whoever asks for more gets so many.
    pub most_rows: u64,
    /// So many rows further in than it should does each page begin, the first excepted; before it when negative.
    pub page_shift: i64,
    /// The page of this number is empty, and says nothing of it.
    pub empty_page: Option<u64>,
    /// Behind the last page it comes again, under the number that was asked for.
    pub last_page_again: bool,
    pub last: LastForm,
    pub totals: TotalsForm,
    /// The subscription list shows everything as it was so long ago, by the sandbox's clock.
    #[serde(with = "duration")]
    pub list_lag: Duration,
    /// Whether a renewal changes the subscription's `updateDate`.
    pub renewal_touches_subscription: bool,
    /// Whether an offer that is accepted changes the subscription's `updateDate`.
    pub offer_touches_subscription: bool,
    /// Whether a renewal changes the licence's `updateDate`.
    pub renewal_touches_licence: bool,
    /// Whether the licence list may be read; else 403.
    pub licence_list: bool,

    pub dates: DateForm,
    pub currency: CurrencyForm,
    pub generation: GenerationForm,
    pub ids: IdForm,
    pub qr_code: QrForm,
    /// Shown instead of every subscription's own status.
    pub subscription_status: Option<String>,
    /// Whether orders and line-item data name their subscription.
    pub subscription_named: bool,
    /// Orders and their line-item data hold a line of somebody else's besides.
    pub foreign_lines: bool,

    pub order_of_generation: OrderOfGeneration,
    pub no_order: NoOrder,
    pub prebilling_generation: PrebillingGeneration,
    pub notifications: Notifications,
    pub noted_spelling: Spelling,
    pub noted_dates: NotedDates,

    /// What a renewal costs less with an offer to stay, as a fraction; none is configured without it.
    pub offer_discount: Option<f64>,
    /// The code of that discount.
    pub offer_code: String,
    /// So many of the next changes and carts are refused with 412, as if somebody else had changed the subscription in between.
    pub version_conflicts: u32,
    /// What the answer to the question for a cart has as its status; a guide says 201.
    pub cart_status: u16,
    pub deeplink_spelling: DeeplinkSpelling,

    /// Whether the token service hands out refresh tokens.
    pub refresh_token: bool,
    /// Real seconds an access token is good for.
    pub token_life: u64,
    /// Real seconds a refresh token is good for.
    pub refresh_life: u64,
    /// Requests let through in any second of real time, tokens included; 0 = no limit.
    pub rate_limit: u32,
    /// The `Retry-After` of a 429, verbatim; none without.
    pub retry_after: Option<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            revision: Revision::default(),
            sort_honoured: true,
            update_filter: UpdateFilter::default(),
            filters_honoured: true,
            most_rows: 500,
            page_shift: 0,
            empty_page: None,
            last_page_again: false,
            last: LastForm::default(),
            totals: TotalsForm::default(),
            list_lag: Duration::ZERO,
            renewal_touches_subscription: true,
            offer_touches_subscription: true,
            renewal_touches_licence: true,
            licence_list: true,
            dates: DateForm::default(),
            currency: CurrencyForm::default(),
            generation: GenerationForm::default(),
            ids: IdForm::default(),
            qr_code: QrForm::default(),
            subscription_status: None,
            subscription_named: true,
            foreign_lines: false,
            order_of_generation: OrderOfGeneration::default(),
            no_order: NoOrder::default(),
            prebilling_generation: PrebillingGeneration::default(),
            notifications: Notifications::default(),
            noted_spelling: Spelling::default(),
            noted_dates: NotedDates::default(),
            offer_discount: Some(0.2),
            offer_code: "STAY".into(),
            version_conflicts: 0,
            cart_status: 200,
            deeplink_spelling: DeeplinkSpelling::default(),
            refresh_token: true,
            token_life: 300,
            refresh_life: 1800,
            rate_limit: 10,
            retry_after: None,
        }
    }
}

impl Switches {
    pub(super) fn lives(&self) -> Lives {
        Lives { access: self.token_life, refresh: self.refresh_token.then_some(self.refresh_life) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// `/subscription-manager/subscriptions`, `/license-manager/license`, 20 a page.
    #[default]
    Newest,
    /// `/subscriptions`, `/license-manager/licenses`, 50 a page, and short rows unless `format=full`.
    Older,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateFilter {
    #[default]
    Ignored,
    Honoured,
    /// 400
    Refused,
}

/// What `last` says of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastForm {
    #[default]
    Right,
    Missing,
    AlwaysTrue,
    AlwaysFalse,
}

/// What `totalPages` and `totalItems` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TotalsForm {
    #[default]
    Right,
    Missing,
    /// One page, the items of this one.
    TooFew,
    /// A page more than there is.
    TooMany,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateForm {
    /// `1786780800000`
    #[default]
    Millis,
    /// `"1786780800000"`
    MillisText,
    /// `2026-08-15T08:00:00Z`
    Iso,
    /// `2026-08-15T08:00:00.000+0000`
    IsoOffset,
    /// `next Tuesday`
    Unreadable,
    Null,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurrencyForm {
    #[default]
    Text,
    Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationForm {
    #[default]
    Number,
    Text,
    Missing,
    Null,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdForm {
    /// UUIDs in lower case, order ids in upper case.
    #[default]
    AsDocumented,
    /// Each in the other case.
    OtherCase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrForm {
    #[default]
    Text,
    List,
}

/// What `?generation=N` answers where that generation has an upgrade's order, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOfGeneration {
    /// The one that began the generation.
    #[default]
    First,
    /// Whichever came last.
    Newest,
}

/// What is answered where a subscription has no order of a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoOrder {
    /// 404
    #[default]
    NotFound,
    /// 200 `{}`
    Empty,
    /// 200 `null`
    Null,
}

/// The `generationId` of an order that is not charged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrebillingGeneration {
    #[default]
    Coming,
    Current,
    Missing,
}

/// How notifications write what the sources write in several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// `expirationDateUpdated`, `prebillingStarted`, `enduserId`
    #[default]
    Reference,
    /// `expirationdateupdated`, `expiredsubscription`, `endUserId`
    Prose,
    /// `expiration date updated`; and order / `created` for an order that is not charged yet.
    Spaced,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotedDates {
    #[default]
    Iso,
    MillisText,
}

/// What a link that signs somebody in is asked for with. Another name than these is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeeplinkSpelling {
    /// `expiration_time`, `single_use`
    #[default]
    Guide,
    /// `linkDuration`, `singleUse`
    OpenApi,
}
