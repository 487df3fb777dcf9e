//! A subscription by its identity, for programs; people's names for one are looked up by [`Store::find`].

use super::{Named, NewSubscription, Result, Store, SubscriptionRow};
use crate::renewal::number;

/// What makes a subscription this one.
#[derive(Clone, Debug, PartialEq, Eq, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Identity {
    pub provider: String,
    /// The original number, in a path percent-encoded.
    pub partner_order_number: String,
    pub subscription_id: i64,
}

impl Identity {
    pub fn of(new: &NewSubscription) -> Self {
        Self {
            provider: new.provider.clone(),
            partner_order_number: new.partner_order_number.clone(),
            subscription_id: new.subscription_id,
        }
    }

    fn named(&self) -> Named {
        Named {
            name: self.partner_order_number.clone(),
            subscription_id: Some(self.subscription_id),
            provider: Some(self.provider.clone()),
            territory: None,
        }
    }
}

impl Store {
    /// The subscription itself; `None` when it was never tracked, or forgotten.
    pub async fn subscription(&self, identity: &Identity) -> Result<Option<SubscriptionRow>> {
        let rows = self.find(identity.named()).await?;
        Ok(rows.into_iter().find(|row| row.subscription.partner_order_number == identity.partner_order_number))
    }

    /// `PARTNER689-1` with the id of the tracked `PARTNER689` is its renewal, and not another original: that one, and the
    /// generation.
    pub async fn renewed_by(&self, identity: &Identity) -> Result<Option<(SubscriptionRow, i64)>> {
        let rows = self.find(identity.named()).await?;
        Ok(rows.into_iter().find_map(|row| {
            let original = &row.subscription.partner_order_number;
            let generation = number::generation_in(original, &identity.partner_order_number)?;
            (generation > 0).then_some((row, generation))
        }))
    }
}
