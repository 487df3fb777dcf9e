//! What a code means, call by call (nexway-connect.md, sections 5.4, 6 and 8).

use crate::call::Name;
use crate::provider::shop::Outcome;

pub fn outcome(call: Name, code: i64) -> Outcome {
    match (call, code) {
        (_, 0) => Outcome::Done,
        // Our secret, whatever was asked for.
        (_, 70 | 71) => Outcome::Refused,
        (Name::Order, 1010) => Outcome::Already,
        (Name::Order | Name::OrderData, 1051 | 1060 | 1061) => Outcome::Waiting,
        (Name::Order, 1044 | 1062..=1064) | (Name::OrderData, 1062 | 1064) => Outcome::Refused,
        // The order is there, and its files or documents are in trouble.
        (Name::OrderData, 750..=760 | 1020 | 1030..=1040 | 3011) => Outcome::Waiting,
        (Name::CancelOrder, 1011) => Outcome::Already,
        (Name::CancelOrder, 1020 | 1030) => Outcome::Refused,
        (Name::ExtendDownload, 1011) => Outcome::Refused,
        (Name::Cancel, 1011) => Outcome::Already,
        (Name::Stock | Name::CrossSell, 1010) => Outcome::Mend,
        (_, 1010) => Outcome::NotFound,
        // What says nothing of the request may be our trouble or the provider's: nobody is told to mend anything.
        _ if field(call, code).is_some() => Outcome::Mend,
        _ => Outcome::Later,
    }
}

/// Whether a code of Get order data says that the order is there.
pub fn is_there(code: i64) -> bool {
    let outcome = outcome(Name::OrderData, code);
    matches!(outcome, Outcome::Done | Outcome::Waiting) || (outcome == Outcome::Refused && !matches!(code, 70 | 71))
}

/// Where in the request, for a code that says what to mend; `None`: it names nothing.
pub fn field(call: Name, code: i64) -> Option<&'static str> {
    match call {
        Name::Order => FIELDS.iter().find(|(codes, _)| codes.contains(&code)).map(|(_, field)| *field),
        Name::CancelOrder => match code {
            100 | 101 => Some("reason"),
            110 => Some("number"),
            _ => None,
        },
        Name::ExtendDownload => match code {
            100 => Some("number"),
            110 | 111 => Some("until"),
            _ => None,
        },
        Name::Stock => matches!(code, 100 | 101 | 1010).then_some("products"),
        Name::CrossSell => match code {
            100 | 110 | 111 | 120 | 121 | 1010 => Some("products"),
            130 | 131 => Some("language"),
            _ => None,
        },
        Name::OrderData | Name::DownloadInfo => (code == 100).then_some("number"),
        _ => None,
    }
}

/// Of Create order, in the provider's own names (section 6).
const FIELDS: [(&[i64], &str); 39] = [
    (&[100, 200], "orderLines"),
    (&[120, 121, 1021], "currency"),
    (&[130], "partnerOrderNumber"),
    (&[140, 141, 150, 151], "orderDate"),
    (&[210, 211, 1020], "orderLines[].productRef"),
    (&[220, 221], "orderLines[].quantity"),
    (&[230, 231], "orderLines[].vatRate"),
    (&[240, 241], "orderLines[].amountDutyFree"),
    (&[250, 251], "orderLines[].amountTotal"),
    (&[1053], "orderLines[].amountTotal"),
    (&[310, 311], "customer.partnerId"),
    (&[320, 321], "customer.email"),
    (&[330, 331, 1022], "customer.language"),
    (&[340, 341, 1046], "customer.ipV4"),
    (&[410], "customer.locationDelivery"),
    (&[420], "customer.locationInvoice"),
    (&[430, 431], "customer.location….title"),
    (&[440, 441], "customer.location….lastName"),
    (&[450, 451], "customer.location….firstName"),
    (&[460, 461], "customer.location….address1"),
    (&[480, 481], "customer.location….zipCode"),
    (&[490, 491], "customer.location….city"),
    (&[500, 501, 1023], "customer.location….country"),
    (&[530, 531], "customer.location….phone"),
    (&[540, 541], "customer.location….fax"),
    (&[550, 551, 1048, 1049, 1050], "customer.location….province"),
    (&[600], "discounts"),
    (&[610, 611], "discounts[].foreignRef"),
    (&[620, 621], "discounts[].label"),
    (&[630, 631], "discounts[].priceDelta"),
    (&[640, 641], "discounts[].operation"),
    (&[650, 651], "discounts[].operationValue"),
    (&[700], "payment"),
    (&[710, 711], "payment.paymentMethod"),
    (&[720, 721, 1047], "payment.transactionId"),
    (&[750], "metadata"),
    (&[751], "metadata[].key"),
    (&[1035, 1045], "affiliateId"),
    (&[1041, 1042, 1043], "orderLines"),
];
