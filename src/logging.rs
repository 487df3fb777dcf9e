//! Log lines to stderr: one line per event, whatever the fields hold, and nothing of other crates below `warn`. Or the events
//! themselves to the journal, with their fields.
//!
//! What is logged, and that it holds no key and no secret, is decided where it is logged.

pub mod level;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use indicatif::ProgressBar;
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use self::level::filter;
use crate::clock::Timestamp;
use crate::environment::{is_journal, no_colour};
use crate::settings::{Log, LogFormat};
use crate::text::{visible, visible_json};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log.level: {0}")]
    Level(String),
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing::subscriber::SetGlobalDefaultError),
    #[error("the log cannot be changed")]
    Gone(#[source] reload::Error),
    #[error("log.format: \"journald\", and no journal takes events here")]
    NoJournal,
}

/// How an event is written, which may change at any time. All ways are set up, and one of them speaks: a span that is open during
/// the change has been noted for each.
#[derive(Clone, Debug, Default)]
struct Spoken(Arc<AtomicU8>);

impl Spoken {
    const TEXT: u8 = 0;
    const JSON: u8 = 1;
    const JOURNALD: u8 = 2;

    fn new(format: LogFormat) -> Self {
        let spoken = Self::default();
        spoken.change(format);
        spoken
    }

    fn change(&self, format: LogFormat) {
        let way = match format {
            LogFormat::Auto | LogFormat::Text => Self::TEXT,
            LogFormat::Json => Self::JSON,
            LogFormat::Journald => Self::JOURNALD,
        };
        self.0.store(way, Ordering::Relaxed);
    }

    fn is(&self, way: u8) -> bool {
        self.0.load(Ordering::Relaxed) == way
    }
}

/// What a reload may change about the log.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    spoken: Spoken,
    has_journal: bool,
    verbosity: i8,
}

impl Logging {
    /// One that nobody hears.
    #[cfg(test)]
    pub fn unheard() -> Self {
        let (_, filter) = reload::Layer::new(EnvFilter::new("off"));
        Self { filter, spoken: Spoken::default(), has_journal: false, verbosity: 0 }
    }

    /// Level and format from here on; `-v` and `-q` still count.
    pub fn change(&self, log: &Log) -> Result<(), Error> {
        if log.format == LogFormat::Journald && !self.has_journal {
            return Err(Error::NoJournal);
        }
        let filter = filter(&log.level, self.verbosity).map_err(Error::Level)?;
        self.filter.reload(filter).map_err(Error::Gone)?;
        self.spoken.change(log.format);
        Ok(())
    }
}

/// Sends the events of the whole process to stderr, or to the journal, from here on. `verbosity` is the number of `-v` less that of `-q`:
/// each step moves the level of renewald's own events.
pub fn init(log: &Log, verbosity: i8) -> Result<Logging, Error> {
    init_around(ProgressBar::hidden(), log, verbosity)
}

/// The same where `bar` may be on the terminal: it steps aside while a line is written, else each would leave a copy of it behind.
pub fn init_around(bar: ProgressBar, log: &Log, verbosity: i8) -> Result<Logging, Error> {
    let stderr = std::io::stderr();
    let colour = stderr.is_terminal() && !no_colour() && log.format == LogFormat::Auto;
    let spoken = Spoken::new(log.format);
    // Where there is none, a reload may not ask for it either.
    let fields = tracing_journald::layer().ok();
    let has_journal = fields.is_some();
    if log.format == LogFormat::Journald && !has_journal {
        return Err(Error::NoJournal);
    }
    let style = Style { spoken: spoken.clone(), colour, journal: is_journal(&stderr), fields };
    let (filter, handle) = reload::Layer::new(filter(&log.level, verbosity).map_err(Error::Level)?);
    let writer = move || Stderr { bar: bar.clone() };
    tracing::subscriber::set_global_default(subscriber(filter, style, writer)).map_err(Error::AlreadySet)?;
    Ok(Logging { filter: handle, spoken, has_journal, verbosity })
}

struct Stderr {
    bar: ProgressBar,
}

/// A line comes as one write.
impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.bar.suspend(|| std::io::stderr().write(line))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[derive(Default)]
struct Style {
    spoken: Spoken,
    colour: bool,
    /// `<N>` before each line, and no time: the journal has its own.
    journal: bool,
    /// Takes events with their fields, for the format of that name.
    fields: Option<tracing_journald::Layer>,
}

fn subscriber<F, W>(filter: F, style: Style, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    F: Layer<Registry> + Send + Sync,
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let Style { spoken, colour, journal, fields } = style;
    let text = TextLine { spoken: spoken.clone(), colour, journal };
    let json = Format::default().json().flatten_event(true).with_timer(Clock);
    let json = JsonLine { format: json, spoken: spoken.clone(), journal };
    let fields = fields.map(with_names_and_priorities);
    let fields = fields.with_filter(dynamic_filter_fn(move |_, _| spoken.is(Spoken::JOURNALD)));
    let registry = tracing_subscriber::registry().with(filter).with(fields);
    let registry = registry.with(lines(writer.clone()).event_format(text));
    Box::new(registry.with(lines(writer).fmt_fields(JsonFields::new()).event_format(json)))
}

fn with_names_and_priorities(journal: tracing_journald::Layer) -> tracing_journald::Layer {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    // Without a prefix our names would clash with the journal's own: MESSAGE_ID is one of them.
    let journal = journal.with_field_prefix(Some("RENEWALD".to_owned()));
    journal.with_syslog_identifier("renewald".to_owned()).with_priority_mappings(priorities)
}

fn lines<S, W>(writer: W) -> tracing_subscriber::fmt::Layer<S, DefaultFields, Format<Full>, W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    // A closed stderr must not end the daemon, which reporting the failure to stderr would.
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).log_internal_errors(false)
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
    spoken: Spoken,
    colour: bool,
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if !self.spoken.is(Spoken::TEXT) {
            return Err(fmt::Error); // so that nothing is written, not even an empty line
        }
        let mut text = String::new();
        let mut line = Writer::new(&mut text);
        write!(line, "{}: ", event.metadata().target())?;
        context.field_format().format_fields(line.by_ref(), event)?;
        // What happened comes first, in the course of what behind it.
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            write!(line, " {}", span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(line, "{{{fields}}}")?;
            }
        }
        let level = event.metadata().level();
        if self.journal {
            write!(writer, "<{}>", priority(level))?;
        } else {
            write!(writer, "{} ", Timestamp::now())?;
        }
        if self.colour {
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
    spoken: Spoken,
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if !self.spoken.is(Spoken::JSON) {
            return Err(fmt::Error);
        }
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        if self.journal {
            write!(writer, "<{}>", priority(event.metadata().level()))?;
        }
        writeln!(writer, "{}", visible_json(text.trim_end()))
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
    use std::sync::Mutex;

    use super::*;
    use crate::text::is_unsafe;

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

    fn style(json: bool, journal: bool) -> Style {
        let format = if json { LogFormat::Json } else { LogFormat::Text };
        Style { spoken: Spoken::new(format), journal, ..Style::default() }
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
            let text = logged("info", 0, style(json, journal), hostile);
            assert_eq!(raw(&text), ['\n'], "{text}");
            assert!(text.ends_with('\n'));
        }
        let coloured = logged("info", 0, Style { colour: true, ..Style::default() }, hostile);
        assert_eq!(raw(&coloured), ['\x1b', '\x1b', '\n'], "{coloured}"); // around the level only
    }

    #[test]
    fn json_keeps_the_text_for_a_program() {
        let text = logged("info", 0, style(true, false), hostile);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["text"], HOSTILE);
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_text_line_reads_well() {
        let text = logged("info", 0, style(false, true), || {
            tracing::error!(generation = 1, number = %"PARTNER689-1", "renewal abandoned");
        });
        assert_eq!(text, "<3>ERROR renewald::logging::tests: renewal abandoned generation=1 number=PARTNER689-1\n");
    }

    #[test]
    fn a_line_within_a_span_says_what_it_is_about() {
        let text = logged("debug", 0, style(false, true), || {
            let _inside = tracing::debug_span!("poll", order = %"P-1", subscription = 7).entered();
            tracing::debug!(status = 200, "asked");
        });
        assert_eq!(text, "<7>DEBUG renewald::logging::tests: asked status=200 poll{order=P-1 subscription=7}\n");
    }

    #[test]
    fn the_format_may_change_while_a_span_is_open() {
        let now = style(false, true);
        let spoken = now.spoken.clone();
        let text = logged("info", 0, now, || {
            let _inside = tracing::info_span!("publish", sink = "shop").entered();
            tracing::info!("one");
            spoken.change(LogFormat::Json);
            tracing::info!("two");
        });
        let (one, two) = text.split_once('\n').unwrap();
        assert_eq!(one, "<6> INFO renewald::logging::tests: one publish{sink=\"shop\"}");
        let two: serde_json::Value = serde_json::from_str(two.trim_start_matches("<6>")).unwrap();
        assert_eq!((&two["message"], &two["span"]["sink"]), (&"two".into(), &"shop".into()));
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
}
