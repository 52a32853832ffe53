//! What was found by fuzzing stays as it should be, on any compiler.
#![cfg(test)]

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::Path;

use sluice_fuzz::{TARGETS, corpus};

/// The stems of the files in a directory of this crate.
fn stems(directory: &str) -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("libfuzzer/src/bin"), targets);
    assert_eq!(stems("corpus"), targets);
    assert!(stems("dictionaries").is_subset(&targets));
}

#[test]
fn what_is_kept_holds() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let kept = corpus::read(name).unwrap();
        let breaks = |input: &&Vec<u8>| catch_unwind(|| target(input)).is_err();
        let inputs = kept.iter().chain([const { &Vec::new() }]).filter(breaks);
        broken.extend(inputs.map(|input| format!("{name}: \"{}\"", input.escape_ascii())));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
