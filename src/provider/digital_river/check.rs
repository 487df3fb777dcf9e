//! What `renewald check --online` asks: subscriptions, the orders of one that is tracked, and events; a row of each.

use super::Client;
use super::order::{self, Order};
use super::page::Page;
use super::requests::LIST;
use crate::budget::Budget;
use crate::provider::http::Answer;
use crate::provider::url::encoded;
use crate::provider::{Error, Finding, LastAsked, Level};

const CLOSED: &str = "Digital River has closed: only you know what answers at api_url";

impl Client {
    /// Whether every request was answered stands behind the findings.
    pub(super) async fn examine(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        let mut findings = vec![finding(Level::Warning, CLOSED.to_owned())];
        let tracked = known.into_iter().find_map(|one| one.last_asked).map(|(_, id)| id);
        let mut lists = vec![("subscriptions".to_owned(), "/subscriptions?limit=1".to_owned())];
        match &tracked {
            Some(id) => {
                lists.push((format!("orders of {id}"), format!("/orders?subscriptionId={}&limit=1", encoded(id))))
            }
            None => findings.push(finding(Level::Warning, "orders: were not tried: none is tracked".to_owned())),
        }
        lists.push(("events".to_owned(), "/events?type=subscription.%2A&limit=1".to_owned()));
        for (about, path) in lists {
            let of = tracked.as_deref().filter(|_| path.starts_with("/orders"));
            let found = match self.get(LIST, &path, budget.slot().await).await {
                Ok(Ok(answer)) => read(&answer, of),
                Ok(Err(_)) => Ok(finding(Level::Problem, "is not there (404); look at api_url".to_owned())),
                Err(error) => Err(error),
            };
            let is_answered = found.as_ref().err().is_none_or(|error| !error.is_outage());
            let Finding { level, text } = found.unwrap_or_else(|error| failed(&error));
            findings.push(finding(level, format!("{about}: {text}")));
            if !is_answered {
                return (findings, false);
            }
        }
        (findings, true)
    }
}

/// A list; of orders those that were asked for.
fn read(answer: &Answer, of: Option<&str>) -> Result<Finding, Error> {
    let page = Page::<order::Body<'_>>::read(&answer.body)?;
    let mut rows = page.data.all.into_iter().filter_map(|body| Order::of(body, answer.at));
    let is_ours = |order: Order| of.is_none_or(|id| order.is_of(id));
    Ok(match rows.all(is_ours) {
        true => finding(Level::Ok, "may be read".to_owned()),
        false => finding(Level::Warning, "another's came: orders will be read by customer".to_owned()),
    })
}

/// Why something could not be read, and where to look.
fn failed(error: &Error) -> Finding {
    let told = crate::chain(error);
    let text = match error {
        Error::Unauthorized { reason, .. } => {
            format!("the key is refused ({reason}); look at api_key_file, and at what the key may read")
        }
        Error::Unreachable(_) => format!("{told}; look at api_url, DNS, firewall, proxy and ca_file"),
        Error::NotTheProvider { .. } | Error::Rejected { .. } | Error::Unreadable { .. } => {
            format!("{told}; look at api_url")
        }
        Error::Unavailable { .. } | Error::TooManyRequests { .. } => told,
    };
    finding(Level::Problem, text)
}

fn finding(level: Level, text: String) -> Finding {
    Finding { level, text }
}
