//! Every input that is worth keeping, through the same functions as in `tests/fuzz`: as it is, and damaged in a few ways.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use renewald::fuzzing::TARGETS;

/// Damaged copies of each input.
const DAMAGED: usize = 100;

fn corpus(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 3, "{target}: {} inputs", inputs.len());
    inputs
}

#[test]
fn the_corpus_is_read_without_a_panic_and_makes_sense() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/Cargo.toml")).unwrap();
    for (target, read) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} can be fuzzed");
        for input in corpus(target) {
            let bytes = fs::read(&input).unwrap();
            assert!(catch_unwind(|| read(&bytes)).is_ok(), "{}", input.display());
        }
    }
}

#[test]
fn a_damaged_corpus_makes_no_panic_either() {
    let mut rng = Rng::with_seed(4711);
    for (target, read) in TARGETS {
        let inputs: Vec<_> = corpus(target).iter().map(|input| fs::read(input).unwrap()).collect();
        for input in &inputs {
            for _ in 0..DAMAGED {
                let bytes = damaged(input, &inputs[rng.usize(..inputs.len())], &mut rng);
                assert!(catch_unwind(|| read(&bytes)).is_ok(), "{target}: {:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// Cut off, with bytes changed, with a piece repeated, or with a piece of another.
fn damaged(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let piece = |of: &[u8], rng: &mut Rng| {
        let start = rng.usize(..=of.len());
        of[start..rng.usize(start..=of.len())].to_vec()
    };
    let mut bytes = input.to_vec();
    let at = rng.usize(..=bytes.len());
    match rng.u8(..4) {
        0 => bytes.truncate(at),
        1 => drop(bytes.splice(at..at, piece(input, rng))),
        2 => drop(bytes.splice(at.., piece(other, rng))),
        _ => (0..rng.usize(1..6)).for_each(|_| {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.choice(*b"\"{}[]:,0-19e.\\\n\r\x00\x1b\xc2\xff;=# ").unwrap_or(b'x');
        }),
    }
    bytes
}
