//! renewald: see README.

pub mod budget;
pub mod choice;
pub mod cli;
pub mod clock;
pub mod daemon;
pub mod delivery;
pub mod logging;
pub mod provider;
pub mod relay;
pub mod renewal;
pub mod retry;
pub mod sandbox;
pub mod schedule;
pub mod settings;
pub mod signals;
pub mod sink;
pub mod store;
pub mod sweep;
pub mod text;
pub mod tls;

/// An error with its causes, for one line of a log or a message: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text::visible(&text)
}
