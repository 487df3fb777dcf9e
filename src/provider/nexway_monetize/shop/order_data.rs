//! An order by its id, with the keys that it brought: both as they came.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::found::refused;
use super::object;
use crate::budget::Slot;
use crate::call::OfOrder;
use crate::provider::body::{self, unreadable};
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::convention::is_same;
use crate::provider::nexway_monetize::order::{self, Order, Standing};
use crate::provider::nexway_monetize::page::Page;
use crate::provider::nexway_monetize::requests::ORDER;
use crate::provider::nexway_monetize::rows::{self, Processed, Row};
use crate::provider::shop::{Outcome, Placed, Reply};
use crate::provider::{Class, Error};

/// The rows of an order, and whether one of them is still to be made.
struct Rows {
    json: Vec<String>,
    one_waits: bool,
}

impl Client {
    pub(super) async fn order_data(&self, of: &OfOrder, slot: Slot) -> Result<Reply, Error> {
        if matches!(of.number.trim(), "." | ".." | "") {
            let why = "must be the id of an order".to_owned();
            return Ok(Reply { field: Some("number"), ..Reply::bare(Outcome::Mend, 0, why) });
        }
        let answer = match self.get(ORDER, &self.order_path(&of.number), slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(refused(verdict)),
        };
        let order = order::read(&answer.body, answer.at)?;
        if !is_same(&order.id, &of.number) {
            return Err(unreadable("it is about another order"));
        }
        if order.standing() == Standing::Dead {
            let why = format!("order {} is {}: it brings nothing", order.id, order.state());
            return Ok(Reply::bare(Outcome::Refused, 0, why));
        }
        let mut rows = Rows { json: Vec::new(), one_waits: false };
        match self.key_pages(&order.id, |bytes, number| rows.read(bytes, number)).await? {
            // The order is there: its keys are not yet.
            Err(verdict) if verdict.class != Class::NotFound => return Ok(refused(verdict)),
            Ok(()) | Err(_) => {}
        }
        let raw: &RawValue = body::parse_list(&answer.body)?;
        let is_done = order.standing() == Standing::Good && !rows.one_waits;
        let outcome = if is_done { Outcome::Done } else { Outcome::Waiting };
        let notes = if is_done { Vec::new() } else { vec![waits(&order)] };
        let body = object([
            ("order", Some(raw.get().to_owned())),
            ("lineItemData", Some(format!("[{}]", rows.json.join(",")))),
        ]);
        let subscription_ids = order.subscriptions().into_iter().map(str::to_ascii_lowercase).collect();
        let placed = Placed { order_number: Some(order.id), subscription_ids, is_whole: false };
        let told = Reply::bare(outcome, i64::from(answer.status), String::new());
        Ok(Reply { body, notes, placed: Some(placed), ..told })
    }
}

impl Rows {
    /// Adds a page's; whether it was the last.
    fn read(&mut self, bytes: &[u8], number: usize) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow, default)]
            items: Vec<&'a RawValue>,
        }
        let page = Page::<rows::Body<'_>>::read(bytes)?;
        let is_last = page.is_last(number);
        let mut all = page.items.all.into_iter().map(Row::of);
        self.one_waits |= all.any(|row| matches!(row.processed, Processed::Waits | Processed::PartlyCancelled));
        let raw = match body::is_list(bytes) {
            true => body::parse_list(bytes)?,
            false => body::parse::<Raw<'_>>(bytes)?.items,
        };
        self.json.extend(raw.into_iter().map(|row| row.get().to_owned()));
        Ok(is_last)
    }
}

fn waits(order: &Order) -> String {
    let state = match order.state() {
        "" => "not told",
        state => state,
    };
    match order.standing() {
        Standing::Good => format!("order {} is {state}, and a key of it is still to come", order.id),
        _ => format!("order {} is {state}", order.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pages: &[&str]) -> (String, bool, Vec<bool>) {
        let mut rows = Rows { json: Vec::new(), one_waits: false };
        let lasts = pages.iter().enumerate().map(|(at, page)| rows.read(page.as_bytes(), at).unwrap()).collect();
        (rows.json.join(","), rows.one_waits, lasts)
    }

    #[test]
    fn rows_are_kept_as_they_are_written() {
        let done = r#"{"amount": 5.10, "processingStatus": "COMPLETED"}"#;
        assert_eq!(read(&[&format!("[{done}]")]), (done.to_owned(), false, vec![true]));
        let pages = [
            format!(r#"{{"items": [{done}], "last": false, "number": 0, "totalPages": 2}}"#),
            r#"{"items": [{"processingStatus": "PENDING"}], "last": true, "number": 1}"#.to_owned(),
        ];
        let (json, one_waits, lasts) = read(&[&pages[0], &pages[1]]);
        assert_eq!((json.matches("5.10").count(), json.matches("PENDING").count()), (1, 1));
        assert_eq!((one_waits, lasts), (true, vec![false, true]));
        assert_eq!(read(&["[]"]).0, "");
    }
}
