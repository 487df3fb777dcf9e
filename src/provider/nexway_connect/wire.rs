//! The bodies of Nexway Connect, field by field (nexway-connect.md, sections 3 to 5), and the meaning of their codes.
//!
//! Everything may be missing or null; only what could hide a failure or lose a key makes an answer unreadable. What follows from an
//! answer is decided in `crate::renewal`.

#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::answers::{LineItem, OrderData, OrderLine, Status, UNREADABLE_GENERATION};
use crate::clock::Timestamp;
use crate::delivery::{DownloadManager, File, LicenceKey, Serial};
use crate::provider::body::{message, parse, unreadable};
use crate::provider::http::Endpoint;
use crate::provider::http::MIB;
use crate::provider::lenient::{Lenient, List, OddCode, Scalar, SerialData};
use crate::provider::nexway;
use crate::provider::{Class, Error, Verdict};

/// Characters. Names of a status have a dozen; what is longer is none, and would be stored for each subscription.
const LONGEST_STATUS: usize = 255;

/// What one endpoint answers.
pub(super) trait Answer: Sized {
    const ENDPOINT: Endpoint;

    fn class(code: i64) -> Class;

    /// Reads the body of a 2xx answer that came at `now`.
    fn read(body: &[u8], now: Timestamp) -> Result<Self, Error>;

    /// An answer that holds nothing but why there is none.
    fn refused(verdict: Verdict) -> Self;

    fn verdict(&self) -> &Verdict;
}

impl Answer for Status {
    const ENDPOINT: Endpoint = Endpoint { name: "subscription status", limit: MIB };

    /// Section 4.5.
    fn class(code: i64) -> Class {
        match code {
            0 => Class::Success,
            70 | 71 | 403 => Class::Configuration,
            404 | 1010 => Class::NotFound,
            _ => Class::Transient,
        }
    }

    fn read(body: &[u8], now: Timestamp) -> Result<Self, Error> {
        let body: StatusBody<'_> = parse(body)?;
        let unreadable_generation = (!body.generation.is_absent()).then_some(UNREADABLE_GENERATION);
        let status = Self {
            verdict: body.verdict(Self::class)?.unwrap_or_else(Verdict::success),
            partner_order_number: body.partner_order_number.text(),
            generation: body.generation.integer().or(unreadable_generation),
            technical_status: body.technical_status.text().map(|status| status.chars().take(LONGEST_STATUS).collect()),
            expires_at: body.expiration_datetime.instant(now),
        };
        // Without either nothing can be concluded, least of all that nothing has changed.
        let empty = status.generation.is_none() && status.partner_order_number.is_none();
        if status.verdict.class == Class::Success && empty {
            return Err(unreadable("neither generation nor order number"));
        }
        Ok(status)
    }

    fn refused(verdict: Verdict) -> Self {
        Self { verdict, partner_order_number: None, generation: None, technical_status: None, expires_at: None }
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl Answer for OrderData {
    const ENDPOINT: Endpoint = Endpoint { name: "order data", limit: 16 * MIB };

    /// Section 5.4.
    fn class(code: i64) -> Class {
        match code {
            0 => Class::Success,
            70 | 71 | 403 => Class::Configuration,
            404 | 1010 => Class::NotFound,
            1051 | 1060 | 1061 => Class::Waiting,
            100 | 750 | 751 | 760 | 1020 | 1062 | 1064 => Class::Permanent,
            _ => Class::Transient,
        }
    }

    fn read(body: &[u8], _: Timestamp) -> Result<Self, Error> {
        let body: OrderBody<'_> = parse(body)?;
        let has_items = body.order_lines.0.iter().any(|line| !line.line_items.0.is_empty());
        let verdict = match body.verdict(Self::class)? {
            Some(verdict) => verdict,
            None if has_items => Verdict::success(),
            None => return Err(unreadable("neither result code nor lines")),
        };
        let partner_order_number = body.partner_order_number.text();
        let lines = body.order_lines.0.into_iter().map(LineBody::into_line).collect::<Result<Vec<_>, _>>()?;
        if verdict.class == Class::Success && partner_order_number.is_none() && lines.is_empty() {
            return Err(unreadable("neither order number nor lines"));
        }
        Ok(Self {
            verdict,
            partner_order_number,
            order_number: body.order_number.integer().filter(|number| *number != 0),
            lines,
            download_manager: body.download_manager.0.and_then(ManagerBody::read),
        })
    }

    fn refused(verdict: Verdict) -> Self {
        Self { verdict, partner_order_number: None, order_number: None, lines: Vec::new(), download_manager: None }
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// Why an answer with a 4xx or 5xx status was refused: by a business code (section 3.1), else as the platform says. A 5xx whose
/// code says no more than "trouble" is an outage, which must end nobody's patience.
pub(super) fn refusal(http_status: u16, body: &[u8], class: fn(i64) -> Class) -> Option<Verdict> {
    let code = i64::from(http_status);
    let business = parse::<BusinessError<'_>>(body).unwrap_or_default().verdict(class).ok().flatten();
    match business.filter(|verdict| verdict.code != 0 && verdict.code != code) {
        Some(verdict) if http_status >= 500 && verdict.class == Class::Transient => None,
        Some(verdict) => Some(verdict),
        None => nexway::refusal::refusal(http_status, body),
    }
}

/// The business code of an answer of any call, its class being that of a failed one; `None`: it has none.
pub(super) fn business(body: &[u8]) -> Result<Option<Verdict>, Error> {
    parse::<BusinessError<'_>>(body)?.verdict(Status::class)
}

/// The verdict of one level; `None` without a code. Where both spellings have one, the failure wins.
fn verdict(
    codes: [&Scalar<'_>; 2],
    texts: [&Scalar<'_>; 2],
    class: fn(i64) -> Class,
) -> Result<Option<Verdict>, Error> {
    let mut found = None;
    for code in codes {
        let code = code.code().map_err(|OddCode| unreadable("a result code is not a number"))?;
        found = code.filter(|code| *code != 0).or(found).or(code);
    }
    Ok(found.map(|code| match code {
        0 => Verdict::success(),
        code => Verdict { class: class(code), code, message: message(texts) },
    }))
}

/// `POST /subscription`.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusRequest<'a> {
    pub partner_order_number: &'a str,
    pub subscription_id: i64,
}

#[derive(Deserialize)]
struct StatusBody<'a> {
    #[serde(borrow, default, rename = "partnerOrderNumber")]
    partner_order_number: Scalar<'a>,
    #[serde(borrow, default)]
    generation: Scalar<'a>,
    #[serde(borrow, default, rename = "technicalStatus")]
    technical_status: Scalar<'a>,
    #[serde(borrow, default)]
    expiration_datetime: Scalar<'a>,
    #[serde(borrow, default)]
    code: Scalar<'a>,
    #[serde(borrow, default)]
    message: Scalar<'a>,
    #[serde(borrow, default, rename = "responseCode")]
    response_code: Scalar<'a>,
    #[serde(borrow, default, rename = "responseMessage")]
    response_message: Scalar<'a>,
}

impl StatusBody<'_> {
    fn verdict(&self, class: fn(i64) -> Class) -> Result<Option<Verdict>, Error> {
        verdict([&self.code, &self.response_code], [&self.message, &self.response_message], class)
    }
}

/// The answer to `GET /order/{partnerOrderNumber}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody<'a> {
    #[serde(borrow, default)]
    partner_order_number: Scalar<'a>,
    #[serde(borrow, default)]
    order_number: Scalar<'a>,
    #[serde(borrow, default)]
    order_lines: List<LineBody<'a>>,
    #[serde(borrow, default)]
    download_manager: Lenient<ManagerBody<'a>>,
    #[serde(borrow, default)]
    code: Scalar<'a>,
    #[serde(borrow, default)]
    message: Scalar<'a>,
    #[serde(borrow, default)]
    response_code: Scalar<'a>,
    #[serde(borrow, default)]
    response_message: Scalar<'a>,
}

impl OrderBody<'_> {
    fn verdict(&self, class: fn(i64) -> Class) -> Result<Option<Verdict>, Error> {
        verdict([&self.response_code, &self.code], [&self.response_message, &self.message], class)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineBody<'a> {
    #[serde(borrow, default)]
    product_ref: Scalar<'a>,
    #[serde(borrow, default)]
    date_end_download: Scalar<'a>,
    #[serde(borrow, default)]
    digital_locker_link: Scalar<'a>,
    #[serde(borrow, default)]
    remark: Scalar<'a>,
    #[serde(borrow, default)]
    response_code: Scalar<'a>,
    #[serde(borrow, default)]
    response_message: Scalar<'a>,
    #[serde(borrow, default)]
    files: List<FileBody<'a>>,
    #[serde(borrow, default)]
    line_items: List<ItemBody<'a>>,
}

impl LineBody<'_> {
    fn into_line(self) -> Result<OrderLine, Error> {
        Ok(OrderLine {
            verdict: level(&self.response_code, &self.response_message)?,
            product_ref: self.product_ref.integer(),
            remark: self.remark.text().unwrap_or_default(),
            digital_locker_link: self.digital_locker_link.text().unwrap_or_default(),
            download_until: self.date_end_download.text(),
            files: self.files.0.into_iter().map(FileBody::into_file).collect(),
            items: self.line_items.0.into_iter().map(ItemBody::into_item).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody<'a> {
    #[serde(borrow, default)]
    subscription_id: Scalar<'a>,
    #[serde(borrow, default)]
    response_code: Scalar<'a>,
    #[serde(borrow, default)]
    response_message: Scalar<'a>,
    #[serde(borrow, default)]
    serials: List<SerialBody<'a>>,
}

impl ItemBody<'_> {
    fn into_item(self) -> Result<LineItem, Error> {
        let subscription_id = self.subscription_id.integer();
        // Taken for missing, it would make somebody else's key ours.
        if subscription_id.is_none() && !self.subscription_id.is_absent() {
            return Err(unreadable("a line item's subscriptionId is no whole number"));
        }
        Ok(LineItem {
            verdict: level(&self.response_code, &self.response_message)?,
            subscription_id: subscription_id.filter(|id| *id != 0),
            serials: self.serials.0.into_iter().map(SerialBody::into_serial).collect(),
        })
    }
}

/// Lines and items without a code of their own rely on the order's.
fn level(code: &Scalar<'_>, text: &Scalar<'_>) -> Result<Verdict, Error> {
    let verdict = verdict([code, &Scalar::Absent], [text, &Scalar::Absent], OrderData::class)?;
    Ok(verdict.unwrap_or_else(Verdict::success))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SerialBody<'a> {
    #[serde(default)]
    data: SerialData,
    #[serde(borrow, default)]
    encoding: Scalar<'a>,
    #[serde(borrow, default)]
    charset: Scalar<'a>,
    #[serde(borrow, default)]
    file_name: Scalar<'a>,
}

impl SerialBody<'_> {
    fn into_serial(self) -> Serial {
        Serial {
            data: LicenceKey::new(self.data.0),
            encoding: self.encoding.text().unwrap_or_default(),
            charset: self.charset.text().unwrap_or_default(),
            file_name: self.file_name.text().unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct FileBody<'a> {
    #[serde(borrow, default)]
    label: Scalar<'a>,
    #[serde(borrow, default)]
    r#type: Scalar<'a>,
    #[serde(borrow, default)]
    url: Scalar<'a>,
    #[serde(borrow, default)]
    size: Scalar<'a>,
    #[serde(borrow, default)]
    group: Scalar<'a>,
}

impl FileBody<'_> {
    fn into_file(self) -> File {
        File {
            label: self.label.text().unwrap_or_default(),
            r#type: self.r#type.text().unwrap_or_default(),
            url: self.url.text().unwrap_or_default(),
            size: self.size.decimal(),
            group: self.group.text().unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct ManagerBody<'a> {
    #[serde(borrow, default)]
    pc: Scalar<'a>,
    #[serde(borrow, default)]
    mac: Scalar<'a>,
}

impl ManagerBody<'_> {
    fn read(self) -> Option<DownloadManager> {
        let manager = DownloadManager { pc: self.pc.text(), mac: self.mac.text() };
        (manager.pc.is_some() || manager.mac.is_some()).then_some(manager)
    }
}

/// A business code under an error status.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BusinessError<'a> {
    #[serde(borrow)]
    code: Scalar<'a>,
    #[serde(borrow)]
    message: Scalar<'a>,
    #[serde(borrow, rename = "responseCode")]
    response_code: Scalar<'a>,
    #[serde(borrow, rename = "responseMessage")]
    response_message: Scalar<'a>,
}

impl BusinessError<'_> {
    fn verdict(&self, class: fn(i64) -> Class) -> Result<Option<Verdict>, Error> {
        verdict([&self.code, &self.response_code], [&self.message, &self.response_message], class)
    }
}
