//! What a call is about, and what is wrong with it before anybody is asked.

use serde_json::Value;
use serde_json::value::RawValue;

use super::Account;
use super::answer::Failure;
use crate::call::{Call, OfSubscription};
use crate::convention::{Convention, check_name};
use crate::json::Members;
use crate::text::visible;

/// What a call is about.
pub struct About {
    /// A partner order number; empty where it is about none.
    pub number: String,
    pub subscription_id: Option<String>,
    /// It changes something at the provider.
    pub is_change: bool,
}

impl About {
    fn nothing_tracked() -> Self {
        Self { number: String::new(), subscription_id: None, is_change: false }
    }

    pub fn shown(&self) -> String {
        let shown =
            if self.number.is_empty() { self.subscription_id.as_deref().unwrap_or_default() } else { &self.number };
        visible(shown)
    }
}

/// Brings ids and numbers into their stored form, and refuses what the kind does not offer and what it knows to be wrong.
pub fn about(account: &Account, call: &mut Call) -> Result<About, Failure> {
    let convention = account.convention();
    let offered = convention.shop.map(|shop| shop.calls).unwrap_or_default();
    if !offered.contains(&call.name()) {
        return Err(Failure::not_offered(call.name(), account.settings.kind.kind().as_str(), offered));
    }
    let order = |number: &str, is_change| {
        let number = convention.number(number).map_err(|why| Failure::wrong("number", why))?;
        Ok(About { number, subscription_id: None, is_change })
    };
    let given = |field: &str, text: &str| check_name(field, text).map_err(|why| Failure::wrong(field, why));
    match call {
        Call::Stock(_) | Call::CrossSell(_) | Call::Categories(_) | Call::Systems | Call::Order(_) => {
            Ok(About::nothing_tracked())
        }
        Call::Retail(body) => {
            check_retail(convention, body)?;
            Ok(About::nothing_tracked())
        }
        Call::OrderData(of) | Call::DownloadInfo(of) => order(&of.number, false),
        Call::ExtendDownload(of) => order(&of.number, false),
        Call::CancelOrder(of) => order(&of.number, true),
        Call::Cancel(of)
        | Call::Suspend(of)
        | Call::Reactivate(of)
        | Call::Pause(of)
        | Call::Resume(of)
        | Call::Renew(of) => {
            let OfSubscription { partner_order_number, subscription_id } = of;
            subscription(convention, partner_order_number, subscription_id, true)
        }
        Call::Offer(of) => {
            of.discount_code.as_deref().map_or(Ok(()), |code| given("discount_code", code))?;
            subscription(convention, &mut of.partner_order_number, &mut of.subscription_id, false)
        }
        Call::OfferAccept(of) => {
            given("cart", &of.cart)?;
            subscription(convention, &mut of.partner_order_number, &mut of.subscription_id, true)
        }
        Call::Upgrade(of) => {
            given("product", &of.product)?;
            of.discount_tag.as_deref().map_or(Ok(()), |tag| given("discount_tag", tag))?;
            if of.discount_step.is_some() && of.discount_tag.is_none() {
                return Err(Failure::wrong("discount_step", "needs a discount_tag".to_owned()));
            }
            subscription(convention, &mut of.partner_order_number, &mut of.subscription_id, false)
        }
    }
}

fn subscription(
    convention: &Convention,
    number: &mut String,
    id: &mut String,
    is_change: bool,
) -> Result<About, Failure> {
    *id = convention.subscription_id(id).map_err(|why| Failure::wrong("subscription_id", why))?;
    let given = Some(number.as_str()).filter(|number| !number.is_empty());
    let of = convention.number_or(given, id).map_err(|why| Failure::wrong("partner_order_number", why))?;
    number.clone_from(&of);
    Ok(About { number: of, subscription_id: Some(id.clone()), is_change })
}

fn check_retail(convention: &Convention, body: &RawValue) -> Result<(), Failure> {
    let check = convention.shop.and_then(|shop| shop.retail);
    let check = check.ok_or_else(|| Failure::refused("retail is nothing that this provider has"))?;
    match check(&read("retail", body)?) {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(Failure::Mend { wrong, code: None }),
    }
}

/// A body in the provider's own words. Nothing of what it holds is repeated: it may be a person's.
pub fn read(what: &str, body: &RawValue) -> Result<Value, Failure> {
    let value: Value = serde_json::from_str(body.get())
        // The error's own text may quote a person.
        .map_err(|e| Failure::wrong(what, format!("not JSON (line {}, column {})", e.line(), e.column())))?;
    // It is sent as it stands: which of the two the provider reads is its own affair.
    if let Ok(Members { twice: Some(key), .. }) = serde_json::from_str(body.get()) {
        return Err(Failure::wrong(&visible(&key), "is there twice".to_owned()));
    }
    Ok(value)
}
