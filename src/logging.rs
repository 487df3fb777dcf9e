//! Log lines to stderr: one line per event, whatever the fields hold, and nothing of other crates below `warn`.
//!
//! What is logged, and that it holds no key and no secret, is decided where it is logged.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Timestamp;
use crate::settings::{self, Log, LogFormat};
use crate::text::{is_unsafe, visible};

/// From quiet to talkative.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Crates that log at `error` what they also return as an error.
const QUIET: [&str; 2] = ["lapin", "async_nats"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log.level: {0}")]
    Level(String),
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the events of the whole process to stderr from here on. `verbosity` is the number of `-v` less that of `-q`:
/// each step moves the level of renewald's own events.
pub fn init(log: &Log, verbosity: i8) -> Result<(), Error> {
    let stderr = std::io::stderr();
    let colour = log.format == LogFormat::Auto && stderr.is_terminal() && !settings::no_colour();
    let style = Style { json: log.format == LogFormat::Json, colour, journal: settings::is_journal(&stderr) };
    let filter = filter(&log.level, verbosity).map_err(Error::Level)?;
    tracing::subscriber::set_global_default(subscriber(filter, style, std::io::stderr)).map_err(Error::AlreadySet)
}

/// Whether `log.level` can be understood: a level, or directives as `tracing_subscriber::EnvFilter` reads them
/// (`info,renewald::sweep=debug`). The text says what is wrong.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level, 0).map(|_| ())
}

/// Other crates are held at `warn` unless a directive names them: at `debug` they print request headers, and with them
/// tokens and secrets. The brokers' clients are held at nothing: what fails is told by their sinks.
fn filter(level: &str, verbosity: i8) -> Result<EnvFilter, String> {
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

#[derive(Clone, Copy, Debug, Default)]
struct Style {
    json: bool,
    colour: bool,
    /// `<N>` before each line, and no time: the journal has its own.
    journal: bool,
}

fn subscriber<W>(filter: EnvFilter, style: Style, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A closed stderr must not end the daemon, which reporting the failure to stderr would.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(style.colour).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    if style.json {
        let format = Format::default().json().flatten_event(true).with_timer(Clock);
        let line = JsonLine { format, journal: style.journal };
        Box::new(registry.with(layer.fmt_fields(JsonFields::new()).event_format(line)))
    } else {
        let format = Format::default().without_time().with_level(false).with_ansi(false);
        Box::new(registry.with(layer.event_format(TextLine { format, journal: style.journal })))
    }
}

/// Whole seconds, as everywhere else.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Timestamp::now())
    }
}

/// `2026-11-21T20:00:00Z  INFO renewald::sweep: recorded renewal PARTNER689-1 generation=1`
struct TextLine {
    format: Format<Full, ()>,
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        let level = event.metadata().level();
        if self.journal {
            write!(writer, "<{}>", priority(level))?;
        } else {
            write!(writer, "{} ", Timestamp::now())?;
        }
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[{}m{level:>5}\x1b[0m ", colour(level))?;
        } else {
            write!(writer, "{level:>5} ")?;
        }
        writeln!(writer, "{}", visible(text.trim_end()))
    }
}

/// One JSON object; what JSON lets through raw and a terminal does not is escaped as JSON does.
struct JsonLine {
    format: Format<Json, Clock>,
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        if self.journal {
            write!(writer, "<{}>", priority(event.metadata().level()))?;
        }
        for c in text.trim_end().chars() {
            if is_unsafe(c) {
                // Such a character stands only inside of JSON strings, where this is the same character.
                c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            } else {
                writer.write_char(c)?;
            }
        }
        writeln!(writer)
    }
}

/// syslog's number for the level.
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn colour(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, verbosity: i8, style: Style, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter(level, verbosity).unwrap(), style, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\nERROR forged\r\t\x1b[2J\0\u{9b}31m\u{202e}\u{2028}\x7f";

    fn hostile() {
        let span = tracing::info_span!("poll", number = HOSTILE);
        let _inside = span.enter();
        let error = io::Error::other(HOSTILE);
        tracing::warn!(text = HOSTILE, shown = %HOSTILE, debug = ?HOSTILE, error = &error as &dyn std::error::Error,
            "message {HOSTILE}");
    }

    fn raw(text: &str) -> Vec<char> {
        text.chars().filter(|c| is_unsafe(*c)).collect()
    }

    #[test]
    fn hostile_text_stays_on_one_line_without_control_characters() {
        for (json, journal) in [(false, false), (false, true), (true, false), (true, true)] {
            let text = logged("info", 0, Style { json, journal, colour: false }, hostile);
            assert_eq!(raw(&text), ['\n'], "{text}");
            assert!(text.ends_with('\n'));
        }
        let coloured = logged("info", 0, Style { colour: true, ..Style::default() }, hostile);
        assert_eq!(raw(&coloured), ['\x1b', '\x1b', '\n'], "{coloured}"); // around the level only
    }

    #[test]
    fn json_keeps_the_text_for_a_program() {
        let text = logged("info", 0, Style { json: true, ..Style::default() }, hostile);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["text"], HOSTILE);
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_text_line_reads_well() {
        let text = logged("info", 0, Style { journal: true, ..Style::default() }, || {
            tracing::error!(generation = 1, number = %"PARTNER689-1", "renewal abandoned");
        });
        assert_eq!(text, "<3>ERROR renewald::logging::tests: renewal abandoned generation=1 number=PARTNER689-1\n");
    }

    fn one_of_each() {
        tracing::error!("e");
        tracing::warn!("w");
        tracing::info!("i");
        tracing::debug!("d");
        tracing::trace!("t");
        tracing::warn!(target: "hyper::client", "hyper warns");
        tracing::info!(target: "tokio_cron_scheduler", "cron tells");
        tracing::debug!(target: "h2", "headers");
        tracing::trace!(target: "renewald::sweep", "sweeps");
    }

    #[test]
    fn levels_and_verbosity_move_only_our_own_events() {
        let count = |level, verbosity| logged(level, verbosity, Style::default(), one_of_each).lines().count();
        assert_eq!(count("info", 0), 4); // e w i, hyper warns
        assert_eq!(count("info", 1), 5);
        assert_eq!(count("INFO", 9), 7); // and sweeps
        assert_eq!(count("trace", -1), 5);
        assert_eq!(count("error", 0), 1);
        assert_eq!(count("info", -9), 1);
        assert_eq!(count("off", 0), 0);
        assert_eq!(count("info,h2=debug", 0), 5);
        assert_eq!(count("warn,renewald::sweep=trace", 0), 4);
    }

    #[test]
    fn a_returned_message_is_never_printed() {
        let returned = || tracing::warn!(target: "lapin::returned_messages", "XXXX-YYYY");
        for level in ["info", "trace", "lapin=trace", "lapin::returned_messages=trace,info"] {
            assert_eq!(logged(level, 9, Style::default(), returned), "", "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        let reason = check_level("inof").unwrap_err();
        assert!(reason.starts_with("\"inof\" is unknown; known are error, warn"), "{reason}");
        assert!(check_level("renewald=loud").is_err());
        assert!(check_level("warn,renewald::sweep=debug").is_ok());
    }
}
