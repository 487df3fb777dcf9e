//! A cart as the platform tells it: what is told on of it, and nothing about the person that it is for.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::money::{Price, PriceBody};
use crate::json::Members;
use crate::provider::Error;
use crate::provider::body::{self, unreadable};
use crate::provider::lenient::{List, Object, Objects, Scalar, Written};

/// Characters of what the platform warns of.
const LONGEST_WARNING: usize = 200;
const MOST_WARNINGS: usize = 5;

/// What is shown of a cart. Whom it is for and how he pays is not: nobody asked for that.
const SHOWN: [&str; 22] = [
    "id",
    "cartId",
    "subscriptionId",
    "customerId",
    "storeId",
    "enduserId",
    "subsidiaryId",
    "source",
    "offerSubSource",
    "scenario",
    "totalAmount",
    "currency",
    "price",
    "warnings",
    "storeHostname",
    "checkoutUrl",
    "createDate",
    "updateDate",
    "dbVersion",
    "scheduledSuppressionDate",
    "discountPlan",
    "marketingCampaignNames",
];

/// The same of each product in it.
const SHOWN_OF_PRODUCT: [&str; 18] = [
    "id",
    "name",
    "publisherRefId",
    "quantity",
    "lifeTime",
    "previousLineItemId",
    "subscriptionTemplate",
    "fulfillmentTemplate",
    "currentExpirationDate",
    "expirationDate",
    "licenseNextExpirationDate",
    "price",
    "unitPrice",
    "fullPrice",
    "renewingPrice",
    "trial",
    "discountPlan",
    "discountsStatus",
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    cart_id: Scalar<'a>,
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
    #[serde(borrow)]
    store_id: Scalar<'a>,
    #[serde(borrow)]
    enduser_id: Scalar<'a>,
    #[serde(borrow)]
    store_hostname: Scalar<'a>,
    #[serde(borrow)]
    checkout_url: Scalar<'a>,
    total_amount: Written,
    #[serde(borrow)]
    price: Object<PriceBody<'a>>,
    #[serde(borrow)]
    product: Object<Product<'a>>,
    #[serde(borrow)]
    products: Objects<Product<'a>>,
    #[serde(borrow)]
    warnings: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Product<'a> {
    #[serde(borrow)]
    price: Object<PriceBody<'a>>,
    #[serde(borrow)]
    renewing_price: Object<PriceBody<'a>>,
}

pub struct Cart {
    pub id: String,
    pub subscription: Option<String>,
    pub store: Option<String>,
    pub enduser: Option<String>,
    pub checkout_url: Option<String>,
    pub hostname: Option<String>,
    pub total: Option<String>,
    /// Of the whole.
    pub price: Option<Price>,
    /// Of its only product.
    pub product_price: Option<Price>,
    pub renewing_price: Option<Price>,
    pub warnings: Vec<String>,
    /// As JSON, with every digit.
    pub shown: String,
}

pub fn read(bytes: &[u8]) -> Result<Cart, Error> {
    let body: Body<'_> = body::parse(bytes)?;
    let id = body.cart_id.text().or_else(|| body.id.text()).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let mut products = body.products.all;
    let only = if products.len() == 1 { products.pop() } else { None };
    let product = body.product.into_option().or(only).unwrap_or_default();
    let price = |price: Object<PriceBody<'_>>| price.into_option().map(Price::of);
    Ok(Cart {
        id: id.ok_or_else(|| unreadable("a cart without id"))?,
        subscription: body.subscription_id.text(),
        store: body.store_id.text(),
        enduser: body.enduser_id.text(),
        checkout_url: body.checkout_url.text(),
        hostname: body.store_hostname.text(),
        total: body.total_amount.into_text(),
        price: price(body.price),
        product_price: price(product.price),
        renewing_price: price(product.renewing_price),
        warnings: body.warnings.map(warnings).unwrap_or_default(),
        shown: shown(bytes),
    })
}

fn warnings(raw: &RawValue) -> Vec<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Warning<'a> {
        #[serde(borrow)]
        message: Scalar<'a>,
    }
    let texts =
        serde_json::from_str::<List<&RawValue>>(raw.get()).unwrap_or_default().0.into_iter().filter_map(|one| {
            let text: Scalar<'_> = serde_json::from_str(one.get()).ok()?;
            text.text().or_else(|| serde_json::from_str::<Warning<'_>>(one.get()).ok()?.message.text())
        });
    let short =
        |text: String| format!("the platform warns: {}", text.chars().take(LONGEST_WARNING).collect::<String>());
    texts.take(MOST_WARNINGS).map(short).collect()
}

/// What may be shown of a cart's JSON.
fn shown(bytes: &[u8]) -> String {
    let Ok(Members { by_key, .. }) = body::parse(bytes) else { return "{}".to_owned() };
    let mut members: Vec<_> = SHOWN.iter().filter_map(|key| member(key, by_key.get(*key)?.get())).collect();
    members.extend(by_key.get("product").and_then(|product| member("product", &picked(product)?)));
    let products =
        by_key.get("products").and_then(|products| serde_json::from_str::<Vec<&RawValue>>(products.get()).ok());
    members.extend(products.and_then(|products| {
        let products: Vec<_> = products.into_iter().filter_map(picked).collect();
        member("products", &format!("[{}]", products.join(",")))
    }));
    format!("{{{}}}", members.join(","))
}

fn picked(product: &RawValue) -> Option<String> {
    let Members { by_key, .. } = serde_json::from_str(product.get()).ok()?;
    let members: Vec<_> = SHOWN_OF_PRODUCT.iter().filter_map(|key| member(key, by_key.get(*key)?.get())).collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn member(key: &str, value: &str) -> Option<String> {
    Some(format!("\"{key}\":{value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn digits_are_kept_and_persons_are_left_out() {
        let body = r#"{"id": "c1", "endUser": {"email": "canary", "wallet": {"creditCards": [{"bin": "canary"}]}},
            "wallet": "canary", "billingAddress": "canary", "externalContext": "canary", "totalAmount": 27.10,
            "price": {"grossPrice": 54.00, "discountedPrice": {"discountedGrossPrice": 27.10}},
            "products": [{"id": "p", "endUser": "canary", "externalContext": "canary", "unitPrice": {"grossPrice": 54.00},
                          "renewingPrice": {"currency": "EUR", "grossPrice": 108.00}}, 7]}"#;
        let cart = read(body.as_bytes()).unwrap();
        assert!(!cart.shown.contains("canary"), "{}", cart.shown);
        assert!(cart.shown.contains("\"totalAmount\":27.10") && cart.shown.contains("54.00"), "{}", cart.shown);
        let shown: Value = serde_json::from_str(&cart.shown).unwrap();
        assert_eq!(shown["products"].as_array().map(Vec::len), Some(1));
        let price = cart.price.unwrap().due(cart.total.as_deref()).unwrap();
        assert_eq!((cart.id.as_str(), price.amount.as_str()), ("c1", "27.10"));
        assert_eq!(cart.renewing_price.unwrap().due(None).unwrap().to_string(), "108.00 EUR");
    }

    #[test]
    fn all_but_its_id_may_be_missing_or_odd() {
        let odd = r#"{"cartId": 7, "price": [1], "product": "p", "products": {}, "totalAmount": {}, "checkoutUrl": [],
                      "warnings": ["soon", {"message": "later"}, [], 5]}"#;
        let cart = read(odd.as_bytes()).unwrap();
        assert_eq!((cart.id.as_str(), cart.total, cart.checkout_url), ("7", None, None));
        let told: Vec<_> = ["soon", "later", "5"].iter().map(|text| format!("the platform warns: {text}")).collect();
        assert_eq!(cart.warnings, told);
        for none in ["{}", r#"{"id": " "}"#, "[]", "", "null", r#"{"id": "a""#] {
            assert!(read(none.as_bytes()).is_err(), "{none}");
        }
    }
}
