//! Text made fit for a person: from outside for a terminal or a log line, counts and sizes as they are read.
//!
//! Providers, sinks and files send what they like; whatever of it is shown passes through [`visible`] first.

pub(crate) mod forms;

use std::fmt::Display;
use std::io;

use nix::unistd::geteuid;

/// The same text on one line, with every character that could move the cursor, change the terminal or reorder what is
/// read replaced by a visible escape: `\n`, `\r`, `\t`, and `\u{1b}` for the rest. Everything else stays byte for byte.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_unsafe(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same JSON for every parser, with no such character raw: they stand only inside of strings, where an escape is the same.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// One word of a command that a person may paste: in quotes only where a shell needs them.
pub fn for_shell(text: &str) -> String {
    let text = visible(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Whether a character must not be shown raw: C0 and C1 controls, line and paragraph separators, bidi marks, embeddings,
/// overrides and isolates, and the invisible ones that serve only to disguise a name.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Goes behind an error: what an ordinary user can do about a lack of permission.
pub fn permission_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied if !geteuid().is_root() => {
            "; run it with sudo, or as the user to whom it belongs"
        }
        _ => "",
    }
}

/// `1 renewal`, `2 renewals`.
pub fn number_of<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// `71,204`
pub fn thousands(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let head = (first > 0).then(|| digits[..first].into()).into_iter();
    let grouped: Vec<_> = head.chain(groups).collect();
    format!("{}{}", if count < 0 { "-" } else { "" }, grouped.join(","))
}

/// A size of a file: `184 KiB`, from a MiB on `12.3 MiB`.
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_in_groups() {
        let shown = [0, 7, 999, 1000, 71_204, 1_000_000, -12_345].map(thousands);
        assert_eq!(shown, ["0", "7", "999", "1,000", "71,204", "1,000,000", "-12,345"]);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n: u64| number_of(n, "renewal")), ["0 renewals", "1 renewal", "2 renewals"]);
    }

    #[test]
    fn sizes_are_told_in_one_form() {
        let told = [0, 1, 188_416, 1 << 20, 12_900_000].map(size);
        assert_eq!(told, ["0 KiB", "1 KiB", "184 KiB", "1.0 MiB", "12.3 MiB"]);
    }

    #[test]
    fn controls_and_bidi_marks_become_visible() {
        assert_eq!(visible("a\nb\r\tc\0"), "a\\nb\\r\\tc\\u{0}");
        assert_eq!(visible("\x1b[31mred\u{9b}2J\x7f"), "\\u{1b}[31mred\\u{9b}2J\\u{7f}");
        assert_eq!(visible("user\u{202e}gpj.exe\u{2066}\u{2028}"), "user\\u{202e}gpj.exe\\u{2066}\\u{2028}");
    }

    #[test]
    fn json_means_the_same_and_shows_nothing_raw() {
        let hostile = "\u{9b}2J\u{202e}\u{2028}\x7f\u{e0041} 東京 \\ \"";
        let json = visible_json(&serde_json::json!({ hostile: hostile }).to_string());
        assert!(!json.contains(is_unsafe) && json.contains("\\u009b2J\\u202e"), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()[hostile], hostile);
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "PARTNER689-1", "Ключ für 東京 \\ \"…\"", "🙂"] {
            assert_eq!(visible(text), text);
        }
    }
}
