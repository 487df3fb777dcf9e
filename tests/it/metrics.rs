//! `/metrics` as an independent parser reads it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::admin::test_python;
use crate::harness::{Provider, Site, eventually};
use crate::http::Endpoint;
use crate::nexway_connect::order;

/// Reads OpenMetrics from stdin, prints `[[name, {label: value}, value], …]`.
const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[s.name, s.labels, s.value] for f in parse(sys.stdin.read()) for s in f.samples]))
";

/// The samples, or `None` where there is no parser.
fn parsed(text: &str) -> Option<Vec<(String, Value, f64)>> {
    let python = test_python("python")?;
    let mut child = Command::new(python)
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "no OpenMetrics:\n{text}");
    Some(serde_json::from_slice(&output.stdout).expect("a list"))
}

/// Three providers at one sandbox, five sinks that push: a pulled one has fewer series.
fn large() -> Site {
    let site = Site::new();
    site.change(|setup| {
        for n in 1..5 {
            setup.set_sink(&format!("file{n}"), &format!("kind = \"file\"\npath = \"file{n}.jsonl\""));
        }
        for name in ["second", "third"] {
            let mut account = site.sandbox.account(name);
            account.keys = account.keys.replace("sandbox", name); // no two accounts may be the same one
            setup.accounts.push(account);
        }
    });
    site
}

#[test]
fn another_parser_reads_every_documented_metric_and_no_customer() {
    let site = large();
    let (daemon, endpoint) = Endpoint::start(&site, "");
    let id = order(&site.sandbox, "CUSTOMER-7");
    site.renew("CUSTOMER-7");
    site.track("CUSTOMER-7", id);
    site.next_message();
    let text = eventually("the delivery is counted", || {
        let answer = endpoint.get("/metrics").expect(200);
        assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        let is_done = |sink| answer.body.contains(&format!("_dispatches{{sink=\"{sink}\",state=\"delivered\"}} 1"));
        ["shop", "file1", "file2", "file3", "file4"].into_iter().all(is_done).then_some(answer.body)
    });
    assert!(!text.contains("CUSTOMER") && !text.contains(&id.to_string()), "{text}");
    daemon.drain();

    let Some(samples) = parsed(&text) else { return };
    assert!(samples.len() <= 200, "{} series", samples.len());
    let value = |name: &str, labels: Value| {
        let found = samples.iter().find(|(sample, found, _)| sample == name && *found == labels);
        found.unwrap_or_else(|| panic!("no {name} with {labels}:\n{text}")).2
    };
    assert_eq!(value("renewald_polls_total", json!({"provider": "nexway", "outcome": "ok"})), 1.0);
    assert_eq!(value("renewald_renewals_detected_total", json!({"provider": "nexway"})), 1.0);
    assert_eq!(value("renewald_subscriptions", json!({"provider": "nexway", "state": "watching"})), 1.0);
    assert_eq!(value("renewald_subscriptions", json!({"provider": "second", "state": "watching"})), 0.0);
    assert_eq!(value("renewald_delivery_seconds_count", json!({"sink": "shop"})), 1.0);
    assert_eq!(value("renewald_delivery_seconds_count", json!({"sink": "file4"})), 1.0);
    assert_eq!(value("renewald_dispatches", json!({"sink": "file1", "state": "pending"})), 0.0);
    assert_eq!(value("renewald_alerts", json!({"kind": "dead"})), 0.0);
    assert_eq!(value("renewald_poll_seconds_count", json!({})), 1.0);
    let page = include_str!("../../docs/api.md");
    let documented: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `renewald_")?.split(['`', '{']).next()).collect();
    assert!(documented.len() >= 16, "{documented:?}");
    // Of providers that list or notify, which these do not, and of a shop, of which there is none.
    let is_shown = |name: &&&str| !["feed_", "hints_", "shop_"].iter().any(|of| name.starts_with(of));
    let shown = documented.iter().filter(is_shown);
    for name in shown {
        let name = format!("renewald_{name}");
        let is_it =
            |sample: &str| sample == name || ["_bucket", "_total"].iter().any(|end| sample == format!("{name}{end}"));
        assert!(samples.iter().any(|(sample, ..)| is_it(sample)), "{name} is in docs/api.md alone");
    }
    for (sample, ..) in &samples {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample);
        assert!(documented.iter().any(|name| base == format!("renewald_{name}")), "{sample} is not in docs/api.md");
    }
}

/// The queries of the alerts and of the dashboard, which `deploy/` brings.
fn queries() -> Vec<String> {
    let rules = include_str!("../../deploy/prometheus/renewald.rules.yml");
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    let dashboard: Value = serde_json::from_str(include_str!("../../deploy/grafana/renewald.json")).expect("JSON");
    let targets = dashboard["panels"].as_array().expect("panels").iter().flat_map(|panel| panel["targets"].as_array());
    let panels = targets.flatten().map(|target| target["expr"].as_str().expect("a query").to_owned());
    alerts.chain(panels).collect()
}

/// The metrics of a query, and the labels that it groups by or asks for.
fn names(query: &str) -> (Vec<&str>, Vec<&str>) {
    let words =
        query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("renewald_"));
    let groups = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let matchers = query.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let asked = matchers.flat_map(|all| all.split(',')).filter_map(|one| one.split(['=', '!']).next());
    (words.collect(), groups.flat_map(|group| group.split(',')).chain(asked).map(str::trim).collect())
}

#[test]
fn every_query_of_the_alerts_and_the_dashboard_finds_its_series() {
    let site = Site::new();
    let (daemon, endpoint) = Endpoint::start(&site, "");
    // The endpoint is open before those that count are.
    let text = eventually("its loops count", || {
        Some(endpoint.get("/metrics").expect(200).body).filter(|text| text.contains("renewald_polls_total{"))
    });
    daemon.drain();
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    for query in &queries {
        let (metrics, labels) = names(query);
        assert!(!metrics.is_empty(), "{query}");
        for metric in metrics {
            let mut series = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
            let one = series.next().unwrap_or_else(|| panic!("{metric} of {query} is not in:\n{text}"));
            // A query over several metrics must find each of its labels at each of them.
            assert!(labels.iter().all(|label| one.contains(&format!("{label}=\""))), "{labels:?} of {query}: {one}");
        }
    }
}
