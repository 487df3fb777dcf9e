//! The properties that stand beside the code, tried with other random numbers each round: `cargo test` tries 10,000 cases of
//! each; here a single round does the same, and several rounds together a million.

use std::process::Command;

use crate::{Round, Tally, Trial};

pub const PROPERTIES: Trial = Trial { name: "properties", what: "decisions against models, case by case", run };

const SHORT: u64 = 10_000;
const LONG: u64 = 1_000_000;

fn run(round: &mut Round) -> Tally {
    let cases = if round.of == 1 { SHORT } else { LONG.div_ceil(round.of) };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--quiet", "--locked", "--lib", "--", "properties::"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PROPTEST_CASES", cases.to_string())
        .env("PROPTEST_RNG_SEED", round.rng.u64(..).to_string())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let held = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let held = held.filter(|held| *held >= 10).unwrap_or_else(|| panic!("not all properties were tried: {said}"));
    Tally::of(held * cases).count("properties", held)
}
