//! The switches: how the sandbox behaves where the reference leaves it open.

use serde::{Deserialize, Serialize};

use crate::sandbox::nexway::tokens::Lives;

/// Every open question of the reference, answered one way. The default is what the reference thinks most likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// The number that a status answer shows.
    pub returned_number: ReturnedNumber,
    /// The number that a status request must carry.
    pub accepted_number: AcceptedNumber,
    pub generation: GenerationForm,
    pub result_names: ResultNames,
    pub dates: DateForm,
    /// Shown instead of every subscription's own `technicalStatus`.
    pub technical_status: Option<String>,
    pub unknown_subscription: UnknownSubscription,
    pub other_territory: OtherTerritory,
    /// What *Get order data* answers for a number that is both an original and a renewal.
    pub clashing_number: ClashingNumber,
    /// What *Get order data* answers for the original number once it has been renewed.
    pub original_number: OriginalNumber,
    pub renew_method: RenewMethod,
    /// Whether the token service hands out refresh tokens.
    pub refresh_token: bool,
    /// Real seconds an access token is good for.
    pub token_life: u64,
    /// Real seconds a refresh token is good for.
    pub refresh_life: u64,
    /// Requests let through in any second of real time; 0 = no limit.
    pub rate_limit: u32,
    /// The `Retry-After` of a 429, verbatim; none without.
    pub retry_after: Option<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            returned_number: ReturnedNumber::default(),
            accepted_number: AcceptedNumber::default(),
            generation: GenerationForm::default(),
            result_names: ResultNames::default(),
            dates: DateForm::default(),
            technical_status: None,
            unknown_subscription: UnknownSubscription::default(),
            other_territory: OtherTerritory::default(),
            clashing_number: ClashingNumber::default(),
            original_number: OriginalNumber::default(),
            renew_method: RenewMethod::default(),
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
pub enum ReturnedNumber {
    /// The original, and from the first renewal on `original-N`.
    #[default]
    Suffixed,
    Original,
    /// A number that has nothing to do with the one asked for.
    Foreign,
    Missing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptedNumber {
    #[default]
    Original,
    /// Only the number of the newest renewal; the original while there is none.
    LastSuffixed,
    Both,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationForm {
    #[default]
    Number,
    String,
    Missing,
    Null,
}

/// How the result pair of a status answer is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultNames {
    /// `code` and `message`, as documented.
    #[default]
    Code,
    /// `responseCode` and `responseMessage`, as everywhere else.
    ResponseCode,
}

/// How a status answer writes its four dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateForm {
    /// `2026-11-21T21:00:00+01:00`
    #[default]
    Offset,
    /// `2026-11-21T20:00:00Z`
    Utc,
    /// `2026-11-21T21:00:00+0100`
    OffsetWithoutColon,
    /// `2026-11-21 20:00:00`, UTC
    Space,
    /// `2026-11-21`
    DateOnly,
    UnixSeconds,
    UnixMillis,
    /// `next Tuesday`
    Unreadable,
    Null,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownSubscription {
    /// 200 with code 1010.
    #[default]
    Code,
    /// 404 with the platform's error body.
    Status,
}

/// The answer to a request with the valid secret of a territory that is not the order's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherTerritory {
    /// As for an unknown order.
    #[default]
    NotFound,
    /// Code 71.
    SecretNotValid,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClashingNumber {
    #[default]
    Original,
    Renewal,
    /// The lines of both.
    Both,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginalNumber {
    /// The first order, for ever.
    #[default]
    First,
    /// The newest renewal's lines.
    Newest,
}

/// Which method `/subscription/renew` takes; the other is answered 405.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenewMethod {
    #[default]
    Both,
    Post,
    Put,
}
