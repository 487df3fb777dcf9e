//! Text from outside, made fit for a terminal or a log line.
//!
//! Providers, sinks and files send what they like; whatever of it is shown passes through [`visible`] first.

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

/// Whether a character must not be shown raw: C0 and C1 controls, line and paragraph separators, bidi marks, embeddings,
/// overrides and isolates, and the invisible ones that serve only to disguise a name.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
