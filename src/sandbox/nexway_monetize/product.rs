//! What is sold, and what it delivers.

use serde::{Deserialize, Serialize};

/// A product as its subscription has it. Two of one id are the same to the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Product {
    pub id: String,
    pub name: String,
    /// The publisher's own reference.
    pub reference: String,
    /// A term of one unit, VAT included.
    pub price: f64,
    pub currency: String,
    pub units: u32,
    pub licence: Licence,
}

impl Default for Product {
    fn default() -> Self {
        Self {
            id: "7d0c2f3e-1a55-4c39-9f0e-5f1b2a6c8d01".into(),
            name: "Sample Security".into(),
            reference: "SAMPLE-SEC-1Y".into(),
            price: 54.0,
            currency: "EUR".into(),
            units: 1,
            licence: Licence::default(),
        }
    }
}

impl Product {
    /// What an upgrade leads to: another product, twice the price.
    pub fn bigger() -> Self {
        Self {
            id: "7d0c2f3e-1a55-4c39-9f0e-5f1b2a6c8d02".into(),
            name: "Sample Security Complete".into(),
            reference: "SAMPLE-SEC-C-1Y".into(),
            price: 108.0,
            ..Self::default()
        }
    }

    /// A term of all units, VAT included.
    pub(super) fn total(&self) -> f64 {
        self.price * f64::from(self.units)
    }
}

/// What each unit brings, first and at every renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Licence {
    /// A key of its own for each order.
    #[default]
    Key,
    /// The key of the first order for ever: renewals extend it.
    SameKey,
    /// An activation link and no key.
    Link,
    KeyAndLink,
    /// An activation link as a picture.
    QrCode,
    /// A file; its content is not in the line-item data.
    File,
    /// Nothing at all: done without a key.
    Nothing,
}
