//! What `renewald check --online` asks: a token, the list of subscriptions, and the newest order of one that is tracked.
//!
//! A person waits for it and wants to know what the account may read: each request is made once.

use reqwest::{Method, Request};

use super::Client;
use super::order::{self, Order};
use super::page::Page;
use super::requests::{Asked, ORDER, SUBSCRIPTION, sorted};
use super::subscription::{self, Subscription};
use crate::budget::{Budget, Slot};
use crate::provider::http::{self, Endpoint};
use crate::provider::nexway::advice;
use crate::provider::url::encoded;
use crate::provider::{Class, Error, Finding, LastAsked, Level};

impl Client {
    /// Whether every request was answered stands behind the findings.
    pub(super) async fn examine(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        let slot = match self.account.sign_in(budget.slot().await).await {
            Ok(slot) => slot,
            Err(error) => return (vec![finding(Level::Problem, advice::refused_token(&error))], false),
        };
        let mut findings = vec![finding(Level::Ok, "token service: gave a token".to_owned())];
        let path = format!("{}?page=0&size=1", self.paths.subscriptions);
        let (first, total) = match self.once(SUBSCRIPTION, &path, slot, first).await {
            Ok(Ok((first, total))) => {
                let of = total.map(|total| format!(", {total} in all")).unwrap_or_default();
                findings.push(finding(Level::Ok, format!("list of subscriptions: may be read{of}")));
                (first, total)
            }
            asked => {
                let is_answered = asked.is_ok();
                findings.push(unread(
                    "list of subscriptions",
                    "subscriptions_path",
                    asked.map(|asked| asked.map(drop)),
                ));
                if !is_answered {
                    findings.push(untried("the API gave no answer"));
                    return (findings, false);
                }
                (None, None)
            }
        };
        let tracked = known.into_iter().find_map(|one| one.last_asked).map(|(_, id)| id);
        let Some(id) = tracked.or(first) else {
            let why = if total == Some(0) { "the account has no subscription" } else { "no subscription is known" };
            findings.push(untried(why));
            return (findings, true);
        };
        let path = format!("{}/subscription/{}", self.paths.orders, encoded(&id));
        let newest = self.once(ORDER, &path, budget.slot().await, |answer| order::read(&answer.body, answer.at)).await;
        let is_answered = newest.is_ok();
        findings.push(match newest {
            Ok(Ok(order)) => newest_order(&id, &order),
            asked => unread(&format!("orders: the newest of {id}"), "orders_path", asked.map(|asked| asked.map(drop))),
        });
        (findings, is_answered)
    }

    /// Gets no new token after 401.
    async fn once<T>(
        &self,
        endpoint: Endpoint,
        path: &str,
        slot: Slot,
        read: impl FnOnce(&http::Answer) -> Result<T, Error>,
    ) -> Asked<T> {
        let request = Request::new(Method::GET, self.account.url(path)?);
        match sorted(self.account.ask_once(endpoint, slot, request).await?)? {
            Ok(answer) => read(&answer).map(Ok),
            Err(verdict) => Ok(Err(verdict)),
        }
    }
}

/// The id of the first subscription of a page, and how many there are in all.
fn first(answer: &http::Answer) -> Result<(Option<String>, Option<i64>), Error> {
    let page = Page::<subscription::Body<'_>>::read(&answer.body)?;
    let total = page.total();
    let mut read = page.items.all.into_iter().filter_map(|body| Subscription::of(body, answer.at));
    Ok((read.next().map(|subscription| subscription.id), total))
}

fn newest_order(id: &str, order: &Order) -> Finding {
    if !order.is_of(id) {
        return finding(Level::Warning, format!("orders: asked for one of {id}, and another's came"));
    }
    let status = if order.state().is_empty() { "unknown" } else { order.state() };
    finding(Level::Ok, format!("orders: may be read; the newest of {id} is {}, status {status}", order.id))
}

/// Why something could not be read, and where to look.
fn unread(about: &str, path_key: &str, asked: Asked<()>) -> Finding {
    match asked {
        Ok(Ok(())) => finding(Level::Ok, format!("{about}: may be read")),
        Ok(Err(verdict)) => {
            let look_at = match verdict.class {
                Class::Configuration => {
                    format!("ask the provider for the right to read it, and {}", advice::ALLOW_LIST)
                }
                _ => format!("look at {path_key}, and whether it is this account's"),
            };
            let level = if verdict.class == Class::Configuration { Level::Problem } else { Level::Warning };
            finding(level, format!("{about}: answered {} {:?}; {look_at}", verdict.code, verdict.message))
        }
        Err(error) => {
            finding(Level::Problem, format!("{about}: {}", advice::refused(&error, &format!("api_url, {path_key}"))))
        }
    }
}

fn untried(why: &str) -> Finding {
    finding(Level::Warning, format!("orders: were not tried: {why}"))
}

fn finding(level: Level, text: String) -> Finding {
    Finding { level, text }
}
