//! `renewald explain`: all that is known of one subscription, told as a story. Never keys, never metadata.

use super::naming::{self, Narrow};
use super::table::{bold, folded};
use super::{Context, Error, Exit};
use crate::clock::Timestamp;
use crate::renewal::Rules;
use crate::view::{self, Chapter, Known};

#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Original or suffixed partner order number, or subscription id
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub narrow: Narrow,
}

pub async fn run(args: ExplainArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let rules = Rules::from_settings(&settings);
    let row = naming::resolve(&settings, &store, &args.name, &args.narrow).await?;
    let now = Timestamp::now();
    let known = Known::look_up(&store, &settings, row, now).await?;
    store.close().await;
    if context.global.json {
        context.print_json(&known.into_story(&rules, now))?;
    } else {
        context.print(&text(&view::tell(&known, &rules, settings.advice(&known.row.provider), now)))?;
    }
    Ok(Exit::Done)
}

fn text(chapters: &[Chapter]) -> String {
    let chapter = |chapter: &Chapter| {
        let facts = chapter.facts.iter().map(|fact| {
            let what = format!("  {:<16}", fact.what);
            let text = folded(&fact.text, what.chars().count(), 18);
            format!("{what}{text}\n")
        });
        format!("{}\n{}", bold(&chapter.heading), facts.collect::<String>())
    };
    chapters.iter().map(chapter).collect::<Vec<_>>().join("\n")
}
