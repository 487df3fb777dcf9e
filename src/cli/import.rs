//! `renewald import`: watches the subscriptions of a file. It is read twice, checked as a whole and then written in
//! chunks, so that a bad line is found before anything is changed and memory stays small.

mod differences;
mod duplicates;
pub(crate) mod rows;
pub(super) mod source;

use std::io::Write;
use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;
use tokio::task::JoinSet;

use super::track::{ADOPT, NEVER_GUESSED};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::renewal::State;
use crate::settings::Settings;
use crate::store::{self, Identity, NewSubscription, Store, Tracked};
use crate::text::number_of;
use duplicates::{Conflict, Identities};
use rows::{Format, Good, HeaderProblems, Row, Rows};
use source::Source;

/// Rows that are tracked together or not at all. SQLite walks, at each row, what it keeps for undoing those before it.
const CHUNK: usize = 200;
/// Chunks on their way to the disk while the next is read; those that wait for it share a commit.
const UNDER_WAY: usize = 20;
const INTERRUPTED: &str = "what was imported so far stays, run it again";
/// So many bad lines are printed, and as many warnings.
const SHOWN: usize = 100;

#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// CSV with a header, or JSON lines as `export` writes them; - for stdin. Fields: partner_order_number, subscription_id,
    /// generation, and if you like provider, territory, expires_at, state, metadata.KEY
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the file is, where its name does not say it
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Rows without generation: take that of the first poll as delivered
    #[arg(long)]
    pub adopt: bool,
    /// Change territory, expiry and metadata of those that are tracked already; never their generation
    #[arg(long)]
    pub update: bool,
    /// Leave out bad lines and import the others
    #[arg(long)]
    pub skip_bad: bool,
    /// Take a line that is warned of for a bad one: nothing is imported then, or with --skip-bad the others are
    #[arg(long)]
    pub strict: bool,
}

/// What `import --json` prints.
#[derive(Debug, Default, Serialize)]
struct Answer {
    added: u64,
    /// Left as they were.
    already_tracked: u64,
    /// Tracked before, and what is stored is not what the file says: told on stderr.
    #[serde(skip)]
    differing: u64,
    updated: u64,
    /// They had been untracked.
    revived: u64,
    bad: u64,
    bad_lines: Vec<Line>,
    /// Good lines that look wrong all the same.
    warnings: Vec<Line>,
}

/// What is said of a line.
#[derive(Debug, Serialize)]
struct Line {
    line: u64,
    reason: String,
}

/// What the first pass found.
#[derive(Debug, Default)]
struct Checked {
    good: u64,
    bad: Vec<Line>,
    warnings: Vec<Line>,
    /// Lines that are good but for another, or for one that is tracked, with the same subscription; sorted.
    left_out: Vec<u64>,
    missing_generation: bool,
    /// The header is unusable: there is nothing to skip to.
    header: bool,
}

pub async fn run(args: ImportArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let format = match args.format.or_else(|| Format::of(&args.file)) {
        Some(format) => format,
        None => return Err(Error::usage("--format csv or --format jsonl: the file's name does not say it")),
    };
    let import = Import { source: Source::open(&args.file)?, format, settings: &settings, args: &args, context };
    let tracked = if settings.store.path.exists() { Some(context.store(&settings)?) } else { None };
    let checked = import.check(tracked.as_ref()).await?;
    import.report(&checked);
    // To leave out bad lines is what was asked for; a file without a good one is not.
    let may_skip = args.skip_bad && checked.good > 0;
    if checked.header || (!checked.bad.is_empty() && !may_skip) {
        return Err(import.refusal(checked)?);
    }
    if checked.good == 0 && checked.bad.is_empty() {
        context.complain(&format!("{}: no rows", import.source.name()));
    }
    let store = match tracked {
        Some(store) => store,
        None => context.store_to_fill(&settings)?,
    };
    let answer = import.write(&store, checked).await?;
    store.close().await;
    if context.global.json {
        context.print_json(&answer)?;
    } else {
        context.print(&answer.to_text())?;
    }
    if !answer.warnings.is_empty() {
        let lines = number_of(answer.warnings.len() as u64, "line");
        context.complain(&format!("{lines} imported in spite of a warning: --strict takes such lines for bad ones"));
    }
    if answer.differing > 0 {
        let differ = if answer.differing == 1 { "differs" } else { "differ" };
        context.complain(&format!(
            "{} of them {differ} from what is stored: --update changes territory, expiry and metadata, never the generation",
            answer.differing
        ));
    }
    Ok(Exit::Done)
}

struct Import<'a> {
    source: Source,
    format: Format,
    settings: &'a Settings,
    args: &'a ImportArgs,
    context: &'a Context,
}

impl Import<'_> {
    fn rows(&self) -> Result<Result<Rows<'_>, HeaderProblems>, Error> {
        let reader = self.source.rewind()?;
        Rows::open(reader, self.format, self.settings, self.args.adopt).map_err(|error| self.unreadable(&error))
    }

    /// Whether a row is good enough.
    fn judged(&self, row: Row) -> Row {
        match row {
            Ok(Good { warning: Some(reason), .. }) if self.args.strict => Err(reason),
            row => row,
        }
    }

    /// Reads the whole file and changes nothing. `store`: what is tracked already.
    async fn check(&self, store: Option<&Store>) -> Result<Checked, Error> {
        let bar = self.context.bar(self.source.bytes(), "checking {wide_bar} {bytes} of {total_bytes}, {eta} left");
        let mut rows = match self.rows()? {
            Ok(rows) => rows,
            Err(problems) => return Ok(unusable_header(problems)),
        };
        let mut checked = Checked::default();
        let (mut identities, mut chunk) = (Identities::default(), Vec::new());
        while let Some((line, row)) = rows.next().map_err(|error| self.unreadable(&error))? {
            match self.judged(row) {
                Ok(Good { new, warning, .. }) => {
                    identities.add(&new, line);
                    checked.warnings.extend(warning.map(|reason| Line { line, reason }));
                    chunk.push((line, (Identity::of(&new), new.convention)));
                }
                Err(reason) => checked.bad.push(Line { line, reason }),
            }
            if chunk.len() == CHUNK {
                checked.compare(std::mem::take(&mut chunk), store).await?;
            }
            bar.set_position(rows.bytes_read());
        }
        checked.compare(chunk, store).await?;
        checked.missing_generation = rows.missing_generation;
        checked.good = identities.count();
        let conflicts = identities.conflicts();
        let clashes = checked.left_out.clone();
        for (line, conflict) in conflicts.into_iter().filter(|(line, _)| clashes.binary_search(line).is_err()) {
            checked.left_out.push(line);
            checked.bad.push(Line { line, reason: same_subscription(&conflict) });
        }
        checked.left_out.sort_unstable();
        checked.warnings.retain(|warning| checked.left_out.binary_search(&warning.line).is_err());
        checked.good -= checked.left_out.len() as u64;
        checked.bad.sort_by_key(|bad| bad.line);
        bar.finish_and_clear();
        Ok(checked)
    }

    /// Tracks the good rows. Cut short, the import may be run again.
    async fn write(&self, store: &Store, checked: Checked) -> Result<Answer, Error> {
        let bar =
            self.context.bar(checked.good, "importing {wide_bar} {human_pos} of {human_len}, {rate}/s, {eta} left");
        let skip_bad = self.args.skip_bad;
        let mut writing = Writing { store, update: self.args.update, chunks: JoinSet::new(), bar };
        let (bad, warnings) = (checked.bad.len() as u64, checked.warnings);
        let mut answer = Answer { bad, bad_lines: checked.bad, warnings, ..Answer::default() };
        let mut rows = self.rows()?.map_err(|_| changed_meanwhile())?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some((line, row)) = rows.next().map_err(|error| self.unreadable(&error))? {
            match self.judged(row) {
                Ok(_) if checked.left_out.binary_search(&line).is_ok() => continue,
                Ok(Good { new, state, .. }) => chunk.push((new, state)),
                Err(_) if skip_bad => continue,
                Err(_) => return Err(changed_meanwhile()),
            }
            if chunk.len() == CHUNK {
                writing.begin(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK)), &mut answer).await?;
            }
        }
        writing.begin(chunk, &mut answer).await?;
        writing.end(&mut answer).await?;
        Ok(answer)
    }

    /// Names the bad and the doubtful lines for a person.
    fn report(&self, checked: &Checked) {
        if self.context.global.json {
            return;
        }
        let file = self.source.name();
        let mut text = Vec::new();
        for (lines, what, prefix) in [(&checked.bad, "bad lines", ""), (&checked.warnings, "warnings", "warning: ")] {
            let shown = lines.iter().take(SHOWN);
            text.extend(shown.map(|Line { line, reason }| format!("{file}:{line}: {prefix}{reason}")));
            if lines.len() > SHOWN {
                text.push(format!("and {} more {what}; --json names them all", lines.len() - SHOWN));
            }
        }
        for line in text {
            // Nobody is left to tell when stderr is closed.
            writeln!(std::io::stderr(), "{line}").ok();
        }
    }

    /// Why nothing was imported.
    fn refusal(&self, checked: Checked) -> Result<Error, Error> {
        let bad = checked.bad.len();
        let mut text = match (checked.header, bad) {
            (true, _) => "nothing imported: the header is unusable".to_owned(),
            (false, _) if self.args.skip_bad => "nothing imported: there is no good line".to_owned(),
            (false, 1) => "nothing imported: 1 line is bad; mend it, or leave it out with --skip-bad".to_owned(),
            (false, _) => {
                format!("nothing imported: {bad} lines are bad; mend them, or leave them out with --skip-bad")
            }
        };
        if checked.missing_generation {
            text.push_str(&format!("\n{NEVER_GUESSED}; give each row the last one that the customer has, or {ADOPT}"));
        }
        if self.context.global.json {
            let Checked { bad: bad_lines, warnings, .. } = checked;
            self.context.print_json(&Answer { bad: bad as u64, bad_lines, warnings, ..Answer::default() })?;
        }
        Ok(Error::bad_input(text))
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::bad_input(format!("cannot read {}: {error}", self.source.name()))
    }
}

/// The chunks that are being written.
struct Writing<'a> {
    store: &'a Store,
    update: bool,
    /// What came of each row, and how many of those tracked before differ.
    chunks: JoinSet<Result<(Vec<Tracked>, u64), store::Error>>,
    bar: ProgressBar,
}

impl Writing<'_> {
    /// Hands a chunk to the store, once there are not too many before it.
    async fn begin(&mut self, chunk: Vec<(NewSubscription, State)>, answer: &mut Answer) -> Result<(), Error> {
        while self.chunks.len() >= UNDER_WAY {
            self.one(answer).await?;
        }
        let (store, update) = (self.store.clone(), self.update);
        self.chunks.spawn(async move {
            let mut rows: Vec<_> = chunk.iter().map(|(new, _)| new.clone()).collect();
            let outcomes = store.track_in(chunk, update, Timestamp::now()).await?;
            let mut outcome = outcomes.iter();
            rows.retain(|_| matches!(outcome.next(), Some(Tracked::Already | Tracked::Updated)));
            let differing = if rows.is_empty() { 0 } else { differences::count(&store, &rows).await? };
            Ok((outcomes, differing))
        });
        // Lets it reach the store before this thread is busy reading again.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn end(&mut self, answer: &mut Answer) -> Result<(), Error> {
        while !self.chunks.is_empty() {
            self.one(answer).await?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Waits for one chunk and counts what came of it.
    async fn one(&mut self, answer: &mut Answer) -> Result<(), Error> {
        if let Some(done) = self.chunks.join_next().await {
            let (outcomes, differing) = done.map_err(|error| Error::new(Exit::Internal, error.to_string()))??;
            self.bar.inc(outcomes.len() as u64);
            answer.count(&outcomes)?;
            answer.differing += differing;
        }
        Ok(())
    }
}

impl Answer {
    fn count(&mut self, outcomes: &[Tracked]) -> Result<(), Error> {
        for outcome in outcomes {
            match outcome {
                Tracked::Added => self.added += 1,
                Tracked::Already => self.already_tracked += 1,
                Tracked::Updated => self.updated += 1,
                Tracked::Revived => self.revived += 1,
                // It was tracked after the first pass.
                Tracked::Clashes(clash) => return Err(Error::bad_input(format!("{clash}; {INTERRUPTED}"))),
            }
        }
        Ok(())
    }

    fn to_text(&self) -> String {
        format!(
            "{} added, {} already tracked, {} updated, {} revived, {} bad",
            self.added, self.already_tracked, self.updated, self.revived, self.bad
        )
    }
}

fn unusable_header(HeaderProblems { line, problems }: HeaderProblems) -> Checked {
    let bad = problems.into_iter().map(|reason| Line { line, reason }).collect();
    Checked { bad, header: true, ..Checked::default() }
}

impl Checked {
    /// Leaves out what may not be tracked beside what is.
    async fn compare(
        &mut self,
        chunk: Vec<(u64, (Identity, &'static Convention))>,
        store: Option<&Store>,
    ) -> Result<(), Error> {
        let Some(store) = store else { return Ok(()) };
        let (lines, identities): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
        for (line, clash) in lines.into_iter().zip(store.clashes(identities).await?) {
            if let Some(clash) = clash {
                self.left_out.push(line);
                self.bad.push(Line { line, reason: clash.to_string() });
            }
        }
        Ok(())
    }
}

/// `the same subscription as on line 7`; of many others, the first few.
fn same_subscription(conflict: &Conflict) -> String {
    const NAMED: usize = 5;
    let others = match conflict {
        Conflict::Same(others) => others,
        Conflict::RenewalOf(line) => {
            return format!(
                "the number of a renewal of the subscription on line {line}, which is tracked by its original only"
            );
        }
        Conflict::RenewedBy(line) => {
            return format!("the same subscription as on line {line}, where it has the number of a renewal");
        }
    };
    let named = others.iter().take(NAMED).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let plural = if others.len() == 1 { "" } else { "s" };
    let more = if others.len() > NAMED { " …" } else { "" };
    format!("the same subscription as on line{plural} {named}{more}")
}

fn changed_meanwhile() -> Error {
    Error::bad_input(format!("the file changed while it was read; {INTERRUPTED}"))
}
