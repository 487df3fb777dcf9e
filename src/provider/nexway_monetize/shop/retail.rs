//! A boxed product becomes a subscription: the shop's JSON is checked as far as its rules are known, passed on as it stands, and a cart
//! comes of it. What it says of the customer is sent and never told on.

use reqwest::Url;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Attempt, cart, done, object};
use crate::budget::Slot;
use crate::call::Call;
use crate::convention::Wrong;
use crate::provider::Error;
use crate::provider::body::unreadable;
use crate::provider::http::Answer;
use crate::provider::nexway_monetize::Client;
use crate::provider::shop::{Outcome, Reply};
use crate::provider::url::encoded;

/// The only one that this is for.
const SCENARIO: &str = "subscriptionimport";

impl Client {
    /// A cart that was made twice harms nobody: it is paid once or not at all.
    pub(super) async fn retail(&self, call: &Call, body: &RawValue, slot: Slot) -> Result<Attempt, Error> {
        let answer = match self.post(call, "/carts", Some(body.get().to_owned()), slot).await? {
            Ok(answer) => answer,
            Err(attempt) => return Ok(attempt),
        };
        let id = made(&answer).ok_or_else(|| unreadable("a cart without id"))?;
        let path = format!("/carts/{}", encoded(&id));
        let read = match self.get(super::SHOP_ENDPOINT, &path, self.further().await?).await? {
            Ok(read) => read,
            Err(verdict) => {
                let why = format!("the cart was made and cannot be read yet: {}", verdict.message);
                return Ok(Attempt::Told(Reply::bare(Outcome::Later, verdict.code, why)));
            }
        };
        let cart = cart::read(&read.body)?;
        let wanted = serde_json::from_str(body.get()).unwrap_or_default();
        let buy_link = buy_link(&wanted, cart.checkout_url.as_deref(), cart.hostname.as_deref());
        let text = |text: &Option<String>| text.as_deref().map(|text| Value::from(text).to_string());
        let shown = object([
            ("cart", Some(cart.shown)),
            ("checkoutLink", text(&cart.checkout_url)),
            ("buyLink", text(&buy_link)),
        ]);
        let mut notes = vec![format!("cart {}: it costs nothing now, and renews at its price", cart.id)];
        notes.push(match &cart.checkout_url {
            Some(url) => format!("checkout: {url}"),
            None => "the platform tells no address of the checkout".to_owned(),
        });
        notes.extend(buy_link.map(|link| format!("buy link, which says nothing of the customer: {link}")));
        notes.extend(cart.warnings);
        Ok(Attempt::Told(done(&answer, shown, notes)))
    }
}

/// The id of a cart that was just made, by where it is. The address itself is not followed: a token would go with it.
fn made(answer: &Answer) -> Option<String> {
    let path = answer.location.as_deref()?.split(['?', '#']).next()?;
    let id = path.trim_end_matches('/').rsplit('/').next()?;
    let id = percent_encoding::percent_decode_str(id).decode_utf8().ok()?.into_owned();
    let is_id = !matches!(id.as_str(), "" | "." | "..");
    if is_id { Some(id) } else { None }
}

/// What anybody buys the same with: of one product, by at most one campaign.
fn buy_link(wanted: &Value, checkout: Option<&str>, hostname: Option<&str>) -> Option<String> {
    let host = hostname.filter(|host| !host.is_empty()).map(str::to_owned);
    let host = host.or_else(|| Some(Url::parse(checkout?).ok()?.host_str()?.to_owned()))?;
    let mut link = Url::parse(&format!("https://{host}/checkout/add")).ok()?;
    let [product] = wanted["wantedProducts"].as_array()?.as_slice() else { return None };
    let campaign = match wanted["marketingCampaignNames"].as_array().map(Vec::as_slice) {
        None | Some([]) => None,
        Some([campaign]) => Some(campaign.as_str()?),
        Some(_) => return None,
    };
    let mut pairs = link.query_pairs_mut();
    pairs.append_pair("products", product["id"].as_str()?);
    if let Some(campaign) = campaign {
        pairs.append_pair("mktop", campaign);
    }
    pairs.append_pair("scenario", SCENARIO);
    if let Some(tag) = wanted["discountPlan"]["tag"].as_str() {
        let step = wanted["discountPlan"]["discountStep"].as_u64().unwrap_or(0);
        pairs.append_pair("discountTag", tag).append_pair("discountStep", &step.to_string());
    }
    drop(pairs);
    Some(link.into())
}

/// What is known to be wrong with it before it is sent. What a field holds is never repeated.
pub fn check(body: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut add = |field: String, why: &str| wrong.push(Wrong { field, why: why.to_owned() });
    if !body.is_object() {
        add("retail".to_owned(), "must be a JSON object");
        return wrong;
    }
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    if !is_text(&body["storeId"]) {
        add("storeId".to_owned(), "must be the store's id");
    }
    let user = &body["endUser"];
    if !user["email"].as_str().is_some_and(|email| email.trim_matches('@').contains('@')) {
        add("endUser.email".to_owned(), "must be an e-mail address");
    }
    if !is_country(&user["country"]) {
        add("endUser.country".to_owned(), "must be one of ISO 3166, two capital letters");
    }
    if !is_text(&user["locale"]) {
        add("endUser.locale".to_owned(), "must be a language with its country, such as fr-FR");
    }
    match body["wantedProducts"].as_array().map(Vec::as_slice) {
        None | Some([]) => add("wantedProducts".to_owned(), "must be a list with at least one product"),
        Some(products) => {
            for (at, product) in products.iter().enumerate() {
                if !is_text(&product["id"]) {
                    add(format!("wantedProducts[{at}].id"), "must be the product's id");
                }
                let expires = &product["currentExpirationDate"];
                if !expires.is_null() && !expires.is_u64() {
                    add(format!("wantedProducts[{at}].currentExpirationDate"), "must be in milliseconds since 1970");
                }
            }
        }
    }
    if !body["country"].is_null() && !is_country(&body["country"]) {
        add("country".to_owned(), "must be one of ISO 3166, two capital letters");
    }
    if !matches!(&body["scenario"], Value::Null) && body["scenario"] != SCENARIO {
        add("scenario".to_owned(), "must be subscriptionimport, or left out");
    }
    wrong
}

fn is_country(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::http::answer_of;
    use crate::provider::kinds::Given;

    fn retail() -> Value {
        json!({ "storeId": "s", "endUser": { "email": "jane@example.org", "country": "FR", "locale": "fr-FR" },
                "wantedProducts": [{ "id": "p", "currentExpirationDate": 1_713_268_338_000_i64 }], "scenario": SCENARIO })
    }

    fn fields(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut body = retail();
        change(&mut body);
        check(&body).into_iter().map(|wrong| wrong.field).collect()
    }

    #[test]
    fn what_is_known_to_be_wrong_is_named_all_at_once() {
        assert_eq!(fields(|_| ()), Vec::<String>::new());
        assert_eq!(fields(|body| body["scenario"] = Value::Null), Vec::<String>::new());
        assert_eq!(fields(|body| body["scenario"] = json!("purchase")), ["scenario"]);
        assert_eq!(fields(|body| body["endUser"]["email"] = json!("jane@")), ["endUser.email"]);
        assert_eq!(fields(|body| body["wantedProducts"] = json!([])), ["wantedProducts"]);
        let odd = json!([{ "id": "p" }, { "currentExpirationDate": "soon" }]);
        let at = ["wantedProducts[1].id", "wantedProducts[1].currentExpirationDate"];
        assert_eq!(fields(|body| body["wantedProducts"] = odd), at);
        assert_eq!(fields(|body| *body = json!([])), ["retail"]);
        let all = ["storeId", "endUser.email", "endUser.country", "endUser.locale", "wantedProducts"];
        assert_eq!(fields(|body| *body = json!({})), all);
    }

    #[test]
    fn a_cart_is_known_by_the_end_of_its_address() {
        let id = |location: &str| {
            let answer = answer_of(Given { status: 201, body: b"", at: Timestamp::constant(1_780_000_000) });
            made(&Answer { location: Some(location.to_owned()), ..answer })
        };
        for location in ["/carts/c1", "https://api.example/carts/c1/", "c1?x=/2"] {
            assert_eq!(id(location).as_deref(), Some("c1"), "{location}");
        }
        assert_eq!(id("/carts/a%20b").as_deref(), Some("a b"));
        for none in ["", "/", "/carts/..", "/carts/%2e%2e", "/carts/%ff"] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn a_buy_link_is_made_of_what_is_known() {
        let link = |body: Value| buy_link(&body, Some("https://shop.example/c?id=1"), None);
        let plain = "https://shop.example/checkout/add?products=p&scenario=subscriptionimport";
        assert_eq!(link(retail()).as_deref(), Some(plain));
        let mut more = retail();
        more["marketingCampaignNames"] = json!(["box & co"]);
        more["discountPlan"] = json!({ "tag": "T", "discountStep": 2 });
        let expected = "https://shop.example/checkout/add?products=p&mktop=box+%26+co&scenario=subscriptionimport&discountTag=T&discountStep=2";
        assert_eq!(link(more.clone()).as_deref(), Some(expected));
        assert_eq!(buy_link(&retail(), None, None), None);
        more["marketingCampaignNames"] = json!(["a", "b"]);
        assert_eq!(link(more), None);
        let mut two = retail();
        two["wantedProducts"] = json!([{ "id": "p" }, { "id": "q" }]);
        assert_eq!(link(two), None);
    }
}
