//! What `renewald check --online` asks: a token, and the status of a subscription that is tracked anyway, in up to two territories.
//!
//! A person waits for it and wants to know which request failed: each is made once.

use super::answers::Status;
use super::wire::Answer as _;
use super::*;
use crate::provider::nexway::advice::{self, ALLOW_LIST};
use crate::provider::{Finding, LastAsked, Level};

/// So many territories are asked in: with the token that is three requests.
const TERRITORIES: usize = 2;

impl Client {
    /// Whether every request was answered stands behind the findings.
    pub(super) async fn examine(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        let mut slot = match self.account.sign_in(budget.slot().await).await {
            Ok(slot) => Some(slot),
            Err(error) => return (vec![Finding { level: Level::Problem, text: advice::refused_token(&error) }], false),
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
                            let text = format!("{about}: {}", advice::refused(&error, "api_url"));
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

    /// Asks as [`Provider::look`] does, but once, and gets no new token after 401: one request after
    /// [`Account::sign_in`].
    async fn status_once(
        &self,
        territory: &str,
        number: &str,
        subscription_id: &str,
        slot: Slot,
    ) -> Result<Status, Error> {
        let Some(secret) = self.secrets.get(territory) else { return Ok(Status::refused(unknown(territory))) };
        let request = with_secret(self.status_request(status_body(number, subscription_id)?), secret);
        interpret(&self.account.ask_once(Status::ENDPOINT, slot, request).await?)
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
