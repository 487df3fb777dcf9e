use std::io::{Seek, Write};

use super::*;
use crate::store::Metadata;

/// Settings with one account and two territories.
fn settings(dir: &Path) -> Settings {
    let file = dir.join("renewald.toml");
    std::fs::write(
        &file,
        "[providers.nexway]\nkind = \"nexway-connect\"\napi_url = \"https://api.example/connect\"\n\
         iam_url = \"https://api.example/iam\"\nrealm = \"r\"\nclient_secret = \"s\"\n\
         [providers.nexway.territories]\neu = { secret = \"a\" }\nus = { secret = \"b\" }\n",
    )
    .unwrap();
    Settings::load(Some(&file)).unwrap().settings
}

/// Every row of a file as `line: number/id/generation territory expiry metadata`, with its state unless it is watched, and
/// `? warning`; or `line: ! reasons`.
fn read(text: impl AsRef<[u8]>, format: Format, adopt: bool) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file.rewind().unwrap();
    let mut rows = match Rows::open(BufReader::new(&file), format, &settings, adopt).unwrap() {
        Ok(rows) => rows,
        Err(HeaderProblems { problems, .. }) => return problems,
    };
    let mut shown = Vec::new();
    while let Some((line, row)) = rows.next().unwrap() {
        shown.push(match row {
            Ok(Good { new, state, warning }) => format!(
                "{line}: {}/{}/{} {} {} {}{}{}",
                new.partner_order_number,
                new.subscription_id,
                new.generation.map_or("-".into(), |generation| generation.to_string()),
                new.territory,
                new.expires_at.map_or("-".into(), |at| at.to_string()),
                new.metadata.as_ref().map_or("-", Metadata::as_json),
                if state == State::Watching { String::new() } else { format!(" {state}") },
                warning.map_or(String::new(), |warning| format!(" ? {warning}")),
            ),
            Err(reason) => format!("{line}: ! {reason}"),
        });
    }
    shown
}

const HEADER: &str = "partner_order_number,subscription_id,generation,territory";

#[test]
fn csv_as_spreadsheets_write_it() {
    let text = format!(
        "\u{feff}{HEADER},expires_at,metadata.customer\r\nA,1,0,eu,2026-11-21,\"x, \"\"y\"\"\"\r\nB,2,3,us,,\r\n"
    );
    let expected = ["2: A/1/0 eu 2026-11-21T00:00:00Z {\"customer\":\"x, \\\"y\\\"\"}", "3: B/2/3 us - -"];
    assert_eq!(read(&text, Format::Csv, false), expected);
    assert_eq!(read(text.replace(',', ";").replace("x;", "x,"), Format::Csv, false), expected);
}

#[test]
fn lines_are_counted_past_empty_ones_and_quoted_breaks() {
    let text = format!("{HEADER}\n\nA,1,0,eu\r\n\r\n\n\"B\nC\",2,0,eu\nD,3,0,eu");
    assert_eq!(
        read(text, Format::Csv, false),
        ["3: A/1/0 eu - -", "6: ! partner order number contains a control character", "8: D/3/0 eu - -"]
    );
}

#[test]
fn rows_of_blank_cells_are_passed_over_as_spreadsheets_write_them() {
    let text = format!("{HEADER}\nA,1,0,eu\n,,,\n , ,,\r\n,,,,,\nB,2,0,eu\n");
    assert_eq!(read(text, Format::Csv, false), ["2: A/1/0 eu - -", "6: B/2/0 eu - -"]);
}

#[test]
fn a_file_without_header_is_said_to_be_one() {
    let expected = "the first line is no header: expected partner_order_number, subscription_id, generation, and if you like \
                    provider, territory, expires_at, state, metadata.KEY";
    assert_eq!(read("PARTNER36,36,0,eu\nB,2,0,eu\n", Format::Csv, false), [expected]);
    assert_eq!(
        read("partner_order_number,,generation\n", Format::Csv, false),
        ["column 2 has no name", "the header lacks subscription_id"]
    );
}

#[test]
fn every_reason_of_a_csv_line_is_told() {
    let mut text = format!("{HEADER}\n,0,,asia\nA,1,0\nok,1,0,eu\n").into_bytes();
    text.extend(b"caf\xe9,1,0,eu\n\"A,1,0,eu\n");
    assert_eq!(
        read(text, Format::Csv, false),
        [
            "2: ! partner_order_number is missing; subscription id \"0\" is not a whole number above 0; generation is \
             missing; territory \"asia\" is not in the settings, which know: eu, us",
            "3: ! 3 fields where the header has 4",
            "4: ok/1/0 eu - -",
            "5: ! not UTF-8; save it as \"CSV UTF-8\"",
            "6: ! 1 fields where the header has 4; is a quote left open?",
        ]
    );
}

#[test]
fn a_header_is_told_all_that_is_wrong_with_it() {
    let problems = read("partner_ordernumber,foo,metadata.a,metadata.a\n", Format::Csv, true);
    assert_eq!(
        problems,
        [
            "unknown field partner_ordernumber; did you mean partner_order_number?",
            "unknown field foo; your own fields are named metadata.KEY",
            "metadata.a is there twice",
            "the header lacks partner_order_number",
            "the header lacks subscription_id",
        ]
    );
    let lacking = read("partner_order_number,subscription_id\n", Format::Csv, false);
    assert!(lacking[0].starts_with("the header lacks generation; the generation is never guessed"), "{lacking:?}");
    assert_eq!(read("", Format::Csv, false), ["the file is empty; it needs a header"]);
    assert_eq!(read(b"\xFF\xFEp\0", Format::Csv, false), ["the file is UTF-16; save it as UTF-8"]);
}

#[test]
fn adopted_rows_need_no_generation() {
    let text = "partner_order_number,subscription_id,territory\nA,1,eu\n";
    assert_eq!(read(text, Format::Csv, true), ["2: A/1/- eu - -"]);
    let text = format!("{HEADER}\nA,1,,eu\nB,1,2,eu\n");
    assert_eq!(read(text, Format::Csv, true), ["2: A/1/- eu - -", "3: B/1/2 eu - -"]);
}

#[test]
fn what_an_export_says_is_taken() {
    let text = "{\"partner_order_number\":\"A\",\"subscription_id\":1,\"generation\":\"adopt\",\"territory\":\"eu\",\"state\":\"paused\"}
{\"partner_order_number\":\"A\",\"subscription_id\":2,\"generation\":1,\"territory\":\"eu\",\"state\":\"asleep\"}";
    assert_eq!(
        read(text, Format::Jsonl, false),
        ["1: A/1/- eu - - paused", "2: ! state: \"asleep\" is none of watching, paused, ended, untracked"]
    );
    let text = format!("{HEADER},state\nA, 1 ,adopt , eu ,\tended\n B,2,0,eu,\n");
    let padded = format!("3:  B/2/0 eu - - ? the partner order number {}", track::PADDED);
    assert_eq!(read(text, Format::Csv, false), ["2: A/1/- eu - - ended", &padded], "a number is data");
    let text = format!("{HEADER},state\nA,1,adopt,eu,ended\nB,2,0,eu,\n");
    assert_eq!(read(text, Format::Csv, false), ["2: A/1/- eu - - ended", "3: B/2/0 eu - -"]);
}

#[test]
fn json_lines_take_the_same_names() {
    let text = "\u{feff}{\"partner_order_number\": \"A\", \"subscription_id\": 1, \"generation\": \"2\", \"territory\": \"eu\",
 \"x\": 1}

{\"partner_order_number\":\"A\",\"subscription_id\":\"1\",\"generation\":0,\"territory\":\"us\",\"expires_at\":1795291200,\
        \"metadata\":{\"a\":[1]},\"metadata.b\":true,\"provider\":null}\r
{\"subscripton_id\": 1, \"metadata\": 3, \"provider\": 7}
[]
{\"partner_order_number\": \"A\", \"subscription_id\": 1.5, \"territory\": \"eu\"}";
    assert_eq!(
        read(text, Format::Jsonl, false),
        [
            "1: ! broken JSON at column 89",
            "2: ! not a JSON object",
            "4: A/1/0 us 2026-11-21T20:00:00Z {\"a\":[1],\"b\":true}",
            "5: ! metadata is not a JSON object; provider is of the wrong type; unknown field subscripton_id; did you mean \
             subscription_id?",
            "6: ! not a JSON object",
            "7: ! subscription id \"1.5\" is not a whole number above 0; generation is missing",
        ]
    );
}

#[test]
fn metadata_of_json_lines_stays_as_it_was_written_and_no_field_is_there_twice() {
    let line = |fields: &str| {
        format!(
            "{{\"partner_order_number\":\"A\",\"subscription_id\":1,\"generation\":0,\"territory\":\"eu\",{fields}}}\n"
        )
    };
    let text = [
        r#""metadata": {"z": 1.10, "a" :12345678901234567890123}"#,
        r#""metadata.c":2.50,"metadata":{ "z": 1.10 },"metadata.b":"x""#,
        r#""metadata":{ },"metadata.b":1E2"#,
        r#""metadata":{"b":1},"metadata.b":1"#,
        r#""metadata":{"b":1},"metadata":{"b":1}"#,
        r#""metadata":{"b":1e999}"#,
    ];
    assert_eq!(
        read(text.map(line).concat(), Format::Jsonl, false),
        [
            r#"1: A/1/0 eu - {"z":1.10,"a":12345678901234567890123}"#,
            r#"2: A/1/0 eu - {"z":1.10,"b":"x","c":2.50}"#,
            r#"3: A/1/0 eu - {"b":1E2}"#,
            "4: ! metadata has the same key twice",
            "5: ! metadata is there twice",
            "6: ! metadata is not a JSON object (line 1, column 10)",
        ]
    );
}

/// What the spreadsheet did with it, where nothing else refuses it.
#[test]
fn what_a_spreadsheet_left_in_place_of_a_value_is_named() {
    let text =
        format!("{HEADER},expires_at,metadata.a\n4.51235E+15,1,0,eu,,\nA,2,0,eu,,#REF!\nB,4.5E+15,0,#N/A,########,x\n");
    let rows = read(&text, Format::Csv, false);
    let told = |part: &str| rows.iter().filter(|row| row.contains(part)).collect::<Vec<_>>();
    assert_eq!(rows.len(), 3);
    assert!(rows[0].starts_with("2: 4.51235E+15/1/0 eu - - ? partner_order_number is a long number as"), "{rows:?}");
    assert!(rows[1].contains(" ? metadata.a is the error of a spreadsheet"), "{rows:?}");
    assert_eq!(told("4: ! subscription id \"4.5E+15\" is not a whole number above 0"), [&rows[2]]);
    for field in ["subscription_id is a long", "territory is the error", "expires_at is what a spreadsheet shows"] {
        assert_eq!(told(field), [&rows[2]], "{field}");
    }
    let line = |number: &str, metadata: &str| {
        format!(
            "{{\"partner_order_number\":\"{number}\",\"subscription_id\":1,\"generation\":0,\"territory\":\"eu\",{metadata}}}\n"
        )
    };
    let text =
        line("#NAME?", "\"metadata\":{\"n\":4.5E+15,\"a\":\"4.5E+15\"}") + &line("B", "\"metadata.b\":\"#NUM!\"");
    let rows = read(text, Format::Jsonl, false);
    assert!(
        rows[0].contains(" ? metadata.a is a long") && rows[0].contains("; partner_order_number is the error"),
        "{rows:?}"
    );
    assert!(!rows[0].contains("metadata.n") && rows[1].contains(" ? metadata.b is the error"), "{rows:?}");
}

#[test]
fn the_line_that_only_spreadsheets_read_is_counted_and_its_separator_used() {
    let text = format!("{HEADER}\nA,1,0,eu\n..,2,0,eu\n");
    for (separator, start) in [(",", "sep=,\r\n"), (";", "\u{feff}sep=;\n"), ("|", "\"sep=|\"\n"), ("\t", "SEP=\t\n")] {
        let rows = read(format!("{start}{}", text.replace(',', separator)), Format::Csv, false);
        assert_eq!((rows[0].as_str(), rows.len()), ("3: A/1/0 eu - -", 2), "{start:?}");
        assert!(rows[1].starts_with("4: ! "), "{rows:?}");
    }
    let problems = read("sep=;\n\nsubscription_id;foo;generation\n", Format::Csv, false);
    assert_eq!(problems[0], "unknown field foo; your own fields are named metadata.KEY");
    assert_eq!(read("sep=;\n", Format::Csv, false), ["the file is empty; it needs a header"]);
}

#[test]
fn the_line_ends_of_an_old_mac_are_named() {
    let expected = ["the lines end with CR alone, as on old Macs; save it as \"CSV UTF-8\", with LF or CRLF"];
    assert_eq!(read(format!("{HEADER}\rA,1,0,eu\r"), Format::Csv, false), expected);
    assert_eq!(read("{\"subscription_id\":1}\r{\"subscription_id\":2}", Format::Jsonl, false), expected);
}

#[test]
fn a_line_without_end_is_passed_over() {
    let text = format!("{}\n{{}}\n", "x".repeat(3 << 20));
    let rows = read(text, Format::Jsonl, true);
    assert_eq!(rows[0], "1: ! longer than 1 MiB");
    assert!(rows[1].starts_with("2: ! partner_order_number is missing"), "{rows:?}");
}

#[test]
fn metadata_that_would_swell_every_message_is_refused() {
    let csv = |bytes: usize| format!("{HEADER},metadata.note\nA,1,0,eu,{}\n", "x".repeat(bytes));
    let object = "{\"note\":\"\"}".len();
    assert!(!read(csv((64 << 10) - object), Format::Csv, false)[0].contains('!'));
    let refused = ["2: ! metadata is 65 KiB of JSON, and at most 64 are taken"];
    assert_eq!(read(csv((64 << 10) - object + 1), Format::Csv, false), refused);
}

#[test]
fn known_deliveries_have_a_name_and_a_label_and_are_none_to_come() {
    let row = |known: &str| {
        let row = format!(
            r#"{{"partner_order_number": "P", "subscription_id": 1, "generation": 1, "territory": "eu", "known": {known}}}"#
        );
        read(row, Format::Jsonl, false).remove(0)
    };
    let one = |reference: &str, generation: i64| {
        row(&format!(r#"[{{"reference": "{reference}", "generation": {generation}}}]"#))
    };
    assert!(!one("P-1", 1).contains('!'), "{}", one("P-1", 1));
    assert_eq!(one("P-2", 1), "1: ! known names P-2, which is above the generation");
    assert_eq!(one("", 1), "1: ! a known reference is empty");
    assert_eq!(one("U\\u0007", 1), "1: ! a known reference contains a control character");
    assert_eq!(one("U", -7), "1: ! known generation -7 is not from 0 to 2147483647");
    assert_eq!(one("U", i64::MAX), format!("1: ! known generation {} is not from 0 to 2147483647", i64::MAX));
    assert_eq!(row("7"), "1: ! known must be a list of objects with reference and generation");
    for bad in ["7", "\"yesterday\"", "[]"] {
        let wrong = "1: ! known_before must be a time such as 2026-11-21T20:00:00Z";
        assert_eq!(row(&format!("[], \"known_before\": {bad}")), wrong, "{bad}");
    }
}
