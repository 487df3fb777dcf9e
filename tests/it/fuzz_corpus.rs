//! Every input that is worth keeping, through the same functions as in `tests/fuzz`.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use renewald::fuzzing::TARGETS;

#[test]
fn the_corpus_is_read_without_a_panic_and_makes_sense() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (target, read) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} can be fuzzed");
        let inputs: Vec<_> =
            fs::read_dir(fuzz.join("corpus").join(target)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(inputs.len() >= 3, "{target}: {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            assert!(catch_unwind(|| read(&bytes)).is_ok(), "{}", input.display());
        }
    }
}
