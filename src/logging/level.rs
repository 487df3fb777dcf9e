//! How much is logged: levels and directives, and what is never let through.

use tracing_subscriber::EnvFilter;

/// From quiet to talkative.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Crates that log at `error` what they also return as an error.
const QUIET: [&str; 2] = ["lapin", "async_nats"];

/// Whether `log.level` can be understood: a level, or directives as `tracing_subscriber::EnvFilter` reads them
/// (`info,renewald::sweep=debug`). The text says what is wrong.
pub fn check(level: &str) -> Result<(), String> {
    filter(level, 0).map(|_| ())
}

/// Other crates are held at `warn` unless a directive names them: at `debug` they print request headers, and with them
/// tokens and secrets. The brokers' clients are held at nothing: what fails is told by their sinks.
pub(super) fn filter(level: &str, verbosity: i8) -> Result<EnvFilter, String> {
    let mut own = position("info")?;
    let mut named = Vec::new();
    for directive in level.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        if directive.contains('=') {
            named.push(directive);
        } else {
            own = position(directive)?;
        }
    }
    // `-qqqq` still leaves errors; only `off` in the settings silences them.
    let own = if verbosity == 0 { own } else { own.saturating_add_signed(verbosity.into()).clamp(1, LEVELS.len() - 1) };
    let others = own.min(position("warn")?);
    let mut directives = vec![LEVELS[others].to_owned(), format!("renewald={}", LEVELS[own])];
    directives.extend(QUIET.map(|target| format!("{target}=off")));
    directives.extend(named.into_iter().map(str::to_owned));
    // It prints whole messages, and with them licence keys: whatever is named.
    directives.push("lapin::returned_messages=off".to_owned());
    EnvFilter::builder()
        .parse(directives.join(","))
        .map_err(|error| format!("not a level nor a list of directives: {error}"))
}

fn position(level: &str) -> Result<usize, String> {
    LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level)).ok_or_else(|| {
        format!("{level:?} is unknown; known are error, warn, info, debug, trace, and directives such as \"info,renewald::sweep=debug\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        let reason = check("inof").unwrap_err();
        assert!(reason.starts_with("\"inof\" is unknown; known are error, warn"), "{reason}");
        assert!(check("renewald=loud").is_err());
        assert!(check("warn,renewald::sweep=debug").is_ok());
    }
}
