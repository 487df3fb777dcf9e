//! A link to a checkout that knows who comes: once, and for a while (nexway-monetize.md, section 8). Two spellings of what it takes are
//! documented.

use reqwest::{Method, Request, Url};
use serde_json::{Value, json};

use super::SHOP_ENDPOINT;
use super::cart::Cart;
use super::found::Found;
use crate::provider::Error;
use crate::provider::nexway_monetize::Client;

/// Seconds that a link is good for.
pub const LINK_LIFE: u32 = 3600;

/// Where a cart is paid.
pub struct Checkout {
    pub link: String,
    /// Why whoever comes has to sign in himself; `None`: he need not.
    pub plain: Option<String>,
}

impl Client {
    /// `None`: the platform tells no address at all.
    pub(super) async fn checkout(&self, cart: &Cart, found: &Found) -> Option<Checkout> {
        let base = base(cart)?;
        let (store, enduser) =
            (cart.store.as_ref().or(found.store.as_ref()), cart.enduser.as_ref().or(found.enduser.as_ref()));
        let (Some(store), Some(enduser)) = (store, enduser) else {
            let plain = Some("the platform does not tell whose it is".to_owned());
            return Some(Checkout { link: with_cart(base, &cart.id).into(), plain });
        };
        Some(match self.deeplink([store, enduser, base.as_str()]).await {
            Ok(link) => Checkout { link: with_cart(link, &cart.id).into(), plain: None },
            Err(why) => Checkout { link: with_cart(base, &cart.id).into(), plain: Some(why) },
        })
    }

    /// The error is for people: the cart is there all the same.
    async fn deeplink(&self, of: [&str; 3]) -> Result<Url, String> {
        let mut refused = 0;
        for body in spellings(of) {
            let answer = self.ask_for_link(&body).await.map_err(|error| crate::chain(&error))?;
            match answer.status {
                200..300 => {
                    return answer.location.as_deref().and_then(signed_in).ok_or("the answer has no link".to_owned());
                }
                // It may know the other spelling.
                400 | 422 => refused = answer.status,
                status => return Err(format!("the platform answered {status}")),
            }
        }
        Err(format!("the platform answered {refused}"))
    }

    async fn ask_for_link(&self, body: &Value) -> Result<crate::provider::http::Answer, Error> {
        let url = self.account.iam_url("/deeplink/")?;
        let request = || {
            let mut request = Request::new(Method::POST, url.clone());
            *request.body_mut() = Some(body.to_string().into());
            request
        };
        self.account.ask(SHOP_ENDPOINT, self.further().await?, request).await
    }
}

/// The guide's, then the OpenAPI file's.
fn spellings([store, enduser, base]: [&str; 3]) -> [Value; 2] {
    let of = json!({ "storeId": store, "enduserId": enduser, "baseLink": base });
    let (mut guide, mut file) = (of.clone(), of);
    (guide["expiration_time"], guide["single_use"]) = (LINK_LIFE.into(), true.into());
    (file["linkDuration"], file["singleUse"]) = (LINK_LIFE.into(), true.into());
    [guide, file]
}

fn base(cart: &Cart) -> Option<Url> {
    let told = cart.checkout_url.as_deref().and_then(address);
    told.or_else(|| address(&format!("https://{}/checkout/selfrenew", cart.hostname.as_deref()?)))
}

fn address(text: &str) -> Option<Url> {
    Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn signed_in(location: &str) -> Option<Url> {
    address(location).filter(|url| url.query_pairs().any(|(name, _)| name == "deeplinkid"))
}

fn with_cart(mut link: Url, cart: &str) -> Url {
    if !link.query_pairs().any(|(name, _)| name == "cartid") {
        link.query_pairs_mut().append_pair("cartid", cart);
    }
    link
}

#[cfg(test)]
mod tests {
    use super::super::cart;
    use super::*;

    #[test]
    fn a_link_is_for_one_use_and_a_while_in_either_spelling() {
        let of = ["s", "e", "https://shop.example/checkout"];
        let [guide, file] = spellings(of);
        assert_eq!((&guide["single_use"], &guide["expiration_time"]), (&json!(true), &json!(LINK_LIFE)));
        assert_eq!((&file["singleUse"], &file["linkDuration"]), (&json!(true), &json!(LINK_LIFE)));
        for body in [guide, file] {
            assert_eq!([&body["storeId"], &body["enduserId"], &body["baseLink"]], of);
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(5));
        }
    }

    #[test]
    fn the_cart_is_in_the_link_once() {
        let link = |text: &str| String::from(with_cart(signed_in(text).unwrap(), "c 1"));
        let with = "https://shop.example/checkout?deeplinkid=d&cartid=c+1";
        assert_eq!(link("https://shop.example/checkout?deeplinkid=d"), with);
        assert_eq!(link(with), with);
        for none in ["", "/checkout?deeplinkid=d", "javascript:deeplinkid=d", "https://shop.example/?x=deeplinkid"] {
            assert!(signed_in(none).is_none(), "{none}");
        }
    }

    #[test]
    fn the_checkout_is_where_the_cart_or_the_store_says() {
        let base = |json: &str| base(&cart::read(json.as_bytes()).unwrap()).map(String::from);
        let host = r#"{"id": "c", "storeHostname": "shop.example", "checkoutUrl": "nowhere"}"#;
        assert_eq!(base(host).as_deref(), Some("https://shop.example/checkout/selfrenew"));
        let url = r#"{"id": "c", "storeHostname": "shop.example", "checkoutUrl": "https://pay.example/c"}"#;
        assert_eq!(base(url).as_deref(), Some("https://pay.example/c"));
        assert_eq!(base(r#"{"id": "c", "storeHostname": ""}"#), None);
    }
}
