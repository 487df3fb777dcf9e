//! The kinds of wrong answers, and at which endpoint each can strike.

use std::time::Duration;

use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind};

use super::{SITES, of_the_sick};

const SECOND: Duration = Duration::from_secs(1);

/// Statuses that only a fault gives, and how many kinds do. 401 is also what an expired token gets, 404 what nobody knows.
pub const STATUSES: [(u16, usize); 6] = [(429, 4), (403, 1), (500, 1), (502, 1), (503, 1), (504, 1)];

fn status(status: u16) -> FaultKind {
    FaultKind::Status { status, body: ErrorBody::Html, retry_after: None }
}

fn too_many(after: Option<&str>) -> FaultKind {
    FaultKind::Status { status: 429, body: ErrorBody::Json, retry_after: after.map(str::to_owned) }
}

pub fn body(body: impl Into<String>) -> FaultKind {
    FaultKind::Body { body: body.into() }
}

/// What can be answered to anything.
pub fn everywhere() -> Vec<FaultKind> {
    use FaultKind::*;
    let nested = format!("{}1{}", "{\"generation\":".repeat(10_000), "}".repeat(10_000));
    let statuses = [401, 403, 404, 500, 502, 503, 504].map(status);
    let limits = [None, Some("1"), Some("31536000"), Some("99999999999999999999")].map(too_many);
    let bodies = [
        Html,
        EmptyBody,
        EmptyObject,
        TruncatedJson,
        WrongTypes,
        GzipBomb { bytes: 64 << 20 },
        HugeBody { bytes: 1 << 30 },
        Trickle { every: SECOND },
        Stall,
        CutMidBody,
        CutBefore,
        DeepJson { depth: 10_000 },
        body(nested),
        DuplicateKeys,
        ByteOrderMark,
    ];
    statuses.into_iter().chain(limits).chain(bodies).collect()
}

/// Each kind as often as it strikes there on the site of this number: four times over all endpoints.
pub fn at(endpoint: Endpoint, site: usize) -> Vec<Fault> {
    let rule = |kind: FaultKind, times: u32| Fault::new(kind).at(endpoint).times(times);
    let backwards = body(r#"{"generation": 0, "technicalStatus": "ACTIVE", "code": 0}"#);
    let foreign = body(r#"{"partnerOrderNumber": "FOREIGN-3", "generation": 3, "code": 0}"#);
    // Whether a token suffers from it on this site.
    let everywhere = everywhere().into_iter().enumerate().map(|(n, kind)| (kind, n % SITES == site));
    match endpoint {
        Endpoint::Status => {
            let here = everywhere.map(|(kind, elsewhere)| rule(kind, 3 - u32::from(elsewhere)));
            here.chain([rule(backwards, 4), rule(foreign, 3)]).map(of_the_sick).collect()
        }
        Endpoint::Order => {
            let here = everywhere.map(|(kind, _)| rule(kind, 1)).chain([rule(foreign, 1)]);
            here.map(of_the_sick).collect()
        }
        // There is no territory in a request for a token.
        _ => everywhere.filter(|(_, here)| *here).map(|(kind, _)| rule(kind, 1)).collect(),
    }
}
