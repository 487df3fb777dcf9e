//! The shops of `examples/shop`, run by their interpreters: each places its order once, and takes what it brings.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use renewald::sandbox::nexway_connect::{Endpoint as Asked, Fault, FaultKind};

use crate::harness::Site;
use crate::http::Endpoint;
use crate::servers;
use crate::shop::body;

const TOKENS: [(&str, &str); 2] = [("TOKEN", "a-token-of-some-length"), ("SHOP_TOKEN", "another-token-of-some-length")];

fn shop(interpreter: &Path, example: &str, site: &Site, port: u16) -> Output {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop").join(example);
    let address = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(interpreter);
    command.arg(example).args([&address, "nexway"]).arg(site.path("order.json")).envs(TOKENS);
    command.output().expect("it starts")
}

fn an_order_is_placed_once_and_its_keys_are_taken([interpreter, package, example]: [&str; 3]) {
    let Some(interpreter) = servers::find(interpreter, package) else { return };
    let site = Site::without_sink_and(|setup| {
        setup.one_territory();
        setup.set_sink("pulled", "kind = \"queue\"");
    });
    let [(_, token), (_, shop_token)] = TOKENS;
    let (_daemon, endpoint) = Endpoint::start(&site, &format!("token = \"{token}\"\nshop_token = \"{shop_token}\""));
    let mut order = body("PARTNER689");
    order["orderLines"][0]["quantity"] = 2.into();
    fs::write(site.path("order.json"), order.to_string()).unwrap();
    // The answer is lost, and asking for the order fails once: 503 at first.
    site.sandbox.fault(Fault::new(FaultKind::CutMidBody).at(Asked::Create).times(1));
    let away = FaultKind::Status { status: 503, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(away).at(Asked::Order).times(1));
    let done = shop(&interpreter, example, &site, endpoint.port);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<_> = said.lines().map(|line| line.split(' ').skip(1).collect::<Vec<_>>()).collect();
    let ids = site.texts("SELECT subscription_id FROM subscriptions ORDER BY id");
    assert_eq!(lines.len(), 2, "{said}");
    assert!(ids.iter().all(|id| lines.contains(&vec!["purchase", id.as_str()])), "{said} {ids:?}");
    let created = site.sandbox.requests().iter().filter(|request| request.endpoint == Asked::Create).count();
    assert_eq!(created, 1);
}

#[test]
fn the_shop_in_php_places_an_order_once() {
    an_order_is_placed_once_and_its_keys_are_taken(["php", "php-cli", "php/order.php"]);
}

#[test]
fn the_shop_in_node_places_an_order_once() {
    an_order_is_placed_once_and_its_keys_are_taken(["node", "nodejs", "node/order.mjs"]);
}

#[test]
fn the_shop_in_python_places_an_order_once() {
    an_order_is_placed_once_and_its_keys_are_taken(["python3", "python3", "python/order.py"]);
}
