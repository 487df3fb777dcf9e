//! Line-item data: the keys of an order, a row for each unit (nexway-monetize.md, section 3.4). Whose a row is decides [`super::part`].

use serde::Deserialize;
use serde_json::value::RawValue;

use super::convention::is_same;
use crate::delivery::{File, LicenceKey, Serial};
use crate::provider::lenient::{Scalar, Written};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    order_id: Scalar<'a>,
    #[serde(borrow)]
    line_item_id: Scalar<'a>,
    #[serde(borrow)]
    product_id: Scalar<'a>,
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
    #[serde(borrow)]
    processing_status: Scalar<'a>,
    #[serde(borrow)]
    activation_file_fulfillment: Scalar<'a>,
    activation_code: Written,
    activation_link: Texts,
    qr_code_base64: Texts,
}

/// A text, a list of them, or an object with one as its `url`.
#[derive(Clone, Default)]
struct Texts {
    all: Vec<String>,
    has_odd: bool,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Link {
            #[serde(default)]
            url: Written,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let values: Vec<Written> = match raw.as_bytes() {
            [b'[', ..] => serde_json::from_str(raw).unwrap_or_else(|_| vec![Written::Odd]),
            [b'{', ..] => vec![serde_json::from_str(raw).map_or(Written::Odd, |Link { url }| url)],
            _ => vec![serde_json::from_str(raw).unwrap_or(Written::Odd)],
        };
        let has_odd = values.iter().any(|value| matches!(value, Written::Odd));
        let all = values.into_iter().filter_map(Written::into_text).filter(|text| !text.trim().is_empty());
        Ok(Self { all: all.collect(), has_odd })
    }
}

/// Whom a row is for, as far as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Nobody,
    Subscription(String),
    /// Somebody, in a form that cannot be read.
    Unreadable,
}

/// What became of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processed {
    Done,
    /// Some of it was taken back.
    PartlyCancelled,
    Cancelled,
    /// Not yet, failed, or a word that nobody knows.
    Waits,
}

#[derive(Clone)]
pub struct Row {
    pub id: Option<String>,
    order: Option<String>,
    pub line: Option<String>,
    pub product: Option<String>,
    pub owner: Owner,
    pub processed: Processed,
    /// The platform's own word for that.
    pub word: String,
    /// The licence is a file, which cannot be fetched.
    pub is_file: bool,
    /// A key, link or code is there that is no text.
    pub has_odd: bool,
    key: Option<String>,
    links: Vec<String>,
    qr_codes: Vec<String>,
}

impl Row {
    pub fn of(body: Body<'_>) -> Self {
        let word = body.processing_status.text().unwrap_or_default();
        let owner = match body.subscription_id.text().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()) {
            Some(id) => Owner::Subscription(id),
            None if body.subscription_id.is_absent() => Owner::Nobody,
            None => Owner::Unreadable,
        };
        let Texts { all: links, has_odd: odd_link } = body.activation_link;
        let Texts { all: qr_codes, has_odd: odd_code } = body.qr_code_base64;
        Self {
            id: body.id.text(),
            // What is there and cannot be read is another's.
            order: body.order_id.text().or((!body.order_id.is_absent()).then(String::new)),
            line: body.line_item_id.text(),
            product: body.product_id.text(),
            owner,
            processed: processed(&word),
            word: word.chars().take(60).collect(),
            is_file: body.activation_file_fulfillment.flag() == Some(true),
            has_odd: odd_link || odd_code || matches!(body.activation_code, Written::Odd),
            key: body.activation_code.into_text(),
            links,
            qr_codes,
        }
    }

    /// Whether it belongs to this order: a server that ignores what it was asked for sends those of others.
    pub fn is_in(&self, order_id: &str) -> bool {
        self.order.as_ref().is_none_or(|own| is_same(own, order_id))
    }

    /// Whether it has nothing that anybody could use.
    pub fn is_blank(&self) -> bool {
        let is_key = |key: &String| !key.trim().is_empty();
        !self.is_file && self.links.is_empty() && self.qr_codes.is_empty() && !self.key.as_ref().is_some_and(is_key)
    }

    pub fn serials(&self) -> impl Iterator<Item = Serial> {
        let key = self.key.iter().map(|key| serial(key.clone(), "text", "utf-8", String::new()));
        key.chain((1..).zip(&self.qr_codes).map(|(number, code)| qr_code(number, code)))
    }

    pub fn files(&self) -> impl Iterator<Item = File> {
        self.links.iter().map(|url| file("activation", url.clone()))
    }
}

fn processed(word: &str) -> Processed {
    match word.trim().to_ascii_uppercase().as_str() {
        "COMPLETED" => Processed::Done,
        "PARTIALLY_CANCELED" | "PARTIALLY_CANCELLED" => Processed::PartlyCancelled,
        "CANCELED" | "CANCELLED" => Processed::Cancelled,
        _ => Processed::Waits,
    }
}

pub fn file(kind: &str, url: String) -> File {
    File { label: kind.to_owned(), r#type: kind.to_owned(), url, size: None, group: String::new() }
}

fn serial(data: String, encoding: &str, charset: &str, file_name: String) -> Serial {
    Serial { data: LicenceKey::new(data), encoding: encoding.to_owned(), charset: charset.to_owned(), file_name }
}

/// An image in base64; some wrap it into a `data:` address.
fn qr_code(number: usize, code: &str) -> Serial {
    let wrapped = code.strip_prefix("data:image/").and_then(|rest| rest.split_once(";base64,"));
    let (kind, data) = match wrapped {
        Some((kind, data)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()) => (kind, data),
        _ => ("png", code),
    };
    serial(data.to_owned(), "base64", "", format!("qr-code-{number}.{kind}"))
}
