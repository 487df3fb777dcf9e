//! Subscriptions of which a backup knows nothing, or what is not true any more, because it is older than they are.

use std::path::Path;

use serde::Serialize;

use crate::cli::import::rows::{Format, Rows};
use crate::cli::import::source::Source;
use crate::cli::{Error, Exit};
use crate::renewal::State;
use crate::settings::Settings;
use crate::store::{self, Access, Exported, Identity, NewSubscription, Store};
use crate::text::{number_of, visible};

/// Rows that are compared at a time.
const PAGE: usize = 1_000;
/// So many are named to a person.
const SHOWN: usize = 20;

#[derive(Debug)]
pub struct Since {
    /// Tracked since.
    pub missing: Vec<Item>,
    /// Untracked or forgotten since. `None`: an export does not tell.
    pub returning: Option<Vec<Item>>,
}

/// One subscription.
#[derive(Debug, Serialize)]
pub struct Item {
    provider: String,
    territory: String,
    partner_order_number: String,
    subscription_id: String,
}

/// By the database that is there; `None` where it does not open.
pub async fn database(path: &Path, backup: &Store) -> Result<Option<Since>, Error> {
    let Ok(old) = Store::open(path, Access::Existing) else { return Ok(None) };
    let since = Since { missing: only_in(&old, backup).await?, returning: Some(only_in(backup, &old).await?) };
    old.close().await;
    Ok(Some(since))
}

/// By a file of `export`.
pub async fn export(path: &Path, settings: &Settings, backup: &Store) -> Result<Since, Error> {
    let source = Source::open(path)?;
    let bad = |line: u64, reason: &str| Error::bad_input(format!("{}:{line}: {reason}", source.name()));
    let unreadable = |error| Error::new(Exit::BadInput, format!("cannot read {}: {error}", source.name()));
    let format = Format::of(path).unwrap_or(Format::Jsonl);
    let rows = Rows::open(source.rewind()?, format, settings, true).map_err(unreadable)?;
    let mut rows = rows.map_err(|header| bad(header.line, &header.problems.join("; ")))?;
    let (mut missing, mut page) = (Vec::new(), Vec::with_capacity(PAGE));
    while let Some((line, row)) = rows.next().map_err(unreadable)? {
        let row = row.map_err(|reason| bad(line, &reason))?;
        page.extend(Some(row).filter(|row| row.state != State::Untracked).map(|row| Item::from(row.new)));
        if page.len() == PAGE {
            missing.extend(absent(std::mem::take(&mut page), backup).await?);
        }
    }
    missing.extend(absent(page, backup).await?);
    Ok(Since { missing, returning: None })
}

/// Those that only one of two databases tracks.
async fn only_in(one: &Store, other: &Store) -> Result<Vec<Item>, store::Error> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = one.export(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.row;
        let tracked = page.into_iter().filter(|row| row.state != State::Untracked);
        found.extend(absent(tracked.map(Item::from).collect(), other).await?);
    }
}

/// Those that this one does not track.
async fn absent(items: Vec<Item>, store: &Store) -> Result<Vec<Item>, store::Error> {
    let stored = store.subscriptions(items.iter().map(Item::identity).collect()).await?;
    let is_absent = |stored: &Option<store::SubscriptionRow>| {
        stored.as_ref().is_none_or(|row| row.subscription.state == State::Untracked)
    };
    Ok(items.into_iter().zip(stored).filter(|(_, stored)| is_absent(stored)).map(|(item, _)| item).collect())
}

impl Since {
    /// What there is to say, a line each.
    pub fn to_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (items, what) in [
            (self.missing.as_slice(), "tracked since the backup and missing in it"),
            (
                self.returning.as_deref().unwrap_or_default(),
                "untracked or forgotten since the backup, and watched again with it",
            ),
        ] {
            if items.is_empty() {
                continue;
            }
            lines.push(format!("{} {what}:", number_of(items.len() as u64, "subscription")));
            lines.extend(items.iter().take(SHOWN).map(|item| format!("  {}", item.label())));
            if items.len() > SHOWN {
                lines.push(format!("  and {} more; --json names them all", items.len() - SHOWN));
            }
        }
        lines
    }
}

impl Item {
    fn identity(&self) -> Identity {
        Identity {
            provider: self.provider.clone(),
            partner_order_number: self.partner_order_number.clone(),
            subscription_id: self.subscription_id.clone(),
        }
    }

    fn label(&self) -> String {
        let Self { provider, territory, partner_order_number, subscription_id } = self;
        visible(&format!("{partner_order_number}, subscription {subscription_id} ({provider}/{territory})"))
    }
}

impl From<Exported> for Item {
    fn from(row: Exported) -> Self {
        let Exported { provider, territory, partner_order_number, subscription_id, .. } = row;
        Self { provider, territory, partner_order_number, subscription_id }
    }
}

impl From<NewSubscription> for Item {
    fn from(new: NewSubscription) -> Self {
        let NewSubscription { provider, territory, partner_order_number, subscription_id, .. } = new;
        Self { provider, territory, partner_order_number, subscription_id }
    }
}
