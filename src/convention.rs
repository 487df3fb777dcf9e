//! What a kind of provider fixes once and for all, without an account and without asking: how it names subscriptions and their
//! deliveries. For identity, `track`, `import` and `refetch`, and for the decisions that depend on it.
//!
//! Each kind has one [`Convention`], in its folder below `provider`.

use serde_json::Value;

use crate::call;

/// Bytes. What is longer is no name, and would be stored for each subscription.
const LONGEST: usize = 255;

/// How one kind of provider names things.
#[derive(Debug)]
pub struct Convention {
    /// The one form in which a subscription id is stored and compared; the error says what is wrong with it.
    pub canonical: fn(&str) -> Result<String, String>,
    /// Where one order may hold several subscriptions: its number belongs to the identity of each, and one answer with order data
    /// serves them all. `None`: the number is an attribute, by default the subscription id.
    pub numbers: Option<Numbers>,
    /// The name of the delivery after the N-th renewal, where the provider counts. `None`: it names its deliveries itself.
    pub reference: Option<fn(original: &str, generation: i64) -> String>,
    /// 0, the first purchase; -1 where there may be a trial before it.
    pub lowest_generation: i64,
    /// Reads the provider's answer to a created order, where that names subscriptions; the error says why it does not.
    pub created: Option<ReadCreated>,
    /// Reads which subscriptions a notification names, whatever it says of them; `None`: the provider sends none.
    pub hinted: Option<ReadHinted>,
    pub advice: Advice,
    /// While order data is awaited the provider wants no polls of that subscription.
    pub rests_while_waiting: bool,
    /// One that the provider does not know any more has been deleted, and is not one of which it tells nothing yet.
    pub unknown_is_deleted: bool,
    /// The provider may be gone for good: that everybody is unknown or refused then tells of it, and not of anybody.
    pub may_have_closed: bool,
    /// What the provider lists by itself; `None`: every subscription has to be asked about alone.
    pub feed: Option<&'static Feed>,
    /// What it lets a shop do; `None`: nothing.
    pub shop: Option<&'static Shop>,
    /// What somebody is asked who begins with it; `None`: only tests have it.
    pub begin: Option<&'static Begin>,
}

/// What somebody gives who begins with a provider. Each is a key of the settings, and what it is called.
#[derive(Debug)]
pub struct Begin {
    /// In a few words, for a list.
    pub what: &'static str,
    /// With the usual one, where there is such.
    pub addresses: &'static [(&'static str, &'static str, Option<&'static str>)],
    pub words: &'static [(&'static str, &'static str)],
    pub secret: (&'static str, &'static str),
    /// Each has a secret of its own.
    pub has_territories: bool,
}

/// What a provider lets a shop do.
#[derive(Debug)]
pub struct Shop {
    pub calls: &'static [call::Name],
    /// Checks an order before it is sent, and tells its number; `None`: orders are not among the calls.
    pub order: Option<CheckOrder>,
    /// Checks the body of `retail` before it is sent; `None`: it is not among the calls.
    pub retail: Option<CheckRetail>,
}

/// The error is all that is known to be wrong with it.
pub type CheckOrder = fn(&Value) -> Result<String, Vec<Wrong>>;

/// All that is known to be wrong with it.
pub type CheckRetail = fn(&Value) -> Vec<Wrong>;

/// What is wrong with a body that was to be sent on.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where in the body: `customer.locationInvoice.zipCode`.
    pub field: String,
    /// What it must be. Nothing of what it is.
    pub why: String,
}

/// What a provider lists by itself.
#[derive(Debug)]
pub struct Feed {
    /// The best first. One that turns out not to do what it should is left for the next.
    pub ways: &'static [Way],
}

/// One way of listing.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// As the store and `status` know it.
    pub name: &'static str,
    pub lists: Lists,
    /// Its rows tell, or rule out, a new delivery, and may be taken for answers. Otherwise they only say where to look.
    pub answers: bool,
}

/// What comes on the pages of a way, and so what a row proves about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// All there is, in an order that is no matter.
    Everything,
    /// All there is, the latest change first.
    NewestFirst,
    /// What has changed since the time that was given.
    ChangedSince,
}

/// From JSON; the error is for people.
pub type ReadCreated = fn(&str) -> Result<Created, String>;

/// From any bytes at all; ids as they stand there.
pub type ReadHinted = fn(&[u8]) -> Vec<String>;

/// Partner order numbers that renewals are derived from.
#[derive(Debug)]
pub struct Numbers {
    /// Why the provider cannot be asked with this one, if so.
    pub refused: fn(&str) -> Option<&'static str>,
    /// Which renewal's it is of this original; 0: it is the original itself.
    pub generation_in: fn(original: &str, number: &str) -> Option<i64>,
    /// The only number that this one, by its looks, may be a renewal's of.
    pub original_of: fn(number: &str) -> Option<&str>,
}

/// An order that was just created.
#[derive(Debug, PartialEq, Eq)]
pub struct Created {
    pub partner_order_number: String,
    /// Each once, never empty.
    pub subscription_ids: Vec<String>,
}

/// What a person is told to look at. Each is part of a sentence.
#[derive(Debug)]
pub struct Advice {
    /// A subscription is refused: `wrong territory?`.
    pub refused: &'static str,
    /// All that may be the reason for it: `wrong territory, secret or address`.
    pub reasons: &'static str,
    /// A whole territory is refused: `check its secret and ...`.
    pub territory: &'static str,
}

impl Convention {
    pub fn is_numbered(&self) -> bool {
        self.numbers.is_some()
    }

    /// A partner order number as it is stored; the error says why it cannot be tracked.
    pub fn number(&self, number: &str) -> Result<String, String> {
        check_name("partner order number", number)?;
        match self.numbers.as_ref().and_then(|numbers| (numbers.refused)(number)) {
            Some(why) => Err(format!("partner order number is {number:?}, {why}")),
            None => Ok(number.to_owned()),
        }
    }

    /// The same where it may have been left out: it is the subscription id then, unless orders of this kind are known by it.
    pub fn number_or(&self, given: Option<&str>, subscription_id: &str) -> Result<String, String> {
        match given {
            Some(number) => self.number(number),
            None if self.is_numbered() => Err("partner_order_number is missing".to_owned()),
            None => Ok(subscription_id.to_owned()),
        }
    }

    /// A subscription id as it is stored; the error says what is wrong with it.
    pub fn subscription_id(&self, id: &str) -> Result<String, String> {
        check_name("subscription id", id)?;
        (self.canonical)(id)
    }

    /// The name of the delivery after the N-th renewal. Where the provider counts and names nothing, the count is the name.
    pub fn reference_of(&self, original: &str, generation: i64) -> String {
        self.reference.map_or_else(|| generation.to_string(), |name| name(original, generation))
    }

    /// What this number, by its looks alone, may be a renewal's of.
    pub fn original_of<'a>(&self, number: &'a str) -> Option<&'a str> {
        self.numbers.as_ref().and_then(|numbers| (numbers.original_of)(number))
    }

    /// Which renewal's number of this original it is; 0: the original itself.
    pub fn generation_in(&self, original: &str, number: &str) -> Option<i64> {
        self.numbers.as_ref().and_then(|numbers| (numbers.generation_in)(original, number))
    }
}

/// Ids that are text: as they were given.
pub fn as_given(id: &str) -> Result<String, String> {
    Ok(id.to_owned())
}

/// What any column, message and line of a file can hold: everything but these few is data, slashes, spaces, `%` and any script.
pub fn check_name(what: &str, text: &str) -> Result<(), String> {
    match text {
        "" => Err(format!("{what} is empty")),
        long if long.len() > LONGEST => Err(format!("{what} is longer than {LONGEST} bytes")),
        text if text.chars().any(char::is_control) => Err(format!("{what} contains a control character")),
        _ => Ok(()),
    }
}
