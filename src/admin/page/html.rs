//! Templates and what they may write: every text made fit for a page by one place, whoever sent it.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, HtmlEscape, Output, State, Value, context, escape_formatter};
use serde::Serialize;

use super::door::Visitor;
use crate::clock::Timestamp;
use crate::listen::problem::Problem;
use crate::store::counted;
use crate::text::{thousands, visible};
use crate::view::ages::relative;

/// Characters of one text. Whoever needs more of it asks for JSON.
const LONGEST: usize = 2000;

const TEMPLATES: [(&str, &str); 10] = [
    ("frame.html", include_str!("templates/frame.html")),
    ("parts.html", include_str!("templates/parts.html")),
    ("problem.html", include_str!("templates/problem.html")),
    ("login.html", include_str!("templates/login.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("subscriptions.html", include_str!("templates/subscriptions.html")),
    ("subscription.html", include_str!("templates/subscription.html")),
    ("messages.html", include_str!("templates/messages.html")),
    ("message.html", include_str!("templates/message.html")),
    ("receivers.html", include_str!("templates/receivers.html")),
];

pub struct Html(Environment<'static>);

/// A page, or why there is none: that is a page, too.
pub type Page = Result<Response, Problem>;

impl Html {
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_formatter(fit);
        environment.add_filter("count", |count: i64| thousands(count));
        // Of what is counted no further.
        environment.add_filter("counted", |count: i64| counted(count));
        environment.add_filter("time", time);
        environment.add_filter("link", link);
        environment.add_filter("whole", whole);
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).expect("it is compiled in, and tests render each");
        }
        Self(environment)
    }

    /// `nav`: which of the chapters it is.
    pub fn page(&self, template: &str, nav: &str, visitor: &Visitor, content: impl Serialize) -> Response {
        let context = context! {
            nav, content => Value::from(Serde(content)),
            sees_all => visitor.sees_all, has_login => visitor.has_login, word => visitor.word(),
        };
        self.render(StatusCode::OK, template, context)
    }

    pub fn shown(&self, page: Page) -> Response {
        page.unwrap_or_else(|problem| self.problem(problem))
    }

    pub fn problem(&self, problem: Problem) -> Response {
        let detail = problem.detail.clone();
        let plain = problem.into_response();
        let mut page =
            self.render(plain.status(), "problem.html", context! { detail, status => plain.status().as_u16() });
        for (name, value) in plain.headers().iter().filter(|(name, _)| **name == header::RETRY_AFTER) {
            page.headers_mut().insert(name, value.clone());
        }
        page
    }

    /// Refused: the token was wrong.
    pub fn login(&self, status: StatusCode) -> Response {
        self.render(status, "login.html", context! { wrong => status == StatusCode::FORBIDDEN })
    }

    fn render(&self, status: StatusCode, template: &str, context: Value) -> Response {
        let context = context! { now => Timestamp::now().to_string(), version => env!("CARGO_PKG_VERSION"), ..context };
        let rendered = self.0.get_template(template).and_then(|template| template.render(context));
        match rendered {
            Ok(html) => {
                (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], Body::from(html)).into_response()
            }
            Err(error) => {
                tracing::error!(%error, %template, "a page could not be made");
                Problem::internal().into_response()
            }
        }
    }
}

/// Text from anywhere is cut and made visible, then escaped.
fn fit(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if value.kind() == ValueKind::String && !value.is_safe() => {
            escape_formatter(out, state, &Value::from(visible(&cut(text))))
        }
        _ => escape_formatter(out, state, value),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// How long ago an instant is, with the instant itself for whoever wants to know.
fn time(state: &mut State<'_, '_>, at: &Value) -> Value {
    let read = |value: &Value| {
        let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
        Some(Timestamp::from_unix(at.as_second()))
    };
    let (Some(at), Some(now)) = (read(at), state.lookup("now").as_ref().and_then(read)) else {
        return Value::from("never");
    };
    Value::from_safe_string(format!("<time datetime=\"{at}\" title=\"{at}\">{}</time>", relative(at, now)))
}

/// Text that was made visible already: all of it, with its lines.
fn whole(text: &str) -> Value {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a string cannot fail.
    write!(escaped, "{}", HtmlEscape(text)).ok();
    Value::from_safe_string(escaped)
}

/// As part of an address.
fn link(text: &str) -> String {
    let mut encoded = String::new();
    // Writing to a string cannot fail.
    write!(encoded, "{}", percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)).ok();
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let html = Html::new();
        html.0.render_named_str("x.html", "{{ text }}", context! { text }).unwrap()
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        assert_eq!(shown("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;&#x2f;script&gt;");
        assert_eq!(shown("a\u{202e}b\u{1b}[2J\n"), "a\\u{202e}b\\u{1b}[2J\\n");
        let long = shown(&"x".repeat(1_000_000));
        assert!(long.len() < 2100 && long.ends_with("… (1000000 bytes)"), "{}", long.len());
    }

    #[test]
    fn what_is_shown_whole_keeps_its_lines_and_is_escaped() {
        let text = format!("{{\n  \"key\": \"<b>\"\n}}{}", "x".repeat(5000));
        let shown = Html::new().0.render_named_str("x.html", "{{ text | whole }}", context! { text }).unwrap();
        assert!(shown.starts_with("{\n  &quot;key&quot;: &quot;&lt;b&gt;&quot;\n}x"), "{shown}");
        assert!(shown.ends_with(&"x".repeat(5000)));
    }

    #[test]
    fn a_time_is_told_relative_and_in_full() {
        let html = Html::new();
        let context = context! { now => "2026-11-21T20:00:00Z", at => "2026-11-21T19:00:00Z" };
        let shown = html.0.render_named_str("x.html", "{{ at | time }} {{ none | time }}", context).unwrap();
        assert_eq!(
            shown,
            "<time datetime=\"2026-11-21T19:00:00Z\" title=\"2026-11-21T19:00:00Z\">60 min ago</time> never"
        );
    }
}
