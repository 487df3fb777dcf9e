//! The switches: how the sandbox behaves where the reference leaves it open, and the sins of common servers.

use serde::{Deserialize, Serialize};

use crate::sandbox::notifications::Notifications;

/// Every open question of the reference, answered one way. The default is what the reference thinks most likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Whether Basic authentication is asked for besides the merchant key; else 401.
    pub basic_required: bool,
    /// Whether a request without the required headers is a 400.
    pub strict_headers: bool,

    /// Whether the filters of times work; else everybody comes.
    pub filters_honoured: bool,
    /// So many rows further in than it should does each page begin, the first excepted; before it when negative.
    pub page_shift: i64,
    pub count: CountForm,
    /// Lists count their rows and show none.
    pub empty_data: bool,
    /// The most rows on a page.
    pub page_size_max: u64,
    /// Whether the list leaves out what was deleted.
    pub deleted_hidden: bool,
    /// Whether a capture or a failed charge changes the subscription's `updatedAt`.
    pub billing_touches_subscription: bool,
    /// The list of billing cycles shows somebody else's, too.
    pub foreign_cycles: bool,

    pub ids: IdForm,
    /// Whether an id is unknown in any spelling but its own.
    pub case_sensitive: bool,
    pub cycle_status: StatusForm,
    pub amounts: AmountForm,
    /// `paidAt` has a Cyrillic letter.
    pub cyrillic_paid_at: bool,
    /// What was captured does not say when.
    pub paid_at_missing: bool,
    /// `shortCardNum` instead of `shortCardNumber`.
    pub short_card_num: bool,
    /// Billing cycles show their transactions, too.
    pub embedded_transactions: bool,

    pub notifications: Notifications,

    /// Requests let through in any second of real time; 0 = no limit.
    pub rate_limit: u32,
    /// The `Retry-After` of a 429, verbatim; none without.
    pub retry_after: Option<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            basic_required: false,
            strict_headers: true,
            filters_honoured: true,
            page_shift: 0,
            count: CountForm::default(),
            empty_data: false,
            page_size_max: 100,
            deleted_hidden: false,
            billing_touches_subscription: true,
            foreign_cycles: false,
            ids: IdForm::default(),
            case_sensitive: false,
            cycle_status: StatusForm::default(),
            amounts: AmountForm::default(),
            cyrillic_paid_at: false,
            paid_at_missing: false,
            short_card_num: false,
            embedded_transactions: false,
            notifications: Notifications::default(),
            rate_limit: 10,
            retry_after: None,
        }
    }
}

/// What `count` says of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountForm {
    #[default]
    Right,
    TooFew,
    TooMany,
    /// And no `totalPages` either.
    Missing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdForm {
    /// `Subscription-…`
    #[default]
    AsDocumented,
    /// `subscription-…`
    Lower,
    /// `SUBSCRIPTION-…`
    Upper,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusForm {
    /// `Captured`
    #[default]
    Capitalised,
    /// `captured`
    Lower,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountForm {
    /// `10.00`
    #[default]
    Number,
    /// `"10.00"`
    Text,
}
