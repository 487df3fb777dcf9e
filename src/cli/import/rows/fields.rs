//! The fields that a row may have, and what one row gives of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::spreadsheet;
use crate::json::Members;
use crate::settings::nearest;
use crate::store::Metadata;
use crate::text::visible;

const METADATA: &str = "metadata.";
pub(super) const NAMES: [&str; 7] =
    ["partner_order_number", "subscription_id", "generation", "provider", "territory", "expires_at", "state"];

/// A field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    PartnerOrderNumber,
    SubscriptionId,
    Generation,
    Provider,
    Territory,
    ExpiresAt,
    State,
    Metadata(String),
}

impl Column {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "partner_order_number" => Self::PartnerOrderNumber,
            "subscription_id" => Self::SubscriptionId,
            "generation" => Self::Generation,
            "provider" => Self::Provider,
            "territory" => Self::Territory,
            "expires_at" => Self::ExpiresAt,
            "state" => Self::State,
            _ => match name.strip_prefix(METADATA).filter(|key| !key.is_empty()) {
                Some(key) => Self::Metadata(key.to_owned()),
                None => return Err(unknown(name)),
            },
        })
    }

    /// Whether its blanks belong to it.
    pub(super) fn is_data(&self) -> bool {
        matches!(self, Self::PartnerOrderNumber | Self::Metadata(_))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self {
            Self::PartnerOrderNumber => 0,
            Self::SubscriptionId => 1,
            Self::Generation => 2,
            Self::Provider => 3,
            Self::Territory => 4,
            Self::ExpiresAt => 5,
            Self::State => 6,
            Self::Metadata(key) => return write!(f, "{METADATA}{}", visible(key)),
        };
        f.write_str(NAMES[at])
    }
}

/// Whether any of them is the name of a field, or nearly so where none is a number, as the id of a first row would be.
pub(super) fn is_header(names: &[Cow<'_, str>]) -> bool {
    let is_near = |name: &str| nearest(name, NAMES).is_some();
    let has_number = names.iter().any(|name| name.trim().parse::<i64>().is_ok());
    names.iter().map(|name| name.trim()).any(|name| Column::named(name).is_ok() || (!has_number && is_near(name)))
}

fn unknown(name: &str) -> String {
    match nearest(name, NAMES.into_iter().chain(["metadata.KEY"])) {
        Some(near) => format!("unknown field {}; did you mean {near}?", visible(name)),
        None => format!("unknown field {}; your own fields are named metadata.KEY", visible(name)),
    }
}

/// A row's fields as text; what is absent or empty is `None`.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) partner_order_number: Option<Cow<'a, str>>,
    pub(super) subscription_id: Option<Cow<'a, str>>,
    pub(super) generation: Option<Cow<'a, str>>,
    pub(super) provider: Option<Cow<'a, str>>,
    pub(super) territory: Option<Cow<'a, str>>,
    pub(super) expires_at: Option<Cow<'a, str>>,
    pub(super) state: Option<Cow<'a, str>>,
    /// A list, in JSON.
    pub(super) known: Option<&'a str>,
    /// A time, in JSON.
    pub(super) known_before: Option<&'a str>,
    /// The whole object.
    metadata: Option<&'a str>,
    /// JSON by key, to be added to it.
    metadata_of: BTreeMap<String, String>,
    /// Fields that hold what a spreadsheet left in place of their value.
    pub(super) damaged: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn set(&mut self, column: &Column, text: Cow<'a, str>) {
        self.examine(column, &text);
        let field = match column {
            Column::PartnerOrderNumber => &mut self.partner_order_number,
            Column::SubscriptionId => &mut self.subscription_id,
            Column::Generation => &mut self.generation,
            Column::Provider => &mut self.provider,
            Column::Territory => &mut self.territory,
            Column::ExpiresAt => &mut self.expires_at,
            Column::State => &mut self.state,
            Column::Metadata(key) => {
                self.metadata_of.insert(key.clone(), Value::from(text).to_string());
                return;
            }
        };
        *field = Some(text);
    }

    pub(super) fn set_metadata(&mut self, key: &str, json: &str) {
        self.examine_json(key, json);
        self.metadata_of.insert(key.to_owned(), json.to_owned());
    }

    pub(super) fn set_whole_metadata(&mut self, object: &'a str) {
        // One that is broken is said to be so when it is read.
        let members = serde_json::from_str::<Members<'_>>(object).unwrap_or_default();
        members.by_key.iter().for_each(|(key, json)| self.examine_json(key, json.get()));
        self.metadata = Some(object);
    }

    fn examine(&mut self, column: &Column, text: &str) {
        self.damaged.extend(spreadsheet::damage(text).map(|damage| format!("{column} {damage}")));
    }

    /// A number in JSON was written by a program, and is what it says.
    fn examine_json(&mut self, key: &str, json: &str) {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            self.examine(&Column::Metadata(key.to_owned()), &text);
        }
    }

    /// What was given as a whole stays as it was written.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, String> {
        if self.metadata_of.is_empty() {
            return self.metadata.map(Metadata::parse).transpose();
        }
        let whole = self.metadata.and_then(|whole| whole.strip_suffix('}')).unwrap_or("{");
        let members = self.metadata_of.iter().map(|(key, json)| format!("{}:{json}", Value::from(key.as_str())));
        let members = members.collect::<Vec<_>>().join(",");
        let comma = if whole.trim_ascii_end() == "{" { "" } else { "," };
        Metadata::parse(&format!("{whole}{comma}{members}}}")).map(Some)
    }
}
