//! What `renewald check --online` asks: a token, and the status of a subscription that is tracked anyway, in up to two territories.
//!
//! A person waits for it and wants to know which request failed: each is made once.

use super::answers::Status;
use super::wire::Answer as _;
use super::*;
use crate::provider::{Finding, LastAsked, Level};

const ALLOW_LIST: &str = "whether the provider has this machine's address on its allow list";

/// So many territories are asked in: with the token that is three requests.
const TERRITORIES: usize = 2;

impl Client {
    /// Whether every request was answered stands behind the findings.
    pub(super) async fn examine(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        let mut slot = match self.sign_in(budget.slot().await).await {
            Ok(slot) => Some(slot),
            Err(error) => return (vec![Finding { level: Level::Problem, text: refused_token(&error) }], false),
        };
        let mut findings = vec![Finding { level: Level::Ok, text: "token service: gave a token".to_owned() }];
        let (mut asked, mut is_answered) = (0, true);
        for LastAsked { territory, last_asked } in known {
            let untried = match last_asked {
                None => "no subscription is tracked there",
                Some(_) if asked == TERRITORIES => "a check makes three requests and no more",
                Some(_) if !is_answered => "the API gave no answer",
                Some((number, subscription_id)) => {
                    let slot = match slot.take() {
                        Some(slot) => slot,
                        None => budget.slot().await,
                    };
                    asked += 1;
                    let about = format!("API: {number}/{subscription_id} of {territory}");
                    let answer = self.status_once(&territory, &number, &subscription_id, slot).await;
                    is_answered = answer.is_ok();
                    findings.push(match answer {
                        Ok(status) => answered(&about, &status),
                        Err(error) => {
                            let text = format!("{about}: {}", refused_status(&error));
                            Finding { level: Level::Problem, text }
                        }
                    });
                    continue;
                }
            };
            let text = format!("territory {territory}: its secret was not tried: {untried}");
            findings.push(Finding { level: Level::Warning, text });
        }
        (findings, is_answered)
    }

    /// Gets a token: whether realm and client secret are accepted from this machine. One request; its slot is used up, and the
    /// returned one is for the request that comes next.
    async fn sign_in(&self, slot: Slot) -> Result<Slot, Error> {
        let (_, slot) = self.tokens.current(slot).await?;
        Ok(slot)
    }

    /// Asks as [`Provider::look`] does, but once, and gets no new token after 401: one request after
    /// [`Client::sign_in`].
    async fn status_once(
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

fn answered(about: &str, status: &Status) -> Finding {
    let verdict = &status.verdict;
    let said = format!("{about}: answered {} {:?}", verdict.code, verdict.message);
    let (level, text) = match verdict.class {
        Class::Success => {
            let technical = status.technical_status.as_deref().unwrap_or("unknown");
            (Level::Ok, format!("{about}: answered, status {technical}"))
        }
        Class::Configuration => {
            (Level::Problem, format!("{said}; look at the territory's secret_file, and {ALLOW_LIST}"))
        }
        Class::NotFound => (Level::Warning, format!("{said}; is it tracked under the right provider and territory?")),
        Class::Transient | Class::Waiting | Class::Permanent => (Level::Warning, said),
    };
    Finding { level, text }
}

fn refused_token(error: &Error) -> String {
    let look_at = match error {
        Error::Unauthorized { .. } => format!("; look at realm, client_secret_file, and {ALLOW_LIST}"),
        Error::Unreachable(_) => "; look at iam_url, DNS, firewall, proxy and ca_file".to_owned(),
        Error::Rejected { .. } | Error::Unreadable { .. } => "; look at iam_url".to_owned(),
        Error::Unavailable { .. } | Error::TooManyRequests { .. } => String::new(),
    };
    format!("token service: {}{look_at}", describe(error))
}

fn refused_status(error: &Error) -> String {
    let look_at = match error {
        Error::Unauthorized { .. } => format!("; look at {ALLOW_LIST}, and at api_url"),
        Error::Unreachable(_) => "; look at api_url, DNS, firewall, proxy and ca_file".to_owned(),
        Error::Rejected { .. } | Error::Unreadable { .. } => "; look at api_url".to_owned(),
        Error::Unavailable { .. } | Error::TooManyRequests { .. } => String::new(),
    };
    format!("{}{look_at}", describe(error))
}

/// Its own advice is for a log line; ours is more exact.
fn describe(error: &Error) -> String {
    match error {
        Error::Unauthorized { reason, .. } => format!("does not accept our credentials ({reason})"),
        other => crate::chain(other),
    }
}
