//! Why the API refuses a request (smartpay.md, section 1). The form of its errors is not documented: the likely names are tried.

use super::fields::Fields;
use crate::provider::http::Answer;
use crate::provider::{Class, Error, Verdict, body};

/// An answer that was refused for a reason, or what it holds.
pub type Asked<T> = Result<Result<T, Verdict>, Error>;

/// Characters of each of the two parts of an error.
const LONGEST: usize = 150;

/// A success, a refusal with its reason, or trouble. `has_second`: the authentication key goes along.
pub fn sorted(answer: Answer, has_second: bool) -> Asked<Answer> {
    if answer.is_success() {
        return Ok(Ok(answer));
    }
    let (class, advice) = match (answer.status, has_second) {
        (401, true) => (Class::Configuration, "look at merchant_key_file and authentication_key_file"),
        (401, false) => (Class::Configuration, "look at merchant_key_file; authentication_key_file is not set"),
        (403, true) => (Class::Configuration, "look at merchant_key_file and authentication_key_file"),
        (403, false) => {
            (Class::Configuration, "look at merchant_key_file, and whether authentication_key_file is needed")
        }
        (404, _) => (Class::NotFound, ""),
        _ => return Err(answer.failure()),
    };
    let parts = [advice.to_owned(), text(&answer.body)];
    let message = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    Ok(Err(Verdict { class, code: i64::from(answer.status), message }))
}

/// What an error says of itself; nothing where it has no known form.
pub fn text(bytes: &[u8]) -> String {
    let Ok(error) = body::parse::<Fields<'_>>(bytes) else { return String::new() };
    let first = |keys: [&str; 4]| keys.into_iter().find_map(|key| error.text(key));
    let code = first(["errorcode", "code", "error", "status"]);
    let message = first(["errormessage", "message", "description", "title"]);
    let short = |text: String| text.chars().take(LONGEST).collect::<String>();
    [code, message].into_iter().flatten().map(short).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::http::answer_of;
    use crate::provider::kinds::Given;

    fn refused(status: u16, body: &str, has_second: bool) -> Option<(Class, String)> {
        let given = Given { status, body: body.as_bytes(), at: Timestamp::constant(1_780_000_000) };
        match sorted(answer_of(given), has_second) {
            Ok(Err(verdict)) => Some((verdict.class, verdict.message)),
            _ => None,
        }
    }

    #[test]
    fn a_key_that_is_refused_names_its_setting() {
        let (class, message) = refused(403, r#"{"errorCode": "E1", "message": "Forbidden"}"#, false).unwrap();
        assert_eq!(class, Class::Configuration);
        assert_eq!(message, "look at merchant_key_file, and whether authentication_key_file is needed: E1 Forbidden");
        let (_, message) = refused(401, "<html>", false).unwrap();
        assert_eq!(message, "look at merchant_key_file; authentication_key_file is not set");
        assert!(refused(401, "", true).unwrap().1.ends_with("authentication_key_file"));
        assert_eq!(refused(404, "[]", false), Some((Class::NotFound, String::new())));
        let long = format!(r#"{{"code": "{0}", "title": "{0}"}}"#, "x".repeat(4000));
        assert_eq!(refused(404, &long, false).unwrap().1.len(), 2 * LONGEST + 1);
        for status in [400, 405, 406, 415, 429, 500, 302] {
            assert_eq!(refused(status, "{}", false), None, "{status}");
        }
    }
}
