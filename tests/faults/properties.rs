//! The properties that stand beside the code, tried with other random numbers each round: 10,000 cases of each, as many as
//! `cargo test` tries.

use std::process::Command;

use crate::{Round, Tally, Trial};

pub const PROPERTIES: Trial =
    Trial { name: "properties", what: "decisions against models, case by case", long: 100, run };

const CASES: u64 = 10_000;

fn run(round: &mut Round) -> Tally {
    // The build that is at hand.
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--quiet", "--locked", "--lib"])
        .args(profile)
        .args(["--", "properties::"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PROPTEST_CASES", CASES.to_string())
        .env("PROPTEST_RNG_SEED", round.rng.u64(..).to_string())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let held = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let held = held.filter(|held| *held >= 10).unwrap_or_else(|| panic!("not all properties were tried: {said}"));
    Tally::of(held * CASES)
}
