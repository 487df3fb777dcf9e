//! A form that changes something: from a page of ours, of somebody who sees all, and with his word in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use percent_encoding::percent_decode;

use super::Pages;
use super::door::Visitor;
use crate::listen::body;
use crate::listen::problem::Problem;

/// What each of our forms carries besides.
const WORD: &str = "word";

/// The fields of a form.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    pub fn read(body: &[u8]) -> Self {
        let decoded = |part: &[u8]| {
            let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            percent_decode(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
                    Some(at) => (decoded(&pair[..at]), decoded(&pair[at + 1..])),
                    None => (decoded(pair), String::new()),
                })
                .collect(),
        )
    }

    /// Empty where it was not given.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A change that its sender means.
pub struct Change {
    pub visitor: Visitor,
    pub fields: Fields,
}

impl FromRequest<Arc<Pages>> for Change {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Arc<Pages>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, pages).await?;
        let refused = |problem: Problem| pages.html.problem(problem);
        visitor.must_see_all().map_err(refused)?;
        let fields = Fields::read(&body::read(body).await.map_err(refused)?);
        if !visitor.is_word(fields.text(WORD)) {
            let what = "this form is not of your present login: open the page again, and nothing was changed";
            return Err(refused(Problem::forbidden(what)));
        }
        Ok(Self { visitor, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_field_by_field() {
        let fields = Fields::read(b"name=a%2Fb+c&empty=&flag&=x&bad=%FF");
        assert_eq!((fields.text("name"), fields.text("empty"), fields.text("flag")), ("a/b c", "", ""));
        assert_eq!((fields.text("bad"), fields.text("none")), ("\u{fffd}", ""));
    }
}
