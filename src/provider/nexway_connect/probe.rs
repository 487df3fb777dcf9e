//! Single requests for `renewald check --online`: a person waits for them and wants to know which one failed.

use super::*;

impl NexwayConnect {
    /// Gets a token: whether realm and client secret are accepted from this machine. One request; its slot is used up, and the
    /// returned one is for the request that comes next.
    pub async fn sign_in(&self, slot: Slot) -> Result<Slot, Error> {
        let (_, slot) = self.tokens.current(slot).await?;
        Ok(slot)
    }

    /// Asks as [`Provider::subscription_status`] does, but gets no new token after 401: one request after
    /// [`NexwayConnect::sign_in`].
    pub async fn status_once(
        &self,
        territory: &str,
        number: &str,
        subscription_id: &str,
        slot: Slot,
    ) -> Result<Status, Error> {
        let Some(secret) = self.secrets.get(territory) else { return Ok(Status::refused(unknown(territory))) };
        let (token, slot) = self.tokens.current(slot).await?;
        let request = self.status_request(status_body(number, subscription_id)?);
        interpret(&self.send::<Status>(request, secret, &token, slot).await?)
    }
}
