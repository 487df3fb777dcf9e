//! What Redis answers when it does not do what it was asked, in words that say what to look at.
//!
//! None of it is about a message for certain: every text is the sink's trouble.

use redis::{ErrorKind, RedisError};

use crate::delivery::without_control_characters;
use crate::sink::Failure;

/// Longer ones are cut: they quote what they were sent.
const DETAIL_CHARS: usize = 120;

/// These speak of the server or of our account, whatever it was sent.
const WHATEVER_IS_SENT: [&str; 8] =
    ["READONLY", "MISCONF", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "NOAUTH", "WRONGPASS"];

/// What an `XADD` that could not add anything has shown.
pub enum Permitted {
    Yes,
    /// The command is permitted, but not for this key.
    NotThisKey(String),
    No(String),
}

/// Reads the answer to an `XADD` of the impossible id 0-0.
pub fn permitted(answer: Result<(), RedisError>) -> Permitted {
    let Err(error) = answer else { return Permitted::Yes };
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("ERR") if detail.contains("0-0") => Permitted::Yes,
        Some("NOPERM") if !detail.contains("xadd") => Permitted::NotThisKey(reason(&error)),
        _ => Permitted::No(reason(&error)),
    }
}

/// Why there is no connection.
pub fn not_connected(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            "does not accept user and password: look at user and password_file".to_owned()
        }
        ErrorKind::Io => format!("could not connect: {}", safe(&error.to_string())),
        _ => reason(error),
    }
}

/// Whose trouble it is that a command was not done.
pub fn failure(error: &RedisError) -> Failure {
    match error.code() {
        Some(code) if WHATEVER_IS_SENT.contains(&code) => Failure::surely_of_sink(reason(error)),
        _ => Failure::of_sink(reason(error)),
    }
}

/// Why a command was not done.
pub fn reason(error: &RedisError) -> String {
    let Some(code) = error.code() else {
        return match error.kind() {
            ErrorKind::Io => format!("connection broke: {}", safe(&error.to_string())),
            _ => format!("answered what is not Redis: {}", error.category()),
        };
    };
    let advice = match code {
        "OOM" => "its memory is full: trim what was read, or raise maxmemory",
        "READONLY" => "it is a replica, which takes no writes: let url name the primary",
        "MISCONF" => "it cannot save to its disk, and takes no writes until it can",
        "LOADING" => "it has just started, and loads its data",
        "MASTERDOWN" => "it is a replica that has lost its primary: let url name the primary",
        "CLUSTERDOWN" => "its cluster is down",
        "MOVED" | "ASK" => "the stream lives on another node of its cluster: let url name that one",
        "NOREPLICAS" => "it has fewer replicas than min-replicas-to-write asks for",
        "NOAUTH" => "it wants a password: give password_file, and user where it has several",
        "WRONGPASS" => "it does not accept user and password: look at user and password_file",
        "NOPERM" => "the user may not do this: it needs +xadd on the stream's key, and +wait with wait_replicas",
        "WRONGTYPE" => "the key holds something else than a stream: choose another with stream",
        _ => "",
    };
    match (advice, error.detail()) {
        ("", None) => format!("answered {}", safe(code)),
        ("", Some(detail)) => format!("answered {}: {}", safe(code), safe(detail)),
        (advice, _) => format!("answered {code}: {advice}"),
    }
}

/// The other side's words, without the arguments that it may quote: they hold the message.
fn safe(text: &str) -> String {
    let text = text.split(", with args").next().unwrap_or_default();
    without_control_characters(text).chars().take(DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// As it comes over the wire.
    fn error(line: &str) -> RedisError {
        let parsed = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        assert!(matches!(parsed, Value::ServerError(_)), "{parsed:?}");
        parsed.extract_error().unwrap_err()
    }

    #[test]
    fn known_codes_say_what_to_do_and_quote_nothing() {
        let shown = |line| reason(&error(line));
        assert!(
            shown("OOM command not allowed when used memory > 'maxmemory'.").starts_with("answered OOM: its memory")
        );
        assert!(shown("READONLY You can't write against a read only replica.").contains("replica"));
        assert!(shown("MISCONF Redis is configured to save RDB snapshots").contains("disk"));
        assert!(shown("LOADING Redis is loading the dataset in memory").contains("loads"));
        assert!(shown("MOVED 3999 127.0.0.1:6381").contains("another node"));
        assert!(shown("CLUSTERDOWN The cluster is down").contains("cluster is down"));
        assert!(shown("MASTERDOWN Link with MASTER is down").contains("primary"));
        assert!(shown("NOAUTH Authentication required.").contains("password_file"));
        assert!(shown("WRONGTYPE Operation against a key").contains("stream"));
        assert!(shown("NOPERM this user has no permissions").contains("+xadd"));
        assert!(shown("NOREPLICAS Not enough good replicas to write.").contains("min-replicas"));
    }

    #[test]
    fn who_is_surely_in_trouble_is_told_by_the_code() {
        let is_sure = |line| matches!(failure(&error(line)), Failure::Sink { surely: true, .. });
        assert!(is_sure("READONLY You can't write against a read only replica."));
        assert!(is_sure("NOAUTH Authentication required."));
        // The key has the message's territory in it, say, and a long message needs memory.
        assert!(!is_sure("WRONGTYPE Operation against a key") && !is_sure("NOPERM this user has no permissions"));
        assert!(!is_sure("OOM command not allowed when used memory > 'maxmemory'."));
    }

    #[test]
    fn other_codes_are_shown_without_what_they_quote() {
        let shown = reason(&error("ERR unknown command `XADD`, with args beginning with: `renewals`, `KEY-1234`, "));
        assert_eq!(shown, "answered ERR: unknown command `XADD`");
        assert_eq!(reason(&error("ODD a\u{1b}[31m\u{202e}b")), "answered ODD: a[31mb");
        assert!(reason(&error(&format!("ODD {}", "x".repeat(9999)))).len() < 200);
    }

    #[test]
    fn the_impossible_id_shows_what_is_permitted() {
        let yes = "ERR The ID specified in XADD must be greater than 0-0";
        assert!(matches!(permitted(Err(error(yes))), Permitted::Yes));
        let key = "NOPERM this user has no permissions to access one of the keys used as arguments";
        assert!(matches!(permitted(Err(error(key))), Permitted::NotThisKey(_)));
        let command = "NOPERM User shop has no permissions to run the 'xadd' command";
        assert!(matches!(permitted(Err(error(command))), Permitted::No(_)));
        assert!(matches!(permitted(Err(error("OOM command not allowed"))), Permitted::No(_)));
    }
}
