//! `renewald export`: every subscription as one line of JSON, in the words that `import` reads.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::naming;
use super::{Context, Error, Exit};
use crate::text::number_of;

/// Rows that are read at a time.
const PAGE: usize = 1_000;

#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// A new file, readable by its owner only [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub async fn run(args: ExportArgs, context: &Context) -> Result<Exit, Error> {
    let (_, store) = naming::open(context)?;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(BufWriter::new(create(path)?)),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let (mut after, mut count, mut line) = (0, 0_u64, Vec::new());
    loop {
        let page = store.export(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.row;
        for subscription in &page {
            line.clear(); // written whole, which costs less than piece by piece
            serde_json::to_writer(&mut line, subscription).map_err(std::io::Error::from)?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
        count += page.len() as u64;
    }
    out.flush()?;
    store.close().await;
    if let Some(path) = args.output.filter(|_| context.global.quiet == 0) {
        context.complain(&format!("{} written to {}", number_of(count, "subscription"), path.display()));
    }
    Ok(Exit::Done)
}

fn create(path: &std::path::Path) -> Result<std::fs::File, Error> {
    // It holds metadata, which may name customers.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| Error::new(Exit::CannotCreate, format!("cannot create {}: {error}", path.display())))
}
