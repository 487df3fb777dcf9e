//! The kinds of providers: a line in the list below for each, and everything else about it in its folder.
//!
//! A folder has the client, named as the kind is, its `convention`, and `settings` with what the methods of [`KindSettings`] ask
//! of it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::connection::{ConfigError, Connection};
use super::{Error, Fetched, Finding, LastAsked, Page, Position, Provider, Sighting, Subject, shop};
use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::settings::problem::nearest;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

/// What the only territory is called where the provider has none.
pub const IMPLIED_TERRITORY: &str = "default";

/// What `init` writes where only the operator knows better.
pub const PLACEHOLDER: &str = "CHANGE-ME";

macro_rules! kinds {
    ($($(#[$only:meta])* $kind:ident = $name:literal $(or $alias:literal)? in $folder:ident),+ $(,)?) => {
        /// Whose API a provider speaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$only])* $kind),+
        }

        /// The keys that only one kind has.
        #[derive(Clone, Debug, PartialEq)]
        pub enum KindSettings {
            $($(#[$only])* $kind(super::$folder::settings::Settings)),+
        }

        /// A provider of any kind, as the settings have it.
        pub enum Configured {
            $($(#[$only])* $kind(Box<super::$folder::Client>)),+
        }

        impl Kind {
            pub const ALL: &'static [Self] = &[$($(#[$only])* Self::$kind),+];

            /// As `kind` in the settings names it.
            pub fn as_str(self) -> &'static str {
                match self { $($(#[$only])* Self::$kind => $name),+ }
            }

            /// Another name that the settings may have for it, and that nothing shows.
            fn alias(self) -> Option<&'static str> {
                match self { $($(#[$only])* Self::$kind => None$(.or(Some($alias)))?),+ }
            }

            /// For one request, where the settings do not say.
            pub fn timeout(self) -> Duration {
                match self { $($(#[$only])* Self::$kind => super::$folder::settings::TIMEOUT),+ }
            }

            /// How it names subscriptions and deliveries.
            pub fn convention(self) -> &'static Convention {
                match self { $($(#[$only])* Self::$kind => &super::$folder::convention::CONVENTION),+ }
            }

            /// `None`: one that only tests have.
            pub(crate) fn readers(self) -> Option<Readers> {
                match self { $($(#[$only])* Self::$kind => super::$folder::READERS),+ }
            }

            /// The keys that only this kind has.
            pub fn keys(self) -> &'static [&'static str] {
                match self { $($(#[$only])* Self::$kind => super::$folder::settings::KEYS),+ }
            }

            /// Takes them out of a provider's table, and reports what is wrong with them.
            pub(crate) fn read(self, section: &mut Section<'_>) -> KindSettings {
                match self { $($(#[$only])* Self::$kind => KindSettings::$kind(super::$folder::settings::read(section))),+ }
            }
        }

        impl KindSettings {
            pub fn kind(&self) -> Kind {
                match self { $($(#[$only])* Self::$kind(_) => Kind::$kind),+ }
            }

            pub fn convention(&self) -> &'static Convention {
                self.kind().convention()
            }

            /// Their names, sorted; a kind that has none says [`IMPLIED_TERRITORY`].
            pub fn territories(&self) -> Vec<&str> {
                match self { $($(#[$only])* Self::$kind(one) => one.territories()),+ }
            }

            pub fn secrets(&self) -> Vec<&Secret> {
                match self { $($(#[$only])* Self::$kind(one) => one.secrets()),+ }
            }

            /// Every other file that a client is made with.
            pub fn files(&self) -> Vec<&Path> {
                match self { $($(#[$only])* Self::$kind(one) => one.files()),+ }
            }

            /// What tells accounts of this kind apart.
            fn account(&self) -> Vec<&str> {
                match self { $($(#[$only])* Self::$kind(one) => one.account()),+ }
            }

            /// Whose requests the provider counts together, whatever their kind; `None`: each account's alone.
            fn limit(&self) -> Option<String> {
                match self { $($(#[$only])* Self::$kind(one) => one.limit()),+ }
            }

            /// What to say of two providers that are one account; `first` is the name of the other.
            pub fn given_twice(&self, first: &str) -> String {
                match self { $($(#[$only])* Self::$kind(one) => one.given_twice(first)),+ }
            }

            /// What still holds the [`PLACEHOLDER`], for `check`: nothing need be asked with it.
            pub fn unfinished(&self) -> Option<String> {
                match self { $($(#[$only])* Self::$kind(one) => one.unfinished()),+ }
            }

            /// The account's client, its secrets read. Nothing is asked yet.
            pub fn client(&self, connection: Connection, budget: Budget) -> Result<Configured, ConfigError> {
                Ok(match self {
                    $($(#[$only])* Self::$kind(one) => Configured::$kind(Box::new(one.client(connection, budget)?))),+
                })
            }
        }

        /// The account in a few words, for `check`.
        impl fmt::Display for KindSettings {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $($(#[$only])* Self::$kind(one) => one.fmt(f)),+ }
            }
        }

        impl Provider for Configured {
            async fn look(&self, subject: Subject<'_>, slot: Slot) -> Result<Sighting, Error> {
                match self { $($(#[$only])* Self::$kind(one) => one.look(subject, slot).await),+ }
            }

            async fn fetch(&self, subject: Subject<'_>, reference: &str, slot: Slot) -> Result<Fetched, Error> {
                match self { $($(#[$only])* Self::$kind(one) => one.fetch(subject, reference, slot).await),+ }
            }

            async fn page(&self, at: Position<'_>, slot: Slot) -> Result<Page, Error> {
                match self { $($(#[$only])* Self::$kind(one) => one.page(at, slot).await),+ }
            }

            async fn shop(&self, call: &Call, territory: &str, slot: Slot) -> Result<shop::Reply, Error> {
                match self { $($(#[$only])* Self::$kind(one) => one.shop(call, territory, slot).await),+ }
            }

            async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
                match self { $($(#[$only])* Self::$kind(one) => one.check(known, budget).await),+ }
            }
        }
    };
}

kinds! {
    NexwayConnect = "nexway-connect" in nexway_connect,
    NexwayMonetize = "nexway-monetize" in nexway_monetize,
    Smartpay = "smartpay" or "subscription-module" in smartpay,
    DigitalRiver = "digital-river" in digital_river,
    #[cfg(test)]
    TestCounter = "test-counter" in test_counter,
    #[cfg(test)]
    TestLister = "test-lister" in test_lister,
}

impl KindSettings {
    /// Whether both are the same account. Where something is missing that cannot be told.
    pub fn is_same_account(&self, other: &Self) -> bool {
        let account = self.account();
        self.kind() == other.kind() && account == other.account() && !account.contains(&"")
    }

    /// Whether the provider counts the requests of both together.
    pub fn shares_limit_with(&self, other: &Self) -> bool {
        self.is_same_account(other) || self.limit().is_some_and(|limit| Some(limit) == other.limit())
    }
}

/// A name that no kind has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is unknown{}; known are {}", hint(*.near), names().join(", "))]
pub struct UnknownKind {
    name: String,
    /// The kind that was probably meant.
    pub near: Option<Kind>,
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let named = |name: &str| Self::ALL.iter().copied().find(|kind| kind.as_str() == name);
        let called = |name: &str| Self::ALL.iter().copied().find(|kind| kind.alias() == Some(name));
        named(name)
            .or_else(|| called(name))
            .ok_or_else(|| UnknownKind { name: name.to_owned(), near: nearest(name, names()).and_then(named) })
    }
}

fn names() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.as_str()).collect()
}

fn hint(near: Option<Kind>) -> String {
    near.map(|near| format!(" (did you mean {:?}?)", near.as_str())).unwrap_or_default()
}

/// Reads a page of a way of listing, by its name.
pub(crate) type ReadPage = fn(Given<'_>, &str) -> Result<Page, Error>;

/// How a kind reads an answer, without asking; for [`crate::fuzzing`].
#[derive(Clone, Copy)]
pub(crate) struct Readers {
    pub look: fn(Given<'_>, Subject<'_>) -> Result<Sighting, Error>,
    /// Of the delivery with this reference.
    pub fetch: fn(Given<'_>, Subject<'_>, &str) -> Result<Fetched, Error>,
    /// `None`: a kind without lists.
    pub page: Option<ReadPage>,
}

/// An answer with any status, and when it came.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub status: u16,
    pub body: &'a [u8],
    pub at: Timestamp,
}

/// How long the token of an answer is good for; for [`crate::fuzzing`].
pub(crate) use super::nexway::read_token;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert_eq!(names().into_iter().collect::<std::collections::BTreeSet<_>>().len(), Kind::ALL.len());
    }

    #[test]
    fn another_name_is_accepted_and_never_shown() {
        let others: Vec<_> = Kind::ALL.iter().filter_map(|kind| Some((kind.alias()?, *kind))).collect();
        assert!(!others.is_empty());
        for (alias, kind) in others {
            assert_eq!(alias.parse(), Ok(kind));
            assert!(!"x".parse::<Kind>().unwrap_err().to_string().contains(alias));
        }
    }

    #[test]
    fn an_unknown_kind_is_told_the_nearest() {
        let error = "nexway-conect".parse::<Kind>().unwrap_err();
        assert_eq!(error.near.map(Kind::as_str), Some("nexway-connect"));
        assert!(
            error.to_string().starts_with("\"nexway-conect\" is unknown (did you mean \"nexway-connect\"?); known are")
        );
        assert_eq!("sms".parse::<Kind>().unwrap_err().near, None);
    }
}
