//! What a kind of provider fixes once and for all, without an account and without asking: how it names subscriptions and their
//! deliveries. For identity, `track`, `import` and `refetch`, and for the decisions that depend on it.
//!
//! Each kind has one [`Convention`], in its folder below `provider`.

/// Characters that any number or id may hold, and how many bytes: what is stored for each subscription.
const LONGEST: usize = 255;

/// How one kind of provider names things.
#[derive(Debug)]
pub struct Convention {
    /// The partner order number belongs to a subscription's identity; else it is an attribute, by default the subscription id.
    pub is_numbered: bool,
    /// The one form in which a subscription id is stored and compared; the error says what is wrong with it.
    pub canonical: fn(&str) -> Result<String, String>,
    /// What this kind cannot ask with; what no kind can store is refused by [`Convention::check_number`].
    pub refuses_number: fn(&str) -> Option<&'static str>,
    /// The provider's name of the delivery after the N-th renewal, where it follows from the original number and the count.
    pub reference: Option<fn(original: &str, generation: i64) -> String>,
    /// Where a number is a renewal's of this original, or the original itself: which one's.
    pub generation_in: fn(original: &str, number: &str) -> Option<i64>,
    /// The only number that this one may be a renewal's of, by its looks alone.
    pub original_of: fn(number: &str) -> Option<&str>,
    /// While order data is awaited the provider wants no polls of that subscription.
    pub rests_while_waiting: bool,
}

impl Convention {
    /// Whether a partner order number can be tracked; the error says why not.
    pub fn check_number(&self, number: &str) -> Result<(), String> {
        check("partner order number", number)?;
        (self.refuses_number)(number).map_or(Ok(()), |why| Err(format!("partner order number is {number:?}, {why}")))
    }

    /// A subscription id as it is stored; the error says what is wrong with it.
    pub fn subscription_id(&self, id: &str) -> Result<String, String> {
        check("subscription id", id)?;
        (self.canonical)(id)
    }
}

/// What any column, message and line of a file can hold: everything but these few is data, slashes, spaces, `%` and any script.
fn check(what: &str, text: &str) -> Result<(), String> {
    match text {
        "" => Err(format!("{what} is empty")),
        long if long.len() > LONGEST => Err(format!("{what} is longer than {LONGEST} bytes")),
        text if text.chars().any(char::is_control) => Err(format!("{what} contains a control character")),
        _ => Ok(()),
    }
}
