//! What `renewald check --online` asks: the list of subscriptions, and the billing cycles of one of them.

use super::Client;
use super::fields::Fields;
use super::page::Page;
use super::refusal::Asked;
use super::requests::{CYCLES, SUBSCRIPTION};
use crate::budget::Budget;
use crate::provider::http::Answer;
use crate::provider::url::encoded;
use crate::provider::{Class, Error, Finding, LastAsked, Level};

impl Client {
    /// Whether every request was answered stands behind the findings.
    pub(super) async fn examine(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        let first = self.get(SUBSCRIPTION, "/subscriptions?page=0&pageSize=1", budget.slot().await).await;
        let (first, finding) = match read(first, first_of) {
            Ok(Ok((first, count))) => {
                let of = count.map(|count| format!(", {count} in all")).unwrap_or_default();
                (first, found(Level::Ok, format!("list of subscriptions: may be read{of}")))
            }
            asked => {
                let is_answered = asked.is_ok();
                return (vec![unread("list of subscriptions", asked.map(|asked| asked.map(drop)))], is_answered);
            }
        };
        let mut findings = vec![finding];
        let tracked = known.into_iter().find_map(|one| one.last_asked);
        let Some(id) = tracked.map(|(_, id)| super::convention::documented(&id, "Subscription-")).or(first) else {
            findings.push(found(Level::Warning, "billing cycles: were not tried: no subscription is known".to_owned()));
            return (findings, true);
        };
        let path = format!("/subscriptions/{}/billing-cycles?page=0&pageSize=1", encoded(&id));
        let cycles = read(self.get(CYCLES, &path, budget.slot().await).await, first_of);
        let is_answered = cycles.is_ok();
        findings.push(unread(&format!("billing cycles of {id}"), cycles.map(|asked| asked.map(drop))));
        (findings, is_answered)
    }
}

fn read<T>(asked: Asked<Answer>, read: impl FnOnce(&Answer) -> Result<T, Error>) -> Asked<T> {
    match asked? {
        Ok(answer) => read(&answer).map(Ok),
        Err(verdict) => Ok(Err(verdict)),
    }
}

/// The id of the first row of a page, and how many rows there are in all.
fn first_of(answer: &Answer) -> Result<(Option<String>, Option<i64>), Error> {
    let page = Page::read(&answer.body)?;
    let id = |fields: &Fields<'_>| fields.text("id");
    Ok((page.rows.first().and_then(id), page.count))
}

/// Whether something could be read, and where to look if not.
fn unread(about: &str, asked: Asked<()>) -> Finding {
    let error = match asked {
        Ok(Ok(())) => return found(Level::Ok, format!("{about}: may be read")),
        Ok(Err(verdict)) => {
            let level = if verdict.class == Class::Configuration { Level::Problem } else { Level::Warning };
            let look_at = if verdict.class == Class::NotFound {
                "; look at api_url, and whether it is this account's"
            } else {
                ""
            };
            let message = if verdict.message.is_empty() { String::new() } else { format!(", {}", verdict.message) };
            return found(level, format!("{about}: answered {}{message}{look_at}", verdict.code));
        }
        Err(error) => error,
    };
    let look_at = match error {
        Error::Unreachable(_) => "; look at api_url, DNS, firewall, proxy and ca_file",
        Error::Rejected { status: 400 | 406 } => "; look at api_url, and whether origin is the one that is registered",
        Error::Rejected { .. } | Error::Unreadable { .. } => "; look at api_url",
        _ => "",
    };
    found(Level::Problem, format!("{about}: {}{look_at}", crate::chain(&error)))
}

fn found(level: Level, text: String) -> Finding {
    Finding { level, text }
}
