//! What *Get order data* and *Create order* answer: the body's shape, and the keys in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::orders::{Issue, Order};
use super::script::{Level, Step, message};
use super::variant::Variant;
use crate::sandbox::nexway;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderAnswer {
    pub partner_order_number: String,
    pub order_number: i64,
    pub order_lines: Vec<LineAnswer>,
    pub download_manager: Option<DownloadManagerAnswer>,
    pub response_code: i64,
    pub response_message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineAnswer {
    pub product_ref: i64,
    pub date_end_download: String,
    pub digital_locker_link: String,
    pub remark: String,
    pub response_code: i64,
    pub response_message: String,
    pub files: Option<Vec<FileAnswer>>,
    pub line_items: Vec<ItemAnswer>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileAnswer {
    pub label: String,
    pub r#type: String,
    pub url: String,
    /// A number or an empty string.
    pub size: serde_json::Value,
    pub group: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemAnswer {
    pub subscription_id: Option<i64>,
    pub response_code: i64,
    pub response_message: String,
    pub serials: Vec<SerialAnswer>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SerialAnswer {
    pub data: String,
    pub encoding: String,
    pub charset: String,
    pub file_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DownloadManagerAnswer {
    pub pc: String,
    pub mac: String,
}

impl OrderAnswer {
    /// The error shape: a code and nothing else.
    pub(super) fn refused(number: &str, code: i64) -> Self {
        Self {
            partner_order_number: number.to_owned(),
            order_number: 0,
            order_lines: Vec::new(),
            download_manager: None,
            response_code: code,
            response_message: message(code).to_owned(),
        }
    }

    /// One issue of an order, in its variant.
    pub(super) fn of(order: &Order, issue: &Issue, variant: Variant) -> Self {
        let generation = issue.generation;
        let product = Product { order, generation, variant };
        let managed = matches!(variant, Variant::PlainKey | Variant::SeveralSerials | Variant::NoSerial);
        Self {
            partner_order_number: order.number_of(generation),
            order_number: issue.order_number,
            order_lines: product.lines(&issue.subscription_ids, &date_end_download(issue)),
            download_manager: managed.then(|| DownloadManagerAnswer::of(issue.order_number)),
            response_code: 0,
            response_message: message(0).to_owned(),
        }
    }

    /// Puts a code where the step says; what carries a code brings no serials.
    pub(super) fn apply(&mut self, step: &Step) {
        if step.level == Level::Order {
            *self = Self::refused(&self.partner_order_number, step.code);
            return;
        }
        for line in &mut self.order_lines {
            if step.level == Level::Line {
                line.response_code = step.code;
                line.response_message = message(step.code).to_owned();
            }
            for item in &mut line.line_items {
                let meant = step.subscription_id.is_none_or(|id| item.subscription_id == Some(id));
                if step.level == Level::Item && meant {
                    item.response_code = step.code;
                    item.response_message = message(step.code).to_owned();
                }
                if step.level == Level::Line || meant {
                    item.serials.clear();
                }
            }
        }
    }

    /// The subscriptions in it, in their order: what a reseller tracks after *Create order*.
    pub fn subscription_ids(&self) -> Vec<i64> {
        self.items().filter_map(|item| item.subscription_id).filter(|id| *id != 0).collect()
    }

    /// Every serial that belongs to this subscription, as sent: its own items', or all when no item has an id.
    pub(super) fn keys_for(&self, subscription_id: i64) -> Vec<String> {
        let anonymous = self.subscription_ids().is_empty();
        self.items()
            .filter(|item| anonymous || item.subscription_id == Some(subscription_id))
            .flat_map(|item| item.serials.iter().map(|serial| serial.data.clone()))
            .collect()
    }

    fn items(&self) -> impl Iterator<Item = &ItemAnswer> {
        self.order_lines.iter().flat_map(|line| &line.line_items)
    }
}

impl DownloadManagerAnswer {
    fn of(order_number: i64) -> Self {
        let url = |ending: &str| format!("http://cdn.example/downloadManager_{order_number}.{ending}");
        Self { pc: url("exe?server=xxx"), mac: url("dmg?server=xxx") }
    }
}

/// Three weeks after the purchase, as the product documentation says.
fn date_end_download(issue: &Issue) -> String {
    const WINDOW: std::time::Duration = std::time::Duration::from_secs(21 * 86_400);
    (issue.created_at + WINDOW).to_string().chars().take("2026-12-12".len()).collect()
}

/// What one order delivers in one generation.
struct Product<'a> {
    order: &'a Order,
    generation: i64,
    variant: Variant,
}

impl Product<'_> {
    fn lines(&self, subscription_ids: &[i64], date_end_download: &str) -> Vec<LineAnswer> {
        if self.variant != Variant::SeveralLines {
            return vec![self.line(subscription_ids, date_end_download)];
        }
        let mut lines: Vec<_> = subscription_ids.iter().map(|id| self.line(&[*id], date_end_download)).collect();
        let mut extra = self.line(&[0], date_end_download);
        extra.product_ref += 1;
        lines.push(extra);
        lines
    }

    fn line(&self, subscription_ids: &[i64], date_end_download: &str) -> LineAnswer {
        let locker = self.variant == Variant::Locker;
        let link = format!("https://locker.example/{}", self.order.number_of(self.generation));
        LineAnswer {
            product_ref: self.order.product_ref,
            date_end_download: date_end_download.to_owned(),
            digital_locker_link: if locker { link } else { String::new() },
            remark: self.remark().to_owned(),
            response_code: 0,
            response_message: String::new(),
            files: self.files(),
            line_items: subscription_ids.iter().map(|id| self.item(*id)).collect(),
        }
    }

    fn remark(&self) -> &'static str {
        match self.variant {
            Variant::NoSerial => "No activation code is needed for this product.",
            Variant::Locker => "Your licence and your downloads are in your digital locker:\r\nhttps://locker.example/",
            Variant::Steam => {
                "1. Install the client and log in.\r\n2. Choose \"Games\", then \"Activate a product\".\r\n\
                 3. Enter the key as it stands above, dashes included.\r\n\r\nThe key works once, in one account."
            }
            Variant::Casual => "<p>Dear %FIRSTNAME%,</p><br/><b>Thank you</b> for your purchase &amp; have fun!",
            _ => "",
        }
    }

    fn files(&self) -> Option<Vec<FileAnswer>> {
        let file = |label: &str, name: &str, size: serde_json::Value| FileAnswer {
            label: label.to_owned(),
            r#type: "install".to_owned(),
            url: format!("http://cdn.example/{}/{name}", self.order.product_ref),
            size,
            group: String::new(),
        };
        match self.variant {
            Variant::Locker => None,
            Variant::Steam | Variant::Empty => Some(Vec::new()),
            Variant::Casual => Some(vec![file("Game", "game.exe", "".into())]),
            Variant::KeyFile | Variant::UnknownEncoding => Some(vec![file("Setup", "setup.exe", 1906.39.into())]),
            _ => Some(vec![
                file("Product - setup", "setup.exe", 0.96.into()),
                file("Product - manual", "manual.pdf", 12.5.into()),
            ]),
        }
    }

    fn item(&self, id: i64) -> ItemAnswer {
        let shown = match self.variant {
            Variant::NoIds => Some(0),
            Variant::NullIds => None,
            Variant::ForeignIds => Some(id + 900_000_000),
            _ => Some(id),
        };
        // A line for a product without subscription has files only.
        let serials = if id == 0 { Vec::new() } else { self.serials(id) };
        ItemAnswer { subscription_id: shown, response_code: 0, response_message: String::new(), serials }
    }

    fn serials(&self, id: i64) -> Vec<SerialAnswer> {
        let generation = if self.variant == Variant::SameKey { 0 } else { self.generation };
        let text = |nth| SerialAnswer::text(key(&self.order.number, id, generation, nth));
        match self.variant {
            Variant::NoSerial | Variant::Locker | Variant::Empty => Vec::new(),
            Variant::SeveralSerials => (0..3).map(text).collect(),
            Variant::KeyFile => vec![self.licence_file(id, "base64")],
            Variant::UnknownEncoding => vec![self.licence_file(id, "base32768")],
            _ => vec![text(0)],
        }
    }

    fn licence_file(&self, id: i64, encoding: &str) -> SerialAnswer {
        let content = format!("LICENCE FILE\nkey = {}\n", key(&self.order.number, id, self.generation, 0));
        SerialAnswer {
            data: BASE64.encode(content),
            encoding: encoding.to_owned(),
            charset: "utf-8".to_owned(),
            file_name: "licence.lic".to_owned(),
        }
    }
}

impl SerialAnswer {
    fn text(data: String) -> Self {
        Self { data, encoding: "text".to_owned(), charset: "utf-8".to_owned(), file_name: String::new() }
    }
}

/// The `nth` key of a subscription in one generation of an order.
fn key(original: &str, subscription_id: i64, generation: i64, nth: usize) -> String {
    nexway::key(&format!("{original}\0{subscription_id}\0{generation}\0{nth}"))
}
