//! What a person is told of an answer. What somebody asked to see is shown as the provider has it; of a change or a cart what it came
//! to, with its prices and links among the notes.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::Name;
use crate::cli::{Context, Error};
use crate::text::{visible, visible_json};

pub fn print(context: &Context, name: Name, answer: &RawValue) -> Result<(), Error> {
    if context.global.json {
        return context.print_json(&answer);
    }
    // It was read as JSON before.
    context.print(&text(name, &serde_json::from_str(answer.get()).unwrap_or_default()))
}

fn text(name: Name, answer: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    if is_told_in_words(name) {
        lines.push(done(name, answer));
    } else {
        // Whatever serde_json has read it can write.
        let pretty = serde_json::to_string_pretty(&answer["answer"]).unwrap_or_default();
        lines.extend(pretty.lines().map(visible_json));
    }
    let notes = answer["notes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(notes.map(visible));
    lines.join("\n")
}

fn done(name: Name, answer: &Value) -> String {
    let outcome = match answer["outcome"].as_str() {
        Some("already") => "it was so already",
        Some("waiting") => "the order is there, and waits at the provider",
        _ => "done",
    };
    let order = match &answer["order_number"] {
        Value::String(number) => format!(", order {}", visible(number)),
        _ => String::new(),
    };
    let ids: Vec<_> = answer["subscriptions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let tracked = match (name, ids.as_slice()) {
        (Name::Order, ids @ [_, ..]) => format!(", tracked: subscription {}", visible(&ids.join(", "))),
        _ => String::new(),
    };
    format!("{name}: {outcome} (code {}){order}{tracked}", answer["code"])
}

/// What it brings is not what was asked for, but that it be done, or what follows from it.
fn is_told_in_words(name: Name) -> bool {
    !matches!(
        name,
        Name::Stock | Name::CrossSell | Name::Categories | Name::Systems | Name::OrderData | Name::DownloadInfo
    )
}
