//! Made-up messages of every type, for trying templates: made of the real types, so that they have every field.

use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::delivery::{
    About, Charge, Delivery, Discount, Document, DownloadManager, EndReason, Event, FailReason, File, LicenceKey, Line,
    Message, Occasion, OfferState, Period, Renewal, Serial,
};

const THEN: Timestamp = Timestamp::from_unix(1_795_291_200);

/// `event` is one of [`crate::delivery::EVENTS`]; any other is taken for the last of them.
pub fn message(event: &str) -> Message {
    let about = About {
        provider: "provider".to_owned(),
        territory: "eu".to_owned(),
        partner_order_number: "ORDER".to_owned(),
        subscription_id: "1".to_owned(),
        partner_reference: None,
        metadata: RawValue::NULL.to_owned(),
        is_numbered: true,
    };
    Message::new(&about, &sample(event), THEN)
}

fn sample(event: &str) -> Event {
    let (generation, number) = (1, "ORDER-1".to_owned());
    let renewal = Renewal { generation, revision: 0, reference: number.clone(), partner_order_number: Some(number) };
    match event {
        "renewal.ready" => Event::RenewalReady {
            renewal,
            occasion: Occasion::Renewal,
            late: false,
            detected_at: THEN,
            expires_at: Some(THEN),
            delivery: delivery(),
        },
        "renewal.failed" => Event::RenewalFailed {
            renewal,
            code: Some(1),
            reason: FailReason::Refused,
            provider_message: "a text".to_owned(),
        },
        "renewal.payment_failing" => Event::PaymentFailing {
            generation,
            since: Some(THEN),
            will_retry: Some(true),
            reason: "a reason".to_owned(),
            episode: 1,
        },
        "subscription.status_changed" => Event::StatusChanged {
            generation,
            change: 1,
            from: Some("ACTIVE".to_owned()),
            to: Some("EXPIRED".to_owned()),
        },
        "subscription.renewal_due" => {
            Event::RenewalDue { generation, expires_at: THEN, technical_status: Some("ACTIVE".to_owned()) }
        }
        "subscription.offer" => Event::Offer {
            generation,
            order_number: "1".to_owned(),
            state: OfferState::Accepted,
            discount: Some(Discount {
                code: Some("a code".to_owned()),
                label: Some("a label".to_owned()),
                rate: Some("0.2".to_owned()),
                amount: Some("23.99".to_owned()),
                currency: Some("EUR".to_owned()),
            }),
        },
        "subscription.ended" => Event::Ended { generation, expires_at: Some(THEN), reason: EndReason::Expired },
        "subscription.discovered" => Event::Discovered { created_at: Some(THEN) },
        _ => Event::NotRenewed { generation, expires_at: THEN, technical_status: Some("ACTIVE".to_owned()) },
    }
}

fn delivery() -> Delivery {
    let serial = |encoding: &str| Serial {
        data: LicenceKey::new("AAAA".to_owned()),
        encoding: encoding.to_owned(),
        charset: "utf-8".to_owned(),
        file_name: "licence.key".to_owned(),
    };
    let link = || "https://download.example/".to_owned();
    let file = File {
        label: "Setup".to_owned(),
        r#type: "install".to_owned(),
        url: link(),
        size: Some(1.5),
        group: String::new(),
    };
    let line = Line {
        product_ref: Some("1".to_owned()),
        remark: "a remark".to_owned(),
        digital_locker_link: link(),
        download_until: Some("2026-12-12".to_owned()),
        serials: vec![serial("text"), serial("base64")],
        files: vec![file],
    };
    Delivery {
        order_number: Some("1".to_owned()),
        period: Some(Period { start: Some(THEN), end: Some(THEN) }),
        charge: Some(Box::new(Charge {
            amount: Some("29.99".to_owned()),
            currency: Some("EUR".to_owned()),
            state: Some("captured".to_owned()),
            attempts: Some(1),
            reference: Some("a payment".to_owned()),
        })),
        documents: vec![Document { label: "Invoice".to_owned(), url: link() }],
        warnings: vec![],
        lines: vec![line],
        download_manager: Some(DownloadManager { pc: Some(link()), mac: Some(link()) }),
    }
}
