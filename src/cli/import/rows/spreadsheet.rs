//! What a spreadsheet makes of a file: a first line for itself, line ends of its own, and what it leaves where a value was.

const ROUNDED: &str = "is a long number as a spreadsheet shows it, such as 4.51235E+15: the digits behind are lost; save the file again \
                       with that column as text";
const FAILED: &str = "is the error of a spreadsheet, such as #REF!, and no value";
const TOO_NARROW: &str =
    "is what a spreadsheet shows in a column that is too narrow; make it wider and save the file again";
const FORMULA: &str = "is a spreadsheet's formula, and no value";

/// Why a value cannot be what was meant; `None` where nothing tells so.
pub(super) fn damage(value: &str) -> Option<&'static str> {
    let value = value.trim();
    // Each value of a file is looked at: most are told by how they begin.
    match value.bytes().next()? {
        b'0'..=b'9' | b'-' | b'+' if is_rounded(value) => Some(ROUNDED),
        b'#' | b'E' if is_error(value) => Some(FAILED),
        b'#' if value.len() > 2 && value.bytes().all(|byte| byte == b'#') => Some(TOO_NARROW),
        b'=' => Some(FORMULA),
        _ => None,
    }
}

/// `4.51235E+15`, in other countries `4,51235E+15`. But `12E-3` may be the number of an order, and of its third renewal.
fn is_rounded(value: &str) -> bool {
    let Some((mantissa, exponent)) = value.split_once(['E', 'e']) else { return false };
    let (whole, fraction) = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_meant = fraction.is_some() || exponent.starts_with('+');
    is_meant && [whole, fraction.unwrap_or("0"), power].into_iter().all(is_digits)
}

/// `#REF!`, `#NAME?`, `#N/A`; `#BEZUG!`, `#¿NOMBRE?`, `#NV` and others where it speaks another language; `Err:502`.
fn is_error(value: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_uppercase() || "/0_¡¿".contains(c));
    let Some(word) = value.strip_prefix('#') else { return value.strip_prefix("Err:").is_some_and(is_digits) };
    match word.strip_suffix(['!', '?']) {
        Some(name) => is_name(name),
        None => word == "NV" || (word.contains('/') && is_name(word)),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A first line `sep=;`: the separator that it tells, and how many bytes it has with its end.
pub(super) fn separator_line(start: &[u8]) -> Option<(u8, usize)> {
    let bytes = start.iter().position(|byte| *byte == b'\n')? + 1;
    let line = &start[..bytes - 1];
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [name @ .., b'=', separator] if name.eq_ignore_ascii_case(b"sep") && separator.is_ascii() => {
            Some((*separator, bytes))
        }
        _ => None,
    }
}

/// Whether the first line ends in a way that only old Macs, and what writes for them, know: every other program takes the file for
/// one line.
pub(super) fn has_old_mac_lines(start: &[u8]) -> bool {
    let Some(end) = start.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return false };
    let next = start[end..].iter().find(|byte| **byte != b'\r');
    start[end] == b'\r' && next.is_some_and(|next| *next != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_left_is_known_and_what_people_write_is_not_taken_for_it() {
        for rounded in
            ["4.51235E+15", "4,51235E+15", "4.51235e+15", "-1.5E+10", "1E+15", "4.5E15", "1.20E-02", " 4.5E+15 "]
        {
            assert_eq!(damage(rounded), Some(ROUNDED), "{rounded}");
        }
        let errors = "#REF! #NAME? #N/A #VALUE! #DIV/0! #NULL! #NUM! #SPILL! #BEZUG! #WERT! #NV #¿NOMBRE? #¡REF! #N/DISP Err:502";
        for error in errors.split(' ') {
            assert_eq!(damage(error), Some(FAILED), "{error}");
        }
        assert_eq!(damage("########"), Some(TOO_NARROW));
        assert_eq!(damage("=\"0047\""), Some(FORMULA));
        let fine = "PARTNER689-1 4512350000000000 12E-3 1E15 E+15 1.5E 4E+ 1.2.3E+4 5E+1X 1.5 -4 #4711 #N/a #A#! #! # ## #OK N/A Err: é";
        for value in fine.split(' ').chain([""]) {
            assert_eq!(damage(value), None, "{value}");
        }
    }

    #[test]
    fn the_line_for_spreadsheets_tells_one_separator() {
        assert_eq!(separator_line(b"sep=;\na;b\n"), Some((b';', 6)));
        assert_eq!(separator_line(b"\xEF\xBB\xBF\"SEP=|\"\r\n"), Some((b'|', 12)));
        assert_eq!(separator_line(b"sep=\t\n"), Some((b'\t', 6)));
        for other in ["sep=;", "sep=\n", "sep=;;\n", "separator=;\n", "a;b\nsep=;\n", "sep=\u{e9}\n"] {
            assert_eq!(separator_line(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_line_that_ends_with_a_lone_return_is_an_old_macs() {
        assert!(has_old_mac_lines(b"a,b\r1,2\r"));
        assert!(has_old_mac_lines(b"a,b\r\r1,2\n"));
        for other in ["a,b\r\n1,2\r\n", "a,b\n\"1\r\",2\n", "a,b\r\r\n1,2\r\r\n", "{}\r", "{}", ""] {
            assert!(!has_old_mac_lines(other.as_bytes()), "{other:?}");
        }
    }
}
